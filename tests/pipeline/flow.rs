//! The flow: condition, estimator and mel, one shot and under chunk masks.

use crate::fixture::{Fixture, Golden, check};
use cvtrt::compare::Tolerance;
use cvtrt::pipeline::{Attention, FlowCall, FlowSolve, stretch};
use cvtrt::tensor::{DType, Shape, Tensor};

const GATE: f64 = 1e-4;

struct Case {
    name: &'static str,
    tokens: Option<usize>,
    finalize: bool,
    attention: Attention,
    /// Whether the estimator's calls were recorded.
    calls: bool,
}

const CASES: [Case; 4] = [
    Case {
        name: "full",
        tokens: None,
        finalize: true,
        attention: Attention::Full,
        calls: true,
    },
    Case {
        name: "chunk1",
        tokens: Some(18),
        finalize: false,
        attention: Attention::Chunked,
        calls: true,
    },
    Case {
        name: "chunk2",
        tokens: Some(43),
        finalize: false,
        attention: Attention::Chunked,
        calls: false,
    },
    Case {
        name: "last_streaming",
        tokens: None,
        finalize: true,
        attention: Attention::Chunked,
        calls: true,
    },
];

#[test]
fn mels_are_the_recorded_ones() {
    let Some(fixture) = Fixture::cosyvoice2("mels are the recorded ones") else {
        return;
    };
    let golden = Golden::read("cosyvoice2-tiny/golden_flow.npz");
    let bins = fixture.bundle.manifest().mel_bins;
    let mut flow = fixture.flow();
    let mut solve = FlowSolve::new(bins);
    let mut mel = Tensor::zeros(DType::F32, Shape::new(&[1, bins, 0]));
    let token = golden.ids("token");
    for case in CASES {
        let name = |array: &str| format!("{}.{array}", case.name);
        let near = |array: &str, got: &[f32]| {
            golden.check(&name(array), got, Tolerance::absolute(GATE));
        };
        let call = FlowCall {
            prompt_tokens: golden.ids("prompt_token"),
            tokens: &token[..case.tokens.unwrap_or(token.len())],
            prompt_mel: golden.floats("prompt_feat"),
            embedding: golden.floats("embedding"),
            finalize: case.finalize,
            attention: case.attention,
        };
        flow.encode(&call, &mut solve).expect("encode");
        near("mu", solve.mu());
        if case.calls {
            near("spks", solve.spks());
            near("z", solve.sample());
        }
        for step in 0..flow.steps() {
            let recorded = case.calls && (step == 0 || step == 6);
            if recorded {
                let both = golden.floats(&name(&format!("est{step}.x")));
                let want = &both[..both.len() / 2];
                let case = name(&format!("est{step}.x"));
                check(&case, solve.sample(), want, Tolerance::absolute(GATE));
            }
            flow.step(&mut solve, step).expect("step");
            if recorded {
                near(&format!("est{step}.out"), solve.velocity());
            }
        }
        solve.copy_mel(0, &mut mel);
        near("mel", mel.elements().expect("f32"));
    }
}

#[test]
fn a_faster_mel_is_the_recorded_one() {
    let golden = Golden::read("cosyvoice2-tiny/golden_flow.npz");
    let mut stretched = Tensor::zeros(DType::F32, Shape::new(&[1, 80, 0]));
    stretch(golden.tensor("full.mel"), 1.25, &mut stretched);
    let got = stretched.elements().expect("f32");
    golden.check("speed.mel_1p25", got, Tolerance::absolute(1e-5));
}
