//! Repetition-aware sampling, draw by draw.

use crate::fixture::{Fixture, Golden, check, tiny_bundle};
use cvtrt::bundle::SamplingSpec;
use cvtrt::compare::Tolerance;
use cvtrt::pipeline::{
    Demand, Drawing, Feed, Lengths, LlmPrompt, Sampler, Schedule, Uniforms, Utterance,
};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Uniforms from a recording, and how many were used.
#[derive(Debug)]
struct Recorded {
    uniforms: Vec<f32>,
    used: Arc<AtomicUsize>,
}

impl Recorded {
    fn new(uniforms: &[f32]) -> Self {
        Self {
            uniforms: uniforms.to_vec(),
            used: Arc::default(),
        }
    }
}

impl Uniforms for Recorded {
    fn draw(&mut self) -> f32 {
        self.uniforms[self.used.fetch_add(1, Ordering::Relaxed)]
    }
}

fn sampling() -> SamplingSpec {
    tiny_bundle().manifest().sampling.clone()
}

#[test]
fn draws_are_the_recorded_ones() {
    let golden = Golden::read("frontend/sampling.npz");
    for case in 0..12 {
        let name = |array: &str| format!("{case}.{array}");
        // Softmax of a log-softmax is the softmax itself.
        let logits = golden.floats(&name("logp"));
        let history = golden.ids(&name("history"));
        let mut sampler = Sampler::new(sampling(), logits.len());
        for (draw, uniforms) in golden.floats(&name("uniforms")).chunks(4).enumerate() {
            let mut uniforms = Recorded::new(uniforms);
            let token = sampler
                .draw(logits, &RangeInclusive::new(1, 0), history, &mut uniforms)
                .expect("finite");
            let used = uniforms.used.load(Ordering::Relaxed);
            assert_eq!(
                token,
                golden.ids(&name("tokens"))[draw],
                "case {case} draw {draw}"
            );
            let wanted = golden.ids(&name("uniforms_used"))[draw];
            assert_eq!(
                i32::try_from(used),
                Ok(wanted),
                "case {case} draw {draw}: uniforms"
            );
        }
        let (weights, ids): (Vec<f32>, Vec<i32>) = sampler.nucleus().iter().copied().unzip();
        assert_eq!(ids, golden.ids(&name("nucleus_ids")), "case {case}");
        let wanted = golden.floats(&name("nucleus_probs"));
        check(
            &name("nucleus_probs"),
            &weights,
            wanted,
            Tolerance::absolute(1e-6),
        );
    }
}

/// The recorded run masks a single stop id before the shortest length, as upstream does.
#[test]
fn an_utterance_draws_the_recorded_tokens() {
    let Some(fixture) = Fixture::cosyvoice2("an utterance draws the recorded tokens") else {
        return;
    };
    let golden = Golden::read("cosyvoice2-tiny/golden_llm.npz");
    let manifest = fixture.bundle.manifest();
    let wanted = golden.ids("ras.tokens");
    let text = golden.ids("text");
    let mut lengths = Lengths::of_text(text.len(), &manifest.sampling, usize::MAX).expect("room");
    lengths.max = wanted.len();
    let uniforms = Recorded::new(golden.floats("ras.uniforms"));
    let used = Arc::clone(&uniforms.used);
    let mut drawing = Drawing::new(
        &manifest.llm,
        &manifest.sampling,
        lengths,
        Box::new(uniforms),
    );
    drawing.masked_early = manifest.llm.eos..=manifest.llm.eos;
    let prompt = LlmPrompt {
        text: [golden.ids("prompt_text"), text].concat(),
        speech: golden.ids("prompt_speech_token").to_vec(),
    };
    let mut llm = fixture.llm(1);
    let mut utterance = Utterance::new(prompt, drawing, Schedule::OneShot, manifest.flow.steps);
    let mut slot = None;
    while let Some(demand) = utterance.token_demand() {
        let slot = match demand {
            Demand::Prefill(prompt) => *slot.insert(llm.prefill(prompt).expect("prefill")),
            Demand::Decode(token) => {
                let slot = slot.expect("prefilled");
                llm.decode(&[Feed { slot, token }]).expect("decode");
                slot
            }
            other => panic!("{other:?} is no work for the language model"),
        };
        utterance
            .give_logits(llm.logits(slot).expect("live"))
            .expect("finite");
    }
    assert_eq!(utterance.tokens(), wanted, "ras.tokens");
    let used = i32::try_from(used.load(Ordering::Relaxed)).expect("few");
    assert_eq!([used], golden.ids("ras.uniforms_used"), "ras.uniforms_used");
}
