//! The FP32 twin of a half-precision graph: it rounds and overflows where half does, on a machine without half.

use cvtrt::backend::{
    Artifact, Backend, Bindings, CompileRequest, EngineArtifact, Lane, LoadOptions, Model,
    OutputSlot, Step,
};
use cvtrt::ids::{BackendId, GraphId, Precision};
use cvtrt::onnx::builder::GraphBuilder;
use cvtrt::onnx::{ModelFile, NoEvaluator, Rewrite, RewrittenOnnx};
use cvtrt::profile::CompileOptions;
use cvtrt::tensor::{DType, Shape, Tensor, TensorView};
use cvtrt::testkit::backend_or_skip;
use half::{bf16, f16};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

const OPTIONS: LoadOptions = LoadOptions {
    threads: 1,
    device: 0,
};

/// `y = 1 · x`, `z = y - 1 · y`, so that a value passes through two nodes.
fn graph() -> ModelFile {
    GraphBuilder::new()
        .input("x", DType::F32, &["frames"])
        .constant("one", &[1], &[1f32])
        .node("Mul", &["x", "one"], &["y"])
        .node("Mul", &["y", "one"], &["y_again"])
        .node("Sub", &["y", "y_again"], &["z"])
        .output("y", DType::F32, &["frames"])
        .output("z", DType::F32, &["frames"])
        .read()
}

fn run(backend: &dyn Backend, artifact: Artifact<'_>, x: &[f32]) -> Vec<Tensor> {
    let compiled = backend.load(artifact, &OPTIONS).expect("loads");
    let outputs = compiled.signature().outputs.len();
    let mut session = compiled.open(&Lane::on_host(0)).expect("opens");
    let mut io = Bindings {
        inputs: vec![TensorView::of(Shape::new(&[x.len()]), x).expect("fills")],
        outputs: (0..outputs).map(|_| OutputSlot::Alloc(None)).collect(),
    };
    session.run(&mut io).expect("runs");
    let made = io.outputs.into_iter().map(|slot| match slot {
        OutputSlot::Alloc(Some(made)) => made,
        other => panic!("{other:?}"),
    });
    made.collect()
}

fn twin(precision: Precision) -> RewrittenOnnx {
    let rewrite = Rewrite::default();
    RewrittenOnnx::twin(&graph(), precision, &rewrite, false, &NoEvaluator)
        .expect("can be rewritten")
}

fn in_memory(model: &RewrittenOnnx) -> Artifact<'_> {
    Artifact::Memory {
        bytes: &model.bytes,
        folder: Path::new("."),
    }
}

/// The library optimises a model to its last level when it loads it, and constants and inputs are still rounded by
/// conversions, which it would gladly fold.
#[test]
fn rounding_survives_every_optimisation() {
    type Rounding = fn(f32) -> f32;
    let Some(ort) = backend_or_skip(BackendId::OrtCpu, "rounding_survives") else {
        return;
    };
    let x = [
        0.1f32, 2049.0, 65_504.0, 70_000.0, -70_000.0, 1e-9, 3e38, 0.0,
    ];
    let roundings: [(Precision, Rounding); 2] = [
        (Precision::Fp16, |x| f16::from_f32(x).to_f32()),
        (Precision::Bf16, |x| bf16::from_f32(x).to_f32()),
    ];
    for (precision, rounded) in roundings {
        let model = twin(precision);
        let folder = tempfile::tempdir().expect("temporary folder");
        let engine = folder.path().join("engine.onnx");
        compile(&ort, &model, &engine);
        for artifact in [
            in_memory(&model),
            Artifact::Engine(EngineArtifact {
                path: &engine,
                signature: &model.signature,
                host_code: false,
            }),
        ] {
            let outputs = run(&*ort, artifact, &x);
            let y = outputs[0].elements::<f32>().expect("f32");
            let want: Vec<f32> = x.iter().map(|&x| rounded(x)).collect();
            assert_eq!(y, want, "{precision}");
            let z = outputs[1].elements::<f32>().expect("f32");
            let not_a_number = z.iter().filter(|z| z.is_nan()).count();
            let infinite = want.iter().filter(|y| y.is_infinite()).count();
            assert_eq!(not_a_number, infinite, "{precision}: {z:?}");
        }
    }
}

