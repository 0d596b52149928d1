//! Recordings through the prompt encoders.

use crate::fixture::Fixture;
use cvtrt::frontend::audio::{Clip, PromptFeatures, PromptMelSpec, speech_tokenizer_input};
use cvtrt::hint::{Class, Hint};
use cvtrt::ids::GraphId;
use cvtrt::pipeline::{ConversionRequest, End, OpenError};
use cvtrt::reading::{ListenError, Listener};
use std::sync::Arc;

/// A buzz at 150 Hz that grows louder.
#[expect(clippy::cast_precision_loss, reason = "clips have few samples")]
fn clip(rate_hz: u32, samples: usize) -> Clip {
    let sample = |index| {
        let phase = index as f32 / rate_hz as f32 * 150.0;
        (phase.fract() - 0.5) * (0.2 + 0.5 * index as f32 / samples as f32)
    };
    Clip::new((0..samples).map(sample).collect(), rate_hz).expect("finite samples")
}

#[test]
fn tokens_and_mel_are_equally_long_whatever_the_recording() {
    let Some(fixture) = Fixture::cosyvoice2("tokens and mel are equally long") else {
        return;
    };
    let manifest = fixture.bundle.manifest();
    let mut listener = fixture.listener().expect("the stand-ins fit");
    for (rate_hz, samples) in [
        (16_000, 8000),
        (16_000, 16_123),
        (24_000, 24_000),
        (24_000, 50_001),
        (44_100, 100_000),
        (48_000, 48_000 * 30),
    ] {
        let case = format!("{samples} samples at {rate_hz} Hz");
        let clip = clip(rate_hz, samples);
        let voice = listener.voice("new", &clip, Some(" words ")).expect(&case);
        let tokens = voice.prompt_token.len();
        let frames = manifest.frames_of_tokens(tokens);
        assert_eq!(voice.prompt_mel.len(), frames * manifest.mel_bins, "{case}");
        let longest = clip.seconds() * f64::from(manifest.token_rate);
        let close = longest - 2.0..=longest + 1e-9;
        let found = f64::from(u32::try_from(tokens).expect("few"));
        assert!(close.contains(&found), "{case}: {tokens} tokens");
        assert_eq!(voice.transcript.as_deref(), Some("words"), "{case}");

        let features = PromptFeatures::from_audio(&clip, &PromptMelSpec::of(manifest));
        let mel = features.expect(&case).prompt_mel;
        let mel = mel.elements::<f32>().expect("f32");
        assert_eq!(voice.prompt_mel, mel[..voice.prompt_mel.len()], "{case}");
    }
}

#[test]
fn what_cannot_be_heard_is_an_input_error() {
    let Some(fixture) = Fixture::cosyvoice2("what cannot be heard is an input error") else {
        return;
    };
    let mut listener = fixture.listener().expect("the stand-ins fit");
    let silence = Clip::new(vec![0.0; 32_000], 16_000).expect("finite");
    for (case, clip) in [
        ("silence", silence),
        ("short", clip(16_000, 7000)),
        ("long", clip(16_000, 30 * 16_000 + 1)),
        ("slow", clip(8000, 16_000)),
    ] {
        let error = listener.voice("new", &clip, None).expect_err(case);
        assert!(matches!(error, ListenError::Audio(_)), "{case}: {error}");
        assert_eq!(error.class(), Class::Input, "{case}");
    }
    let error = listener
        .voice("../new", &clip(16_000, 16_000), None)
        .expect_err("no name");
    assert!(matches!(error, ListenError::Voice(_)), "{error}");
}

#[test]
fn a_source_is_said_again_token_by_token() {
    let Some(fixture) = Fixture::cosyvoice2("a source is said again token by token") else {
        return;
    };
    let manifest = fixture.bundle.manifest();
    let source = clip(24_000, 36_000);
    let features = speech_tokenizer_input(&source).expect("a source");
    assert_eq!(features.shape().dims(), [1, 128, 150]);
    let tokens = fixture
        .listener()
        .expect("fits")
        .tokens(&source)
        .expect("heard");
    assert_eq!(tokens.len(), 38, "a quarter of the features, rounded up");

    let voice = Arc::new(fixture.bundle.voice("demo").expect("a voice"));
    let mut synthesizer = fixture.synthesizer();
    let request = ConversionRequest {
        tokens: tokens.clone(),
        voice,
        seed: 4,
        speed: 1.0,
    };
    let speech = synthesizer.convert(&request).expect("speech");
    assert_eq!((&speech.tokens, speech.end), (&tokens, End::Given));
    let samples = manifest.frames_of_tokens(tokens.len()) * manifest.samples_per_frame;
    assert_eq!(speech.pcm.len(), samples);
    let again = synthesizer.convert(&request).expect("speech");
    assert!(speech.pcm == again.pcm, "a seed repeats");
    let other = ConversionRequest { seed: 5, ..request };
    assert!(speech.pcm != synthesizer.convert(&other).expect("speech").pcm);
}

#[test]
fn a_graph_that_is_no_encoder_is_refused_by_name() {
    let Some(mut fixture) = Fixture::cosyvoice2("a graph that is no encoder is refused") else {
        return;
    };
    let pitch = fixture.graphs[&GraphId::HiftF0].clone();
    fixture.graphs.insert(GraphId::Campplus, pitch);
    let refused = |fixture: &Fixture| {
        fixture
            .listener()
            .map(|_: Listener| ())
            .expect_err("no encoder")
    };
    let error = refused(&fixture);
    let graph = GraphId::Campplus;
    assert!(
        matches!(error, OpenError::Contract { graph: found, .. } if found == graph),
        "{error}"
    );
    fixture.graphs.remove(&graph);
    let error = refused(&fixture);
    assert!(
        matches!(error, OpenError::MissingGraph(found) if found == graph),
        "{error}"
    );
}
