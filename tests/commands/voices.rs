//! `cvtrt voices`, and speech in the voice of a recording.

use crate::built::has_or_skip;
use crate::place::{Place, Run, bundle};
use crate::recording::{self, wav};
use cvtrt::bundle::{Bundle, StatCache};
use cvtrt::ids::BackendId;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const WORDS: &str = "Room 12, please.";

fn has_ort(test: &str) -> bool {
    has_or_skip(BackendId::OrtCpu, test)
}

fn cvtrt(place: &Place, words: &[&str]) -> Run {
    let mut line: Vec<OsString> = words.iter().map(OsString::from).collect();
    line.extend(args!["--bundle", "bundle", "--profile", "cpu"]);
    line.extend(args!["--engines-dir", "none"]);
    place.cvtrt(&line)
}

/// As [`cvtrt`], of a command that loads nothing.
fn voices(place: &Place, words: &[&str]) -> Run {
    let mut line = args!["voices"];
    line.extend(words.iter().map(OsString::from));
    line.extend(args!["--bundle", "bundle"]);
    place.cvtrt(&line)
}

fn synth(place: &Place, words: &[&str], output: &str) -> Vec<u8> {
    let line = [&["synth", "--seed", "7", "-o", output], words].concat();
    cvtrt(place, &line).exits(0);
    fs::read(place.path(output)).expect("audio")
}

/// The bundle as a stranger finds it: whole, with these voices.
#[track_caller]
fn holds(bundle: &Path, voices: &[&str]) {
    let bundle = Bundle::open(bundle).expect("it opens");
    bundle
        .verify(&mut StatCache::in_memory())
        .expect("it holds what it lists");
    assert_eq!(bundle.voice_names(), voices);
}

#[test]
fn a_kept_voice_speaks_to_the_sample_as_its_recording_does() {
    if !has_ort("a_kept_voice_speaks_to_the_sample_as_its_recording_does") {
        return;
    }
    let place = Place::new();
    let copy = place.bundle_copy();
    let mut spoken = Vec::new();
    for (name, path) in recording::FILES {
        let file = recording::path(path);
        let file = file.to_str().expect("a path of ours");
        let line = ["voices", "add", name, "--wav", file, "--text", WORDS];
        cvtrt(&place, &line)
            .exits(0)
            .says(&[WORDS, "tokens", "norm", "stand-ins"]);
        let say = ["Hello there.", "--max-tokens", "12"];
        let kept = synth(&place, &[&say[..], &["--voice", name]].concat(), "kept.wav");
        let prompt = ["--prompt-wav", file, "--prompt-text", WORDS];
        let heard = synth(&place, &[&say[..], &prompt].concat(), "heard.wav");
        assert!(kept == heard, "{name}");
        spoken.push(kept);
    }
    spoken.dedup();
    assert!(spoken.len() > 1, "different recordings sound different");
    holds(&copy, &["demo", "flac", "mp3", "ogg", "plain", "wav"]);
}

#[test]
fn voices_are_listed_shown_replaced_and_removed() {
    if !has_ort("voices_are_listed_shown_replaced_and_removed") {
        return;
    }
    let place = Place::new();
    let copy = place.bundle_copy();
    place.write("a.wav", wav(24_000, 24_000, 0.5));
    let add = ["voices", "add", "new one", "--wav", "a.wav"];
    let added = cvtrt(&place, &[&add[..], &["--json"]].concat())
        .exits(0)
        .json();
    // A second of audio has 100 feature frames, 25 tokens and 50 mel frames.
    assert_eq!(added["prompt_tokens"], 25);
    assert_eq!(added["prompt_frames"], 50);
    assert_eq!(added["prompt_seconds"], 1.0);
    assert_eq!(added["transcript"], serde_json::Value::Null);
    assert!(added["embedding_norm"].as_f64().expect("a number") > 0.0);
    assert_eq!(added["stand_ins"][0], "speech_tokenizer");
    holds(&copy, &["demo", "new one", "plain"]);

    let shown = voices(&place, &["show", "new one", "--json"])
        .exits(0)
        .json();
    for field in ["prompt_tokens", "prompt_frames", "embedding_norm", "file"] {
        assert_eq!(shown[field], added[field], "{field}");
    }
    voices(&place, &["list"])
        .exits(0)
        .says(&["demo", "new one", "1.00 s", "plain", "none"]);

    let taken = [&add[..], &["--text", "Words."]].concat();
    cvtrt(&place, &taken)
        .exits(2)
        .complains(&["has a voice `new one` already", "--force"]);
    cvtrt(&place, &[&taken[..], &["--force"]].concat())
        .exits(0)
        .says(&["Words."]);
    let listed = voices(&place, &["list", "--json"]).exits(0).json();
    assert_eq!(listed[1]["transcript"], "Words.");

    let removed = voices(&place, &["remove", "new one", "--json"])
        .exits(0)
        .json();
    assert_eq!(removed["removed"], "new one");
    holds(&copy, &["demo", "plain"]);
    assert!(!copy.join("voices/new one.safetensors").exists());
    let manifest = |dir: &Path| Bundle::open(dir).expect("it opens").manifest().clone();
    assert_eq!(manifest(&copy), manifest(&bundle()), "as it was before");
}

