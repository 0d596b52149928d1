//! From a bundle to loaded graphs: engines where the cache has them, the models themselves where it has none.
//!
//! What was passed over on the way stays with the result, because a fallback nobody can see is a bug.

mod error;
mod floor;
#[cfg(all(test, feature = "testkit"))]
mod tests;
mod warmup;

pub use crate::backend::{Fall, Falls};
pub use error::DeployError;
pub use floor::{BelowFloor, Floor, LowGraph, UnknownFloor};
pub use warmup::{WarmRun, Warmup, WarmupError};

use crate::backend::{
    Artifacts, Backends, Lane, LinkError, LoadError, LoadOptions, PassedOver, StoredArtifact,
    select,
};
use crate::build::{self, BuildRequest, PlannedGraph, Scope, Servable, TimingsAt, Vocabulary};
use crate::bundle::{Bundle, StatCache};
use crate::cache::{EngineStore, Entry, SignatureText};
use crate::ids::{BackendId, GraphId, Precision, Tier};
use crate::pipeline::{Graphs, LoadedGraph};
use crate::profile::{Chain, CompileOptions, Fallback, Profile, ShapeSet};
use crate::tensor::Signature;
use std::collections::BTreeMap;
use std::fs::File;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;
use tracing::{Span, error_span};

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
    /// Files of engines that graphs may read again, when a lane is opened or a link fails: they are not collected for as
    /// long as the deployment lives.
    held: Vec<File>,
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
    /// Why it is no engine, where it is none.
    pub no_engine: Option<String>,
    /// Better links of the chain, and why they were not taken.
    pub passed_over: Vec<String>,
    /// Links that failed since, and what took over.
    pub falls: Falls,
    /// What is not as the profile says.
    pub notes: Vec<String>,
    /// In which precision each link has it that it can be served by.
    #[serde(skip)]
    pub at_hand: BTreeMap<BackendId, Precision>,
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

    /// What runs it now, and in which precision.
    pub fn now(&self) -> Tier {
        let backend = self.falls.now().unwrap_or(self.backend);
        let precision = self.at_hand.get(&backend).copied();
        Tier {
            backend,
            precision: precision.unwrap_or(self.precision),
        }
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
    let servable = build::plan_to_serve(&plan_request(request), digests)?;
    let mut deployment = Deployment {
        graphs: Graphs::new(),
        served: Vec::new(),
        warmup: Warmup::new(Vocabulary::of(request.bundle)),
        held: Vec::new(),
    };
    for (shapes, loaded) in load_side_by_side(request, servable) {
        let Loaded {
            graph,
            served,
            held,
        } = loaded?;
        deployment.warmup.add(served.graph, graph.clone(), shapes);
        deployment.graphs.insert(served.graph, graph);
        deployment.served.push(served);
        deployment.held.extend(held);
    }
    Ok(deployment)
}

/// What loading one graph gave.
struct Loaded {
    graph: LoadedGraph,
    served: Served,
    held: Vec<File>,
}

/// Loads every graph on a thread of its own: most of a start is a library preparing one graph at a time.
fn load_side_by_side(
    request: &DeployRequest<'_>,
    graphs: Vec<Servable>,
) -> Vec<(Vec<ShapeSet>, Result<Loaded, DeployError>)> {
    let model = Span::current();
    let load_one = |servable: Servable| {
        // Of the level that is always heard, so that every line of the threads says whose it is.
        let graph = error_span!(parent: &model, "graph", id = %servable.graph);
        graph.in_scope(|| load(request, servable))
    };
    thread::scope(|scope| {
        let threads: Vec<_> = graphs
            .into_iter()
            .map(|servable| {
                let shapes = servable.links[0].shapes.clone();
                (shapes, scope.spawn(|| load_one(servable)))
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

fn load(request: &DeployRequest<'_>, servable: Servable) -> Result<Loaded, DeployError> {
    let Servable { graph, links } = servable;
    let file = request.bundle.graph_file(graph)?;
    build::check_weights(graph, file)?;
    let model = &file.path;
    let first = &links[0];
    check_forced(request, first)?;
    let chain = remaining(request, first);
    let mut artifacts = Artifacts::new();
    let mut at_hand = BTreeMap::new();
    let mut held = BTreeMap::new();
    for &backend in &chain.links {
        let engine = links
            .iter()
            .filter(|link| link.backend == backend)
            .find_map(|link| Some((link.precision, link.state.entry()?)));
        if let Some((precision, engine)) = engine {
            held.insert(backend, engine.hold());
            artifacts.insert(backend, stored(graph, engine)?);
            at_hand.insert(backend, precision);
        } else if backend.runs_models() {
            artifacts.insert(backend, StoredArtifact::Onnx(model.clone()));
            // A model that was not compiled runs as it was exported.
            at_hand.insert(backend, Precision::Fp32);
        }
    }
    let selected = select(&chain, request.backends, &artifacts, request.options)
        .map_err(|source| DeployError::Graph { graph, source })?;
    let backend = selected.backend;
    let read_again = match chain.fallback {
        Fallback::Never | Fallback::AtLoad => 1,
        Fallback::AtRun => chain.links.len(),
    };
    // Links in front of the one taken did not load, and are not tried again.
    let taken_on = chain.links.iter().skip_while(|link| **link != backend);
    let held = taken_on
        .take(read_again)
        .filter_map(|link| held.remove(link).flatten())
        .collect();
    let passed_over = first.passed_over.iter().map(ToString::to_string);
    let passed_over = passed_over.chain(selected.passed_over.iter().map(|one| said(one, &links)));
    let taken = links.iter().find(|link| link.backend == backend);
    let (file, from_cache) = match &artifacts[&backend] {
        StoredArtifact::Engine { path, .. } => (path.clone(), true),
        StoredArtifact::Onnx(path) => (path.clone(), false),
    };
    let served = Served {
        graph,
        backend,
        precision: at_hand[&backend],
        wanted: first.wanted,
        file,
        from_cache,
        no_engine: (!from_cache).then(|| why_no_engine(taken)),
        passed_over: passed_over.collect(),
        falls: selected.falls,
        notes: taken.map_or_else(Vec::new, |link| link.notes.clone()),
        at_hand,
    };
    let compiled = selected.compiled;
    Ok(Loaded {
        graph: LoadedGraph { backend, compiled },
        served,
        held,
    })
}

/// Why a link is served by the model as exported.
fn why_no_engine(link: Option<&PlannedGraph>) -> String {
    let missing = link.and_then(|link| link.state.missing());
    missing.unwrap_or("none is planned for it").to_owned()
}

/// A link that did not load; of an engine that is not there, why it is not.
fn said(passed_over: &PassedOver, links: &[PlannedGraph]) -> String {
    let link = links
        .iter()
        .find(|link| link.backend == passed_over.backend);
    let missing = link.and_then(|link| link.state.missing());
    match (&passed_over.reason, missing) {
        (LinkError::NoArtifact, Some(reason)) => format!("{passed_over}: {reason}"),
        _ => passed_over.to_string(),
    }
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
fn check_forced(request: &DeployRequest<'_>, planned: &PlannedGraph) -> Result<(), DeployError> {
    match request.tier {
        Some(tier) if planned.state.entry().is_none() && planned.precision != Precision::Fp32 => {
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
