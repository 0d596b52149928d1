//! The real TensorRT-RTX builder and parser, where `CVTRT_RUNTIME_DIR` or `third_party/` has them. No device is needed.

use super::model::{FLOAT, FLOAT16, tanh_of_product, unknown_operator};
use super::{opt_profile, plain, unheard};
use crate::profile::{ComputeCapability, OptProfile};
use crate::tensor::DType;
use crate::trt::{
    BuildError, BuildRequest, Flavour, PlanHeader, PlanHeaderError, ProgressEvent, SearchPath,
    Surveyed, TrtLibrary,
};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the run-time libraries of this checkout are.
fn installed() -> SearchPath {
    let root = std::env::var_os("CVTRT_RUNTIME_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party"),
        PathBuf::from,
    );
    SearchPath {
        explicit: None,
        roots: vec![root],
    }
}

/// The library, or `None` after saying on stderr what is not tested for lack of it.
fn rtx_or_skip(subject: &str) -> Option<&'static TrtLibrary> {
    match TrtLibrary::load(Flavour::TensorRtRtx, &installed()) {
        Ok(library) => Some(library),
        Err(reason) => {
            assert!(
                std::env::var_os("CVTRT_REQUIRE_RTX").is_none_or(|value| value == "0"),
                "CVTRT_REQUIRE_RTX is set: {reason}"
            );
            say_skipped(&format!("SKIP {subject}: {reason}"));
            None
        }
    }
}

/// To the real stderr, which the test harness does not capture, and to the tally `scripts/test` prints.
fn say_skipped(line: &str) {
    // Nothing to be done where even stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
    if let Some(tally) = std::env::var_os("CVTRT_SKIP_TALLY") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(tally);
        let written = file.and_then(|mut file| writeln!(file, "{line}"));
        written.expect("the tally of skipped tests can be written");
    }
}

/// Wheels of TensorRT 8.6, 10 and 11, full and lean, load without a driver and would crash if they were called.
#[test]
fn tensorrt_proper_loads_and_is_not_entered_without_a_driver() {
    let survey = TrtLibrary::survey(Flavour::TensorRt, &installed());
    if survey.is_empty() {
        assert!(
            std::env::var_os("CVTRT_REQUIRE_TENSORRT").is_none_or(|value| value == "0"),
            "CVTRT_REQUIRE_TENSORRT is set, and none is installed"
        );
        say_skipped(
            "SKIP TensorRT 8.6, 10 and 11 without a driver: none is installed (scripts/test-real-trt)",
        );
        return;
    }
    assert_eq!(survey.iter().filter(|found| found.taken).count(), 1);
    let builds = |found: &Surveyed| {
        let library = found.library.as_ref().ok();
        library.is_some_and(|library| library.cannot_build().is_none())
    };
    let any_builds = survey.iter().any(builds);
    for found in survey {
        assert!(!found.taken || builds(&found) == any_builds, "{found:?}");
        let Surveyed { path, library, .. } = found;
        let library = library.unwrap_or_else(|refusal| panic!("{}: {refusal}", path.display()));
        let name = path.to_string_lossy();
        let lean = name.contains("lean");
        let release = library.version().release;
        assert!(name.ends_with(&format!(".so.{}", release.major)), "{name}");
        let remarks = library.remarks().join("; ");
        assert_eq!(
            remarks.contains("version-compatible"),
            lean,
            "{name}: {remarks}"
        );
        let of_parser = remarks.contains("InstanceNormalization");
        assert_eq!(
            of_parser,
            release.to_string() == "8.6.0",
            "{name}: {remarks}"
        );
        if !lean {
            // Its resources lie beside it where `scripts/test-real-trt` put it, and its plugins do not.
            assert!(!remarks.contains("builder_resource"), "{name}: {remarks}");
            assert!(remarks.contains("has no plugins"), "{name}: {remarks}");
        }
        assert_eq!(library.cannot_build().is_some(), lean, "{}", path.display());
        if crate::cuda::probe().is_ok() {
            continue;
        }
        let refused = library.build(&plain(b"model"), &unheard);
        let refused = refused.expect_err("there is no device");
        assert!(
            matches!(refused, BuildError::NoDevice(_)),
            "{}: {refused}",
            path.display()
        );
    }
}

