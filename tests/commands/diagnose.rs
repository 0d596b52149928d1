//! `cvtrt diagnose`.

use crate::built::has_or_skip;
use crate::place::{Place, bundle};
use cvtrt::ids::BackendId;
use std::fs;

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
