//! The speaker encoder's input.

use super::error::AudioError;
use super::mel_bank::MelBank;
use super::spectrum::Spectrum;
use crate::tensor::{DType, Shape, Tensor};
use std::f64::consts::PI;

/// Filters of the speaker encoder's input.
pub const FBANK_BINS: usize = 80;

/// Kaldi's log filter banks of samples at 16 kHz, without dither and energy column; full scale is 1, not 32 768.
///
/// Returns f32 `[1, T, 80]`, one row per 160 samples that begin a whole frame of 400.
///
/// # Errors
/// [`AudioError::FewSamples`] below one frame.
///
/// Source: `torchaudio.compliance.kaldi.fbank` with 80 bins and else its defaults.
pub fn kaldi_fbank(samples: &[f32]) -> Result<Tensor, AudioError> {
    if samples.len() < FRAME {
        return Err(AudioError::FewSamples {
            samples: samples.len(),
            min_samples: FRAME,
        });
    }
    let frames = (samples.len() - FRAME) / HOP + 1;
    let mut spectrum = Spectrum::new(povey(), FFT_LENGTH);
    let bank = MelBank::htk(FBANK_BINS, RATE_HZ, FFT_LENGTH, MIN_HZ);

    let shape = Shape::checked(&[1, frames, FBANK_BINS])?;
    let mut fbank = Tensor::zeros(DType::F32, shape);
    let values = fbank.elements_mut::<f32>().expect("made as f32");
    let mut frame = [0.0; FRAME];
    let rows = values.chunks_exact_mut(FBANK_BINS);
    for (row, samples) in rows.zip(samples.windows(FRAME).step_by(HOP)) {
        centre_and_emphasise(samples, &mut frame);
        for (value, energy) in row.iter_mut().zip(bank.apply(spectrum.power(&frame))) {
            *value = energy.max(f32::EPSILON).ln();
        }
    }
    Ok(fbank)
}

/// Subtracts each column's mean; f32 `[…, T, columns]`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "frame counts are far below 2^52, features are f32"
)]
pub fn subtract_mean(values: &mut [f32], columns: usize) {
    let rows = values.len() / columns;
    let mut sums = vec![0.0; columns];
    for row in values.chunks_exact(columns) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    for row in values.chunks_exact_mut(columns) {
        for (value, sum) in row.iter_mut().zip(&sums) {
            *value -= (sum / rows as f64) as f32;
        }
    }
}

const RATE_HZ: u32 = 16_000;
const FRAME: usize = 400;
const HOP: usize = 160;
const FFT_LENGTH: usize = 512;
const MIN_HZ: f64 = 20.0;
const PRE_EMPHASIS: f32 = 0.97;

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a frame's length, and weights are f32"
)]
fn centre_and_emphasise(samples: &[f32], frame: &mut [f32; FRAME]) {
    let sum: f64 = samples.iter().map(|sample| f64::from(*sample)).sum();
    let mean = (sum / FRAME as f64) as f32;
    let mut before = samples[0] - mean;
    for (value, sample) in frame.iter_mut().zip(samples) {
        let centred = sample - mean;
        *value = centred - PRE_EMPHASIS * before;
        before = centred;
    }
}

/// A symmetric Hann window to the power of 0.85.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a frame's length, and weights are f32"
)]
fn povey() -> Vec<f32> {
    (0..FRAME)
        .map(|i| {
            let hann = 0.5 - 0.5 * (2.0 * PI * i as f64 / (FRAME - 1) as f64).cos();
            hann.powf(0.85) as f32
        })
        .collect()
}
