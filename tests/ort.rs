//! What ONNX Runtime does beyond what every backend promises.

use cvtrt::backend::{
    Artifact, Backend, Bindings, CompileError, CompileRequest, CompiledGraph, EngineArtifact,
    EngineReport, Lane, LibraryError, LoadError, LoadOptions, Model, Ort, OrtLibrary, OutputSlot,
    RunError, SearchPath, Step,
};
use cvtrt::ids::{BackendId, GraphId, Precision};
use cvtrt::profile::CompileOptions;
use cvtrt::tensor::{DType, Shape, Signature, Tensor, TensorView};
use cvtrt::testkit::{backend_or_skip, graph_path, runtime_dir};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const QUIET: fn(&Step<'_>) -> ControlFlow<()> = |_| ControlFlow::Continue(());

fn ort_cpu_or_skip(test: &str) -> Option<Arc<dyn Backend>> {
    backend_or_skip(BackendId::OrtCpu, test)
}

fn load(
    backend: &dyn Backend,
    artifact: Artifact<'_>,
) -> Result<Arc<dyn CompiledGraph>, LoadError> {
    let options = LoadOptions {
        threads: 1,
        device: 0,
    };
    backend.load(artifact, &options)
}

/// Compiles into a folder that goes with the guard.
fn compile(
    backend: &dyn Backend,
    model: Model<'_>,
    precision: Precision,
    options: &CompileOptions,
) -> Result<(TempDir, PathBuf, EngineReport), CompileError> {
    let folder = tempfile::tempdir().expect("temp dir");
    let engine = folder.path().join("test.engine");
    let request = CompileRequest {
        graph: GraphId::HiftF0,
        model,
        precision,
        fp32_nodes: &[],
        shapes: &[],
        options,
        timing_cache: None,
        engine: &engine,
    };
    let report = backend.compile(&request, &QUIET)?;
    Ok((folder, engine, report))
}

fn compile_fp32(
    backend: &dyn Backend,
    model: Model<'_>,
) -> Result<(TempDir, PathBuf, EngineReport), CompileError> {
    compile(backend, model, Precision::Fp32, &CompileOptions::default())
}

#[test]
fn a_process_keeps_its_library() {
    let Some(backend) = ort_cpu_or_skip("a_process_keeps_its_library") else {
        return;
    };
    let found = backend.probe().expect("probed before");
    let again = OrtLibrary::open(&SearchPath {
        roots: vec![runtime_dir()],
        ..SearchPath::default()
    })
    .expect("the same library");
    assert_eq!(found.path, again.path());
    assert_eq!(found.library, format!("ONNX Runtime {}", again.version()));

    let elsewhere = tempfile::tempdir().expect("temp dir");
    let copy = elsewhere.path().join("libonnxruntime.so");
    fs::copy(&found.path, &copy).expect("copies");
    let other = SearchPath {
        explicit: Some(copy),
        ..SearchPath::default()
    };
    assert_eq!(
        OrtLibrary::open(&other).map(OrtLibrary::version),
        Err(LibraryError::AlreadyLoaded { loaded: found.path })
    );
}

#[test]
fn the_fingerprint_names_version_level_and_processor() {
    let Some(backend) = ort_cpu_or_skip("the_fingerprint_names_version_level_and_processor") else {
        return;
    };
    let fingerprint = backend.fingerprint().expect("a library");
    let names: Vec<&str> = fingerprint.facts().map(|(name, _)| name).collect();
    assert_eq!(names, ["backend", "onnxruntime", "level", "processor"]);
    let processor = fingerprint.get("processor").expect("named above");
    assert!(processor.starts_with(std::env::consts::ARCH), "{processor}");
    assert_eq!(backend.fingerprint().expect("a library"), fingerprint);
}

#[test]
fn a_device_provider_without_a_device_says_what_is_missing() {
    let name = "a_device_provider_without_a_device_says_what_is_missing";
    if ort_cpu_or_skip(name).is_none() {
        return;
    }
    let search = SearchPath {
        roots: vec![runtime_dir()],
        ..SearchPath::default()
    };
    let Err(unavailable) = Ort::cuda(search).probe() else {
        return; // a machine with a GPU; the conformance tests run there
    };
    assert!(!unavailable.reasons.is_empty());
    assert!(unavailable.to_string().contains(".so"), "{unavailable}");
}

#[test]
fn memory_that_is_not_there_is_a_typed_error() {
    let Some(backend) = ort_cpu_or_skip("memory_that_is_not_there_is_a_typed_error") else {
        return;
    };
    let graph = load(&*backend, Artifact::Onnx(&graph_path("huge"))).expect("loads");
    let mut session = graph.open(&Lane::on_host(0)).expect("opens");
    let mut run = |size: i64| {
        let mut sum = Tensor::zeros(DType::F32, Shape::new(&[]));
        let mut io = Bindings {
            inputs: vec![
                TensorView::of(Shape::new(&[1]), std::slice::from_ref(&size)).expect("one number"),
            ],
            outputs: vec![OutputSlot::Into(sum.view_mut())],
        };
        session.run(&mut io)
    };
    assert!(matches!(
        run(1 << 45),
        Err(RunError::OutOfMemory {
            backend: BackendId::OrtCpu
        })
    ));
    assert!(matches!(run(-1), Err(RunError::Failed { .. })));
    run(10).expect("the session survives");
}

#[test]
fn an_output_that_is_no_tensor_is_refused() {
    let Some(backend) = ort_cpu_or_skip("an_output_that_is_no_tensor_is_refused") else {
        return;
    };
    let error = load(&*backend, Artifact::Onnx(&graph_path("sequence"))).expect_err("a sequence");
    assert!(
        matches!(&error, LoadError::Signature { reason, .. } if reason.contains("`y`")),
        "{error}"
    );
}

#[test]
fn what_an_engine_cannot_be_is_refused_before_the_library() {
    let Some(backend) = ort_cpu_or_skip("what_an_engine_cannot_be_is_refused_before_the_library")
    else {
        return;
    };
    let path = graph_path("affine");
    for precision in [Precision::Fp16, Precision::Bf16] {
        let refused = compile(
            &*backend,
            Model::File(&path),
            precision,
            &CompileOptions::default(),
        );
        assert!(
            matches!(refused, Err(CompileError::Precision { .. })),
            "{precision}"
        );
    }
    let hardware_compatible = CompileOptions {
        hardware_compatible: true,
        ..CompileOptions::default()
    };
    let refused = compile(
        &*backend,
        Model::File(&path),
        Precision::Fp32,
        &hardware_compatible,
    );
    assert!(matches!(
        refused,
        Err(CompileError::Option {
            option: "hardware-compatible",
            ..
        })
    ));
}

#[test]
fn a_model_that_is_none_is_the_models_fault() {
    let Some(backend) = ort_cpu_or_skip("a_model_that_is_none_is_the_models_fault") else {
        return;
    };
    let folder = graph_path("external");
    let folder = folder.parent().expect("in a folder");
    for (case, model) in [
        (
            "garbage",
            Model::Memory {
                bytes: b"no model",
                folder,
            },
        ),
        ("missing", Model::File(Path::new("no/such.onnx"))),
    ] {
        let error = compile_fp32(&*backend, model).expect_err(case);
        assert!(
            matches!(error, CompileError::Model { .. }),
            "{case}: {error}"
        );
    }
}

#[test]
fn a_model_in_memory_finds_its_weights_and_leaves_one_file() {
    let Some(backend) = ort_cpu_or_skip("a_model_in_memory_finds_its_weights_and_leaves_one_file")
    else {
        return;
    };
    let path = graph_path("external");
    let model = Model::Memory {
        bytes: &fs::read(&path).expect("model"),
        folder: path.parent().expect("in a folder"),
    };
    let (folder, engine, report) = compile_fp32(&*backend, model).expect("compiles");
    assert_eq!(
        report,
        EngineReport::default(),
        "no warning worth a user's time"
    );
    let files = fs::read_dir(folder.path()).expect("folder").count();
    assert_eq!(files, 1, "the engine carries its weights");
    assert!(engine.metadata().expect("engine").len() > 1024);
    let artifact = EngineArtifact {
        path: &engine,
        signature: &Signature::default(),
        host_code: false,
    };
    let loaded = load(&*backend, Artifact::Engine(artifact));
    let graph = loaded.expect("loads without the weight file");
    assert_eq!(
        graph.footprint().host_bytes,
        engine.metadata().expect("engine").len()
    );
}
