//! Precision plans for a whole bundle, on ONNX Runtime alone.

use cvtrt::backend::{Artifact, Backend, Bindings, Lane, LoadOptions, OutputSlot};
use cvtrt::build;
use cvtrt::bundle::{Bundle, FileSpec};
use cvtrt::cache::{PrecisionPlan, Verdict};
use cvtrt::ids::{BackendId, Digest, GraphId, Mode, Precision};
use cvtrt::onnx::proto::{NodeProto, TensorProto};
use cvtrt::onnx::{Graph, Islands, ModelFile, RewrittenOnnx};
use cvtrt::pipeline::SpeechRequest;
use cvtrt::qualify::{QualifyError, Rehearsal, calibrate, keep_ranges, qualify, ranges_of};
use cvtrt::tensor::{Shape, Tensor};
use cvtrt::testkit::backend_or_skip;
use prost::Message;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const OPTIONS: LoadOptions = LoadOptions {
    threads: 1,
    device: 0,
};

/// A copy of the bundle in the tree that a test may change, and ONNX Runtime.
struct Stage {
    folder: tempfile::TempDir,
    ort: Arc<dyn Backend>,
}

impl Stage {
    fn or_skip(test: &str) -> Option<Self> {
        let ort = backend_or_skip(BackendId::OrtCpu, test)?;
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny");
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::create_dir(folder.path().join("voices")).expect("own folder");
        for inner in ["", "voices"] {
            for entry in fs::read_dir(source.join(inner)).expect("in the tree") {
                let path = entry.expect("readable").path();
                if path.is_file() {
                    let name = path.file_name().expect("a file");
                    fs::copy(&path, folder.path().join(inner).join(name)).expect("own folder");
                }
            }
        }
        Some(Self { folder, ort })
    }

    fn bundle(&self) -> Bundle {
        Bundle::open(self.folder.path()).expect("sound")
    }

