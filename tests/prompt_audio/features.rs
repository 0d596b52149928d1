//! Features of whole files; `cvtrt::parity` replays each kind by itself.

use cvtrt::bundle::Bundle;
use cvtrt::compare::compare;
use cvtrt::frontend::audio::{
    AudioError, Clip, DecodeLimits, PromptFeatures, PromptMelSpec, prompt_mel,
    speech_tokenizer_input,
};
use cvtrt::ids::Family;
use cvtrt::parity::{Arithmetic, Quantity};
use cvtrt::tensor::{TensorView, read_npz};
use cvtrt::testkit::data_path;
use std::path::Path;

const CLIPS: [&str; 2] = ["a_24k", "b_44k1"];

#[test]
fn features_of_a_file_are_the_references() {
    let goldens = read_npz(&data_path("goldens/frontend/frontend_audio.npz")).expect("an archive");
    for name in CLIPS {
        let features = PromptFeatures::from_audio(&clip(name), &spec()).unwrap();
        for (array, tensor) in [
            ("whisper_mel", &features.whisper_mel),
            ("campplus_in", &features.fbank),
            ("prompt_mel_v2", &features.prompt_mel),
        ] {
            // The reference shapes some of them without the batch.
            let want = &goldens[&format!("{name}.{array}")];
            let got = TensorView::new(tensor.dtype(), want.shape(), tensor.view().bytes());
            let metrics = compare(got.expect("as many values"), want.view()).unwrap();
            metrics.assert(Quantity::LogFeatures.gate(Arithmetic::Exact).tolerance());
        }
        assert_eq!(
            features.whisper_mel.shape(),
            goldens[&format!("{name}.whisper_mel")].shape()
        );
        assert_eq!(features.fbank.shape().dims()[0], 1);
        assert_eq!(features.prompt_mel.shape().dims()[2], 80);
    }
}

#[test]
fn speech_is_refused_with_a_reason() {
    type Expected = fn(&AudioError) -> bool;
    let tone = |samples: u16, seconds: usize, level: f32| -> Vec<f32> {
        let period = (0..samples).map(|i| level * (f32::from(i) * 0.1).sin());
        period.collect::<Vec<_>>().repeat(seconds)
    };
    let cases: [(&str, Vec<f32>, u32, Expected); 6] = [
        ("8 kHz", tone(8000, 1, 0.5), 8000, |error| {
            matches!(error, AudioError::LowRate { rate_hz: 8000, .. })
        }),
        ("more than 30 s", tone(16_001, 30, 0.5), 16_000, |error| {
            matches!(error, AudioError::TooLong { max_seconds: 30 })
        }),
        ("0.4 s", tone(6400, 1, 0.5), 16_000, |error| {
            matches!(error, AudioError::TooShort { ms: 400, .. })
        }),
        ("empty", Vec::new(), 16_000, |error| {
            matches!(error, AudioError::TooShort { ms: 0, .. })
        }),
        ("zeros", vec![0.0; 32_000], 16_000, |error| {
            matches!(error, AudioError::Silent { peak: 0.0 })
        }),
        (
            "a whisper of noise",
            tone(16_000, 2, 5e-4),
            16_000,
            |error| matches!(error, AudioError::Silent { .. }),
        ),
    ];
    for (name, samples, rate_hz, expected) in cases {
        let clip = Clip::new(samples, rate_hz).unwrap();
        let error = PromptFeatures::from_audio(&clip, &spec()).unwrap_err();
        assert!(expected(&error), "{name}: {error}");
    }
    let longest = Clip::new(tone(16_000, 30, 0.5), 16_000).unwrap();
    assert!(PromptFeatures::from_audio(&longest, &spec()).is_ok());
    let word = Clip::new(tone(6400, 1, 0.5), 16_000).unwrap();
    assert_eq!(
        speech_tokenizer_input(&word).unwrap().shape().dims(),
        [1, 128, 40]
    );
}

#[test]
fn tokens_and_mel_are_cut_to_the_same_time() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny");
    let bundle = Bundle::open(&folder).expect("the shipped bundle opens");
    let manifest = bundle.manifest();
    let features =
        PromptFeatures::from_audio(&clip("a_24k"), &PromptMelSpec::of(manifest)).unwrap();
    let mel = features.prompt_mel.elements::<f32>().unwrap();
    assert_eq!(mel.len(), 75 * 80);
    for (tokens, kept) in [(0, 0), (1, 1), (36, 36), (37, 37), (38, 37), (90, 37)] {
        let ids: Vec<i32> = (0..tokens).collect();
        let aligned = features.aligned(&ids, manifest);
        assert_eq!(aligned.tokens, ids[..kept]);
        assert_eq!(aligned.mel, mel[..kept * 2 * 80]);
    }
}

#[test]
fn a_mel_of_impossible_dimensions_is_refused() {
    let good = spec();
    for (field, spec) in [
        ("hop", PromptMelSpec { hop: 0, ..good }),
        ("hop", PromptMelSpec { hop: 1921, ..good }),
        (
            "window",
            PromptMelSpec {
                window: usize::MAX,
                ..good
            },
        ),
        ("bins", PromptMelSpec { bins: 0, ..good }),
        ("bins", PromptMelSpec { bins: 961, ..good }),
    ] {
        let error = prompt_mel(&vec![0.0; 4800], &spec).unwrap_err();
        assert!(
            matches!(error, AudioError::MelSpec { field: found, .. } if found == field),
            "{spec:?}: {error}"
        );
    }
    let error = prompt_mel(&[0.0; 720], &good).unwrap_err();
    assert!(matches!(
        error,
        AudioError::FewSamples {
            min_samples: 721,
            ..
        }
    ));
}

fn spec() -> PromptMelSpec {
    PromptMelSpec::upstream(Family::CosyVoice2)
}

fn clip(name: &str) -> Clip {
    let path = data_path(&format!("goldens/frontend/{name}.wav"));
    Clip::open(&path, DecodeLimits::default()).expect("a sound file")
}