#[test]
fn an_add_that_is_killed_leaves_the_bundle_whole() {
    if !has_ort("an_add_that_is_killed_leaves_the_bundle_whole") {
        return;
    }
    let place = Place::new();
    let copy = place.bundle_copy();
    place.write("a.wav", wav(24_000, 24_000, 0.5));
    let mut line = args!["voices", "add", "new", "--wav", "a.wav", "--force"];
    line.extend(args!["--bundle", "bundle", "--profile", "cpu"]);
    line.extend(args!["--engines-dir", "none"]);
    let whole = place.cvtrt(&line).exits(0).wall;
    for tenth in 5..10 {
        let mut command = place.command(&line);
        let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(whole * tenth / 10);
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        let bundle = Bundle::open(&copy).expect("it opens");
        let verified = bundle.verify(&mut StatCache::in_memory());
        verified.expect("it holds what it lists");
    }
    place.cvtrt(&line).exits(0);
    holds(&copy, &["demo", "new", "plain"]);
}

#[test]
fn a_recording_is_said_again_in_another_voice() {
    if !has_ort("a_recording_is_said_again_in_another_voice") {
        return;
    }
    let place = Place::new();
    place.bundle_copy();
    place.write("source.wav", wav(48_000, 96_000, 0.5));
    place.write("prompt.wav", wav(24_000, 24_000, 0.1));
    let source = ["--source-wav", "source.wav"];
    let line = [&source[..], &["--voice", "demo"]].concat();
    let demo = synth(&place, &line, "demo.wav");
    assert!(demo == synth(&place, &line, "again.wav"), "a seed repeats");
    let prompted = [&source[..], &["--prompt-wav", "prompt.wav"]].concat();
    let prompt = synth(&place, &prompted, "prompt-voice.wav");
    assert!(demo != prompt, "another voice sounds different");
    assert_eq!(demo.len(), prompt.len(), "and says the same");

    let report = cvtrt(&place, &[&["synth", "--json"], &source[..]].concat())
        .exits(0)
        .json();
    assert_eq!(report["mode"], "vc");
    assert_eq!(report["voice"], "demo");
    assert_eq!(report["normalisation"], serde_json::Value::Null);
    assert_eq!(report["stand_ins"][0], "speech_tokenizer");
    let segment = &report["segments"][0];
    assert_eq!(segment["end"], "given");
    assert_eq!(segment["tokens"].as_array().expect("tokens").len(), 50);
    assert_eq!(report["audio_seconds"], 2.0, "as long as the source");
}

#[test]
fn a_recording_that_is_too_long_for_the_flow_says_so() {
    if !has_ort("a_recording_that_is_too_long_for_the_flow_says_so") {
        return;
    }
    let place = Place::new();
    place.bundle_copy();
    for name in ["source.wav", "prompt.wav"] {
        place.write(name, wav(16_000, 29 * 16_000, 0.5));
    }
    let line = ["synth", "--source-wav", "source.wav"];
    cvtrt(
        &place,
        &[&line[..], &["--prompt-wav", "prompt.wav"]].concat(),
    )
    .exits(2)
    .complains(&["1450 speech tokens", "at most 1024", "shorter"]);
}

#[test]
fn the_report_says_how_a_text_was_read() {
    if !has_ort("the_report_says_how_a_text_was_read") {
        return;
    }
    let place = Place::new();
    place.bundle_copy();
    let line = ["synth", "Hello.", "--json", "--max-tokens", "6"];
    let report = cvtrt(&place, &line).exits(0).json();
    let state = report["normalisation"]["state"].as_str();
    assert!(matches!(state, Some("on" | "missing")), "{report}");
    assert_eq!(report["mode"], "zero_shot");
    assert_eq!(report["voice"], "demo");
    assert_eq!(report["stand_ins"], serde_json::json!([]));
}

#[test]
fn a_bundle_without_prompt_encoders_hears_nothing_and_says_what_to_do() {
    let place = Place::new().with_time_limit(Duration::from_mins(1));
    let copy = place.bundle_copy();
    let manifest = copy.join("bundle.yaml");
    let mut text = fs::read_to_string(&manifest).expect("a manifest");
    for graph in ["speech_tokenizer", "campplus"] {
        let listed = format!("  {graph}:\n    file: {graph}.onnx\n    data: []\n");
        assert!(text.contains(&listed), "{text}");
        text = text.replace(&listed, "");
    }
    text = text
        .replace(", vc]", "]")
        .replace("lacks: {}", "lacks: {vc: no speech_tokenizer}");
    fs::write(&manifest, text).expect("a manifest");
    place.write("a.wav", wav(24_000, 24_000, 0.5));
    for line in [
        &["voices", "add", "new", "--wav", "a.wav"][..],
        &["synth", "Hello.", "--prompt-wav", "a.wav"],
    ] {
        cvtrt(&place, line)
            .exits(2)
            .complains(&["speech_tokenizer", "prompt encoders"]);
    }
    holds(&copy, &["demo", "plain"]);
}
