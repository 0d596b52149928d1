//! Files of a bundle, and ONNX files, that are not what they should be.

use super::{Case, line};
use crate::place::Place;
use cvtrt::testkit::graph_path;
use std::fs;
use std::path::Path;

/// Every file the bundle lists.
const LISTED: &[&str] = &[
    "campplus.onnx",
    "flow_encoder.onnx",
    "flow_estimator.onnx",
    "hift_decode.onnx",
    "hift_f0.onnx",
    "llm.onnx",
    "speech_tokenizer.onnx",
    "tables.safetensors",
    "tokenizer.json",
    "voices/demo.safetensors",
    "voices/plain.safetensors",
];

/// Does something to a file.
type Harm = fn(&Path);

/// Ways to harm a listed file that leave the list as it is.
const HARMS: &[(&str, Harm)] = &[
    ("missing", |path| {
        fs::remove_file(path).expect("it was there");
    }),
    ("cut", |path| {
        change(path, |bytes| bytes.truncate(bytes.len() / 2));
    }),
    ("grown", |path| {
        change(path, |bytes| bytes.push(0));
    }),
    ("flipped", |path| {
        change(path, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
    }),
];

/// A safetensors file whose header claims more than any file holds.
const HUGE_HEADER: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\x7f{}";
/// One that has a header and no tensors.
const NO_TENSORS: &[u8] = b"\x02\0\0\0\0\0\0\0{}";
/// One tensor that claims bytes that are not there.
const LYING_TENSOR: &[u8] =
    b"\x3a\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"shape\":[9],\"data_offsets\":[0,36]}}   ";

/// A listed file, content it is listed with, and the command that reads it.
const LIES: &[(&str, &[u8], &[&str])] = &[
    ("tables.safetensors", b"", &["synth", "a"]),
    ("tables.safetensors", b"garbage", &["synth", "a"]),
    ("tables.safetensors", HUGE_HEADER, &["synth", "a"]),
    ("tables.safetensors", NO_TENSORS, &["synth", "a"]),
    ("tables.safetensors", LYING_TENSOR, &["synth", "a"]),
    ("voices/demo.safetensors", b"", &["synth", "a"]),
    ("voices/demo.safetensors", b"garbage", &["inspect"]),
    ("voices/demo.safetensors", HUGE_HEADER, &["synth", "a"]),
    ("voices/demo.safetensors", NO_TENSORS, &["inspect"]),
    ("voices/demo.safetensors", LYING_TENSOR, &["synth", "a"]),
    ("tokenizer.json", b"", &["synth", "a"]),
    ("tokenizer.json", b"[]", &["synth", "a"]),
    ("tokenizer.json", b"{\"model\": {}}", &["synth", "a"]),
    ("tokenizer.json", b"\xff\xfe", &["synth", "a"]),
    ("llm.onnx", b"", &["build", "-q", "--backend", "ort-cpu"]),
    (
        "llm.onnx",
        b"garbage",
        &["build", "-q", "--backend", "ort-cpu"],
    ),
    (
        "llm.onnx",
        b"\x08\x07",
        &["build", "-q", "--backend", "ort-cpu"],
    ),
    ("llm.onnx", b"garbage", &["synth", "a"]),
];

/// Content of files that are no ONNX models.
const NOT_ONNX: &[(&str, &[u8])] = &[
    ("empty", b""),
    ("text", b"this is a text\n"),
    ("picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    ("archive", b"PK\x03\x04\x14\0\0\0\x08\0"),
    (
        "pointer",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    ),
    ("huge length", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
    (
        "endless number",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ),
    ("version only", b"\x08\x08"),
    ("zeros", &[0; 64]),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &name in LISTED {
        for &(how, harm) in HARMS {
            cases.push(Case::new(format!("{name} {how}"), name, move |place| {
                harm(&place.bundle_copy().join(name));
                line(&[
                    "build",
                    "--bundle",
                    "bundle",
                    "--backend",
                    "ort-cpu",
                    "--dry-run",
                ])
            }));
        }
    }
    for &(name, bytes, words) in LIES {
        // An ONNX file is named by its graph where the library speaks of it.
        let named = name.trim_end_matches(".onnx");
        cases.push(Case::new(
            format!("{name} listed as it is, read by {words:?}"),
            named,
            move |place| {
                relist(place, name, bytes);
                let bundle: &[&str] = if words == ["inspect"] {
                    &["bundle"]
                } else {
                    &["--bundle", "bundle"]
                };
                line(&[words, bundle].concat())
            },
        ));
    }
    for &(name, bytes) in NOT_ONNX {
        cases.push(Case::new(
            format!("ONNX {name}"),
            "model.onnx",
            move |place| {
                place.write("model.onnx", bytes);
                line(&["inspect", "model.onnx"])
            },
        ));
    }
    for tenth in [1, 3, 5, 7, 9] {
        cases.push(Case::new(
            format!("ONNX cut at {tenth} tenths"),
            "model.onnx",
            move |place| {
                let bytes = fs::read(graph_path("slow")).expect("a graph");
                place.write("model.onnx", &bytes[..bytes.len() * tenth / 10]);
                line(&["inspect", "model.onnx"])
            },
        ));
    }
    cases.push(Case::new("a folder as ONNX", "model.onnx", |place| {
        fs::create_dir(place.path("model.onnx")).expect("a folder");
        line(&["inspect", "model.onnx"])
    }));
    cases.push(Case::new("a text to inspect", "notes.txt", |place| {
        place.write("notes.txt", "a text");
        line(&["inspect", "notes.txt"])
    }));
    cases
}

fn change(path: &Path, harm: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a listed file");
    harm(&mut bytes);
    fs::write(path, bytes).expect("a harmed file");
}

/// Puts other content into a bundle and lists it as if it belonged there.
fn relist(place: &Place, name: &str, bytes: &[u8]) {
    let bundle = place.bundle_copy();
    let old = fs::read(bundle.join(name)).expect("a listed file");
    fs::write(bundle.join(name), bytes).expect("other content");
    let manifest = bundle.join("bundle.yaml");
    let text = fs::read_to_string(&manifest).expect("the manifest");
    let listing = |bytes: &[u8]| {
        let digest = cvtrt::ids::Digest::of(bytes);
        format!("bytes: {}\n    sha256: {digest}", bytes.len())
    };
    assert!(text.contains(&listing(&old)), "{name} is listed");
    fs::write(manifest, text.replacen(&listing(&old), &listing(bytes), 1)).expect("a manifest");
}