fn compile(ort: &Arc<dyn Backend>, model: &RewrittenOnnx, engine: &Path) {
    let request = CompileRequest {
        graph: GraphId::HiftF0,
        model: Model::Memory {
            bytes: &model.bytes,
            folder: Path::new("."),
        },
        precision: Precision::Fp32,
        fp32_nodes: &[],
        shapes: &[],
        options: &CompileOptions::default(),
        timing_cache: None,
        engine,
    };
    ort.compile(&request, &|_: &Step<'_>| ControlFlow::Continue(()))
        .expect("compiles");
}

#[test]
fn a_twin_that_is_observed_tells_what_was_too_large() {
    let Some(ort) = backend_or_skip(BackendId::OrtCpu, "a_twin_that_is_observed") else {
        return;
    };
    let graph = GraphBuilder::new()
        .input("x", DType::F32, &["frames"])
        .constant("hundred", &[1], &[100f32])
        .node("Mul", &["x", "hundred"], &["y"])
        .output("y", DType::F32, &["frames"])
        .read();
    let model = RewrittenOnnx::twin(
        &graph,
        Precision::Fp16,
        &Rewrite::default(),
        true,
        &NoEvaluator,
    )
    .expect("can be rewritten");
    assert_eq!(model.report.observed, ["y__f16"]);
    let outputs = run(&*ort, in_memory(&model), &[-3.0, 700.0]);
    let y = outputs[0].elements::<f32>().expect("f32");
    assert_eq!(y, [-300.0, f32::INFINITY]);
    let ranges = outputs[1].elements::<f32>().expect("f32");
    assert_eq!(ranges, [-300.0, 70_000.0]);
}

#[test]
fn a_model_may_use_the_names_that_a_twin_would_give() {
    let Some(ort) = backend_or_skip(BackendId::OrtCpu, "a_model_may_use_the_names") else {
        return;
    };
    let graph = GraphBuilder::new()
        .input("x", DType::F32, &["frames"])
        .constant("hundred", &[1], &[100f32])
        .node("Mul", &["x", "hundred"], &["y"])
        .node("Neg", &["y"], &["y__rounded"])
        .node("Neg", &["y__rounded"], &["y__exact"])
        .node("Neg", &["y__exact"], &["z"])
        .output("z", DType::F32, &["frames"])
        .read();
    let rewrite = Rewrite::default();
    let model = RewrittenOnnx::twin(&graph, Precision::Fp16, &rewrite, true, &NoEvaluator)
        .expect("can be rewritten");
    let observed = ["y", "y__rounded", "y__exact", "z__f16"];
    assert_eq!(model.report.observed, observed);
    let outputs = run(&*ort, in_memory(&model), &[20.49, 700.0]);
    let z = outputs[0].elements::<f32>().expect("f32");
    assert_eq!(
        z,
        [-f16::from_f32(20.49 * 100.0).to_f32(), f32::NEG_INFINITY]
    );
}

#[test]
fn observed_ranges_are_those_of_the_values() {
    let Some(ort) = backend_or_skip(BackendId::OrtCpu, "observed_ranges") else {
        return;
    };
    let model = RewrittenOnnx::observed(&graph()).expect("can be rewritten");
    assert_eq!(model.report.observed, ["x", "y", "y_again", "z"]);
    let outputs = run(&*ort, in_memory(&model), &[-3.0, 70_000.0, 0.5]);
    let ranges = outputs[2].elements::<f32>().expect("f32");
    assert_eq!(ranges[..4], [-3.0, -3.0, -3.0, 0.0]);
    assert_eq!(ranges[4..], [70_000.0, 70_000.0, 70_000.0, 0.0]);
}
