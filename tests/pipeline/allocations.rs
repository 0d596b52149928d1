//! A warm decode step allocates nothing on the Rust side, drawing included.

#[path = "../counting/mod.rs"]
mod counting;

use crate::fixture::{Fixture, tiny_bundle};
use counting::allocations;
use cvtrt::bundle::{LlmSpec, SamplingSpec};
use cvtrt::pipeline::{
    Drawing, Feed, Lengths, LlmPrompt, Sampler, Schedule, SplitMix64, Utterance,
};

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

#[test]
fn leading_out_of_a_loop_allocates_nothing() {
    let bundle = tiny_bundle();
    let manifest = bundle.manifest();
    let LlmSpec {
        head_rows, stop, ..
    } = &manifest.llm;
    let lengths = Lengths { min: 280, max: 280 };
    let uniforms = Box::new(SplitMix64::new(1));
    let mut drawing = Drawing::new(&manifest.llm, &manifest.sampling, lengths, uniforms);
    // Draws the likeliest, however often it came before.
    let likeliest = SamplingSpec {
        top_k: 1,
        tau: 1.0,
        window: 10_000,
        ..manifest.sampling.clone()
    };
    drawing.sampler = Sampler::new(likeliest, *head_rows);
    let prompt = LlmPrompt {
        text: vec![1],
        speech: Vec::new(),
    };
    let mut utterance = Utterance::new(prompt, drawing, Schedule::OneShot, 1);
    let mut logits = vec![0f32; *head_rows];
    let mut step = |index: usize| {
        let rounds = [5, 7, 11];
        for id in rounds {
            logits[id] = if rounds[index % 3] == id { 50.0 } else { 40.0 };
        }
        utterance.give_logits(&logits).expect("finite");
    };
    step(0);
    for index in 1..280 {
        assert_eq!(allocations(|| step(index)), 0, "step {index}");
    }
    assert_eq!(utterance.loops_broken(), 2);
    assert!(utterance.tokens().iter().all(|token| !stop.contains(token)));
}
