//! A process that finds no library: every call says why, and none panics.

use cvtrt::backend::{
    Artifact, BackendSettings, Backends, CompileError, CompileRequest, LoadError, LoadOptions,
    Model, SearchPath, Step,
};
use cvtrt::hint::Hint;
use cvtrt::ids::{BackendId, GraphId, Precision};
use cvtrt::profile::CompileOptions;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

const QUIET: fn(&Step<'_>) -> ControlFlow<()> = |_| ControlFlow::Continue(());

#[test]
fn a_library_that_is_cut_short_is_named_before_it_is_mapped() {
    let root = tempfile::tempdir().expect("temp dir");
    let cut = root.path().join("libonnxruntime.so.1.31.1");
    // Any library does: this program's own file has the same form.
    let program = std::env::current_exe().expect("a path");
    let bytes = fs::read(program).expect("reads");
    fs::write(&cut, &bytes[..8192]).expect("writes");
    let backends = Backends::open(&BackendSettings {
        onnxruntime: SearchPath {
            explicit: Some(cut.clone()),
            ..SearchPath::default()
        },
        ..BackendSettings::default()
    });
    let backend = backends.get(BackendId::OrtCpu).expect("has an adapter");
    let unavailable = backend.probe().expect_err("it is no whole library");
    let text = unavailable.to_string();
    assert!(text.contains("libonnxruntime.so.1.31.1"), "{text}");
    assert!(text.contains("cut short: it has 8192 bytes of"), "{text}");
    let hint = unavailable.hint().expect("a fix");
    assert!(hint.starts_with("cvtrt setup"), "{hint}");
}

#[test]
fn every_call_names_every_candidate() {
    let root = tempfile::tempdir().expect("temp dir");
    let broken = root.path().join("libonnxruntime.so.1.31.1");
    fs::write(&broken, "not a library").expect("writes");
    let missing = root.path().join("missing");
    let backends = Backends::open(&BackendSettings {
        onnxruntime: SearchPath {
            roots: vec![missing.clone(), root.path().to_owned()],
            ..SearchPath::default()
        },
        ..BackendSettings::default()
    });
    let model = Path::new("none.onnx");
    let options = LoadOptions {
        threads: 1,
        device: 0,
    };
    let compile_options = CompileOptions::default();
    let request = CompileRequest {
        graph: GraphId::Llm,
        model: Model::File(model),
        precision: Precision::Fp32,
        fp32_nodes: &[],
        shapes: &[],
        options: &compile_options,
        timing_cache: None,
        engine: &root.path().join("none.engine"),
    };
    for id in [BackendId::OrtCpu, BackendId::OrtCuda] {
        let backend = backends.get(id).expect("has an adapter");
        let unavailable = backend.probe().expect_err("no library");
        let text = unavailable.to_string();
        for part in [missing.as_path(), broken.as_path()] {
            assert!(text.contains(&part.display().to_string()), "{text}");
        }
        assert!(
            text.contains("invalid ELF header") || text.contains("file too short"),
            "{text}"
        );
        assert!(
            unavailable
                .hint()
                .is_some_and(|hint| hint.starts_with("cvtrt setup"))
        );
        assert_eq!(backend.fingerprint().expect_err("no library"), unavailable);
        let load = backend.load(Artifact::Onnx(model), &options);
        assert!(matches!(load, Err(LoadError::Unavailable(_))));
        let compile = backend.compile(&request, &QUIET);
        assert!(matches!(compile, Err(CompileError::Unavailable(_))));
    }
}
