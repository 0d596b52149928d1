//! A bundle's graphs on ONNX Runtime, and the goldens that belong to it.

use cvtrt::backend::{Artifact, Backend, Fault, Faulty, Lane, LoadOptions, When};
use cvtrt::bundle::{Bundle, EMBEDDING_WIDTH, Tables};
use cvtrt::compare::{Tolerance, compare};
use cvtrt::ids::{BackendId, GraphId};
use cvtrt::pipeline::{
    FlowStage, Graphs, HiftStage, LlmStage, LoadedGraph, OpenError, Synthesizer,
};
use cvtrt::reading::Listener;
use cvtrt::tensor::{Placement, Tensor, TensorView};
use cvtrt::testkit::{backend_or_skip, data_path, read_npz};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A bundle with its graphs loaded.
pub(crate) struct Fixture {
    pub(crate) bundle: Bundle,
    pub(crate) graphs: Graphs,
    lane: Lane,
}

const OPTIONS: LoadOptions = LoadOptions {
    threads: 1,
    device: 0,
};

/// The bundle in the tree.
pub(crate) fn tiny_bundle() -> Bundle {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny");
    Bundle::open(&folder).expect("the bundle in the tree is sound")
}

/// Recorded tensors.
pub(crate) struct Golden(BTreeMap<String, Tensor>);

impl Fixture {
    /// CosyVoice2 at reduced width on `ort-cpu`; a skip, which is heard, where ONNX Runtime is not here.
    pub(crate) fn cosyvoice2(test: &str) -> Option<Self> {
        let backend = backend_or_skip(BackendId::OrtCpu, test)?;
        let bundle = tiny_bundle();
        let graphs = bundle
            .graphs()
            .map(|graph| {
                let file = bundle.graph_file(graph).expect("a listed graph");
                let compiled = backend
                    .load(Artifact::Onnx(&file.path), &OPTIONS)
                    .unwrap_or_else(|error| panic!("{graph}: {error}"));
                let backend = backend.id();
                (graph, LoadedGraph { backend, compiled })
            })
            .collect();
        Some(Self {
            bundle,
            graphs,
            lane: Lane::new(0, Placement::Host),
        })
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

    pub(crate) fn tables(&self) -> Arc<Tables> {
        Arc::new(self.bundle.tables().expect("the bundle's tables"))
    }

    pub(crate) fn llm(&self, rows: usize) -> LlmStage {
        let graph = &self.graphs[&GraphId::Llm].compiled;
        let spec = &self.bundle.manifest().llm;
        LlmStage::open(graph, &self.lane, spec, self.tables(), rows).expect("the graph fits")
    }

    pub(crate) fn flow(&self) -> FlowStage {
        let encoder = &self.graphs[&GraphId::FlowEncoder].compiled;
        let estimator = &self.graphs[&GraphId::FlowEstimator].compiled;
        let manifest = self.bundle.manifest();
        FlowStage::open(encoder, estimator, &self.lane, manifest, EMBEDDING_WIDTH)
            .expect("the graphs fit")
    }

    pub(crate) fn hift(&self) -> HiftStage {
        let pitch = &self.graphs[&GraphId::HiftF0].compiled;
        let decode = &self.graphs[&GraphId::HiftDecode].compiled;
        let manifest = self.bundle.manifest();
        HiftStage::open(pitch, decode, &self.lane, manifest, &self.tables())
            .expect("the graphs fit")
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

impl Golden {
    pub(crate) fn read(file: &str) -> Self {
        let path = data_path("goldens").join(file);
        Self(read_npz(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    pub(crate) fn tensor(&self, name: &str) -> &Tensor {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("no golden `{name}`"))
    }

    pub(crate) fn floats(&self, name: &str) -> &[f32] {
        self.tensor(name).elements().expect("recorded as f32")
    }

    pub(crate) fn ids(&self, name: &str) -> &[i32] {
        self.tensor(name).elements().expect("recorded as i32")
    }

    /// Ends the test where `got` is too far from the golden, with the case's name and the tolerance that would pass.
    #[track_caller]
    pub(crate) fn check(&self, name: &str, got: &[f32], tolerance: Tolerance) {
        check(name, got, self.floats(name), tolerance);
    }
}

/// As [`Golden::check`], against values taken out of a golden.
#[track_caller]
#[expect(
    clippy::print_stderr,
    reason = "shown with a failing test or --nocapture"
)]
pub(crate) fn check(case: &str, got: &[f32], want: &[f32], tolerance: Tolerance) {
    assert_eq!(got.len(), want.len(), "{case}: number of values");
    let view = |values| {
        let shape = cvtrt::tensor::Shape::new(&[got.len()]);
        TensorView::of(shape, values).expect("counted above")
    };
    let metrics = compare(view(got), view(want)).expect("equal shapes");
    eprintln!("{case}: {metrics}");
    if let Err(error) = metrics.check(tolerance) {
        panic!("{case}: {error}");
    }
}