fn profiles() -> [OptProfile; 2] {
    [
        opt_profile("short", "x", [&[1, 8, 1], &[1, 8, 16], &[2, 8, 64]]),
        opt_profile("long", "x", [&[1, 8, 64], &[1, 8, 256], &[1, 8, 1024]]),
    ]
}

#[test]
fn fp32_and_fp16_models_become_plans() {
    let Some(rtx) = rtx_or_skip("RTX builds a small model") else {
        return;
    };
    let profiles = profiles();
    for (onnx_type, dtype) in [(FLOAT, DType::F32), (FLOAT16, DType::F16)] {
        let onnx = tanh_of_product(onnx_type);
        let request = BuildRequest {
            profiles: &profiles,
            workspace_bytes: Some(1 << 30),
            optimization_level: Some(3),
            tf32: false,
            ..plain(&onnx)
        };
        let built = rtx.build(&request, &unheard).expect("the model is sound");
        assert_eq!(&built.plan[..4], b"vtrt", "{dtype}");
        assert_eq!(built.header.release, rtx.version().release, "{dtype}");
        assert_eq!(
            built.header.declared_bytes,
            built.plan.len() as u64,
            "{dtype}"
        );
        assert_eq!(
            built.network.inputs[0].to_string(),
            "`x` [?, 8, ?]",
            "{dtype}"
        );
        assert_eq!(built.network.outputs[0].dtype, Some(DType::F32), "{dtype}");
        let product = built
            .network
            .layers
            .iter()
            .find(|layer| layer.name == "project");
        let product = product.expect("the layer has the node's name");
        assert_eq!(
            (product.kind.as_str(), product.dtype),
            ("matrix_multiply", Some(dtype))
        );
        let cut = &built.plan[..built.plan.len() / 2];
        assert!(matches!(
            PlanHeader::read(cut, cut.len() as u64),
            Err(PlanHeaderError::Size { .. })
        ));
    }
}

#[test]
fn a_plan_names_the_targets_it_was_built_for() {
    let Some(rtx) = rtx_or_skip("RTX builds for chosen compute capabilities") else {
        return;
    };
    let onnx = tanh_of_product(FLOAT16);
    let profiles = profiles();
    let compile = |targets: &[ComputeCapability]| {
        let request = BuildRequest {
            profiles: &profiles,
            targets,
            ..plain(&onnx)
        };
        rtx.build(&request, &unheard)
    };
    let targets = [(7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1)]
        .map(|(major, minor)| ComputeCapability { major, minor });
    for target in targets {
        let built = compile(&[target]).expect("a supported target");
        assert_eq!(built.header.targets, [target]);
        assert_eq!(built.header.other_targets, 0, "{target}");
    }
    let hopper = [ComputeCapability { major: 9, minor: 0 }];
    let error = compile(&hopper).expect_err("not an RTX generation");
    assert!(
        error
            .to_string()
            .starts_with("compute capability 90 was refused"),
        "{error}"
    );
}

#[test]
fn an_unknown_operator_is_named_with_its_node() {
    let Some(rtx) = rtx_or_skip("RTX refuses an unknown operator") else {
        return;
    };
    let onnx = unknown_operator();
    let BuildError::Parse(errors) = rtx
        .build(&plain(&onnx), &unheard)
        .expect_err("no such operator")
    else {
        panic!("not a parse error");
    };
    assert_eq!(errors[0].node, Some(0));
    assert_eq!(errors[0].name, "mystery");
    assert_eq!(errors[0].operator, "NoSuchOp");
}

