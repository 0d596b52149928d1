//! The recorded cases, replayed as `cvtrt parity` replays them.

use crate::fixture::{Fixture, tiny_bundle};
use cvtrt::backend::{Fault, Lane, When};
use cvtrt::cuda::HostGpu;
use cvtrt::ids::GraphId;
use cvtrt::parity::{GoldenSet, ParityError, Report, Row, Stage, Subject, Verdict, replay};
use cvtrt::pipeline::Graphs;
use cvtrt::testkit::data_path;
use std::collections::BTreeMap;

pub(crate) fn goldens(folder: &str) -> GoldenSet {
    GoldenSet::open(&data_path("goldens").join(folder)).expect("recordings of the repository")
}

/// Prints what a failing test, or `--nocapture`, shows: every case with its error.
#[expect(clippy::print_stderr, reason = "read by whoever runs the test")]
pub(crate) fn show(row: &Row) {
    let Row {
        stage,
        case,
        max_abs_error,
        tolerance,
        result,
        reason,
        ..
    } = row;
    eprintln!("{stage} {case}: {max_abs_error:?} of {tolerance:?}, {result:?} {reason:?}");
}

#[track_caller]
fn assert_passes(report: &Report, wanted: &[(Stage, usize)]) {
    let failed: Vec<&Row> = report.rows.iter().filter(|row| row.is_failed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for &(stage, wanted) in wanted {
        let passed = report
            .rows
            .iter()
            .filter(|row| row.stage == stage && row.result == Verdict::Pass);
        assert_eq!(passed.count(), wanted, "cases of {stage}");
    }
}

/// Every recorded case of the small bundle passes.
#[track_caller]
pub(crate) fn assert_all_stages_pass(report: &Report) {
    let wanted = [
        (Stage::Llm, 11),
        (Stage::Flow, 43),
        (Stage::Hift, 8),
        (Stage::EndToEnd, 2),
    ];
    assert_passes(report, &wanted);
}

#[test]
fn every_stage_is_as_recorded() {
    let Some(fixture) = Fixture::cosyvoice2("every stage is as recorded") else {
        return;
    };
    let report = replay(&goldens("cosyvoice2-tiny"), &fixture.subject(), &mut show);
    assert_all_stages_pass(&report.expect("recordings of this bundle"));
}

/// The same recordings and the same gates: tensors stay on the device, and the estimator's are wider than its frames.
#[test]
fn every_stage_is_as_recorded_on_a_device() {
    let device = HostGpu::default();
    let test = "every stage is as recorded on a device";
    let Some(fixture) = Fixture::on_device(test, &device, &[]) else {
        return;
    };
    let report = replay(&goldens("cosyvoice2-tiny"), &fixture.subject(), &mut show);
    assert_all_stages_pass(&report.expect("recordings of this bundle"));
    drop(fixture);
    assert_eq!(device.outstanding(), (0, 0));
}

#[test]
fn the_front_end_is_as_recorded() {
    let bundle = tiny_bundle();
    let subject = Subject {
        bundle: &bundle,
        graphs: &Graphs::new(),
        precisions: &BTreeMap::new(),
        lane: &Lane::on_host(0),
    };
    let report = replay(&goldens("frontend"), &subject, &mut show).expect("needs no graph");
    let wanted = [(Stage::Sampling, 48), (Stage::Audio, 20), (Stage::Text, 68)];
    assert_passes(&report, &wanted);

    let error = replay(&goldens("cosyvoice2-tiny"), &subject, &mut show);
    // Noise and stretching need no graph either; everything else says which one it needs.
    let report = error.expect("two cases run");
    assert_eq!((report.passed, report.failed), (2, 0));
    let reasons: Vec<&str> = report
        .rows
        .iter()
        .filter_map(|row| row.reason.as_deref())
        .collect();
    assert!(
        reasons.contains(&"the graph `llm` is not loaded"),
        "{reasons:?}"
    );
}

#[test]
fn a_broken_graph_fails_its_cases_and_no_others() {
    let Some(mut fixture) = Fixture::cosyvoice2("a broken graph fails its cases") else {
        return;
    };
    fixture.break_graph(GraphId::HiftDecode, Fault::NotANumber, When::Always);
    let report = replay(&goldens("cosyvoice2-tiny"), &fixture.subject(), &mut show);
    let report = report.expect("other stages run");
    let failed = report.rows.iter().filter(|row| row.is_failed());
    let cases: Vec<&str> = failed.map(|row| row.case.as_str()).collect();
    assert_eq!(cases, ["call0.wav", "call1.wav", "full.wav"]);
}

#[test]
fn a_folder_without_recordings_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = GoldenSet::open(folder.path()).expect_err("nothing to replay");
    assert!(matches!(error, ParityError::Empty { .. }), "{error}");
}
