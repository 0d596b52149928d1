//! Another sample rate, by the kernel the models' training data went through.

use super::clip::check_rate;
use super::error::AudioError;
use std::f64::consts::PI;

/// Resamples with a Hann-windowed sinc: six zero crossings to each side, cut-off at 0.99 of the lower Nyquist frequency.
///
/// N samples become N · `to_hz` / `from_hz`, rounded up; samples beyond both ends count as zero.
///
/// # Errors
/// [`AudioError::Rate`] for a rate out of range.
///
/// Source: torchaudio `functional.resample` with its defaults, `sinc_interp_hann`.
pub fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Result<Vec<f32>, AudioError> {
    check_rate(from_hz)?;
    check_rate(to_hz)?;
    if from_hz == to_hz {
        return Ok(samples.to_vec());
    }
    let divisor = greatest_common_divisor(from_hz, to_hz);
    let (from, to) = ((from_hz / divisor) as usize, (to_hz / divisor) as usize);
    let length = output_length(samples.len(), from, to);
    let mut resampled = vec![0.0; length];
    for phase in 0..to.min(length) {
        let kernel = Kernel::new(from, to, phase);
        for (block, value) in resampled[phase..].iter_mut().step_by(to).enumerate() {
            *value = kernel.at(samples, block * from);
        }
    }
    Ok(resampled)
}

/// Zero crossings of the sinc to each side.
const ZERO_CROSSINGS: f64 = 6.0;
/// Cut-off as a share of the lower Nyquist frequency.
const ROLLOFF: f64 = 0.99;

/// Weights for one of the places an output sample can have between two input samples.
struct Kernel {
    /// Input sample of the first weight, counted from the block's first one.
    first: isize,
    weights: Vec<f32>,
}

impl Kernel {
    /// Rates without a common divisor; `phase`: which of the block's `to` output samples.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "rates stay below 2^19, offsets below 2^24"
    )]
    fn new(from: usize, to: usize, phase: usize) -> Self {
        let cut_off = from.min(to) as f64 * ROLLOFF;
        let centre = phase as f64 / to as f64;
        let reach = ZERO_CROSSINGS / cut_off;
        let first = ((centre - reach) * from as f64).ceil() as isize;
        let last = ((centre + reach) * from as f64).floor() as isize;
        let scale = cut_off / from as f64;
        let weights = (first..=last)
            .map(|offset| {
                let crossings = (offset as f64 / from as f64 - centre) * cut_off;
                let window = (crossings * PI / ZERO_CROSSINGS / 2.0).cos().powi(2);
                (sinc(crossings * PI) * window * scale) as f32
            })
            .collect();
        Self { first, weights }
    }

    /// The output sample whose block begins at `block`. Weights beyond either end of the samples meet zeros.
    fn at(&self, samples: &[f32], block: usize) -> f32 {
        let start = self.first.saturating_add_unsigned(block);
        let skipped = start.min(0).unsigned_abs();
        let begin = start.max(0).unsigned_abs();
        let weights = self.weights.get(skipped..).unwrap_or_default();
        let samples = samples.get(begin..).unwrap_or_default();
        let length = weights.len().min(samples.len());
        dot(&weights[..length], &samples[..length])
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { x.sin() / x }
}

/// The sum of products, in eight interleaved sums: a single one is a chain of additions no processor can overlap.
fn dot(weights: &[f32], samples: &[f32]) -> f32 {
    let (weight_blocks, weight_rest) = weights.as_chunks::<8>();
    let (sample_blocks, sample_rest) = samples.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (weights, samples) in weight_blocks.iter().zip(sample_blocks) {
        for ((sum, weight), sample) in sums.iter_mut().zip(weights).zip(samples) {
            *sum += weight * sample;
        }
    }
    let rest: f32 = weight_rest
        .iter()
        .zip(sample_rest)
        .map(|(w, s)| w * s)
        .sum();
    sums.iter().sum::<f32>() + rest
}

/// The reference rounds the quotient to a 32-bit float before it rounds up, which can cost one sample.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the rounding of the reference; lengths are small and positive"
)]
fn output_length(samples: usize, from: usize, to: usize) -> usize {
    let exact = (samples * to).div_ceil(from);
    let rounded = ((samples * to) as f64 / from as f64) as f32;
    exact.min(rounded.ceil() as usize)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_rates_change_nothing() {
        let samples = [0.5, -0.25, 1.0];
        assert_eq!(resample(&samples, 24_000, 24_000).unwrap(), samples);
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        for (from_hz, to_hz) in [(0, 16_000), (16_000, 0), (16_000, u32::MAX)] {
            assert!(matches!(
                resample(&[0.0], from_hz, to_hz),
                Err(AudioError::Rate { .. })
            ));
        }
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "samples are f32")]
    fn a_tone_below_the_cut_off_keeps_its_level_and_one_above_is_gone() {
        let tone = |hz: f64, rate: u32| -> Vec<f32> {
            (0..rate)
                .map(|i| (2.0 * PI * hz * f64::from(i) / f64::from(rate)).sin() as f32)
                .collect()
        };
        let inner_peak = |samples: &[f32]| {
            samples[200..samples.len() - 200]
                .iter()
                .fold(0.0f32, |peak, sample| peak.max(sample.abs()))
        };
        let kept = resample(&tone(1000.0, 44_100), 44_100, 16_000).unwrap();
        let expected = tone(1000.0, 16_000);
        let difference: Vec<f32> = kept.iter().zip(&expected).map(|(a, b)| a - b).collect();
        assert!(inner_peak(&difference) < 5e-3);
        let removed = resample(&tone(11_000.0, 44_100), 44_100, 16_000).unwrap();
        assert!(inner_peak(&removed) < 5e-3);
    }

    proptest! {
        #[test]
        fn lengths_follow_the_rates(
            samples in 0usize..3000,
            from_hz in 1u32..=48_000,
            to_hz in 1u32..=48_000,
        ) {
            prop_assume!(samples as u64 * u64::from(to_hz) / u64::from(from_hz) < 100_000);
            let resampled = resample(&vec![0.5; samples], from_hz, to_hz).unwrap();
            let exact = (samples as u64 * u64::from(to_hz)).div_ceil(from_hz.into());
            let length = resampled.len() as u64;
            prop_assert!(length == exact || length + 1 == exact, "{length} for {exact}");
            prop_assert!(resampled.iter().all(|value| value.abs() < 0.7));
        }
    }
}
