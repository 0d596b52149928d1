//! What a failing graph does to an utterance, and to the next one.

use crate::fixture::Fixture;
use crate::speaking::{request, speak};
use cvtrt::backend::{Fault, Recovery, When};
use cvtrt::ids::{BackendId, GraphId, Mode};
use cvtrt::pipeline::SpeechError;

/// Graphs, and the run at which they fail: the language model in mid-sentence, the others at once.
const RUNS: [(GraphId, u64); 5] = [
    (GraphId::Llm, 9),
    (GraphId::FlowEncoder, 1),
    (GraphId::FlowEstimator, 4),
    (GraphId::HiftF0, 1),
    (GraphId::HiftDecode, 1),
];

fn broken_graph(error: &SpeechError) -> Option<GraphId> {
    match error {
        SpeechError::Run { graph, .. }
        | SpeechError::Logits { graph, .. }
        | SpeechError::NotFinite { graph } => Some(*graph),
        _ => None,
    }
}

#[test]
fn a_failing_graph_is_named_and_the_next_utterance_is_untouched() {
    let Some(mut fixture) = Fixture::cosyvoice2("a failing graph is named") else {
        return;
    };
    let request = request(&fixture, Mode::ZeroShot, "demo");
    let clean = speak(&mut fixture.synthesizer(), &request);
    for (graph, run) in RUNS {
        let whole = fixture.graphs[&graph].clone();
        for fault in [Fault::NotANumber, Fault::FailedRun] {
            fixture.break_graph(graph, fault, When::At(run));
            let mut synthesizer = fixture.synthesizer();
            let error = synthesizer.speak(&request).expect_err("a broken graph");
            assert_eq!(broken_graph(&error), Some(graph), "{fault:?}: {error}");
            if let SpeechError::Logits { tokens, .. } = error {
                assert_eq!(tokens, 8, "tokens before the failing run");
            }
            let next = speak(&mut synthesizer, &request);
            assert!(next.pcm == clean.pcm, "{graph} after {fault:?}");
        }
        fixture.graphs.insert(graph, whole);
    }
}

#[test]
fn a_graph_that_fails_goes_on_with_the_next_link_and_the_speech_is_the_same() {
    let Some(mut fixture) = Fixture::cosyvoice2("a failing graph goes on with the next link")
    else {
        return;
    };
    let request = request(&fixture, Mode::ZeroShot, "demo");
    let clean = speak(&mut fixture.synthesizer(), &request);
    let faults = [
        (Fault::RefusedLane, Recovery::Link),
        (Fault::FailedRun, Recovery::Link),
        (Fault::RunOutOfMemory, Recovery::Link),
        (Fault::NotANumber, Recovery::Link),
        (Fault::OutsideProfiles, Recovery::Call),
    ];
    for (graph, run) in RUNS {
        let whole = fixture.graphs[&graph].clone();
        for (fault, recovery) in faults {
            let case = format!("{graph} {fault:?}");
            let run = if fault == Fault::RefusedLane { 1 } else { run };
            let falls = fixture.chain(graph, fault, When::At(run));
            let mut synthesizer = fixture.synthesizer();
            let speech = speak(&mut synthesizer, &request);
            assert!(speech.pcm == clean.pcm, "{case}");
            let fallen = falls.list();
            let [fall] = &fallen[..] else {
                panic!("{case}: {fallen:?}")
            };
            assert_eq!(fall.recovery, recovery, "{case}");
            assert_eq!(
                (fall.from, fall.to, fall.times),
                (BackendId::OrtCuda, BackendId::OrtCpu, 1),
                "{case}"
            );
            assert!(!fall.reason.is_empty(), "{case}");
            // One call elsewhere leaves the lane where it is; a lost link does not.
            let now = match recovery {
                Recovery::Call => BackendId::OrtCuda,
                _ => BackendId::OrtCpu,
            };
            assert_eq!(speech.backends[&graph], now, "{case}");
        }
        fixture.graphs.insert(graph, whole);
    }
}

#[test]
fn a_lost_device_says_who_must_act() {
    let Some(mut fixture) = Fixture::cosyvoice2("a lost device says who must act") else {
        return;
    };
    fixture.break_graph(GraphId::Llm, Fault::DeviceLost, When::At(1));
    let request = request(&fixture, Mode::ZeroShot, "demo");
    let error = fixture
        .synthesizer()
        .speak(&request)
        .expect_err("no device");
    let SpeechError::Run { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(source.recovery(), Recovery::Process);
}
