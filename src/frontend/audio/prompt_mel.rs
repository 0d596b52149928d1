//! The flow's view of the prompt.

use super::clip::check_rate;
use super::error::AudioError;
use super::mel_bank::MelBank;
use super::spectrum::{Spectrum, periodic_hann, reflected};
use crate::bundle::Manifest;
use crate::ids::Family;
use crate::tensor::{DType, Shape, Tensor};

/// Parameters of a vocoder's mel transform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PromptMelSpec {
    /// Samples per second.
    pub rate_hz: u32,
    /// Samples per frame.
    pub hop: usize,
    /// Samples of the window, and of the Fourier transform.
    pub window: usize,
    /// Mel bins.
    pub bins: usize,
    /// Upper edge of the last filter.
    pub max_hz: f64,
}

impl PromptMelSpec {
    /// What a bundle's flow was trained on: windows of four hops; up to 8 kHz, in v3 up to the Nyquist frequency.
    pub fn of(manifest: &Manifest) -> Self {
        let Manifest {
            family,
            sample_rate,
            samples_per_frame,
            mel_bins,
            ..
        } = *manifest;
        Self::with(family, sample_rate, samples_per_frame, mel_bins)
    }

    /// What the published checkpoints of a family were trained on.
    pub fn upstream(family: Family) -> Self {
        let (rate_hz, hop) = match family {
            Family::CosyVoice => (22_050, 256),
            Family::CosyVoice2 | Family::CosyVoice3 => (24_000, 480),
        };
        Self::with(family, rate_hz, hop, 80)
    }

    fn with(family: Family, rate_hz: u32, hop: usize, bins: usize) -> Self {
        let nyquist_hz = f64::from(rate_hz) / 2.0;
        Self {
            rate_hz,
            hop,
            window: hop.saturating_mul(4),
            bins,
            max_hz: match family {
                Family::CosyVoice | Family::CosyVoice2 => nyquist_hz.min(8000.0),
                Family::CosyVoice3 => nyquist_hz,
            },
        }
    }

    fn check(&self) -> Result<(), AudioError> {
        check_rate(self.rate_hz)?;
        for (field, value, max) in [
            ("hop", self.hop, self.window),
            ("window", self.window, MAX_WINDOW),
            ("bins", self.bins, self.window / 2),
        ] {
            if !(1..=max).contains(&value) {
                return Err(AudioError::MelSpec { field, value });
            }
        }
        Ok(())
    }
}

/// A vocoder's log-mel spectrogram of samples at `spec.rate_hz`.
///
/// Returns f32 `[1, frames, bins]`, one row per hop: the natural logarithm of magnitudes, at least `ln 1e-5`.
///
/// # Errors
/// [`AudioError::FewSamples`] when the mirrored edges or one window need more, [`AudioError::MelSpec`] for impossible
/// parameters.
///
/// Source: HiFi-GAN `meldataset.py`, `mel_spectrogram`, as CosyVoice calls it.
pub fn prompt_mel(samples: &[f32], spec: &PromptMelSpec) -> Result<Tensor, AudioError> {
    spec.check()?;
    let pad = (spec.window - spec.hop) / 2;
    let padded = reflected(samples, pad)
        .filter(|padded| padded.len() >= spec.window)
        .ok_or(AudioError::FewSamples {
            samples: samples.len(),
            min_samples: (pad + 1).max(spec.window - 2 * pad),
        })?;
    let frames = (padded.len() - spec.window) / spec.hop + 1;
    let mut spectrum = Spectrum::new(periodic_hann(spec.window), spec.window);
    let bank = MelBank::slaney(spec.bins, spec.rate_hz, spec.window, spec.max_hz);

    let shape = Shape::checked(&[1, frames, spec.bins])?;
    let mut mel = Tensor::zeros(DType::F32, shape);
    let rows = mel
        .elements_mut::<f32>()
        .expect("made as f32")
        .chunks_exact_mut(spec.bins);
    let mut magnitude = Vec::with_capacity(spec.window / 2 + 1);
    for (row, samples) in rows.zip(padded.windows(spec.window).step_by(spec.hop)) {
        magnitude.clear();
        let power = spectrum.power(samples).iter();
        magnitude.extend(power.map(|power| (power + 1e-9).sqrt()));
        for (value, sum) in row.iter_mut().zip(bank.apply(&magnitude)) {
            *value = sum.max(1e-5).ln();
        }
    }
    Ok(mel)
}

/// A third of a second at the highest rate.
const MAX_WINDOW: usize = 1 << 17;
