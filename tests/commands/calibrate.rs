//! `cvtrt calibrate`.

use crate::built::has_or_skip;
use crate::place::Place;
use cvtrt::bundle::{Bundle, StatCache};
use cvtrt::ids::BackendId;
use std::ffi::OsString;

#[test]
fn ranges_are_recorded_and_added_to() {
    if !has_or_skip(BackendId::OrtCpu, "ranges_are_recorded_and_added_to") {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle_copy();
    let texts = place.write("texts", "Good morning.\n\nGood night.\n");
    let mut line = args!["calibrate", "--json", "--bundle", bundle.clone()];
    line.extend(args!["--max-tokens", "4", "--texts", texts]);
    for times in 1..=2 {
        let rows = place.cvtrt(&line).exits(0).json();
        let rows = rows.as_array().expect("rows");
        assert_eq!(rows.len(), 5, "{rows:?}");
        let estimator = rows.iter().find(|row| row["graph"] == "flow_estimator");
        let estimator = estimator.expect("it runs");
        assert_eq!(estimator["runs"], times * 20, "{estimator}");
        assert!(estimator["reaches"].as_f64().expect("a number") > 100.0);
    }
    let opened = Bundle::open(&bundle).expect("sound");
    opened
        .verify(&mut StatCache::in_memory())
        .expect("as listed");
    assert!(opened.manifest().ranges.is_some());
}

#[test]
fn what_cannot_be_said_is_named() {
    if !has_or_skip(BackendId::OrtCpu, "what_cannot_be_said_is_named") {
        return;
    }
    let place = Place::new();
    let bundle = place.bundle_copy();
    let line = |more: &[&str]| {
        let mut line = args!["calibrate", "--bundle", bundle.clone()];
        line.extend(more.iter().map(OsString::from));
        line
    };
    let refused = |more: &[&str], word: &str| {
        place.cvtrt(&line(more)).exits(2).complains(&[word]);
    };
    refused(&["--texts", "nowhere.txt"], "nowhere.txt");
    refused(&["--voices", "nobody"], "nobody");
    refused(&["--max-tokens", "0"], "--max-tokens");
}
