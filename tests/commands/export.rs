//! `cvtrt export`: folders that are no checkpoint. What it exports is tested with its own environment.

use crate::place::Place;

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
