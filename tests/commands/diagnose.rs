//! `cvtrt diagnose`.

use crate::built::has_or_skip;
use crate::place::{Place, bundle};
use cvtrt::ids::BackendId;
use std::fs;
use std::path::Path;

/// A home whose data folder holds the bundle.
fn with_bundle() -> Place {
    let place = Place::new();
    let copy = place.bundle_copy();
    let onnx = place.path("../home/.local/share/cvtrt/onnx");
    fs::create_dir_all(&onnx).expect("folders");
    fs::rename(copy, onnx.join("cosyvoice2-tiny")).expect("it moves");
    place
}

#[test]
fn without_a_bundle_nothing_speaks_and_the_fix_is_named() {
    let place = Place::new();
    place.cvtrt(&["diagnose"]).exits(1).says(&[
        "PROBLEM bundle",
        "cvtrt export",
        "cannot speak here",
        "settings",
    ]);
    assert!(place.files().is_empty());
}

#[test]
fn without_a_library_the_fix_is_setup() {
    let place = with_bundle();
    place
        .cvtrt(&["diagnose", "--runtime-dir", "nothing", "--profile", "cpu"])
        .says(&["ort-cpu", "cvtrt setup"]);
}

#[test]
fn a_named_bundle_is_checked_and_no_other() {
    let place = with_bundle();
    let copy = place.bundle_copy();
    fs::remove_file(copy.join("tokenizer.json")).expect("it goes");
    let run = place.cvtrt(&["diagnose", "--profile", "cpu", "--bundle", "bundle"]);
    run.exits(1)
        .says(&["PROBLEM bundle", "tokenizer.json", "cannot speak here"]);
    let run = place.cvtrt(&[
        "diagnose",
        "--profile",
        "cpu",
        "--bundle",
        "cosyvoice2-tiny",
    ]);
    run.says(&["ok      bundle", "cosyvoice2-tiny"]);
    place
        .cvtrt(&["diagnose", "--bundle", "gone"])
        .exits(2)
        .complains(&["error: ", "gone"]);
}

#[test]
fn with_a_bundle_it_ends_with_the_tier_that_runs() {
    if !has_or_skip(
        BackendId::OrtCpu,
        "with_a_bundle_it_ends_with_the_tier_that_runs",
    ) {
        return;
    }
    let place = with_bundle();
    let arguments = ["diagnose", "--profile", "cpu", "--report", "report.json"];
    let run = place.cvtrt(&arguments).exits(0);
    run.says(&[
        "ok      ort-cpu",
        "cosyvoice2-tiny",
        "speaks here with the tier ort-cpu-fp32",
    ]);
    let report = fs::read(place.path("report.json")).expect("the report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["tier"], "ort-cpu-fp32", "{report}");
    assert_eq!(place.files().len(), 1);
}

#[test]
fn a_harmed_bundle_is_a_problem_with_a_fix() {
    let place = with_bundle();
    let llm = place.path("../home/.local/share/cvtrt/onnx/cosyvoice2-tiny/llm.onnx");
    let bytes = fs::read(&llm).expect("a graph");
    fs::write(&llm, &bytes[..1000]).expect("a cut graph");
    place.cvtrt(&["diagnose"]).exits(1).says(&[
        "PROBLEM bundle",
        "llm.onnx",
        "1000 bytes",
        "fix: copy llm.onnx",
    ]);
}

#[test]
fn several_bundles_are_told_apart_by_name() {
    let place = with_bundle();
    let onnx = place.path("../home/.local/share/cvtrt/onnx");
    fs::create_dir(onnx.join("second")).expect("a folder");
    fs::copy(
        bundle().join("bundle.yaml"),
        onnx.join("second/bundle.yaml"),
    )
    .expect("a manifest");
    for command in [&["build", "--dry-run"][..], &["synth", "a"]] {
        place.cvtrt(command).exits(2).complains(&[
            "holds several bundles",
            "--bundle",
            "cosyvoice2-tiny",
            "second",
        ]);
    }
}

#[test]
fn every_library_found_is_told_with_what_it_is_good_for() {
    let place = Place::new();
    let install = |folder: &str, name: &str, fake: &str| {
        let folder = place.path(folder);
        fs::create_dir_all(&folder).expect("folders");
        let fake = Path::new(env!("CVTRT_FAKE_LIBRARIES")).join(fake);
        fs::copy(fake, folder.join(name)).expect("a fake library");
    };
    install("lib", "libtensorrt_rtx.so.1", "fake_infer_10400.so");
    install(
        "lib/tensorrt_rtx",
        "libtensorrt_rtx.so.1",
        "fake_infer_10701.so",
    );
    install(
        "lib/tensorrt_rtx",
        "libtensorrt_onnxparser_rtx.so.1",
        "fake_parser_200.so",
    );
    install(
        "lib/tensorrt",
        "libnvinfer_lean.so.11",
        "fake_infer_lean.so",
    );
    install("lib/tensorrt", "libnvinfer.so.10", "fake_infer_9300.so");
    let run = place.cvtrt(&["diagnose", "--json", "--runtime-dir", "lib"]);
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let told: Vec<(&str, &str)> = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter(|finding| finding["subject"] == "library")
        .filter_map(|finding| Some((finding["state"].as_str()?, finding["what"].as_str()?)))
        .filter(|(_, what)| what.contains("lib/"))
        .collect();
    // Whether TensorRT proper is more than a note depends on the machine's driver.
    let expected = [
        ("note", "libnvinfer.so.10: not usable: is TensorRT 9.3.0"),
        (
            "",
            "libnvinfer_lean.so.11 (used): only runs engines: has no createInferBuilder_INTERNAL",
        ),
        ("note", "mix those of TensorRT 10 and 11"),
        ("ok", "libtensorrt_rtx.so.1 (used): builds and runs engines"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((state, what), (expected_state, words)) in told.iter().zip(expected) {
        assert!(
            expected_state.is_empty() || *state == expected_state,
            "{what}"
        );
        assert!(what.contains(words), "{what}");
    }
}
