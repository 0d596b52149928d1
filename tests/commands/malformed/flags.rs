//! Flags and paths on the command line.

use super::{Case, line};
use crate::place::Place;

/// Command line, and what the message must name.
const LINES: &[(&[&str], &str)] = &[
    (&[], "subcommand"),
    (&["nonsense"], "nonsense"),
    (&["--nonsense"], "--nonsense"),
    (&["--color", "sometimes", "engines", "list"], "--color"),
    (&["build", "--nonsense"], "--nonsense"),
    (&["build", "extra"], "extra"),
    (&["build", "--bundle"], "--bundle"),
    (
        &["build", "--bundle", "a", "--model-dir", "b"],
        "--model-dir",
    ),
    (&["build", "--bundle", "no/such/folder"], "no/such/folder"),
    (&["build", "--bundle", ""], "bundle"),
    (&["build", "--bundle", "."], "`.`"),
    (&["build", "--bundle", "名前\u{202e}"], "名前"),
    (
        &["build", "--model-dir", "no/such/folder"],
        "no/such/folder",
    ),
    (&["build", "--fp16", "--fp32"], "--fp32"),
    (&["build", "--fp16", "--bf16"], "--bf16"),
    (&["build", "--concurrency", "0"], "--concurrency"),
    (&["build", "--concurrency", "0"], "must be at least 1"),
    (&["build", "--concurrency", "65536"], "--concurrency"),
    (&["build", "--concurrency=-1"], "--concurrency"),
    (&["build", "--concurrency", "many"], "--concurrency"),
    (&["build", "--device=-1"], "--device"),
    (&["build", "--device", "cuda:0"], "--device"),
    (
        &["build", "--bundle", "@", "--backend", "cuda"],
        "--backend",
    ),
    (&["build", "--bundle", "@", "--backend", ""], "--backend"),
    (
        &["build", "--bundle", "@", "--graphs", "nonsense"],
        "nonsense",
    ),
    (
        &["build", "--bundle", "@", "--graphs", "llm,,hift_f0"],
        "--graphs",
    ),
    (&["build", "--bundle", "@", "--graphs", "LLM"], "LLM"),
    (
        &["build", "--bundle", "@", "--graphs", "text_encoder"],
        "text_encoder",
    ),
    (&["build", "--max-workspace", ""], "--max-workspace"),
    (&["build", "--max-workspace", "G"], "--max-workspace"),
    (&["build", "--max-workspace", "4X"], "--max-workspace"),
    (&["build", "--max-workspace=-1"], "--max-workspace"),
    (&["build", "--max-workspace", "1.5G"], "--max-workspace"),
    (
        &["build", "--max-workspace", "99999999999999G"],
        "--max-workspace",
    ),
    (
        &["build", "--optimization-level", "6"],
        "--optimization-level",
    ),
    (
        &["build", "--optimization-level=-1"],
        "--optimization-level",
    ),
    (
        &["build", "--optimization-level", "high"],
        "--optimization-level",
    ),
    (&["build", "--target", "sm_1"], "--target"),
    (&["build", "--target", "ampere"], "--target"),
    (&["build", "--target", "sm_"], "--target"),
    (&["build", "--target", "sm_86,sm_x"], "--target"),
    (&["build", "--target", ""], "--target"),
    (&["build", "--build-timeout", "soon"], "--build-timeout"),
    (&["build", "--build-timeout", "0"], "--build-timeout"),
    (&["build", "--bundle", "@", "--profile", "nope"], "nope"),
    (
        &["build", "--bundle", "@", "--profile", "no/such.yaml"],
        "no/such.yaml",
    ),
    (&["build", "--bundle", "@", "--profile", "./"], "./"),
    (&["engines"], "engines"),
    (&["engines", "nonsense"], "nonsense"),
    (&["engines", "show"], "<ENTRY>"),
    (&["engines", "show", "none"], "none"),
    (&["engines", "show", ""], "``"),
    (&["engines", "explain", "none"], "none"),
    (&["engines", "gc", "--max-size", ""], "--max-size"),
    (&["engines", "gc", "--max-size", "big"], "--max-size"),
    (&["engines", "gc", "--max-size", "1T"], "--max-size"),
    (&["engines", "gc", "--max-size=-1G"], "--max-size"),
    (&["inspect"], "<FILE>"),
    (&["inspect", "nothing"], "nothing"),
    (&["inspect", "nothing.onnx"], "nothing.onnx"),
    (&["inspect", ""], "<FILE>"),
    (&["inspect", "."], "`.`"),
    (&["inspect", "@", "--precision", "int8"], "--precision"),
    (&["synth"], "text"),
    (&["synth", "", "--bundle", "@"], "text"),
    (&["synth", " \t\n", "--bundle", "@"], "text"),
    (&["synth", "a", "--text", "b"], "--text"),
    (&["synth", "a", "--text-file", "b"], "--text-file"),
    (&["synth", "--text-file", "no/such.txt"], "no/such.txt"),
    (&["synth", "--text-file", "."], "cannot read ."),
    (&["synth", "--text-file", "/dev/zero"], "/dev/zero"),
    (&["synth", "--text-file", ""], "--text-file"),
    (&["synth", "a", "--bundle", "no/such"], "no/such"),
    (&["synth", "a", "--mode", "sing"], "--mode"),
    (&["synth", "a", "--mode", ""], "--mode"),
    (&["synth", "a", "--mode", "vc", "--bundle", "@"], "vc"),
    (&["synth", "a", "--source-wav", "b.wav"], "--source-wav"),
    (
        &["synth", "a", "--voice", "demo", "--prompt-wav", "b.wav"],
        "--prompt-wav",
    ),
    (
        &["synth", "--instruct", "Up.", "--source-wav", "b.wav"],
        "--source-wav",
    ),
    (&["voices"], "subcommand"),
    (&["voices", "nonsense"], "nonsense"),
    (&["voices", "list", "--bundle", "no/such"], "no/such"),
    (&["voices", "show", "nobody", "--bundle", "@"], "nobody"),
    (
        &["voices", "show", "../voices/demo", "--bundle", "@"],
        "../voices/demo",
    ),
    (&["voices", "remove", "nobody", "--bundle", "@"], "nobody"),
    (&["voices", "remove", "", "--bundle", "@"], "voice"),
    (&["voices", "add", "new", "--bundle", "@"], "--wav"),
    (
        &["voices", "add", "../new", "--bundle", "@", "--wav", "a.wav"],
        "../new",
    ),
    (
        &["voices", "add", "", "--bundle", "@", "--wav", "a.wav"],
        "voice",
    ),
    (
        &["voices", "add", ".new", "--bundle", "@", "--wav", "a.wav"],
        ".new",
    ),
    (
        &["synth", "a", "--mode", "instruct", "--bundle", "@"],
        "instruct",
    ),
    (
        &["synth", "a", "--voice", "nobody", "--bundle", "@"],
        "nobody",
    ),
    (&["synth", "a", "--voice", "", "--bundle", "@"], "voice"),
    (
        &["synth", "a", "--voice", "../voices/demo", "--bundle", "@"],
        "../voices/demo",
    ),
    (
        &[
            "synth",
            "a",
            "--voice",
            "plain",
            "--mode",
            "zero_shot",
            "--bundle",
            "@",
        ],
        "plain",
    ),
    (&["synth", "a", "--speed", "0"], "--speed"),
    (&["synth", "a", "--speed", "-1"], "--speed"),
    (&["synth", "a", "--speed", "NaN"], "--speed"),
    (&["synth", "a", "--speed", "inf"], "--speed"),
    (&["synth", "a", "--speed", "0.1"], "--speed"),
    (&["synth", "a", "--speed", "5"], "--speed"),
    (&["synth", "a", "--speed", "fast"], "--speed"),
    (&["synth", "a", "--seed=-1"], "--seed"),
    (&["synth", "a", "--seed", "1.5"], "--seed"),
    (&["synth", "a", "--seed", "18446744073709551616"], "--seed"),
    (&["synth", "a", "--max-tokens", "0"], "--max-tokens"),
    (&["synth", "a", "--max-tokens", "0"], "must be at least 1"),
    (&["serve", "--limit-concurrency", "0"], "must be at least 1"),
    (&["synth", "a", "--max-tokens=-1"], "--max-tokens"),
    (&["synth", "a", "--max-tokens", "all"], "--max-tokens"),
    (&["synth", "a", "--threads", "0"], "--threads"),
    (&["synth", "a", "--threads", "100000"], "--threads"),
    (&["synth", "a", "--threads", "two"], "--threads"),
    (&["synth", "a", "--tier", "fastest"], "--tier"),
    (&["synth", "a", "--tier", "trt"], "--tier"),
    (&["synth", "a", "--tier", "ort-cpu-fp16"], "--tier"),
    (&["synth", "a", "--tier", "fp16"], "--tier"),
    (&["synth", "a", "--tier", "trt-int8"], "--tier"),
    (&["synth", "a", "--bundle", "@", "-o", ""], "--output"),
    (
        &["synth", "a", "--bundle", "@", "-o", "."],
        "cannot write .",
    ),
    (
        &["synth", "a", "--bundle", "@", "-o", "missing/a.wav"],
        "missing/a.wav",
    ),
    (
        &["synth", "a", "--bundle", "@", "-o", "/dev/null/a.wav"],
        "/dev/null/a.wav",
    ),
    (
        &["synth", "a", "--bundle", "@", "--profile", "nope"],
        "nope",
    ),
    (&["export"], "--model-dir"),
    (&["export", "--model-dir", "."], "--out"),
    (
        &["export", "--model-dir", "no/such", "--out", "x"],
        "no/such",
    ),
    (
        &["export", "--model-dir", "/dev/null", "--out", "x"],
        "/dev/null",
    ),
    (&["diagnose", "--port", "99999"], "--port"),
    (&["diagnose", "--port=-1"], "--port"),
    (&["diagnose", "--port", "http"], "--port"),
    (&["diagnose", "--profile", "nope"], "nope"),
    (
        &["diagnose", "--report", "missing/report.json"],
        "missing/report.json",
    ),
    (&["diagnose", "--report", "."], "cannot write ."),
    (&["completions"], "<SHELL>"),
    (&["completions", "cobol"], "cobol"),
    (&["setup", "--cpu", "--gpu"], "--gpu"),
    (
        &[
            "setup",
            "--cpu",
            "--runtime-dir",
            "libs",
            "--from",
            "no/such",
        ],
        "no/such",
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = LINES
        .iter()
        .map(|&(words, named)| Case::new(format!("{words:?}"), named, move |_| line(words)))
        .collect();
    cases.push(Case {
        code: 3,
        ..Case::new("fp16 on ort-cpu", "does not build fp16", |_| {
            line(&["build", "--bundle", "@", "--backend", "ort-cpu", "--fp16"])
        })
    });
    for command in ["list", "verify", "gc", "explain"] {
        cases.push(Case::new(
            format!("a file as the cache of engines {command}"),
            "engines-file",
            move |place: &Place| {
                place.write("engines-file", "no folder");
                line(&["engines", command, "--engines-dir", "engines-file"])
            },
        ));
    }
    cases.push(Case::new(
        "a file as the cache of build",
        "engines-file",
        |place| {
            place.write("engines-file", "no folder");
            line(&[
                "build",
                "--bundle",
                "@",
                "--backend",
                "ort-cpu",
                "--engines-dir",
                "engines-file",
            ])
        },
    ));
    cases.push(Case::new("a text that is not UTF-8", "text.txt", |place| {
        place.write("text.txt", b"good \xff morning");
        line(&["synth", "--text-file", "text.txt", "--bundle", "@"])
    }));
    cases.push(Case::new("an empty text file", "text", |place| {
        place.write("text.txt", "\n");
        line(&["synth", "--text-file", "text.txt", "--bundle", "@"])
    }));
    cases
}
