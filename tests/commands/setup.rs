//! `cvtrt setup`, offline: what there is to be said without a network.

use crate::place::Place;
use std::path::Path;

#[test]
fn a_folder_without_the_wheel_says_which_one_is_missing() {
    let place = Place::new();
    std::fs::create_dir(place.path("wheels")).expect("a folder");
    place
        .cvtrt(&[
            "setup",
            "--cpu",
            "--runtime-dir",
            "libs",
            "--from",
            "wheels",
        ])
        .exits(2)
        .complains(&[
            "error: wheels holds no wheel of onnxruntime ",
            "pip download",
        ]);
    assert!(is_empty(&place.path("libs")), "{:?}", place.files());
}

#[test]
fn a_wheel_of_other_content_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let said = place.cvtrt(&["setup", "--cpu", "--runtime-dir", "libs", "--from", "."]);
    let version = said
        .stderr
        .split_once(" onnxruntime==")
        .and_then(|(_, rest)| rest.lines().next())
        .unwrap_or_else(|| panic!("the hint names the wheel: {said:?}"));
    let wheel = format!("wheels/onnxruntime-{version}-cp311-cp311-manylinux_2_28_x86_64.whl");
    place.write(&wheel, "PK\x03\x04 no archive");
    place
        .cvtrt(&[
            "setup",
            "--cpu",
            "--runtime-dir",
            "libs",
            "--from",
            "wheels",
        ])
        .exits(2)
        .complains(&["error: ", "SHA-256", "onnxruntime-"]);
    assert!(is_empty(&place.path("libs")), "{:?}", place.files());
}

#[test]
fn libraries_that_are_there_stay_as_they_are() {
    let test = "libraries_that_are_there_stay_as_they_are";
    let place = Place::new();
    std::fs::create_dir(place.path("wheels")).expect("a folder");
    // An empty folder of wheels keeps a machine that lacks one from fetching it.
    let run = place.cvtrt(&["setup", "--cpu", "--json", "--from", "wheels"]);
    if run.code == Some(2) {
        cvtrt::testkit::skip(
            test,
            "set-up has not brought every wheel",
            "CVTRT_REQUIRE_ORT",
        );
        return;
    }
    let report = run.exits(0).json();
    let rows = report.as_array().expect("a row per wheel");
    assert!(!rows.is_empty());
    for row in rows {
        let origin = row["origin"].as_str().expect("an origin");
        assert!(["present", "adopted"].contains(&origin), "{row}");
        let folder = row["folder"].as_str().expect("a folder");
        assert!(Path::new(folder).is_dir(), "{row}");
        assert!(row["bytes"].as_u64().expect("a size") > 1_000_000, "{row}");
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}
