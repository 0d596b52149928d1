//! Power spectra of windowed frames.

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};
use std::f64::consts::PI;
use std::sync::Arc;

/// Computes the power spectrum of one frame at a time.
pub(super) struct Spectrum {
    transform: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    frame: Vec<f32>,
    bins: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    power: Vec<f32>,
}

impl Spectrum {
    /// Frames as long as `window`, padded with zeros to `fft_length`.
    pub(super) fn new(window: Vec<f32>, fft_length: usize) -> Self {
        let transform = RealFftPlanner::new().plan_fft_forward(fft_length);
        Self {
            frame: transform.make_input_vec(),
            bins: transform.make_output_vec(),
            scratch: transform.make_scratch_vec(),
            power: vec![0.0; fft_length / 2 + 1],
            transform,
            window,
        }
    }

    /// `[fft_length / 2 + 1]`: re² + im² of the windowed samples; there are as many as the window has.
    pub(super) fn power(&mut self, samples: &[f32]) -> &[f32] {
        let (windowed, padding) = self.frame.split_at_mut(self.window.len());
        for ((value, sample), weight) in windowed.iter_mut().zip(samples).zip(&self.window) {
            *value = sample * weight;
        }
        padding.fill(0.0);
        self.transform
            .process_with_scratch(&mut self.frame, &mut self.bins, &mut self.scratch)
            .expect("buffers come from the transform itself");
        for (power, bin) in self.power.iter_mut().zip(&self.bins) {
            *power = bin.norm_sqr();
        }
        &self.power
    }
}

/// A Hann window that repeats after `length` samples.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "windows are short, weights are f32"
)]
pub(super) fn periodic_hann(length: usize) -> Vec<f32> {
    (0..length)
        .map(|i| (0.5 - 0.5 * (2.0 * PI * i as f64 / length as f64).cos()) as f32)
        .collect()
}

/// The samples with `pad` more on both sides, mirrored around the outermost ones, or `None` where there are too few.
pub(super) fn reflected(samples: &[f32], pad: usize) -> Option<Vec<f32>> {
    if samples.len() <= pad {
        return None;
    }
    let left = samples[1..=pad].iter().rev();
    let right = samples.iter().rev().skip(1).take(pad);
    Some(left.chain(samples).chain(right).copied().collect())
}
