//! What is to be built, and what the cache has of it already.

use super::choose::{Choice, Probes, Tried, Wish};
use super::serving::newest_that_serves;
use super::wanted::{axis_limits, chain_of, precision_of};
use super::{BuildError, PassedOver, rewrite};
use crate::backend::Backends;
use crate::bundle::{Bundle, StatCache};
use crate::cache::{
    Change, EngineKey, EngineStore, Entry, KeyInputs, Lookup, PrecisionPlan, Verification, changes,
};
use crate::ids::{BackendId, GraphId, Precision};
use crate::profile::{AxisLimits, CompileOptions, Profile, ShapeSet};
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
    let planner = Planner {
        find: EngineStore::peek,
        ..Planner::to_qualify(request)
    };
    plan_with(request, digests, planner)
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

/// Plans graphs one at a time, so that one can be planned again without a backend that failed on it.
#[derive(Debug)]
pub(super) struct Planner<'a> {
    request: &'a BuildRequest<'a>,
    probes: Probes<'a>,
    limits: AxisLimits,
    find: Find,
    /// Whether the plan is to load what is there: a link that runs models as exported then does without an engine, and an
    /// engine compiled with other options does as well.
    to_serve: bool,
    /// Whether a verdict against a precision holds no more.
    requalifies: bool,
}

/// How the store is asked for an engine.
type Find = fn(&EngineStore, &KeyInputs) -> Lookup;

impl<'a> Planner<'a> {
    pub(super) fn new(request: &'a BuildRequest<'a>) -> Self {
        Self {
            request,
            probes: Probes::new(request.backends),
            limits: axis_limits(request.bundle),
            find: EngineStore::lookup,
            to_serve: false,
            requalifies: false,
        }
    }

    /// For finding what is to be qualified before it is built.
    fn to_qualify(request: &'a BuildRequest<'a>) -> Self {
        Self {
            requalifies: request.rebuild && request.verify,
            ..Self::new(request)
        }
    }

    /// For loading what is there.
    pub(super) fn to_serve(request: &'a BuildRequest<'a>) -> Self {
        Self {
            to_serve: true,
            ..Self::new(request)
        }
    }

    /// The first link whose engine is not in quarantine. An engine that was found unfit is not built again, unless a
    /// rebuild is asked for.
    pub(super) fn plan_graph(
        &mut self,
        graph: GraphId,
        failed: &[Tried],
    ) -> Result<PlannedGraph, BuildError> {
        let mut failed = failed.to_vec();
        let mut unfit = None;
        loop {
            let mut planned = match (self.plan_link(graph, &failed), unfit.take()) {
                (Ok(planned), _) => planned,
                // The first engine says more than "every link was passed over".
                (Err(BuildError::NothingBuilds { .. }), Some(unfit)) => return Err(unfit),
                (Err(error), _) => return Err(error),
            };
            let Some(rejection) = self.rejection(&planned) else {
                return Ok(planned);
            };
            let PlannedGraph {
                backend, precision, ..
            } = planned;
            let link = PassedOver {
                backend,
                reason: rejection.said(precision),
            };
            if self.to_serve && backend.runs_models() {
                let reason = link.reason.clone();
                planned.state = PlanState::Build { reason };
                planned.passed_over.push(link);
                return Ok(planned);
            }
            failed.push(Tried {
                link,
                precision: Some(precision),
            });
            unfit = Some(rejection.into_error(graph, backend, precision));
        }
    }

    /// Why the engine that the cache has, or had, is not to be served.
    fn rejection(&self, planned: &PlannedGraph) -> Option<Rejection> {
        match planned.state.entry() {
            Some(entry) => {
                let never_ran = matches!(
                    entry.manifest().verification,
                    Verification::NotRunHere { .. }
                );
                let runs = planned.cannot_run.is_none() && !planned.backend.runs_models();
                (self.to_serve && runs && never_ran).then_some(Rejection::NeverRan)
            }
            None if self.request.rebuild => None,
            None => {
                let reason = self.request.store.rejection(&planned.inputs)?;
                Some(Rejection::Quarantined(reason))
            }
        }
    }

    fn plan_link(&mut self, graph: GraphId, failed: &[Tried]) -> Result<PlannedGraph, BuildError> {
        let request = self.request;
        let model = request.bundle.graph_file(graph)?.sha256;
        let mut notes = Vec::new();
        let shapes = self.shapes(graph, &mut notes)?;
        let wanted = precision_of(graph, request, &mut notes);
        let chain = chain_of(graph, request, &mut notes);
        let decided = self.precision_plan(graph, wanted)?;
        let unfit = decided.as_ref().and_then(PrecisionPlan::failure);
        let choice = self.probes.choose(&Wish {
            graph,
            precision: wanted,
            chain: &chain,
            options: &request.options,
            unfit,
            failed,
            to_serve: self.to_serve,
        })?;
        let Choice {
            backend,
            fingerprint,
            precision,
            options,
            run,
            passed_over,
            notes: chosen,
        } = choice;
        notes.extend(chosen);
        let precision_plan = decided.filter(|plan| plan.inputs.precision == precision);
        notes.extend(precision_plan.as_ref().and_then(kept_in_fp32));
        if matches!(request.timings, TimingsAt::File(_)) && backend != BackendId::TensorRt {
            notes.push(format!("{backend} has no use for --timing-cache"));
        }
        let inputs = KeyInputs {
            graph,
            model,
            recipe: rewrite::recipe(
                graph,
                (backend, &fingerprint),
                precision,
                request.bundle.manifest().flow.steps,
                &rewrite::islands_of(precision_plan.as_ref()),
            ),
            precision,
            // Its engines serve every shape, so one does for all profiles.
            shapes: if backend.runs_models() {
                Vec::new()
            } else {
                shapes.clone()
            },
            options,
            backend,
            fingerprint,
            host: KeyInputs::this_host(),
        };
        Ok(PlannedGraph {
            graph,
            backend,
            precision,
            wanted,
            precision_plan,
            key: Some(EngineKey::of(&inputs)),
            state: self.state_of(&inputs, run.is_ok())?,
            inputs,
            shapes,
            cannot_run: run.err(),
            passed_over,
            notes,
        })
    }

