//! What is to be built, and what the cache has of it already.

use super::planner::Planner;
use super::{BuildError, PassedOver};
use crate::backend::Backends;
use crate::bundle::{Bundle, StatCache};
use crate::cache::{EngineKey, EngineStore, Entry, KeyInputs, PrecisionPlan};
use crate::ids::{BackendId, GraphId, Precision};
use crate::profile::{CompileOptions, Profile, ShapeSet};
use std::path::PathBuf;

/// What to build. Parsing flags made it; nothing of it was looked at yet.
#[derive(Debug, Clone)]
pub struct BuildRequest<'a> {
    /// The model.
    pub bundle: &'a Bundle,
    /// Shapes, precisions and chains, for the concurrency wanted.
    pub profile: &'a Profile,
    /// What can compile.
    pub backends: &'a Backends,
    /// Where engines are kept.
    pub store: &'a EngineStore,
    /// The graphs to build.
    pub scope: Scope,
    /// `--fp16`, `--bf16`, `--fp32`; `None` for the profile's.
    pub precision: Option<Precision>,
    /// `--backend`; `None` walks the profile's chains.
    pub backend: Option<BackendId>,
    /// Settings that change engines.
    pub options: CompileOptions,
    /// The device that engines are built for and verified on, by its ordinal after `CUDA_VISIBLE_DEVICES`.
    pub device: u32,
    /// Build what the cache has, too.
    pub rebuild: bool,
    /// Compare engines with the FP32 reference.
    pub verify: bool,
    /// Where timings of earlier builds are, for libraries that take any.
    pub timings: TimingsAt,
}

/// Where timings of earlier builds are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TimingsAt {
    /// In the store, one file for each library version and device.
    #[default]
    Store,
    /// In this file, whatever the library and device.
    File(PathBuf),
    /// Nowhere: every build takes its own.
    Nowhere,
}

/// Which graphs a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of the bundle.
    All,
    /// These; what the profile says of each holds.
    Needed(Vec<GraphId>),
    /// These, by name: `--fp16` and `--backend` outrank what the profile says of them.
    Named(Vec<GraphId>),
}

/// What is to be done for each graph, in the order of [`GraphId`].
#[derive(Debug)]
pub struct Plan {
    /// One entry per graph.
    pub graphs: Vec<PlannedGraph>,
}

/// What is to be done for one graph.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PlannedGraph {
    /// The graph.
    pub graph: GraphId,
    /// What compiles and runs it.
    pub backend: BackendId,
    /// In which precision.
    pub precision: Precision,
    /// The precision that the request and the profile ask for.
    pub wanted: Precision,
    /// What stays in FP32 where the precision is a half one; `None` where that was not decided, and for FP32.
    pub precision_plan: Option<PrecisionPlan>,
    /// The engine's key; `None` while its precision plan, which decides the key, is still to be made.
    pub key: Option<EngineKey>,
    /// Everything the key depends on.
    pub inputs: KeyInputs,
    /// The ranges that are served and verified; part of the key where the backend builds for them.
    pub shapes: Vec<ShapeSet>,
    /// What is to be done, and why.
    #[serde(flatten)]
    pub state: PlanState,
    /// Why the engine cannot run on this machine, where it cannot.
    pub cannot_run: Option<String>,
    /// Better links of the chain and why they were not taken.
    pub passed_over: Vec<PassedOver>,
    /// What is not as the request or the profile says.
    pub notes: Vec<String>,
}

/// What is to be done for a graph.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PlanState {
    /// Nothing.
    Cached {
        /// The entry's name.
        entry: String,
        #[serde(skip)]
        #[doc(hidden)]
        found: Box<Entry>,
    },
    /// The engine is there, and was never compared with the reference.
    Verify {
        /// The entry's name.
        entry: String,
        #[serde(skip)]
        #[doc(hidden)]
        found: Box<Entry>,
    },
    /// It is to be compiled.
    Build {
        /// Why the cache does not do.
        reason: String,
    },
}

impl PlanState {
    /// Why the cache does not do; `None` where it does.
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Build { reason } => Some(reason),
            Self::Cached { .. } | Self::Verify { .. } => None,
        }
    }

    /// The engine, where the cache has it.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Cached { found, .. } | Self::Verify { found, .. } => Some(found),
            Self::Build { .. } => None,
        }
    }
}

impl Plan {
    /// Graphs that are to be built in a half precision and were never qualified for it.
    pub fn unqualified(&self) -> impl Iterator<Item = (GraphId, Precision)> + '_ {
        let open = self.graphs.iter().filter(|planned| {
            planned.precision != Precision::Fp32 && planned.precision_plan.is_none()
        });
        open.map(|planned| (planned.graph, planned.precision))
    }

    /// Says of these graphs that they are qualified before they are built, so that their keys are not known yet.
    pub fn leave_open(&mut self, graphs: &[(GraphId, Precision)]) {
        let is_open =
            |planned: &&mut PlannedGraph| graphs.contains(&(planned.graph, planned.precision));
        for planned in self.graphs.iter_mut().filter(is_open) {
            planned.key = None;
            planned.state = PlanState::Build {
                reason: "its precision plan is made first, and decides the key".to_owned(),
            };
        }
    }
}

impl Scope {
    pub(super) fn graphs(&self, bundle: &Bundle) -> Vec<GraphId> {
        let mut graphs = match self {
            Self::All => bundle.graphs().collect(),
            Self::Needed(graphs) | Self::Named(graphs) => graphs.clone(),
        };
        graphs.sort_unstable();
        graphs.dedup();
        graphs
    }

    pub(super) fn is_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }
}

/// Plans a build. Compiles and loads nothing; reads a model only where its digest is not known.
///
/// # Errors
/// [`BuildError::Bundle`] when the bundle's content is not what it lists; [`BuildError::NoShapes`],
/// [`BuildError::NothingBuilds`] naming the first graph that cannot be built; [`BuildError::Cache`].
pub fn plan(request: &BuildRequest<'_>, digests: &mut StatCache) -> Result<Plan, BuildError> {
    plan_with(request, digests, Planner::new(request))
}

/// As [`plan`], before its graphs are qualified: where a rebuild is asked for, a precision that was found not good enough
/// counts as one that nobody tried, so that [`Plan::unqualified`] names it.
///
/// # Errors
/// As [`plan`].
pub fn plan_to_qualify(
    request: &BuildRequest<'_>,
    digests: &mut StatCache,
) -> Result<Plan, BuildError> {
    plan_with(request, digests, Planner::to_qualify(request))
}

/// As [`plan_to_qualify`], for showing only: the store stays as it is, its notes of use and its damaged entries too.
///
/// # Errors
/// As [`plan`].
pub fn preview(request: &BuildRequest<'_>, digests: &mut StatCache) -> Result<Plan, BuildError> {
    plan_with(request, digests, Planner::to_preview(request))
}

fn plan_with<'a>(
    request: &'a BuildRequest<'a>,
    digests: &mut StatCache,
    mut planner: Planner<'a>,
) -> Result<Plan, BuildError> {
    request.bundle.verify(digests)?;
    let graphs = request.scope.graphs(request.bundle);
    let graphs = graphs
        .into_iter()
        .map(|graph| planner.plan_graph(graph, &[]))
        .collect::<Result<_, _>>()?;
    Ok(Plan { graphs })
}
