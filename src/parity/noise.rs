//! Random numbers as they were recorded.

use crate::pipeline::{SourceNoise, SplitMix64, Uniforms};
use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Noise `[samples, harmonics]` from a recording.
#[derive(Debug)]
pub(super) struct RecordedNoise(Vec<f32>);

/// Standard normal noise `[samples, harmonics]` from a counter.
#[derive(Debug)]
pub(super) struct CountedNoise(SplitMix64);

/// Uniforms from a recording, and how many were used.
#[derive(Debug)]
pub(super) struct RecordedUniforms {
    uniforms: Vec<f32>,
    pub(super) used: Arc<AtomicUsize>,
}

impl RecordedNoise {
    pub(super) fn new(noise: &[f32]) -> Self {
        Self(noise.to_vec())
    }
}

impl CountedNoise {
    /// The vocoder's noise in call `call` of a recording whose seeds start at `base`.
    pub(super) fn of_call(base: i64, call: i64) -> Self {
        let seed = base.wrapping_add(1000 * call).wrapping_add(2);
        Self(SplitMix64::new(seed.cast_unsigned()))
    }
}

impl RecordedUniforms {
    pub(super) fn new(uniforms: &[f32]) -> Self {
        Self {
            uniforms: uniforms.to_vec(),
            used: Arc::default(),
        }
    }
}

impl Uniforms for RecordedUniforms {
    /// Past the recording's end there is nothing to draw by; the count then tells.
    fn draw(&mut self) -> f32 {
        let next = self.used.fetch_add(1, Ordering::Relaxed);
        self.uniforms.get(next).copied().unwrap_or(0.0)
    }
}

impl SourceNoise for RecordedNoise {
    fn fill_merged(&mut self, weights: &[f32], merged: &mut [f32]) {
        for (merged, noise) in merged.iter_mut().zip(self.0.chunks(weights.len().max(1))) {
            *merged = weights.iter().zip(noise).map(|(w, n)| w * n).sum();
        }
    }
}

impl SourceNoise for CountedNoise {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "recorded in single precision"
    )]
    fn fill_merged(&mut self, weights: &[f32], merged: &mut [f32]) {
        for merged in merged {
            *merged = weights
                .iter()
                .map(|weight| {
                    let (radius, turn) = self.0.pair();
                    weight * ((-2.0 * radius.ln()).sqrt() * (TAU * turn).cos()) as f32
                })
                .sum();
        }
    }
}
