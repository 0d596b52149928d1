//! `bundle.yaml`: cut, changed and lying.

use super::{Case, line};
use crate::place::Place;
use std::fs;

/// What is replaced in `bundle.yaml`, by what, and what the message must name.
const EDITS: &[(&str, &str, &str)] = &[
    ("format: 1", "format: 2", "bundle.yaml"),
    ("format: 1", "format: 0", "bundle.yaml"),
    ("format: 1", "format: one", "format"),
    ("format: 1\n", "", "format"),
    ("format: 1", "format: 1\nnope: 1", "nope"),
    ("name: cosyvoice2-tiny", "name: [a]", "name"),
    ("name: cosyvoice2-tiny\n", "", "name"),
    ("family: cosyvoice2", "family: bark", "bark"),
    ("family: cosyvoice2", "famly: cosyvoice2", "famly"),
    ("sample_rate: 24000", "sample_rate: 0", "sample_rate"),
    ("sample_rate: 24000", "sample_rate: -1", "sample_rate"),
    ("sample_rate: 24000", "sample_rate: 1e99", "sample_rate"),
    ("token_rate: 25", "token_rate: 0", "token_rate"),
    ("token_rate: 25", "token_rate: .nan", "token_rate"),
    (
        "frames_per_token: 2",
        "frames_per_token: 0",
        "frames_per_token",
    ),
    (
        "samples_per_frame: 480",
        "samples_per_frame: 0",
        "samples_per_frame",
    ),
    ("mel_bins: 80", "mel_bins: 0", "mel_bins"),
    ("modes: [sft,", "modes: [sing,", "sing"),
    (
        "stand_ins: [speech_tokenizer,",
        "stand_ins: [speech,",
        "speech",
    ),
    ("layers: 2", "layers: 0", "layers"),
    ("layers: 2", "layers: 99999999999", "layers"),
    ("hidden: 64", "hidden: 0", "hidden"),
    ("kv_heads: 2", "kv_heads: two", "kv_heads"),
    ("kv_dtype: f32", "kv_dtype: f64", "kv_dtype"),
    ("eos: 243", "eos: -1", "eos"),
    ("eos: 243", "eos: 99999", "eos"),
    ("stop: [243, 245]", "stop: []", "stop"),
    ("max_positions: 2048", "max_positions: 0", "max_positions"),
    ("top_p: 0.8", "top_p: .nan", "top_p"),
    ("top_p: 0.8", "top_p: -1", "top_p"),
    ("top_k: 25", "top_k: 0", "top_k"),
    ("steps: 10", "steps: 0", "steps"),
    ("noise: fixed", "noise: none", "noise"),
    ("sine: interpolated", "sine: drawn", "sine"),
    ("harmonics: 9", "harmonics: 0", "harmonics"),
    (
        "file: tokenizer.json",
        "file: ../tokenizer.json",
        "../tokenizer.json",
    ),
    ("file: llm.onnx", "file: ../llm.onnx", "../llm.onnx"),
    ("file: llm.onnx", "file: /etc/passwd", "/etc/passwd"),
    ("file: llm.onnx", "file: other.onnx", "other.onnx"),
    ("file: llm.onnx", "file: \"llm\\0.onnx\"", "bundle.yaml"),
    (
        "file: llm.onnx\n    data: []",
        "file: llm.onnx\n    data: [x.bin]",
        "x.bin",
    ),
    ("  llm:\n    file", "  lmm:\n    file", "lmm"),
    (
        "  llm.onnx:\n    bytes: ",
        "  llm.onnx:\n    bytes: 1",
        "llm.onnx",
    ),
    (
        "  llm.onnx:\n    bytes: ",
        "  llm.onnx:\n    bytes: -",
        "bytes",
    ),
    ("c36b9ad95b2bebaff32", "c36b9ad95b2bebaff33", "llm.onnx"),
    ("c36b9ad95b2bebaff32", "xyz", "SHA-256"),
];

/// Whole contents of `bundle.yaml`.
const CONTENTS: &[&[u8]] = &[
    b"",
    b"\n\n",
    b"[]",
    b"format",
    b"\0\0\0\0",
    b"\xff\xfe",
    b"{",
    b"--- 1\n--- 2\n",
    b"&a [*a]",
];

pub(super) fn cases() -> Vec<Case> {
    let edits = EDITS.iter().map(|&(from, to, named)| {
        Case::new(format!("bundle.yaml with {to:?}"), named, move |place| {
            edit(place, from, to);
            planned()
        })
    });
    let contents = CONTENTS.iter().enumerate().map(|(index, bytes)| {
        let name = format!("bundle.yaml {:?}", String::from_utf8_lossy(bytes));
        Case::new(name, "bundle.yaml", move |place| {
            place.bundle_copy();
            place.write("bundle/bundle.yaml", bytes);
            match index % 3 {
                0 => planned(),
                1 => line(&["inspect", "bundle"]),
                _ => line(&["synth", "a", "--bundle", "bundle"]),
            }
        })
    });
    let cuts = (1..10).map(|tenth| {
        Case::new(
            format!("bundle.yaml cut at {tenth} tenths"),
            "bundle",
            move |place| {
                let path = place.bundle_copy().join("bundle.yaml");
                let bytes = fs::read(&path).expect("the manifest");
                fs::write(&path, &bytes[..bytes.len() * tenth / 10]).expect("a cut manifest");
                line(&["inspect", "bundle"])
            },
        )
    });
    let missing = Case::new("no bundle.yaml", "bundle", |place| {
        fs::remove_file(place.bundle_copy().join("bundle.yaml")).expect("it was there");
        line(&["inspect", "bundle"])
    });
    let folder = Case::new("a folder as bundle.yaml", "bundle", |place| {
        let path = place.bundle_copy().join("bundle.yaml");
        fs::remove_file(&path).expect("it was there");
        fs::create_dir(&path).expect("a folder");
        line(&["inspect", "bundle"])
    });
    edits
        .chain(contents)
        .chain(cuts)
        .chain([missing, folder])
        .collect()
}

fn planned() -> Vec<std::ffi::OsString> {
    line(&[
        "build",
        "--bundle",
        "bundle",
        "--backend",
        "ort-cpu",
        "--dry-run",
    ])
}

fn edit(place: &Place, from: &str, to: &str) {
    let path = place.bundle_copy().join("bundle.yaml");
    let text = fs::read_to_string(&path).expect("the manifest");
    assert!(text.contains(from), "the manifest has no {from:?}");
    fs::write(&path, text.replacen(from, to, 1)).expect("an edited manifest");
}
