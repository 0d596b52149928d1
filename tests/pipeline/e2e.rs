//! Speech tokens to waveform through the synthesiser.

use crate::fixture::{Fixture, Golden};
use crate::noise::Counted;
use cvtrt::bundle::Voice;
use cvtrt::compare::Tolerance;
use cvtrt::pipeline::{Attention, End, FlowCall, FlowSolve, SplitMix64};
use cvtrt::tensor::{DType, Shape, Tensor};

#[test]
fn one_shot_speech_is_the_recorded_one() {
    let Some(fixture) = Fixture::cosyvoice2("one-shot speech is the recorded one") else {
        return;
    };
    let golden = Golden::read("cosyvoice2-tiny/golden_e2e.npz");
    let voice = Voice {
        name: "recorded".to_owned(),
        prompt_token: golden.ids("prompt_token").to_vec(),
        prompt_mel: golden.floats("prompt_feat").to_vec(),
        embedding: golden.floats("embedding").to_vec(),
        transcript: None,
    };
    let base = golden.tensor("noise_base").elements::<i64>().expect("i64")[0];
    let seed = u64::try_from(base).expect("a seed") + 2;
    let mut noise = Counted(SplitMix64::new(seed));
    let tokens = golden.ids("token").to_vec();
    let speech = fixture
        .synthesizer()
        .speak_tokens(tokens, &voice, 1.0, &mut noise)
        .expect("speech");
    assert_eq!(speech.end, End::Given);
    golden.check("full.wav", &speech.pcm, Tolerance::relative_l2(1e-2));
}

#[test]
fn the_mel_on_the_way_is_the_recorded_one() {
    let Some(fixture) = Fixture::cosyvoice2("the mel on the way is the recorded one") else {
        return;
    };
    let golden = Golden::read("cosyvoice2-tiny/golden_e2e.npz");
    let bins = fixture.bundle.manifest().mel_bins;
    let (mut flow, mut solve) = (fixture.flow(), FlowSolve::new(bins));
    let call = FlowCall {
        prompt_tokens: golden.ids("prompt_token"),
        tokens: golden.ids("token"),
        prompt_mel: golden.floats("prompt_feat"),
        embedding: golden.floats("embedding"),
        finalize: true,
        attention: Attention::Full,
    };
    flow.encode(&call, &mut solve).expect("encode");
    for step in 0..flow.steps() {
        flow.step(&mut solve, step).expect("step");
    }
    let mut mel = Tensor::zeros(DType::F32, Shape::new(&[1, bins, 0]));
    solve.copy_mel(0, &mut mel);
    let got = mel.elements().expect("f32");
    golden.check("full.mel", got, Tolerance::absolute(1e-4));
}
