//! `cvtrt build`: what it builds, what it keeps, and what is left when it is stopped.

use crate::built::{has_or_skip, ort_arguments, ort_build};
use crate::place::{Place, Run, bundle, files_below};
use cvtrt::ids::BackendId;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The graphs of the bundle.
const GRAPHS: [&str; 7] = [
    "llm",
    "flow_encoder",
    "flow_estimator",
    "hift_f0",
    "hift_decode",
    "speech_tokenizer",
    "campplus",
];

/// A build of some graphs by `ort-cpu` into the place's own cache.
fn build_of(graphs: &str, more: &[&str]) -> Vec<OsString> {
    let mut line = args![
        "build",
        "--backend",
        "ort-cpu",
        "--engines-dir",
        "engines",
        "--graphs",
        graphs
    ];
    line.extend(args!["--bundle", bundle()]);
    line.extend(more.iter().map(OsString::from));
    line
}

/// The rows of a build's document.
fn rows_of(run: &Run) -> Value {
    run.json()["graphs"].take()
}

fn states(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().expect("a row per graph");
    rows.iter()
        .map(|row| row["state"].as_str().expect("a state"))
        .collect()
}

#[test]
fn every_graph_is_built_and_then_cached() {
    if !has_or_skip(BackendId::OrtCpu, "every_graph_is_built_and_then_cached") {
        return;
    }
    let build = ort_build();
    assert_eq!(build.run.code, Some(0), "{:#?}", build.run);
    for graph in GRAPHS {
        let row = build.run.row(graph);
        assert!(
            row.starts_with(&[graph, "ort-cpu", "fp32"]) && row.ends_with(&["built"]),
            "{row:?}"
        );
        assert!(
            build
                .run
                .stderr
                .contains(&format!("{graph}: building fp32 with ort-cpu"))
        );
    }

    let place = Place::new();
    let again: Vec<_> = (0..5)
        .map(|_| place.cvtrt(&ort_arguments(&build.engines)).exits(0))
        .collect();
    for graph in GRAPHS {
        assert_eq!(again[0].row(graph).last(), Some(&"cached"));
    }
    let best = again.iter().map(|run| run.wall).min().expect("runs");
    assert!(
        best < Duration::from_millis(500),
        "an unchanged build took {best:?}"
    );
    assert!(place.files().is_empty());
}

#[test]
fn json_is_one_document_and_quiet_says_nothing() {
    if !has_or_skip(
        BackendId::OrtCpu,
        "json_is_one_document_and_quiet_says_nothing",
    ) {
        return;
    }
    let place = Place::new();
    let mut line = ort_arguments(&ort_build().engines);
    line.extend(args!["--json", "-q"]);
    let run = place.cvtrt(&line).exits(0);
    let rows = rows_of(&run);
    assert_eq!(states(&rows), ["cached"; 7]);
    assert_eq!(rows[0]["graph"], "llm");
    assert!(rows[0]["max_abs_error"].is_number(), "{rows}");
    assert_eq!(run.stderr, "");
}

#[test]
fn a_precision_that_nothing_builds_is_a_missing_capability() {
    if !has_or_skip(
        BackendId::OrtCpu,
        "a_precision_that_nothing_builds_is_a_missing_capability",
    ) {
        return;
    }
    let place = Place::new();
    place
        .cvtrt(&build_of("llm", &["--fp16"]))
        .exits(3)
        .complains(&[
            "error: nothing here builds `llm` in fp16",
            "ort-cpu: does not build fp16",
            "--fp32",
        ]);
    assert!(place.files().is_empty());
}

#[test]
fn rtx_engines_are_built_for_named_targets_only() {
    let test = "rtx_engines_are_built_for_named_targets_only";
    if !has_or_skip(BackendId::TensorRtRtx, test) {
        return;
    }
    let place = Place::new();
    let line = |more: &[&str]| {
        let mut line = args![
            "build",
            "--backend",
            "tensorrt-rtx",
            "--engines-dir",
            "engines",
            "--json"
        ];
        line.extend(args![
            "--graphs",
            "flow_estimator,llm",
            "--bundle",
            bundle()
        ]);
        line.extend(more.iter().map(OsString::from));
        line
    };
    if cvtrt::cuda::probe().is_err() {
        let run = place.cvtrt(&line(&["--fp16"])).exits(3);
        let error = run.json();
        let hint = error["error"]["hint"].as_str().expect("a fix");
        assert!(hint.contains("--target"), "{error}");
        assert!(place.files().is_empty());
    }

    let rows = rows_of(
        &place
            .cvtrt(&line(&["--fp16", "--target", "sm_86"]))
            .exits(0),
    );
    assert_eq!(states(&rows), ["built"; 2], "{rows}");
    for row in rows.as_array().expect("rows") {
        assert_eq!(row["backend"], "tensorrt-rtx", "{row}");
        assert_eq!(row["precision"], "fp16", "{row}");
        let engine = Path::new(row["engine"].as_str().expect("a path"));
        let size = fs::metadata(place.path(engine)).expect("the plan").len();
        assert!(size > 100_000, "{size} bytes are no plan");
    }
    let rows = rows_of(
        &place
            .cvtrt(&line(&["--fp16", "--target", "sm_86"]))
            .exits(0),
    );
    assert_eq!(states(&rows), ["cached"; 2], "{rows}");
    place
        .cvtrt(&args![
            "engines",
            "show",
            "flow_estimator",
            "--engines-dir",
            "engines"
        ])
        .exits(0)
        .says(&["fp32 inside", "twin", "mel: "]);
}