    fn rehearse<T>(&self, utterances: usize, work: impl FnOnce(&Rehearsal<'_>) -> T) -> T {
        let bundle = self.bundle();
        let name = bundle.voice_names().remove(0);
        let voice = Arc::new(bundle.voice(&name).expect("sound"));
        let requests: Vec<SpeechRequest> = (0..utterances)
            .map(|at| SpeechRequest {
                mode: Mode::CrossLingual,
                text_ids: vec![5, 17, 40, 2, 33, 8],
                prompt_text_ids: Vec::new(),
                voice: Arc::clone(&voice),
                seed: at as u64,
                max_tokens: Some(20),
                speed: 1.0,
            })
            .collect();
        work(&Rehearsal {
            bundle: &bundle,
            reference: &*self.ort,
            options: &OPTIONS,
            requests: &requests,
            cancelled: &|| false,
            say: &|_| {},
        })
    }

    fn plan(&self, graph: GraphId, precision: Precision) -> PrecisionPlan {
        let mut plans = self.rehearse(1, |rehearsal| {
            qualify(rehearsal, &[(graph, precision)]).expect("can be measured")
        });
        plans.remove(0)
    }

    /// Replaces a graph's file, and says so in the manifest.
    fn replace(&self, graph: GraphId, model: &[u8]) {
        let bundle = self.bundle();
        let mut manifest = bundle.manifest().clone();
        let file = manifest.graphs[&graph].file.clone();
        fs::write(file.within(self.folder.path()), model).expect("own folder");
        let spec = FileSpec {
            bytes: model.len() as u64,
            sha256: Digest::of(model),
        };
        manifest.files.insert(file, spec);
        let text = serde_yaml::to_string(&manifest).expect("plain values");
        fs::write(self.folder.path().join("bundle.yaml"), text).expect("own folder");
    }
}

/// Brings the first `operator`'s output to 2²⁸ times its size and back, which changes nothing in FP32. Gives the model,
/// and the nodes whose values are out of half's range then.
fn scaled_to_overflow(path: &Path, operator: &str) -> (Vec<u8>, [&'static str; 2]) {
    let file = ModelFile::open(path).expect("sound");
    let mut graph = Graph::of(&file);
    let proto = graph.proto_mut();
    let mut nodes = proto.node.iter();
    let at = nodes.position(|node| node.op_type() == operator);
    let at = at.expect("has one");
    let value = proto.node[at].output[0].clone();
    let names = [
        "scaled_0",
        "scaled_1",
        "scaled_2",
        "scaled_3",
        value.as_str(),
    ];
    names[0].clone_into(&mut proto.node[at].output[0]);
    let constants = ["scale_up", "scale_up", "scale_down", "scale_down"];
    let scaling = constants
        .iter()
        .zip(names.windows(2))
        .map(|(constant, ends)| NodeProto {
            input: vec![ends[0].to_owned(), (*constant).to_owned()],
            output: vec![ends[1].to_owned()],
            name: Some(format!("after_{}", ends[0])),
            op_type: Some("Mul".to_owned()),
            ..NodeProto::default()
        });
    let scaling: Vec<NodeProto> = scaling.collect();
    let rest = proto.node.split_off(at + 1);
    proto.node.extend(scaling.into_iter().chain(rest));
    // Both are halves with all their digits.
    for (name, factor) in [("scale_up", 16_384f32), ("scale_down", 1.0 / 16_384.0)] {
        proto.initializer.push(TensorProto {
            name: Some(name.to_owned()),
            data_type: Some(1),
            float_data: vec![factor],
            ..TensorProto::default()
        });
    }
    (
        graph.model().encode_to_vec(),
        ["after_scaled_1", "after_scaled_2"],
    )
}

/// Whether every output of a twin of the estimator with these islands is finite.
fn is_finite(stage: &Stage, islands: &BTreeSet<String>) -> bool {
    let bundle = stage.bundle();
    let path = &bundle
        .graph_file(GraphId::FlowEstimator)
        .expect("there")
        .path;
    let exported = ModelFile::open(path).expect("sound");
    let steps = bundle.manifest().flow.steps;
    let evaluator = build::OnBackend(&*stage.ort);
    let file = build::prepared(GraphId::FlowEstimator, exported, steps, &evaluator)
        .expect("can be prepared");
    let islands = Islands {
        nodes: islands.clone(),
        ..Islands::default()
    };
    let twin: RewrittenOnnx =
        build::twin(&file, Precision::Fp16, &islands, false).expect("can be rewritten");
    let artifact = Artifact::Memory {
        bytes: &twin.bytes,
        folder: bundle.dir(),
    };
    let compiled = stage.ort.load(artifact, &OPTIONS).expect("loads");
    let sizes = [(cvtrt::ids::Axis::Batch, 2), (cvtrt::ids::Axis::Frames, 12)];
    let inputs = build::random_inputs(
        GraphId::FlowEstimator,
        compiled.signature(),
        &sizes.into_iter().collect(),
        build::Vocabulary::of(&bundle),
        7,
    )
    .expect("every axis has a size");
    let mut output = Tensor::zeros(cvtrt::tensor::DType::F32, Shape::new(&[2, 80, 12]));
    let mut session = compiled.open(&Lane::on_host(0)).expect("opens");
    let mut io = Bindings {
        inputs: inputs.iter().map(Tensor::view).collect(),
        outputs: vec![OutputSlot::Into(output.view_mut())],
    };
    session.run(&mut io).expect("runs");
    let values = output.elements::<f32>().expect("f32");
    values.iter().all(|value| value.is_finite())
}

#[test]
fn a_graph_scaled_to_overflow_fails_plain_and_passes_with_its_islands() {
    let Some(stage) = Stage::or_skip("a_graph_scaled_to_overflow") else {
        return;
    };
    let path = stage.folder.path().join("flow_estimator.onnx");
    let (model, scaling) = scaled_to_overflow(&path, "Conv");
    stage.replace(GraphId::FlowEstimator, &model);
    assert!(!is_finite(&stage, &BTreeSet::new()), "plain FP16 overflows");

    let plan = stage.plan(GraphId::FlowEstimator, Precision::Fp16);
    assert_eq!(plan.failure(), None, "{plan:?}");
    for name in scaling {
        let why = plan
            .islands
            .get(name)
            .unwrap_or_else(|| panic!("{name}: {plan:?}"));
        assert!(why.contains("reaches"), "{why}");
    }
    assert!(plan.islands.len() < plan.nodes / 4, "{plan:?}");
    assert!(is_finite(&stage, &plan.islands.into_keys().collect()));

    // bfloat16 reaches as far as FP32, so nothing there has to stay for its range.
    let plan = stage.plan(GraphId::FlowEstimator, Precision::Bf16);
    assert!(!plan.islands.contains_key(scaling[0]), "{plan:?}");
}

#[test]
fn what_overflows_against_the_forecast_stays_too() {
    let Some(stage) = Stage::or_skip("what_overflows_against_the_forecast") else {
        return;
    };
    let path = stage.folder.path().join("flow_estimator.onnx");
    let (model, scaling) = scaled_to_overflow(&path, "Conv");
    stage.replace(GraphId::FlowEstimator, &model);
    // Ranges of a voice whose values stayed small, so that these nodes come last of all that might follow.
    let mut ranges = stage.rehearse(1, calibrate).expect("recorded");
    let estimator = ranges.graphs.get_mut(&GraphId::FlowEstimator);
    for (name, range) in &mut estimator.expect("it ran").values {
        if name.starts_with("scaled_") {
            *range = [0.0; 2];
        }
    }
    keep_ranges(&stage.bundle(), &ranges).expect("own folder");

    let plan = stage.plan(GraphId::FlowEstimator, Precision::Fp16);
    assert_eq!(plan.failure(), None, "{plan:?}");
    for name in scaling {
        let why = plan.islands.get(name).map(String::as_str);
        assert!(
            why.is_some_and(|why| why.contains("overflowed")),
            "{plan:?}"
        );
    }
    assert!(plan.islands.len() < plan.nodes / 4, "{plan:?}");
    assert!(is_finite(&stage, &plan.islands.into_keys().collect()));
}

#[test]
fn the_time_is_looked_up_so_that_nothing_stays_and_the_mel_keeps_to_its_bound() {
    let Some(stage) = Stage::or_skip("the_time_is_looked_up") else {
        return;
    };
    for precision in [Precision::Fp16, Precision::Bf16] {
        let plan = stage.plan(GraphId::FlowEstimator, precision);
        assert!(plan.islands.is_empty(), "{:?}", plan.islands);
        let Verdict::Passed { measured } = &plan.verdict else {
            panic!("{plan:?}");
        };
        let mel = measured.iter().find(|measured| measured.what == "mel");
        let mel = mel.expect("the audio gate heard it");
        assert!(mel.value > 0.0 && mel.value <= mel.bound, "{mel:?}");
    }
}

#[test]
fn ranges_are_kept_in_the_bundle_and_add_up() {
    let Some(stage) = Stage::or_skip("ranges_are_kept") else {
        return;
    };
    assert_eq!(ranges_of(&stage.bundle()).expect("none").utterances, 0);
    let first = stage.rehearse(1, calibrate).expect("recorded");
    keep_ranges(&stage.bundle(), &first).expect("own folder");
    assert_eq!(ranges_of(&stage.bundle()).expect("just written"), first);
    let estimator = &first.graphs[&GraphId::FlowEstimator];
    assert_eq!(estimator.runs, 10);
    assert_eq!(estimator.values["t"][0].to_bits(), 0);
    let both = first
        .clone()
        .with(stage.rehearse(2, calibrate).expect("recorded"));
    assert_eq!(both.utterances, 3);
    keep_ranges(&stage.bundle(), &both).expect("own folder");
    let listed = fs::read_dir(stage.folder.path()).expect("own folder");
    let ranges = listed.filter(|entry| {
        let name = entry.as_ref().expect("readable").file_name();
        name.to_string_lossy().starts_with("ranges")
    });
    assert_eq!(ranges.count(), 1, "the old file is gone");
}

#[test]
fn nothing_to_say_is_an_error() {
    let Some(stage) = Stage::or_skip("nothing_to_say") else {
        return;
    };
    let outcome = stage.rehearse(0, calibrate);
    assert!(
        matches!(outcome, Err(QualifyError::Silent { .. })),
        "{outcome:?}"
    );
}
