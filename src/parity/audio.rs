//! `frontend_audio.npz`: what the models hear of audio clips.

use super::error::{GoldenError, ParityError};
use super::gate::{Arithmetic, Gate, Quantity};
use super::golden::Golden;
use super::report::Rows;
use crate::frontend::audio::{
    AudioError, Clip, DecodeLimits, FBANK_BINS, PromptMelSpec, kaldi_fbank, prompt_mel, resample,
    subtract_mean, whisper_mel,
};
use crate::ids::Family;
use crate::tensor::Tensor;

/// Arrays of resampled audio, and their rates.
const RATES: [(&str, u32); 3] = [("r16k", 16_000), ("r24k", 24_000), ("r22k05", 22_050)];

/// Arrays of prompt mels, their families, and the samples they are made of.
const MELS: [(&str, Family, &str); 3] = [
    ("prompt_mel_v1", Family::CosyVoice, "r22k05"),
    ("prompt_mel_v2", Family::CosyVoice2, "r24k"),
    ("prompt_mel_v3", Family::CosyVoice3, "r24k"),
];

pub(super) fn replay(golden: &Golden, rows: &mut Rows<'_>) -> Result<(), ParityError> {
    for clip in golden.cases(".pcm") {
        resampled(golden, &clip, rows)?;
    }
    for clip in golden.cases(".r16k") {
        features(golden, &clip, rows)?;
    }
    rows.leave(golden, |case| {
        (case == "filters.*").then_some("part of the features, which are compared as a whole")
    });
    Ok(())
}

/// The clip's file, which tells its rate, decoded and resampled.
fn resampled(golden: &Golden, name: &str, rows: &mut Rows<'_>) -> Result<(), GoldenError> {
    let file = golden.path().with_file_name(format!("{name}.wav"));
    golden.elements::<f32>(&format!("{name}.pcm"))?;
    if !file.is_file() {
        let reason =
            format!("{name}.wav, which tells the clip's rate, is not beside the recording");
        rows.skip(&format!("{name}.pcm"), &*reason);
        for (array, _) in RATES {
            rows.skip(&format!("{name}.{array}"), &*reason);
        }
        return Ok(());
    }
    let clip = match Clip::open(&file, DecodeLimits::default()) {
        Ok(clip) => clip,
        Err(error) => {
            rows.fail(&format!("{name}.pcm"), &error);
            return Ok(());
        }
    };
    let exact = Quantity::Discrete.gate(Arithmetic::Exact);
    rows.compare(golden, &format!("{name}.pcm"), exact, clip.samples());
    let gate = Quantity::Samples.gate(Arithmetic::Exact);
    for (array, rate_hz) in RATES {
        let case = format!("{name}.{array}");
        match resample(clip.samples(), clip.rate_hz(), rate_hz) {
            Ok(samples) => rows.compare(golden, &case, gate, &samples),
            Err(error) => rows.fail(&case, &error),
        }
    }
    Ok(())
}

fn features(golden: &Golden, clip: &str, rows: &mut Rows<'_>) -> Result<(), GoldenError> {
    let gate = Quantity::LogFeatures.gate(Arithmetic::Exact);
    let name = |array: &str| format!("{clip}.{array}");
    let slow = golden.elements::<f32>(&name("r16k"))?;
    judge(golden, &name("whisper_mel"), gate, whisper_mel(slow), rows);
    judge(golden, &name("kaldi_fbank"), gate, kaldi_fbank(slow), rows);
    let centred = kaldi_fbank(slow).map(|mut fbank| {
        subtract_mean(fbank.elements_mut().expect("features are f32"), FBANK_BINS);
        fbank
    });
    judge(golden, &name("campplus_in"), gate, centred, rows);
    for (array, family, samples) in MELS {
        if golden.find(&name(array)).is_some() {
            let samples = golden.elements::<f32>(&name(samples))?;
            let mel = prompt_mel(samples, &PromptMelSpec::upstream(family));
            judge(golden, &name(array), gate, mel, rows);
        }
    }
    Ok(())
}

fn judge(
    golden: &Golden,
    case: &str,
    gate: Gate,
    features: Result<Tensor, AudioError>,
    rows: &mut Rows<'_>,
) {
    match features {
        Ok(features) => {
            let values = features.elements().expect("features are f32");
            rows.compare(golden, case, gate, values);
        }
        Err(error) => rows.fail(case, &error),
    }
}
