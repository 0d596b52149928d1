//! The speech tokenizer's input.

use super::error::AudioError;
use super::mel_bank::MelBank;
use super::spectrum::{Spectrum, periodic_hann, reflected};
use crate::tensor::{DType, Shape, Tensor};

/// Mel bins of the speech tokenizer's input.
pub const WHISPER_BINS: usize = 128;

/// Whisper's log-mel spectrogram of samples at 16 kHz.
///
/// Returns f32 `[1, 128, T]`, one column per 160 samples, roughly within -1.5 and 1.5.
///
/// # Errors
/// [`AudioError::FewSamples`] below 201 samples, which is what the mirrored edge needs.
///
/// Source: Whisper `whisper/audio.py`, `log_mel_spectrogram`.
pub fn whisper_mel(samples: &[f32]) -> Result<Tensor, AudioError> {
    let padded = reflected(samples, WINDOW / 2).ok_or(AudioError::FewSamples {
        samples: samples.len(),
        min_samples: WINDOW / 2 + 1,
    })?;
    let frames = samples.len() / HOP;
    let mut spectrum = Spectrum::new(periodic_hann(WINDOW), WINDOW);
    let bank = MelBank::slaney(WHISPER_BINS, RATE_HZ, WINDOW, f64::from(RATE_HZ) / 2.0);

    let shape = Shape::checked(&[1, WHISPER_BINS, frames])?;
    let mut mel = Tensor::zeros(DType::F32, shape);
    let values = mel.elements_mut::<f32>().expect("made as f32");
    for (frame, samples) in padded.windows(WINDOW).step_by(HOP).take(frames).enumerate() {
        for (bin, energy) in bank.apply(spectrum.power(samples)).enumerate() {
            values[bin * frames + frame] = energy.max(MIN_ENERGY).log10();
        }
    }
    let loudest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for value in values {
        *value = (value.max(loudest - DECADES) + 4.0) / 4.0;
    }
    Ok(mel)
}

const RATE_HZ: u32 = 16_000;
const WINDOW: usize = 400;
const HOP: usize = 160;
const MIN_ENERGY: f32 = 1e-10;
/// Everything quieter than the loudest value by more than this is raised.
const DECADES: f32 = 8.0;
