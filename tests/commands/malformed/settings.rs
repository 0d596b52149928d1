//! `cvtrt.yaml` and `CVTRT_*` values.

use super::{Case, line};

/// Content of `cvtrt.yaml`, the command that reads it, and what the message must name.
const FILES: &[(&str, &[&str], &str)] = &[
    ("nope: 1", &["engines", "list"], "`nope`"),
    ("Json: true", &["engines", "list"], "`Json`"),
    ("--json: true", &["engines", "list"], "`--json`"),
    ("build: {nope: 1}", &["engines", "list"], "`nope`"),
    ("build: {bundel: x}", &["engines", "list"], "cvtrt build"),
    ("build: 3", &["engines", "list"], "`build`"),
    ("build: [fp16]", &["engines", "list"], "`build`"),
    ("worker: {x: 1}", &["engines", "list"], "`x`"),
    ("bundle: x", &["engines", "list"], "`bundle`"),
    ("[1, 2", &["engines", "list"], "cvtrt.yaml"),
    ("- json", &["engines", "list"], "cvtrt.yaml"),
    ("just words", &["engines", "list"], "cvtrt.yaml"),
    ("a: b: c", &["engines", "list"], "cvtrt.yaml"),
    ("build:\n\t- x", &["engines", "list"], "cvtrt.yaml"),
    ("json: *nowhere", &["engines", "list"], "cvtrt.yaml"),
    (
        "json: true\njson: false",
        &["engines", "list"],
        "cvtrt.yaml",
    ),
    ("json: \"open", &["engines", "list"], "cvtrt.yaml"),
    ("\0", &["engines", "list"], "cvtrt.yaml"),
    ("1: 2", &["engines", "list"], "`1`"),
    ("true: 1", &["engines", "list"], "`true`"),
    ("? [a]\n: 1", &["engines", "list"], "cvtrt.yaml"),
    ("json: {a: b}", &["engines", "list"], "`json`"),
    ("color: null", &["engines", "list"], "`color`"),
    ("engines-dir: [[a]]", &["engines", "list"], "`engines-dir`"),
    ("engines-dir: [a, b]", &["engines", "list"], "`engines-dir`"),
    ("color: sometimes", &["engines", "list"], "--color"),
    ("json: perhaps", &["engines", "list"], "--json"),
    ("verbose: many", &["engines", "list"], "verbose"),
    ("help: true", &["engines", "list"], "`help`"),
    ("version: 1", &["engines", "list"], "`version`"),
    (
        "engines: {gc: {max-size: 1X}}",
        &["engines", "gc"],
        "--max-size",
    ),
    ("engines: {gc: {nope: 1}}", &["engines", "list"], "`nope`"),
    (
        "build: {fp16: perhaps}",
        &["build", "--bundle", "@"],
        "--fp16",
    ),
    (
        "build: {target: [sm_86, old]}",
        &["build", "--bundle", "@"],
        "--target",
    ),
    (
        "build: {backend: gpu}",
        &["build", "--bundle", "@"],
        "--backend",
    ),
    ("synth: {speed: fast}", &["synth", "a"], "--speed"),
    ("synth: {max-tokens: 0}", &["synth", "a"], "--max-tokens"),
    ("diagnose: {port: 70000}", &["diagnose"], "--port"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = FILES
        .iter()
        .map(|&(text, words, named)| {
            Case::new(format!("cvtrt.yaml {text:?}"), named, move |place| {
                place.write("cvtrt.yaml", text);
                line(words)
            })
        })
        .collect();
    let generated = [
        ("not UTF-8", b"json: \xff".to_vec()),
        ("nested without end", "[".repeat(10_000).into_bytes()),
        ("laughs", laughs().into_bytes()),
    ];
    for (name, bytes) in generated {
        cases.push(Case::new(
            format!("cvtrt.yaml {name}"),
            "cvtrt.yaml",
            move |place| {
                place.write("cvtrt.yaml", &bytes);
                line(&["engines", "list"])
            },
        ));
    }
    cases
}

/// Nine lists, each of nine of the one before.
fn laughs() -> String {
    let mut text = "a0: &a0 ha\n".to_owned();
    for level in 1..=9 {
        let names = vec![format!("*a{}", level - 1); 9].join(", ");
        text = format!("{text}a{level}: &a{level} [{names}]\n");
    }
    text
}
