//! Profiles: YAML that is none, fields that are none, ranges that cannot be.

use super::{Case, line};
use std::fs;
use std::path::Path;

/// What is replaced in the ready-made profile `cpu`, by what, and what the message must name.
const EDITS: &[(&str, &str, &str)] = &[
    ("name: cpu", "nmae: cpu", "nmae"),
    ("name: cpu", "name: cpu\nnope: 1", "nope"),
    ("lanes: 1", "lanes: 0", "lanes"),
    ("lanes: 1", "lanes: one", "lanes"),
    ("decode_slots: 2", "decode_slots: 0", "decode_slots"),
    ("decode_slots: 2", "decode_slots: -1", "decode_slots"),
    ("[128, 256, 512, 1024, 2048]", "[0]", "profile.yaml"),
    ("[128, 256, 512, 1024, 2048]", "[256, 128]", "kv_buckets"),
    ("precision: fp32", "precision: int8", "int8"),
    ("links: [ort-cpu]", "links: []", "links"),
    ("links: [ort-cpu]", "links: [cuda]", "cuda"),
    ("fallback: never", "fallback: sometimes", "sometimes"),
    ("  llm:", "  lmm:", "lmm"),
    (
        "min: 1, opt: 192, max: 1024",
        "min: 200, opt: 192, max: 1024",
        "profile.yaml",
    ),
    (
        "min: 1, opt: 192, max: 1024",
        "min: 1, opt: 192, max: 100",
        "profile.yaml",
    ),
    (
        "min: 1, opt: 192, max: 1024",
        "min: 0, opt: 192, max: 1024",
        "profile.yaml",
    ),
    ("min: 1, opt: 192, max: 1024", "min: 1, opt: 192", "max"),
    (
        "min: 1, opt: 192, max: 1024",
        "min: 1, opt: 192, max: 1e30",
        "max",
    ),
    ("          new:", "          news:", "news"),
    ("host_mib: 6144", "host_mib: -1", "host_mib"),
];

const CONTENTS: &[&[u8]] = &[b"", b"[]", b"name", b"{", b"\xff", b"\0", b"a: *b", b"\t"];

pub(super) fn cases() -> Vec<Case> {
    let edits = EDITS.iter().map(|&(from, to, named)| {
        Case::new(format!("profile with {to:?}"), named, move |place| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/cpu.yaml");
            let text = fs::read_to_string(path).expect("a profile");
            assert!(text.contains(from), "the profile has no {from:?}");
            place.write("profile.yaml", text.replacen(from, to, 1));
            planned()
        })
    });
    let contents = CONTENTS.iter().map(|bytes| {
        let name = format!("profile {:?}", String::from_utf8_lossy(bytes));
        Case::new(name, "profile.yaml", move |place| {
            place.write("profile.yaml", bytes);
            planned()
        })
    });
    edits.chain(contents).collect()
}

fn planned() -> Vec<std::ffi::OsString> {
    line(&[
        "build",
        "--bundle",
        "@",
        "--profile",
        "profile.yaml",
        "--dry-run",
    ])
}
