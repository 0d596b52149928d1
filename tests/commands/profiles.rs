//! `cvtrt profiles`: what there is, and what suits a machine.

use crate::place::Place;

#[test]
fn ready_made_profiles_are_listed_and_a_file_goes_first() {
    let place = Place::new();
    place.cvtrt(&["profiles", "list"]).exits(0).says(&[
        "cpu",
        "default",
        "rtx",
        "ready-made",
        "tensorrt-rtx",
    ]);
    let listed = place.cvtrt(&["profiles", "list", "--json"]).exits(0).json();
    let names: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, ["cpu", "default", "rtx"]);
}

#[test]
fn a_shown_profile_can_be_used() {
    let place = Place::new();
    let shown = place.cvtrt(&["profiles", "show", "rtx"]).exits(0).text();
    place.write("mine.yaml", &shown);
    let again = place
        .cvtrt(&["profiles", "show", "./mine.yaml"])
        .exits(0)
        .text();
    let body = |text: &str| text.split_once('\n').map(|(_, body)| body.to_owned());
    assert_eq!(body(&shown), body(&again));
}

#[test]
fn a_machine_that_can_run_nothing_is_told_so() {
    let place = Place::new();
    let run = place.cvtrt(&["profiles", "recommend", "--json", "--runtime-dir", "."]);
    let report = run.json();
    let fits = report["profiles"].as_array().expect("one row each");
    assert_eq!(fits.len(), 3, "{report}");
    for fit in fits {
        let misfits = fit["misfits"].as_array().expect("a list");
        assert_eq!(
            fit["runs_on"].is_null(),
            misfits.iter().any(|one| one["misfit"] == "no_backend")
        );
    }
    let expected = i32::from(report["recommended"].is_null());
    let text = place
        .cvtrt(&["profiles", "recommend", "--runtime-dir", "."])
        .exits(expected);
    text.says(&["here: ", "fits"]);
}