#[test]
fn a_graph_that_does_not_bear_half_is_refused_and_stays_so() {
    let test = "a_graph_that_does_not_bear_half_is_refused_and_stays_so";
    if !has_or_skip(BackendId::TensorRtRtx, test) || !has_or_skip(BackendId::OrtCpu, test) {
        return;
    }
    let place = Place::new();
    let mut line = args![
        "build",
        "--engines-dir",
        "engines",
        "--backend",
        "tensorrt-rtx"
    ];
    line.extend(args!["--target", "sm_86", "--graphs", "hift_f0", "--fp16"]);
    line.extend(args!["--bundle", bundle()]);
    for _ in 0..2 {
        place.cvtrt(&line).exits(4).complains(&[
            "error: `hift_f0` does not compute what it should in fp16",
            "largest difference",
            "--fp32",
        ]);
    }
}

#[test]
fn every_graph_that_rtx_takes_is_built_in_both_precisions() {
    let test = "every_graph_that_rtx_takes_is_built_in_both_precisions";
    if !has_or_skip(BackendId::TensorRtRtx, test) {
        return;
    }
    let place = Place::new();
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/bench-build.yaml");
    for precision in ["fp32", "fp16"] {
        let mut line = args!["build", "--json", "--engines-dir", "engines"];
        line.extend(args!["--backend", "tensorrt-rtx", "--target", "sm_89"]);
        line.extend(args!["--bundle", bundle(), "--profile", profile.clone()]);
        // The speech tokenizer's length input decides shapes, which RTX is not told.
        line.extend(args![
            "--graphs",
            "llm,flow_encoder,flow_estimator,hift,campplus"
        ]);
        // Whether the values are right in half is for qualification, which F0 does not pass.
        line.extend(args![format!("--{precision}"), "--no-verify"]);
        let rows = rows_of(&place.cvtrt(&line).exits(0));
        assert_eq!(states(&rows), ["built"; 6], "{rows}");
        for row in rows.as_array().expect("rows") {
            assert_eq!(row["precision"], precision, "{row}");
            assert_eq!(row["verification"]["result"], "skipped", "{row}");
        }
    }
}

#[test]
fn a_graph_that_is_none_is_named_with_those_there_are() {
    let place = Place::new();
    place
        .cvtrt(&build_of("nonsense", &[]))
        .exits(2)
        .complains(&["error: --graphs: `nonsense`", "flow_estimator"]);
}

#[test]
fn a_harmed_bundle_is_refused_with_a_fix() {
    let place = Place::new();
    let llm = place.bundle_copy().join("llm.onnx");
    let mut bytes = fs::read(&llm).expect("a graph");
    bytes[1000] ^= 1;
    fs::write(&llm, bytes).expect("a harmed graph");
    let before = place.files();
    place
        .cvtrt(&["build", "--bundle", "bundle", "--engines-dir", "engines"])
        .exits(2)
        .complains(&[
            "error: bundle bundle: the content of llm.onnx",
            "hint:  copy llm.onnx into bundle again",
        ]);
    assert_eq!(place.files(), before);
}

#[test]
fn a_file_in_the_place_of_the_cache_is_an_error_with_a_fix() {
    let place = Place::new();
    place.write("engines", "a file");
    place
        .cvtrt(&build_of("campplus", &[]))
        .exits(2)
        .complains(&[
            "error: ",
            "engines",
            "hint:  name a folder with --engines-dir DIR",
        ]);
}

