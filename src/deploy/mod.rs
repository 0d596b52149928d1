//! From a bundle to loaded graphs: engines where the cache has them, the models themselves where it has none.
//!
//! What was passed over on the way stays with the result, because a fallback nobody can see is a bug.

mod error;
mod floor;
#[cfg(all(test, feature = "testkit"))]
mod tests;
mod warmup;

pub use error::DeployError;
pub use floor::{BelowFloor, Floor, UnknownFloor};
pub use warmup::{WarmRun, Warmup, WarmupError};

use crate::backend::{
    Artifacts, Backends, Falls, Lane, LoadError, LoadOptions, StoredArtifact, select,
};
use crate::build::{self, BuildRequest, PlanState, PlannedGraph, Scope, TimingsAt, Vocabulary};
use crate::bundle::{Bundle, StatCache};
use crate::cache::{EngineStore, Entry, SignatureText};
use crate::ids::{BackendId, GraphId, Precision, Tier};
use crate::pipeline::{Graphs, LoadedGraph};
use crate::profile::{Chain, CompileOptions, Fallback, Profile, ShapeSet};
use crate::tensor::Signature;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

/// What to load, and how.
#[derive(Debug, Clone, Copy)]
pub struct DeployRequest<'a> {
    /// The model.
    pub bundle: &'a Bundle,
    /// Precisions and chains.
    pub profile: &'a Profile,
    /// What can run graphs.
    pub backends: &'a Backends,
    /// Where engines are.
    pub store: &'a EngineStore,
    /// The graphs to load.
    pub graphs: &'a [GraphId],
    /// Forces every graph to one backend and precision.
    pub tier: Option<Tier>,
    /// Threads and device.
    pub options: &'a LoadOptions,
}

/// Loaded graphs, and how each came to be served as it is.
#[derive(Debug)]
pub struct Deployment {
    /// The graphs.
    pub graphs: Graphs,
    /// One row per graph.
    pub served: Vec<Served>,
    /// What makes the graphs warm.
    pub warmup: Warmup,
}

/// How one graph is served.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Served {
    /// The graph.
    pub graph: GraphId,
    /// What runs it.
    pub backend: BackendId,
    /// In which precision.
    pub precision: Precision,
    /// In which precision the tier or the profile wants it.
    pub wanted: Precision,
    /// The file that was loaded.
    pub file: PathBuf,
    /// Whether it is an engine out of the cache, or the model as exported.
    pub from_cache: bool,
    /// Better links of the chain, and why they were not taken.
    pub passed_over: Vec<String>,
    /// Links that failed since, and what took over.
    pub falls: Falls,
    /// What is not as the profile says.
    pub notes: Vec<String>,
}

impl Deployment {
    /// A lane for the graphs: on their device, where any of them works on one.
    ///
    /// # Errors
    /// [`LoadError::Device`].
    pub fn lane(&self, index: u16) -> Result<Lane, LoadError> {
        Lane::for_graphs(index, self.graphs.values().map(|graph| &graph.compiled))
    }
}

impl Served {
    /// Whether it is among the graphs that make speech; the others hear recordings, once per voice.
    pub fn speaks(&self) -> bool {
        !matches!(self.graph, GraphId::SpeechTokenizer | GraphId::Campplus)
    }

    /// What runs it now, and in which precision: what took over from a link that failed runs the model as it was exported.
    pub fn now(&self) -> Tier {
        let backend = self.falls.lands_on(self.backend);
        let precision = if backend == self.backend {
            self.precision
        } else {
            Precision::Fp32
        };
        Tier { backend, precision }
    }

    /// Whether it is served at a tier; FP32 is any tier's where it is wanted.
    pub fn is_at(&self, tier: Tier) -> bool {
        let now = self.now();
        let kept = now.precision == Precision::Fp32 && self.wanted == Precision::Fp32;
        now.backend == tier.backend && (now.precision == tier.precision || kept)
    }

    /// Whether it is served as it was wanted.
    pub fn is_fallback(&self) -> bool {
        !self.passed_over.is_empty()
            || self.precision != self.wanted
            || !self.falls.list().is_empty()
    }
}

/// Loads graphs, each on the first link of its chain that can.
///
/// # Errors
/// [`DeployError`]: a bundle whose content is not what it lists, a profile that says nothing of a graph, a backend that
/// was demanded and is not available, or a graph that no link loads.
pub fn deploy(
    request: &DeployRequest<'_>,
    digests: &mut StatCache,
) -> Result<Deployment, DeployError> {
    let plan = build::plan_to_serve(&plan_request(request), digests)?;
    let mut deployment = Deployment {
        graphs: Graphs::new(),
        served: Vec::new(),
        warmup: Warmup::new(Vocabulary::of(request.bundle)),
    };
    for (shapes, loaded) in load_side_by_side(request, plan.graphs) {
        let (loaded, served) = loaded?;
        deployment.warmup.add(served.graph, loaded.clone(), shapes);
        deployment.graphs.insert(served.graph, loaded);
        deployment.served.push(served);
    }
    Ok(deployment)
}

