//! `cvtrt inspect`: bundles, ONNX files, engines, and what is none of them.

use crate::built::{has_or_skip, ort_build};
use crate::place::{Place, bundle, files_below};
use cvtrt::ids::BackendId;

#[test]
fn a_bundle_is_described() {
    let place = Place::new();
    place.cvtrt(&args!["inspect", bundle()]).exits(0).says(&[
        "cosyvoice2-tiny",
        "24000 Hz",
        "zero_shot",
        "stand-ins    speech_tokenizer, campplus",
        "flow_estimator.onnx",
        "demo",
    ]);
    let summary = place
        .cvtrt(&args!["inspect", "--json", bundle()])
        .exits(0)
        .json();
    assert_eq!(summary["name"], "cosyvoice2-tiny");
    assert_eq!(
        summary["graphs"].as_array().map(Vec::len),
        Some(7),
        "{summary}"
    );
    assert!(place.files().is_empty());
}

#[test]
fn a_graph_is_described_with_its_ports() {
    let place = Place::new();
    let graph = bundle().join("hift_f0.onnx");
    place
        .cvtrt(&args!["inspect", &graph])
        .exits(0)
        .says(&["mel", "Conv", "obstacles"]);
    let description = place
        .cvtrt(&args!["inspect", "--json", &graph])
        .exits(0)
        .json();
    assert!(description["obstacles"].is_array(), "{description}");
}

#[test]
fn an_engine_is_described_by_folder_and_file() {
    if !has_or_skip(
        BackendId::OrtCpu,
        "an_engine_is_described_by_folder_and_file",
    ) {
        return;
    }
    let engines = &ort_build().engines;
    let manifest = files_below(engines)
        .into_iter()
        .find(|name| name.starts_with("llm") && name.ends_with("manifest.json"))
        .expect("an entry");
    let manifest = engines.join(manifest);
    let place = Place::new();
    for path in [manifest.as_path(), manifest.parent().expect("a folder")] {
        place
            .cvtrt(&args!["inspect", path, "--engines-dir", engines])
            .exits(0)
            .says(&["engine", "ort-cpu fp32", "verified"]);
    }
}

#[test]
fn what_is_none_of_them_is_said_to_be_none() {
    let place = Place::new();
    place.write("notes.txt", "a text");
    place.cvtrt(&["inspect", "notes.txt"]).exits(2).complains(&[
        "error: notes.txt is neither an ONNX file, a bundle nor an engine",
        "hint: ",
    ]);
}
