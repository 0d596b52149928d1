//! `cvtrt export`: folders that are no checkpoint. What it exports is tested with its own environment.

use crate::built::has_or_skip;
use crate::place::Place;
use cvtrt::ids::{BackendId, Digest};
use std::fs;

#[test]
fn a_folder_that_is_none_is_named() {
    let place = Place::new();
    place
        .cvtrt(&["export", "--model-dir", "weights", "--out", "bundle"])
        .exits(2)
        .complains(&["error: weights is not a folder", "hint: ", "llm.pt"]);
    assert!(place.files().is_empty());
}

#[test]
fn outside_a_checkout_the_exporter_is_asked_for() {
    let place = Place::new();
    place.write("weights/llm.pt", "");
    let before = place.files();
    place
        .cvtrt(&["export", "--model-dir", "weights", "--out", "bundle"])
        .exits(1)
        .complains(&["export_onnx.py", "--scripts-dir"]);
    assert_eq!(place.files(), before);
}

#[test]
fn a_python_that_is_none_is_named() {
    let place = Place::new();
    place.write("weights/llm.pt", "");
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    let words = [
        "export",
        "--model-dir",
        "weights",
        "--out",
        "bundle",
        "--scripts-dir",
        scripts,
    ];
    let python = ["--export-python", "no/python"];
    place
        .cvtrt(&[&words[..], &python].concat())
        .exits(1)
        .complains(&["error: ", "no/python", "hint: "]);
}

/// A checkpoint, and what its bundle says it was exported from.
fn checkpoint(place: &Place, llm: &str) -> Digest {
    for (name, content) in [("flow.pt", "flow"), ("hift.pt", "hift"), ("llm.pt", llm)] {
        place.write(&format!("weights/{name}"), content);
    }
    let lines = [("flow.pt", "flow"), ("hift.pt", "hift"), ("llm.pt", llm)]
        .map(|(name, content)| format!("{}  {name}\n", Digest::of(content.as_bytes())));
    Digest::of(lines.concat().as_bytes())
}

#[test]
fn a_checkpoint_is_exported_only_where_its_bundle_is_not_of_these_weights() {
    let place = Place::new();
    let words = ["build", "--model-dir", "weights", "--dry-run", "--json"];
    let digest = checkpoint(&place, "as exported");
    let would = place.cvtrt(&words).exits(0).json();
    assert_eq!(would["export"]["model_dir"], "weights", "{would}");

    let onnx = place.path("../home/.local/share/cvtrt/onnx");
    fs::create_dir_all(&onnx).expect("folders");
    let bundle = onnx.join("weights");
    fs::rename(place.bundle_copy(), &bundle).expect("it moves");
    let manifest = bundle.join("bundle.yaml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let source = text.find("  digest: ").expect("its source") + "  digest: ".len();
    let text = format!("{}{digest}{}", &text[..source], &text[source + 64..]);
    fs::write(&manifest, text).expect("written");
    if has_or_skip(
        BackendId::OrtCpu,
        "the bundle of a checkpoint is used as it is",
    ) {
        // No exporter is here, so nothing was exported.
        let plan = place.cvtrt(&[&words[..], &["--backend", "ort-cpu"]].concat());
        let plan = plan.exits(0).json();
        assert_eq!(plan["graphs"].as_array().map(Vec::len), Some(7), "{plan}");
    }

    checkpoint(&place, "trained further");
    let would = place.cvtrt(&words).exits(0).json();
    assert_eq!(would["export"]["model_dir"], "weights", "{would}");
    place
        .cvtrt(&["build", "--model-dir", "weights"])
        .exits(1)
        .complains(&["export_onnx.py"]);
}
