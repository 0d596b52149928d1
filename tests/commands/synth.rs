//! `cvtrt synth`: audio that can be played and repeated, and every way of asking for it wrongly.

use crate::built::{has_or_skip, ort_build};
use crate::place::{Place, Run, bundle};
use cvtrt::ids::BackendId;
use std::ffi::OsString;
use std::fs;
use std::io::Cursor;
use std::process::Stdio;

pub(crate) fn has_ort(test: &str) -> bool {
    has_or_skip(BackendId::OrtCpu, test)
}

pub(crate) fn line(words: &[&str]) -> Vec<OsString> {
    let mut line = args![
        "synth",
        "--bundle",
        bundle(),
        "--engines-dir",
        &ort_build().engines
    ];
    line.extend(args!["--profile", "cpu", "--max-tokens", "12"]);
    line.extend(words.iter().map(OsString::from));
    line
}

fn synth(place: &Place, words: &[&str]) -> Run {
    place.cvtrt(&line(words))
}

/// Samples of a WAV file, which must be one.
pub(crate) fn samples(bytes: &[u8]) -> Vec<i16> {
    let mut reader = hound::WavReader::new(Cursor::new(bytes)).expect("a WAV file");
    let spec = reader.spec();
    assert_eq!(
        (spec.sample_rate, spec.channels, spec.bits_per_sample),
        (24_000, 1, 16)
    );
    reader
        .samples()
        .map(|sample| sample.expect("a sample"))
        .collect()
}

#[test]
fn a_seed_decides_the_bytes() {
    if !has_ort("a_seed_decides_the_bytes") {
        return;
    }
    let place = Place::new();
    for (name, seed) in [("a.wav", "7"), ("b.wav", "7"), ("c.wav", "8")] {
        synth(&place, &["Hello there.", "--seed", seed, "-o", name])
            .exits(0)
            .says(&[
                name, "24000 Hz", "RTF", "prefill", "vocode", "ort-cpu", "engine",
            ]);
    }
    let [a, b, c] =
        ["a.wav", "b.wav", "c.wav"].map(|name| fs::read(place.path(name)).expect("audio"));
    assert_eq!(a, b, "the same seed");
    assert_ne!(a, c, "another seed");
    assert!(
        samples(&a).iter().any(|sample| *sample != 0),
        "it is not silent"
    );
    assert_eq!(
        place.files().len(),
        3,
        "nothing else is left: {:?}",
        place.files()
    );
}

#[test]
fn a_dash_streams_to_stdout_and_talks_on_stderr() {
    if !has_ort("a_dash_streams_to_stdout_and_talks_on_stderr") {
        return;
    }
    let place = Place::new();
    let run = synth(&place, &["Hello.", "-o", "-"]).exits(0);
    assert!(!samples(&run.stdout).is_empty());
    assert!(run.stderr.contains("RTF"), "{}", run.stderr);
    assert!(place.files().is_empty());
}