    fn precision_plan(
        &self,
        graph: GraphId,
        precision: Precision,
    ) -> Result<Option<PrecisionPlan>, BuildError> {
        if precision == Precision::Fp32 {
            return Ok(None);
        }
        let inputs = rewrite::precision_inputs(self.request.bundle, graph, precision)?;
        let decided = self.request.store.precision_plan(&inputs);
        Ok(decided.filter(|plan| !self.requalifies || plan.failure().is_none()))
    }

    fn state_of(&self, inputs: &KeyInputs, runs_here: bool) -> Result<PlanState, BuildError> {
        let request = self.request;
        if request.rebuild {
            return Ok(PlanState::Build {
                reason: "a rebuild was asked for".to_owned(),
            });
        }
        let newest = if self.to_serve {
            newest_that_serves(request.store, inputs)?
        } else {
            Lookup::Missing
        };
        let lookup = match newest {
            Lookup::Missing => (self.find)(request.store, inputs),
            newest => newest,
        };
        Ok(match lookup {
            Lookup::Found(found) => {
                let entry = found.id().to_owned();
                let open = matches!(
                    found.manifest().verification,
                    Verification::NotRunHere { .. } | Verification::Skipped
                );
                if request.verify && runs_here && open {
                    PlanState::Verify { entry, found }
                } else {
                    PlanState::Cached { entry, found }
                }
            }
            Lookup::Missing => PlanState::Build {
                reason: why_missing(request.store, inputs)?,
            },
            Lookup::Corrupt {
                corruption,
                quarantined: None,
            } => PlanState::Build {
                reason: format!("the engine is damaged: {corruption}"),
            },
            Lookup::Corrupt { corruption, .. } => PlanState::Build {
                reason: format!("the engine was damaged and is in quarantine: {corruption}"),
            },
        })
    }

    fn shapes(&self, graph: GraphId, notes: &mut Vec<String>) -> Result<Vec<ShapeSet>, BuildError> {
        let profile = self.request.profile;
        let (within, lowered) = profile.within(&self.limits);
        notes.extend(
            lowered
                .iter()
                .filter(|one| one.graph == graph)
                .map(ToString::to_string),
        );
        let shapes = within.graphs.get(&graph).map(|own| own.shapes.clone());
        shapes
            .filter(|sets| !sets.is_empty())
            .ok_or_else(|| BuildError::NoShapes {
                profile: profile.name.clone(),
                graph,
            })
    }
}

/// Why an engine is not to be served.
enum Rejection {
    /// It was found unfit.
    Quarantined(String),
    /// It was built where it could not run, and nothing has compared it with the reference since.
    NeverRan,
}

impl Rejection {
    fn said(&self, precision: Precision) -> String {
        match self {
            Self::Quarantined(reason) => {
                format!("its {precision} engine is in quarantine: {reason}")
            }
            Self::NeverRan => format!(
                "its {precision} engine was built elsewhere and never compared with the reference: cvtrt build does it"
            ),
        }
    }

    fn into_error(self, graph: GraphId, backend: BackendId, precision: Precision) -> BuildError {
        match self {
            Self::Quarantined(reason) => BuildError::Quarantined {
                graph,
                backend,
                precision,
                reason,
            },
            Self::NeverRan => BuildError::NeverRan {
                graph,
                backend,
                precision,
            },
        }
    }
}

/// How much of a half-precision graph is not.
fn kept_in_fp32(plan: &PrecisionPlan) -> Option<String> {
    let PrecisionPlan { islands, nodes, .. } = plan;
    (!islands.is_empty()).then(|| format!("{} of its {nodes} nodes stay in fp32", islands.len()))
}

/// Names what changed since the entry most like the one that is wanted.
fn why_missing(store: &EngineStore, inputs: &KeyInputs) -> Result<String, BuildError> {
    let nearest = store
        .entries_of(inputs.graph)?
        .into_iter()
        .filter_map(|listed| listed.entry.ok())
        .filter(|entry| {
            entry.manifest().inputs.backend == inputs.backend && entry.unfit().is_none()
        })
        .map(|entry| changes(&entry.manifest().inputs, inputs))
        .min_by_key(Vec::len);
    Ok(match nearest {
        None => "not built yet".to_owned(),
        Some(changed) => {
            let changed: Vec<String> = changed.iter().map(Change::to_string).collect();
            format!("changed since it was built: {}", changed.join(", "))
        }
    })
}
