//! `cvtrt build --dry-run`: what would be built, and what is refused before anything is.

use crate::built::has_or_skip;
use crate::place::{Place, Run, bundle};
use cvtrt::ids::BackendId;
use std::ffi::OsString;

/// A dry run of a build into the place's own cache.
fn dry_run(place: &Place, more: &[&str]) -> Run {
    let mut line = args!["build", "--dry-run", "--engines-dir", "engines"];
    line.extend(args!["--bundle", bundle()]);
    line.extend(more.iter().map(OsString::from));
    let run = place.cvtrt(&line);
    assert!(place.files().is_empty(), "{:?}", place.files());
    run
}

#[test]
fn a_dry_run_writes_nothing() {
    if !has_or_skip(BackendId::OrtCpu, "a_dry_run_writes_nothing") {
        return;
    }
    let line = ["--backend", "ort-cpu", "--graphs", "hift"];
    dry_run(&Place::new(), &line)
        .exits(0)
        .says(&["hift_f0", "hift_decode", "not built yet"]);
}

#[test]
fn what_tensorrt_rtx_never_builds_is_refused_before_a_build() {
    let test = "what_tensorrt_rtx_never_builds_is_refused_before_a_build";
    if !has_or_skip(BackendId::TensorRtRtx, test) {
        return;
    }
    let cases: [(&[&str], &[&str]); 2] = [
        (
            &["--graphs", "llm", "--target", "sm_86,sm_90"],
            &[
                "--target: sm_90 is none of sm_75",
                "hint:  name other generations",
            ],
        ),
        (
            &["--graphs", "speech_tokenizer", "--target", "sm_86"],
            &[
                "its length input decides shapes",
                "--graphs speech_tokenizer --backend ort-cpu",
            ],
        ),
    ];
    for (more, said) in cases {
        let line = [&["--backend", "tensorrt-rtx"], more].concat();
        dry_run(&Place::new(), &line).exits(3).complains(said);
    }
    let chain = ["--profile", "rtx", "--target", "sm_86", "--fp32"];
    let run = dry_run(&Place::new(), &chain).exits(0);
    assert_eq!(run.row("speech_tokenizer")[1], "ort-cpu", "{run:?}");
}

#[test]
fn a_key_is_open_where_the_precision_plan_is_to_be_made() {
    let test = "a_key_is_open_where_the_precision_plan_is_to_be_made";
    if !has_or_skip(BackendId::TensorRtRtx, test) {
        return;
    }
    let line = [
        "--backend",
        "tensorrt-rtx",
        "--target",
        "sm_86",
        "--graphs",
        "llm",
    ];
    for (more, is_open) in [
        (&["--fp16"][..], true),
        (&["--fp16", "--no-verify"], false),
        (&["--fp32"], false),
    ] {
        let line = [&line[..], more].concat();
        let run = dry_run(&Place::new(), &line).exits(0);
        assert_eq!(run.row("llm")[3] == "open", is_open, "{run:?}");
        let document = dry_run(&Place::new(), &[&line[..], &["--json"]].concat()).json();
        assert_eq!(
            document["graphs"][0]["key"].is_null(),
            is_open,
            "{document}"
        );
    }
}

#[test]
fn a_device_is_asked_for_only_where_something_may_be_built_for_it() {
    let test = "a_device_is_asked_for_only_where_something_may_be_built_for_it";
    if !has_or_skip(BackendId::OrtCpu, test) {
        return;
    }
    let on = |more: &[&str]| dry_run(&Place::new(), &[&["--device", "99"], more].concat());
    on(&["--backend", "ort-cpu"]).exits(0);
    on(&[]).exits(3).complains(&["--device 99: "]);
    on(&["--backend", "tensorrt-rtx"])
        .exits(3)
        .complains(&["--device 99: "]);
    if has_or_skip(BackendId::TensorRtRtx, test) {
        for chosen in [["--backend", "tensorrt-rtx"], ["--profile", "rtx"]] {
            on(&[&chosen[..], &["--target", "sm_86"]].concat()).exits(0);
        }
    }
}

#[test]
fn a_path_that_takes_no_timings_is_refused_whatever_the_backend() {
    let test = "a_path_that_takes_no_timings_is_refused_whatever_the_backend";
    if !has_or_skip(BackendId::OrtCpu, test) {
        return;
    }
    let with = |file: &str| {
        let line = ["--backend", "ort-cpu", "--timing-cache", file];
        dry_run(&Place::new(), &line)
    };
    for (file, said) in [
        ("no/such/file", "there is no folder no/such"),
        (".", "it is a folder"),
    ] {
        with(file)
            .exits(2)
            .complains(&["error: --timing-cache ", said, "hint:  name a file"]);
    }
    with("new")
        .exits(0)
        .says(&["ort-cpu has no use for --timing-cache"]);
}