#[test]
fn a_flipped_byte_is_found_and_built_again() {
    if !has_or_skip(BackendId::OrtCpu, "a_flipped_byte_is_found_and_built_again") {
        return;
    }
    let place = Place::new();
    let engines = place.engines_copy(&ort_build().engines);
    let harmed = files_below(&engines)
        .into_iter()
        .find(|name| name.starts_with("campplus") && name.ends_with("engine.onnx"))
        .expect("an engine");
    let mut bytes = fs::read(engines.join(&harmed)).expect("an engine");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(engines.join(&harmed), bytes).expect("a harmed engine");

    let verify = ["engines", "verify", "--engines-dir", "engines"];
    place
        .cvtrt(&verify)
        .exits(4)
        .says(&["6 of 7 engines", "cvtrt build"]);
    let rows = rows_of(&place.cvtrt(&build_of("campplus", &["--json"])).exits(0));
    assert_eq!(states(&rows), ["built"]);
    place.cvtrt(&verify).exits(0).says(&["7 of 7 engines"]);
}

#[test]
fn two_builders_of_one_bundle_build_it_once() {
    if !has_or_skip(
        BackendId::OrtCpu,
        "two_builders_of_one_bundle_build_it_once",
    ) {
        return;
    }
    let place = Place::new();
    let start = || {
        let mut command = place.command(&build_of("hift_f0,campplus", &["--json"]));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    };
    let both = [start(), start()].map(|child| child.wait_with_output().expect("it ends"));
    let mut all = Vec::new();
    for output in &both {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let rows = &document["graphs"];
        all.extend(states(rows).into_iter().map(str::to_owned));
    }
    all.sort_unstable();
    assert_eq!(all, ["built", "built", "cached", "cached"]);
}

#[test]
fn a_killed_build_leaves_a_usable_cache() {
    if !has_or_skip(BackendId::OrtCpu, "a_killed_build_leaves_a_usable_cache") {
        return;
    }
    let place = Place::new();
    let mut build = started(&place, "hift_decode: building");
    build.kill().expect("it is killed");
    build.wait().expect("it has ended");

    let run = place
        .cvtrt(&build_of("hift_decode,campplus", &["--json"]))
        .exits(0);
    assert_eq!(states(&rows_of(&run)).len(), 2);
    let verify = ["engines", "verify", "--engines-dir", "engines"];
    place.cvtrt(&verify).exits(0).says(&["2 of 2 engines"]);
    assert!(
        leftovers(&place).is_empty(),
        "a build clears what a killed one left"
    );
}

#[test]
fn an_interrupted_build_ends_its_worker_and_leaves_nothing() {
    if !has_or_skip(
        BackendId::OrtCpu,
        "an_interrupted_build_ends_its_worker_and_leaves_nothing",
    ) {
        return;
    }
    let place = Place::new();
    let mut build = started(&place, "hift_decode: building");
    let process = build.id().to_string();
    let sent = Command::new("kill").args(["-INT", &process]).status();
    assert!(sent.expect("kill runs").success());
    let mut stderr = String::new();
    let mut pipe = build.stderr.take().expect("a pipe");
    pipe.read_to_string(&mut stderr).expect("text");
    let status = build.wait().expect("it ends");
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: the build was stopped"), "{stderr}");
    assert!(leftovers(&place).is_empty(), "{:?}", place.files());
    assert_eq!(workers_of(&place), 0, "a worker goes on");
}

/// A build that has said `line`; the rest of its stderr is still in the pipe.
fn started(place: &Place, line: &str) -> Child {
    let mut command = place.command(&build_of("hift_decode,campplus", &[]));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut pipe = BufReader::with_capacity(1, child.stderr.take().expect("a pipe"));
    let mut said = String::new();
    while !said.contains(line) {
        said.clear();
        let read = pipe.read_line(&mut said).expect("text");
        assert!(read > 0, "the build ended before `{line}`");
    }
    child.stderr = Some(pipe.into_inner());
    child
}

/// Names in the cache that are neither an entry's nor the locks'.
fn leftovers(place: &Place) -> Vec<OsString> {
    let names = files_below(&place.path("engines")).into_iter();
    names
        .filter(|path| !path.starts_with(".locks"))
        .filter_map(|path| {
            path.components()
                .next_back()
                .map(|last| last.as_os_str().to_owned())
        })
        .filter(|name| name.to_string_lossy().starts_with('.'))
        .collect()
}

/// Processes with the place's own home.
fn workers_of(place: &Place) -> usize {
    let home = place.path("../home").canonicalize().expect("the home");
    let home = home.to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc")
        .expect("processes")
        .filter_map(Result::ok);
    processes
        .filter_map(|process| fs::read(process.path().join("environ")).ok())
        .filter(|environment| String::from_utf8_lossy(environment).contains(&home))
        .count()
}
