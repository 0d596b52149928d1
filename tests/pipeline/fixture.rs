//! A bundle's graphs on ONNX Runtime.

use cvtrt::backend::{
    Artifact, Backend, Backends, Falls, Fault, Faulty, Lane, LoadOptions, OnHostGpu, Selected,
    StoredArtifact, When, select,
};
use cvtrt::bundle::{Bundle, EMBEDDING_WIDTH, Tables};
use cvtrt::compare::compare;
use cvtrt::cuda::HostGpu;
use cvtrt::ids::{BackendId, GraphId, Precision};
use cvtrt::parity::{Arithmetic, Quantity, Subject};
use cvtrt::pipeline::{FlowStage, Graphs, LlmStage, LoadedGraph, OpenError, Synthesizer};
use cvtrt::profile::{Chain, Fallback};
use cvtrt::reading::Listener;
use cvtrt::tensor::{Shape, TensorView};
use cvtrt::testkit::backend_or_skip;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A bundle with its graphs loaded.
pub(crate) struct Fixture {
    pub(crate) bundle: Bundle,
    pub(crate) graphs: Graphs,
    lane: Lane,
}

/// No graph of a fixture is in half precision.
static FP32: BTreeMap<GraphId, Precision> = BTreeMap::new();

const OPTIONS: LoadOptions = LoadOptions {
    threads: 1,
    device: 0,
};

/// The bundle in the tree.
pub(crate) fn tiny_bundle() -> Bundle {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny");
    Bundle::open(&folder).expect("the bundle in the tree is sound")
}

fn load(bundle: &Bundle, backend: &dyn Backend, graph: GraphId) -> LoadedGraph {
    let file = bundle.graph_file(graph).expect("a listed graph");
    let compiled = backend
        .load(Artifact::Onnx(&file.path), &OPTIONS)
        .unwrap_or_else(|error| panic!("{graph}: {error}"));
    let backend = backend.id();
    LoadedGraph { backend, compiled }
}

impl Fixture {
    /// CosyVoice2 at reduced width on `ort-cpu`; a skip, which is heard, where ONNX Runtime is not here.
    pub(crate) fn cosyvoice2(test: &str) -> Option<Self> {
        let backend = backend_or_skip(BackendId::OrtCpu, test)?;
        Some(Self::of(backend.as_ref(), Lane::on_host(0)))
    }

    /// The same on a device whose memory is the host's, but for the graphs that stay on the host.
    pub(crate) fn on_device(test: &str, device: &HostGpu, stay: &[GraphId]) -> Option<Self> {
        let backend = backend_or_skip(BackendId::OrtCpu, test)?;
        let there = OnHostGpu::new(Arc::clone(&backend), device);
        let lane = Lane::on_gpu(0, &device.gpu()).expect("a stream");
        let mut fixture = Self::of(&there, lane);
        for &graph in stay {
            let loaded = load(&fixture.bundle, backend.as_ref(), graph);
            fixture.graphs.insert(graph, loaded);
        }
        Some(fixture)
    }

    fn of(backend: &dyn Backend, lane: Lane) -> Self {
        let bundle = tiny_bundle();
        let graphs = bundle
            .graphs()
            .map(|graph| (graph, load(&bundle, backend, graph)))
            .collect();
        Self {
            bundle,
            graphs,
            lane,
        }
    }

    /// Where the stages work.
    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    pub(crate) fn flow(&self) -> FlowStage {
        let [encoder, estimator] = [GraphId::FlowEncoder, GraphId::FlowEstimator]
            .map(|graph| &self.graphs[&graph].compiled);
        let manifest = self.bundle.manifest();
        FlowStage::open(encoder, estimator, &self.lane, manifest, EMBEDDING_WIDTH)
            .expect("the graphs fit")
    }

    /// Makes one graph fail on purpose.
    pub(crate) fn break_graph(&mut self, graph: GraphId, fault: Fault, when: When) {
        let backend = backend_or_skip(BackendId::OrtCpu, "the graphs were loaded from it");
        let faulty = Faulty::new(backend.expect("was here before")).with(fault, when);
        let file = self.bundle.graph_file(graph).expect("a listed graph");
        let loaded = faulty.load(Artifact::Onnx(&file.path), &OPTIONS);
        let compiled = loaded.expect("loads without the fault");
        let backend = faulty.id();
        self.graphs.insert(graph, LoadedGraph { backend, compiled });
    }

    /// Puts a chain in a graph's place whose first link fails on purpose and whose second does not.
    pub(crate) fn chain(&mut self, graph: GraphId, fault: Fault, when: When) -> Falls {
        let sound = backend_or_skip(BackendId::OrtCpu, "the graphs were loaded from it");
        let sound = sound.expect("was here before");
        let faulty = Faulty::new(Arc::clone(&sound))
            .named(BackendId::OrtCuda)
            .with(fault, when);
        let mut backends = Backends::default();
        backends.insert(Arc::new(faulty));
        backends.insert(sound);
        let chain = Chain {
            links: vec![BackendId::OrtCuda, BackendId::OrtCpu],
            fallback: Fallback::AtRun,
        };
        let file = self.bundle.graph_file(graph).expect("a listed graph");
        let artifact = StoredArtifact::Onnx(file.path.clone());
        let artifacts = chain.links.iter().map(|link| (*link, artifact.clone()));
        let selected = select(&chain, &backends, &artifacts.collect(), &OPTIONS);
        let Selected {
            backend,
            compiled,
            falls,
            ..
        } = selected.expect("loads without the fault");
        self.graphs.insert(graph, LoadedGraph { backend, compiled });
        falls
    }

    /// Moves the lane to where the graphs are now.
    pub(crate) fn follow_graphs(&mut self) {
        let graphs = self.graphs.values().map(|graph| &graph.compiled);
        self.lane = Lane::for_graphs(0, graphs).expect("the device works");
    }

    pub(crate) fn tables(&self) -> Arc<Tables> {
        Arc::new(self.bundle.tables().expect("the bundle's tables"))
    }

    pub(crate) fn llm(&self, rows: usize) -> LlmStage {
        let graph = &self.graphs[&GraphId::Llm].compiled;
        let spec = &self.bundle.manifest().llm;
        LlmStage::open(graph, &self.lane, spec, self.tables(), rows).expect("the graph fits")
    }

    /// The fixture as recordings are replayed on it.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            bundle: &self.bundle,
            graphs: &self.graphs,
            precisions: &FP32,
            lane: &self.lane,
        }
    }

    pub(crate) fn listener(&self) -> Result<Listener, OpenError> {
        Listener::open(&self.bundle, &self.graphs, &self.lane)
    }

    pub(crate) fn synthesizer(&self) -> Synthesizer {
        self.try_synthesizer().expect("the graphs fit")
    }

    pub(crate) fn try_synthesizer(&self) -> Result<Synthesizer, OpenError> {
        Synthesizer::open(&self.bundle, &self.graphs, &self.lane)
    }
}

/// Ends the test where `got` is too far from `want`, with the case's name and the tolerance that would pass.
#[track_caller]
pub(crate) fn check(case: &str, got: &[f32], want: &[f32], quantity: Quantity) {
    assert_eq!(got.len(), want.len(), "{case}: number of values");
    let view = |values| TensorView::of(Shape::new(&[got.len()]), values).expect("counted above");
    let metrics = compare(view(got), view(want)).expect("equal shapes");
    if let Err(error) = metrics.check(quantity.gate(Arithmetic::Exact).tolerance()) {
        panic!("{case}: {error}");
    }
}