/// What loading one graph gave.
type Loaded = Result<(LoadedGraph, Served), DeployError>;

/// Loads every graph on a thread of its own: most of a start is a library preparing one graph at a time.
fn load_side_by_side(
    request: &DeployRequest<'_>,
    graphs: Vec<PlannedGraph>,
) -> Vec<(Vec<ShapeSet>, Loaded)> {
    thread::scope(|scope| {
        let threads: Vec<_> = graphs
            .into_iter()
            .map(|mut planned| {
                let shapes = std::mem::take(&mut planned.shapes);
                (shapes, scope.spawn(move || load(request, planned)))
            })
            .collect();
        let joined = threads.into_iter().map(|(shapes, thread)| {
            let loaded = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            (shapes, loaded)
        });
        joined.collect()
    })
}

fn plan_request<'a>(request: &DeployRequest<'a>) -> BuildRequest<'a> {
    BuildRequest {
        bundle: request.bundle,
        profile: request.profile,
        backends: request.backends,
        store: request.store,
        scope: Scope::Needed(request.graphs.to_vec()),
        precision: request.tier.map(|tier| tier.precision),
        backend: request.tier.map(|tier| tier.backend),
        options: CompileOptions::default(),
        device: request.options.device,
        rebuild: false,
        verify: false,
        timings: TimingsAt::Nowhere,
    }
}

fn load(
    request: &DeployRequest<'_>,
    planned: PlannedGraph,
) -> Result<(LoadedGraph, Served), DeployError> {
    let graph = planned.graph;
    let file = request.bundle.graph_file(graph)?;
    build::check_weights(graph, file)?;
    let model = file.path.clone();
    let engine = match &planned.state {
        PlanState::Cached { found, .. } | PlanState::Verify { found, .. } => Some(found),
        PlanState::Build { .. } => None,
    };
    check_forced(request, &planned, engine.is_some())?;
    let chain = remaining(request, &planned);
    let mut artifacts: Artifacts = chain
        .links
        .iter()
        .filter(|link| matches!(link, BackendId::OrtCuda | BackendId::OrtCpu))
        .map(|link| (*link, StoredArtifact::Onnx(model.clone())))
        .collect();
    if let Some(engine) = engine {
        artifacts.insert(planned.backend, stored(graph, engine)?);
    }
    let engine = engine.map(|engine| engine.engine_path());
    let selected = select(&chain, request.backends, &artifacts, request.options)
        .map_err(|source| DeployError::Graph { graph, source })?;
    let from_cache = engine.is_some() && selected.backend == planned.backend;
    let mut passed_over: Vec<String> = planned
        .passed_over
        .iter()
        .map(ToString::to_string)
        .collect();
    passed_over.extend(selected.passed_over.iter().map(ToString::to_string));
    let served = Served {
        graph,
        backend: selected.backend,
        // A model that was not compiled runs as it was exported.
        precision: if from_cache {
            planned.precision
        } else {
            Precision::Fp32
        },
        wanted: planned.wanted,
        file: engine.filter(|_| from_cache).unwrap_or(model),
        from_cache,
        passed_over,
        falls: selected.falls,
        notes: planned.notes,
    };
    Ok((
        LoadedGraph {
            backend: selected.backend,
            compiled: selected.compiled,
        },
        served,
    ))
}

fn stored(graph: GraphId, engine: &Entry) -> Result<StoredArtifact, DeployError> {
    let manifest = engine.manifest();
    let SignatureText { inputs, outputs } = &manifest.signature;
    let signature =
        Signature::from_text(inputs, outputs).map_err(|source| DeployError::EngineSignature {
            graph,
            entry: engine.id().to_owned(),
            source,
        })?;
    Ok(StoredArtifact::Engine {
        path: engine.engine_path(),
        signature,
        host_code: manifest.inputs.options.version_compatible,
    })
}

/// A forced precision needs an engine: a model that was not compiled runs in FP32.
fn check_forced(
    request: &DeployRequest<'_>,
    planned: &PlannedGraph,
    has_engine: bool,
) -> Result<(), DeployError> {
    match request.tier {
        Some(tier) if !has_engine && planned.precision != Precision::Fp32 => {
            Err(DeployError::NoEngine {
                graph: planned.graph,
                tier,
            })
        }
        _ => Ok(()),
    }
}

/// The links from the planned one on; those before it were found unable to serve the graph.
fn remaining(request: &DeployRequest<'_>, planned: &PlannedGraph) -> Chain {
    if request.tier.is_some() {
        return Chain {
            links: vec![planned.backend],
            fallback: Fallback::Never,
        };
    }
    let chain = request.profile.chain_of(planned.graph);
    let links = chain
        .links
        .iter()
        .copied()
        .skip_while(|link| *link != planned.backend)
        .collect();
    Chain {
        links,
        fallback: chain.fallback,
    }
}
