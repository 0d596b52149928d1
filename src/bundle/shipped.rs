//! The bundle in the repository, read by this room.

use super::fixture::set_age;
use super::{Bundle, StatCache};
use crate::ids::{GraphId, Mode};
use std::fs;
use std::path::Path;
use std::time::Duration;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/onnx/cosyvoice2-tiny");

fn open() -> Bundle {
    Bundle::open(Path::new(DIR)).expect("the shipped bundle opens")
}

#[test]
fn it_is_what_its_manifest_says() {
    let bundle = open();
    bundle
        .verify(&mut StatCache::in_memory())
        .expect("as listed");
    for graph in [
        GraphId::Llm,
        GraphId::FlowEncoder,
        GraphId::FlowEstimator,
        GraphId::HiftF0,
        GraphId::HiftDecode,
    ] {
        assert!(bundle.graph_file(graph).expect("there").path.is_file());
    }
    assert!(bundle.manifest().modes.contains(&Mode::ZeroShot));
}

#[test]
fn its_tables_hold_a_row_for_every_id() {
    let bundle = open();
    let llm = &bundle.manifest().llm;
    let tables = bundle.tables().expect("sound");
    let mut row = vec![0.0; llm.hidden];
    for id in 0..i32::try_from(llm.head_rows).expect("small") {
        tables
            .speech_embedding
            .copy_row(id, &mut row)
            .expect("there");
        assert!(row.iter().all(|value| value.is_finite()));
    }
    assert!(row.iter().any(|value| *value != 0.0));
    assert!(tables.source_weight.iter().any(|weight| *weight != 0.0));
}

#[test]
fn its_voices_fit() {
    let bundle = open();
    let names = bundle.voice_names();
    assert!(!names.is_empty());
    let prompts: Vec<_> = names
        .iter()
        .map(|name| bundle.voice(name).expect("sound").prompt_token.len())
        .collect();
    assert!(
        prompts.iter().any(|tokens| *tokens > 0),
        "a voice with a prompt"
    );
    assert!(prompts.contains(&0), "a voice without one");
}

#[test]
fn a_second_verify_hashes_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let copy = dir.path().join("bundle");
    for file in open()
        .manifest()
        .files
        .keys()
        .map(super::BundlePath::as_str)
        .chain(["bundle.yaml"])
    {
        let to = copy.join(file);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::copy(Path::new(DIR).join(file), &to).expect("copied");
        set_age(&to, Duration::from_mins(1));
    }
    let bundle = Bundle::open(&copy).expect("opens");
    let total: u64 = bundle
        .manifest()
        .files
        .values()
        .map(|file| file.bytes)
        .sum();
    for hashed in [total, 0] {
        let mut digests = StatCache::open(&dir.path().join("cache"));
        bundle.verify(&mut digests).expect("as listed");
        assert_eq!(digests.hashed_bytes(), hashed);
    }
}

#[test]
fn its_summary_is_json_of_everything_in_it() {
    let bundle = open();
    let summary = serde_json::to_value(bundle.summary().expect("sound")).expect("serialises");
    let len = |field: &str| summary[field].as_array().map(Vec::len);
    assert_eq!(len("graphs"), Some(bundle.graphs().count()));
    assert_eq!(len("voices"), Some(bundle.voice_names().len()));
    assert!(len("tables") >= Some(5));
    assert_eq!(summary["name"], bundle.manifest().name);
}
