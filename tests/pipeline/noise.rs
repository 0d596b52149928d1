//! Noise as the goldens recorded it, and the flow's fixed noise.

use crate::fixture::Golden;
use cvtrt::compare::Tolerance;
use cvtrt::pipeline::{FixedNoise, SourceNoise, SplitMix64};
use std::f64::consts::TAU;

/// Noise `[samples, harmonics]` from a recording.
#[derive(Debug)]
pub(crate) struct Recorded(pub(crate) Vec<f32>);

/// Noise `[samples, harmonics]` from a counter.
#[derive(Debug)]
pub(crate) struct Counted(pub(crate) SplitMix64);

impl SourceNoise for Recorded {
    fn fill_merged(&mut self, weights: &[f32], merged: &mut [f32]) {
        assert_eq!(self.0.len(), weights.len() * merged.len());
        for (merged, noise) in merged.iter_mut().zip(self.0.chunks(weights.len())) {
            *merged = weights.iter().zip(noise).map(|(w, n)| w * n).sum();
        }
    }
}

impl SourceNoise for Counted {
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

#[test]
fn the_flows_fixed_noise_is_torchs() {
    let golden = Golden::read("cosyvoice2-tiny/golden_flow.npz");
    let mut noise = vec![0.0; 80 * 256];
    FixedNoise::new(80).copy_columns(256, &mut noise);
    golden.check("rand_noise_head", &noise, Tolerance::absolute(2e-6));
}