#[test]
fn quiet_leaves_the_audio_alone() {
    if !has_ort("quiet_leaves_the_audio_alone") {
        return;
    }
    let run = synth(&Place::new(), &["Hello.", "-q", "-o", "-"]).exits(0);
    assert!(!samples(&run.stdout).is_empty());
    assert_eq!(run.stderr, "");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    if !has_ort("a_reader_that_has_gone_is_no_failure") {
        return;
    }
    let place = Place::new();
    let mut command = place.command(&line(&["Hello.", "-o", "-"]));
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn the_report_is_one_json_document() {
    if !has_ort("the_report_is_one_json_document") {
        return;
    }
    let place = Place::new();
    let report = synth(&place, &["--text", "Hello.", "--json"])
        .exits(0)
        .json();
    assert_eq!(report["output"], "out.wav");
    assert_eq!(report["sample_rate"], 24_000);
    for figure in ["audio_seconds", "wall_ms", "load_ms", "front_end_ms", "rtf"] {
        assert!(
            report[figure].as_f64().is_some_and(|value| value > 0.0),
            "{figure}: {report}"
        );
    }
    let served = report["served"].as_array().expect("a row per graph");
    assert_eq!(served.len(), 5);
    assert!(
        served.iter().all(|row| row["from_cache"] == true),
        "{report}"
    );
    let seconds = report["audio_seconds"].as_f64().expect("a figure");
    let audio = fs::read(place.path("out.wav")).expect("audio");
    let counted = f64::from(u32::try_from(samples(&audio).len()).expect("few samples")) / 24_000.0;
    assert!(
        (counted - seconds).abs() < 1e-6,
        "{counted} s are in the file, {seconds} s were told"
    );
}

#[test]
fn without_engines_the_model_itself_speaks_and_says_so() {
    if !has_ort("without_engines_the_model_itself_speaks_and_says_so") {
        return;
    }
    let place = Place::new();
    let mut line = args![
        "synth",
        "Hello.",
        "--bundle",
        bundle(),
        "--engines-dir",
        "none"
    ];
    line.extend(args!["--profile", "cpu", "--max-tokens", "12"]);
    place
        .cvtrt(&line)
        .exits(0)
        .says(&["model, no engine: not built yet"]);
}

#[test]
fn every_mode_the_bundle_has_speaks() {
    if !has_ort("every_mode_the_bundle_has_speaks") {
        return;
    }
    let place = Place::new();
    for (mode, voice) in [
        ("sft", "plain"),
        ("zero_shot", "demo"),
        ("instruct2", "demo"),
        ("cross_lingual", "demo"),
    ] {
        let output = format!("{mode}.wav");
        let mut line = vec!["Hello.", "--mode", mode, "--voice", voice, "-o", &output];
        if mode == "instruct2" {
            line.extend(["--instruct", "Speak softly."]);
        }
        synth(&place, &line).exits(0);
        assert!(
            !samples(&fs::read(place.path(&output)).expect("audio")).is_empty(),
            "{mode}"
        );
    }
}

#[test]
fn an_instruction_is_heard_and_asked_for() {
    if !has_ort("an_instruction_is_heard_and_asked_for") {
        return;
    }
    let place = Place::new();
    synth(&place, &["Hello.", "--mode", "instruct2"])
        .exits(2)
        .complains(&["needs an instruction", "--instruct"]);
    for words in ["Speak softly.", "Speak up."] {
        let output = format!("{words}wav");
        let line = [
            "Hello.",
            "--mode",
            "instruct2",
            "--instruct",
            words,
            "-o",
            &output,
        ];
        synth(&place, &line).exits(0);
    }
    let [softly, up] =
        ["Speak softly.wav", "Speak up.wav"].map(|name| fs::read(place.path(name)).expect("audio"));
    assert_ne!(softly, up, "another instruction gives another sound");
}

#[test]
fn speed_shortens_what_is_said() {
    if !has_ort("speed_shortens_what_is_said") {
        return;
    }
    let place = Place::new();
    let length = |speed: &str| {
        let run = synth(&place, &["Hello.", "--speed", speed, "-o", "-"]).exits(0);
        samples(&run.stdout).len()
    };
    let (slow, fast) = (length("0.5"), length("2"));
    assert!(
        slow > 3 * fast,
        "{slow} samples at half, {fast} at double speed"
    );
}

#[test]
fn a_mode_or_voice_that_does_not_fit_is_an_input_error() {
    if !has_ort("a_mode_or_voice_that_does_not_fit_is_an_input_error") {
        return;
    }
    let place = Place::new();
    for (words, named) in [
        (&["a", "--mode", "vc"][..], "a recording, not a text"),
        (
            &["a", "--voice", "plain", "--mode", "zero_shot"],
            "voice `plain` has no prompt",
        ),
        (&["a", "--voice", "nobody"], "there are: demo, plain"),
    ] {
        synth(&place, words).exits(2).complains(&["error: ", named]);
    }
    assert!(place.files().is_empty());
}

#[test]
fn a_tier_that_does_not_run_here_is_a_missing_capability() {
    if cvtrt::cuda::probe().is_ok() {
        return;
    }
    let place = Place::new();
    for tier in ["trt-fp16", "rtx-fp16", "ort-cuda-fp32"] {
        let mut line = args!["synth", "a", "--bundle", bundle(), "--engines-dir", "none"];
        line.extend(args!["--tier", tier]);
        let run = place
            .cvtrt(&line)
            .exits(3)
            .complains(&["error: ", "hint: ", "--tier"]);
        assert!(
            !run.stderr.contains("--fp32"),
            "a flag synth does not have: {}",
            run.stderr
        );
    }
    assert!(place.files().is_empty());
}

#[test]
fn weights_that_the_bundle_does_not_list_are_not_loaded() {
    if !has_ort("weights_that_the_bundle_does_not_list_are_not_loaded") {
        return;
    }
    let place = Place::new();
    let copy = place.bundle_copy();
    let graphs = cvtrt::testkit::data_path("graphs");
    let model = fs::read(graphs.join("external.onnx")).expect("a model");
    fs::write(copy.join("hift_f0.onnx"), &model).expect("written");
    fs::copy(
        graphs.join("external.onnx.data"),
        copy.join("external.onnx.data"),
    )
    .expect("weights");
    let text = fs::read_to_string(copy.join("bundle.yaml")).expect("a manifest");
    let entry = text
        .split("  hift_f0.onnx:\n")
        .nth(1)
        .expect("it is listed");
    let listed: String = entry.split_inclusive('\n').take(2).collect();
    let (bytes, digest) = (model.len(), cvtrt::ids::Digest::of(&model));
    let changed = format!("    bytes: {bytes}\n    sha256: {digest}\n");
    fs::write(copy.join("bundle.yaml"), text.replace(&listed, &changed)).expect("written");
    let words = ["synth", "a", "--bundle", "bundle", "--profile", "cpu"];
    let refusal = [
        "error: ",
        "`hift_f0` takes weights from `external.onnx.data`",
    ];
    place.cvtrt(&words).exits(2).complains(&refusal);
}

#[test]
fn an_output_that_cannot_be_written_is_said_before_the_work() {
    let place = Place::new();
    let before = place.files();
    for output in ["missing/out.wav", ".", "/dev/null/out.wav"] {
        let mut line = args!["synth", "Hello.", "--bundle", bundle()];
        line.extend(args!["-o", output]);
        let run = place
            .cvtrt(&line)
            .exits(2)
            .complains(&["error: cannot write ", output]);
        assert!(!run.stderr.contains(".tmp"), "{}", run.stderr);
    }
    assert_eq!(place.files(), before);
}
