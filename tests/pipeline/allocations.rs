//! A warm decode step allocates nothing on the Rust side, drawing included.

#[path = "../counting/mod.rs"]
mod counting;

use crate::fixture::Fixture;
use counting::allocations;
use cvtrt::pipeline::{Drawing, Feed, Lengths, LlmPrompt, Schedule, SplitMix64, Utterance};

#[test]
fn a_warm_decode_step_allocates_nothing() {
    let Some(fixture) = Fixture::cosyvoice2("a warm decode step allocates nothing") else {
        return;
    };
    let manifest = fixture.bundle.manifest();
    let lengths = Lengths { min: 60, max: 60 };
    let uniforms = Box::new(SplitMix64::new(1));
    let drawing = Drawing::new(&manifest.llm, &manifest.sampling, lengths, uniforms);
    let prompt = LlmPrompt {
        text: vec![1, 2, 3],
        speech: Vec::new(),
    };
    let mut llm = fixture.llm(1);
    let mut slot = None;
    let first = allocations(|| slot = Some(llm.prefill(&prompt).expect("prefill")));
    assert!(
        first > 0,
        "the prefill sizes its buffers, so the counter counts"
    );
    let slot = slot.expect("prefilled");
    let mut utterance = Utterance::new(prompt, drawing, Schedule::OneShot, manifest.flow.steps);
    let mut step = |llm: &mut cvtrt::pipeline::LlmStage| {
        utterance
            .give_logits(llm.logits(slot).expect("live"))
            .expect("finite");
        let token = *utterance.tokens().last().expect("drawn");
        llm.decode(&[Feed { slot, token }]).expect("decode");
    };
    step(&mut llm);
    for index in 0..40 {
        assert_eq!(allocations(|| step(&mut llm)), 0, "step {index}");
    }
}
