//! A warm decode step allocates nothing on the Rust side, drawing included.
#![expect(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use crate::fixture::Fixture;
use cvtrt::pipeline::{Drawing, Feed, Lengths, LlmPrompt, Schedule, SplitMix64, Utterance};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged; the counter is a `Cell` without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread during `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

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