#[test]
fn bytes_that_are_no_model_are_a_parse_error() {
    let Some(rtx) = rtx_or_skip("RTX refuses garbage") else {
        return;
    };
    let sound = tanh_of_product(FLOAT);
    for (name, bytes) in [
        ("garbage", &[0xa5; 300][..]),
        ("one byte", &[8]),
        ("half a model", &sound[..sound.len() / 2]),
    ] {
        let error = rtx.build(&plain(bytes), &unheard).expect_err(name);
        assert!(matches!(error, BuildError::Parse(_)), "{name}: {error}");
    }
}

#[test]
fn a_build_stops_when_told_and_the_library_goes_on() {
    let Some(rtx) = rtx_or_skip("RTX builds can be cancelled") else {
        return;
    };
    let onnx = tanh_of_product(FLOAT);
    let profiles = profiles();
    let request = BuildRequest {
        profiles: &profiles,
        ..plain(&onnx)
    };
    let steps = AtomicU32::new(0);
    let listener = |event: ProgressEvent<'_>| {
        if matches!(event, ProgressEvent::Step { .. }) && steps.fetch_add(1, Ordering::Relaxed) >= 5
        {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let error = rtx.build(&request, &listener).expect_err("stopped");
    assert!(matches!(error, BuildError::Cancelled), "{error}");
    let heard = steps.load(Ordering::Relaxed);
    assert!((6..12).contains(&heard), "{heard} steps until it stopped");
    rtx.build(&request, &unheard)
        .expect("the library goes on working");
}

#[test]
fn a_missing_profile_is_the_library_s_to_refuse() {
    let Some(rtx) = rtx_or_skip("RTX refuses dynamic inputs without a profile") else {
        return;
    };
    let onnx = tanh_of_product(FLOAT);
    let error = rtx.build(&plain(&onnx), &unheard).expect_err("no profile");
    let BuildError::Failed { log, .. } = &error else {
        panic!("{error}");
    };
    assert!(!log.is_empty(), "the library's words are kept");
}

#[test]
fn an_exported_graph_becomes_a_plan() {
    let Some(rtx) = rtx_or_skip("RTX builds an exported graph") else {
        return;
    };
    let onnx = exported("hift_f0");
    let profiles = [opt_profile(
        "all",
        "mel",
        [&[1, 80, 4], &[1, 80, 100], &[1, 80, 2048]],
    )];
    let request = BuildRequest {
        profiles: &profiles,
        ..plain(&onnx)
    };
    let built = rtx.build(&request, &unheard).expect("the graph is sound");
    let convolutions = built
        .network
        .histogram()
        .into_iter()
        .find(|count| count.kind == "convolution");
    assert_eq!(
        convolutions.expect("has convolutions").dtype,
        Some(DType::F32)
    );
    assert_eq!(built.network.outputs[0].name, "f0");
}

#[test]
fn inputs_whose_ranges_contradict_each_other_are_refused() {
    let Some(rtx) = rtx_or_skip("RTX refuses contradicting ranges") else {
        return;
    };
    let onnx = exported("hift_decode");
    let mut profile = opt_profile("all", "mel", [&[1, 80, 4], &[1, 80, 100], &[1, 80, 2048]]);
    // The graph wants 480 samples per frame and 16 more.
    let source = opt_profile(
        "all",
        "source_pad",
        [&[1, 1, 1000], &[1, 1, 2000], &[1, 1, 3000]],
    );
    profile.inputs.extend(source.inputs);
    let profiles = [profile];
    let request = BuildRequest {
        profiles: &profiles,
        ..plain(&onnx)
    };
    let error = rtx
        .build(&request, &unheard)
        .expect_err("480*frames+16 does not hold");
    assert!(
        error.to_string().contains("violate shape constraints"),
        "{error}"
    );
}

fn exported(graph: &str) -> Vec<u8> {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny");
    std::fs::read(bundle.join(format!("{graph}.onnx"))).expect("the small bundle is committed")
}
