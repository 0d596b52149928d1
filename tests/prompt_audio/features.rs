//! Features, against what the original modules computed from the same clips.

use cvtrt::bundle::{Bundle, Manifest};
use cvtrt::frontend::audio::{
    AudioError, Clip, DecodeLimits, FBANK_BINS, PromptFeatures, PromptMelSpec, kaldi_fbank,
    prompt_mel, resample, speech_tokenizer_input, subtract_mean, whisper_mel,
};
use cvtrt::ids;
use cvtrt::tensor::Tensor;
use cvtrt::testkit::{data_path, read_npz};
use std::collections::BTreeMap;
use std::path::Path;

const CLIPS: [&str; 2] = ["a_24k", "b_44k1"];
const SAMPLE_TOLERANCE: f32 = 1e-4;
const LOG_TOLERANCE: f32 = 2e-3;

#[test]
fn decoded_samples_are_the_recorded_ones() {
    let goldens = goldens();
    for name in CLIPS {
        let clip = clip(name);
        assert_close(&format!("{name}.pcm"), clip.samples(), &goldens, 0.0);
    }
}

#[test]
fn resampled_audio_is_the_references() {
    let goldens = goldens();
    for name in CLIPS {
        let clip = clip(name);
        for (array, rate_hz) in [("r16k", 16_000), ("r24k", 24_000), ("r22k05", 22_050)] {
            let resampled = resample(clip.samples(), clip.rate_hz(), rate_hz).unwrap();
            assert_close(
                &format!("{name}.{array}"),
                &resampled,
                &goldens,
                SAMPLE_TOLERANCE,
            );
        }
    }
}

#[test]
fn features_of_recorded_samples_are_the_references() {
    let goldens = goldens();
    for name in CLIPS {
        let samples = |array: &str| {
            let tensor = &goldens[&format!("{name}.{array}")];
            tensor.elements::<f32>().unwrap()
        };
        let check = |array: &str, tensor: &Tensor| {
            let values = tensor.elements::<f32>().unwrap();
            assert_close(&format!("{name}.{array}"), values, &goldens, LOG_TOLERANCE);
        };
        check("whisper_mel", &whisper_mel(samples("r16k")).unwrap());
        let mut fbank = kaldi_fbank(samples("r16k")).unwrap();
        check("kaldi_fbank", &fbank);
        subtract_mean(fbank.elements_mut::<f32>().unwrap(), FBANK_BINS);
        check("campplus_in", &fbank);
        for (family, array, samples) in [
            (Family::V1, "prompt_mel_v1", samples("r22k05")),
            (Family::V2, "prompt_mel_v2", samples("r24k")),
            (Family::V3, "prompt_mel_v3", samples("r24k")),
        ] {
            check(array, &prompt_mel(samples, &family.spec()).unwrap());
        }
    }
}

#[test]
fn features_of_a_file_are_the_references() {
    let goldens = goldens();
    for name in CLIPS {
        let features = PromptFeatures::from_audio(&clip(name), &Family::V2.spec()).unwrap();
        for (array, tensor) in [
            ("whisper_mel", &features.whisper_mel),
            ("campplus_in", &features.fbank),
            ("prompt_mel_v2", &features.prompt_mel),
        ] {
            let values = tensor.elements::<f32>().unwrap();
            assert_close(&format!("{name}.{array}"), values, &goldens, LOG_TOLERANCE);
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
        let error = PromptFeatures::from_audio(&clip, &Family::V2.spec()).unwrap_err();
        assert!(expected(&error), "{name}: {error}");
    }
    let longest = Clip::new(tone(16_000, 30, 0.5), 16_000).unwrap();
    assert!(PromptFeatures::from_audio(&longest, &Family::V2.spec()).is_ok());
    let word = Clip::new(tone(6400, 1, 0.5), 16_000).unwrap();
    assert_eq!(
        speech_tokenizer_input(&word).unwrap().shape().dims(),
        [1, 128, 40]
    );
}

#[test]
fn tokens_and_mel_are_cut_to_the_same_time() {
    let manifest = Family::V2.manifest();
    let features =
        PromptFeatures::from_audio(&clip("a_24k"), &PromptMelSpec::of(&manifest)).unwrap();
    let mel = features.prompt_mel.elements::<f32>().unwrap();
    assert_eq!(mel.len(), 75 * 80);
    for (tokens, kept) in [(0, 0), (1, 1), (36, 36), (37, 37), (38, 37), (90, 37)] {
        let ids: Vec<i32> = (0..tokens).collect();
        let aligned = features.aligned(&ids, &manifest);
        assert_eq!(aligned.tokens, ids[..kept]);
        assert_eq!(aligned.mel, mel[..kept * 2 * 80]);
    }
}

#[test]
fn a_mel_of_impossible_dimensions_is_refused() {
    let good = Family::V2.spec();
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

/// The three families' real dimensions.
#[derive(Clone, Copy)]
enum Family {
    V1,
    V2,
    V3,
}

impl Family {
    fn spec(self) -> PromptMelSpec {
        PromptMelSpec::of(&self.manifest())
    }

    fn manifest(self) -> Manifest {
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny");
        let mut manifest = Bundle::open(&bundle)
            .expect("the shipped bundle opens")
            .manifest()
            .clone();
        match self {
            Self::V1 => {
                manifest.family = ids::Family::CosyVoice;
                manifest.sample_rate = 22_050;
                manifest.samples_per_frame = 256;
            }
            Self::V2 => {}
            Self::V3 => manifest.family = ids::Family::CosyVoice3,
        }
        manifest
    }
}

fn clip(name: &str) -> Clip {
    let path = data_path(&format!("goldens/frontend/{name}.wav"));
    Clip::open(&path, DecodeLimits::default()).expect("a sound file")
}

fn goldens() -> BTreeMap<String, Tensor> {
    read_npz(&data_path("goldens/frontend/frontend_audio.npz")).expect("an archive")
}

fn assert_close(name: &str, values: &[f32], goldens: &BTreeMap<String, Tensor>, tolerance: f32) {
    let golden = goldens[name].elements::<f32>().expect("f32");
    assert_eq!(values.len(), golden.len(), "{name}");
    let (worst, error) = values
        .iter()
        .zip(golden)
        .map(|(value, golden)| (value - golden).abs())
        .enumerate()
        .fold(
            (0, 0.0),
            |most, next| if next.1 > most.1 { next } else { most },
        );
    assert!(
        error <= tolerance,
        "{name}[{worst}]: {error:e} over {tolerance:e}"
    );
}
