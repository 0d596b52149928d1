//! What a half-precision graph must keep to.

use super::rehearsal::Spoken;
use crate::cache::Measured;
use crate::compare::compare;
use crate::ids::{GraphId, Precision};
use crate::tensor::Tensor;

/// How far an output may be from FP32.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    /// The largest difference.
    Absolute(f64),
    /// The norm of the difference, relative to the norm of the output.
    Relative(f64),
}

/// Largest difference of a mel: the norm of the difference, relative to the norm of the mel.
const MEL: f64 = 2e-2;
/// Largest difference of F0, likewise: a sixth of a semitone.
const PITCH: f64 = 1e-2;
/// Least correlation of the audio, both made with the F0 of FP32.
const CORRELATION: f64 = 0.999;
/// Largest difference of two loudnesses over an utterance, in decibels; silence is infinitely far.
const LOUDNESS_DB: f64 = 0.5;
/// Largest error of F0 in Hz: the source's phase is its sum over time.
const F0_HZ: f64 = 5e-3;

/// What the audio is judged by.
const AUDIO: &str = "audio at one F0, 1 - correlation";

impl Bound {
    /// The bound on each output of a graph.
    pub(super) fn of(graph: GraphId, precision: Precision) -> Self {
        match (graph, precision) {
            (GraphId::HiftF0, _) => Self::Absolute(F0_HZ),
            (_, Precision::Fp32) => Self::Relative(1e-3),
            (_, Precision::Fp16) => Self::Relative(1e-2),
            (_, Precision::Bf16) => Self::Relative(5e-2),
        }
    }

    /// A bound `by` times below the error that was found within this one.
    pub(super) fn tightened(self, found: Option<f64>, by: f64) -> Self {
        let tighter = found.map_or(self.value(), |found| found.min(self.value())) / by;
        match self {
            Self::Absolute(_) => Self::Absolute(tighter),
            Self::Relative(_) => Self::Relative(tighter),
        }
    }

    pub(super) fn value(self) -> f64 {
        match self {
            Self::Absolute(bound) | Self::Relative(bound) => bound,
        }
    }

    /// What it bounds.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Absolute(_) => "largest difference",
            Self::Relative(_) => "relative difference",
        }
    }
}

/// The audio gate: every utterance beside itself in FP32, the worst of each kind.
pub(super) fn of_speech(got: &[Spoken], want: &[Spoken]) -> Vec<Measured> {
    let pairs = || got.iter().zip(want);
    let worst = |error: fn(&Spoken, &Spoken) -> f64| {
        pairs()
            .map(|(got, want)| error(got, want))
            .fold(0.0, |worst, error| {
                if error > worst || error.is_nan() {
                    error
                } else {
                    worst
                }
            })
    };
    vec![
        measured("mel", worst(|got, want| distance(&got.mel, &want.mel)), MEL),
        measured(
            "F0",
            worst(|got, want| distance(&got.pitch, &want.pitch)),
            PITCH,
        ),
        measured(AUDIO, worst(decorrelation), 1.0 - CORRELATION),
        measured("loudness, dB", worst(loudness), LOUDNESS_DB),
    ]
}

/// Whether a measurement keeps to its bound; one that is no number does not.
pub(super) fn holds(measured: &Measured) -> bool {
    measured.value <= measured.bound
}

/// How many times smaller a graph's error has to be for this to hold, with some margin.
pub(super) fn excess(measured: &Measured) -> f64 {
    let times = measured.value / measured.bound;
    // The correlation falls with the square of the error.
    let times = if measured.what == AUDIO {
        times.sqrt()
    } else {
        times
    };
    (times * 1.1).clamp(1.1, 10.0)
}

fn measured(what: &str, value: f64, bound: f64) -> Measured {
    Measured {
        what: what.to_owned(),
        // JSON has no number for it.
        value: if value.is_finite() { value } else { f64::MAX },
        bound,
    }
}

fn distance(got: &Tensor, want: &Tensor) -> f64 {
    let Ok(metrics) = compare(got.view(), want.view()) else {
        return f64::INFINITY;
    };
    if metrics.non_finite_got > 0 {
        return f64::INFINITY;
    }
    metrics.relative_l2
}

fn decorrelation(got: &Spoken, want: &Spoken) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
        products.sum()
    };
    if got.pcm.len() != want.pcm.len() {
        return f64::INFINITY;
    }
    let norms = (dot(&got.pcm, &got.pcm) * dot(&want.pcm, &want.pcm)).sqrt();
    1.0 - dot(&got.pcm, &want.pcm) / norms
}

fn loudness(got: &Spoken, want: &Spoken) -> f64 {
    let power = |pcm: &[f32]| {
        pcm.iter()
            .map(|&x| f64::from(x) * f64::from(x))
            .sum::<f64>()
    };
    (10.0 * (power(&got.pcm) / power(&want.pcm)).log10()).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_tightened_by_what_the_gate_lacks() {
        let bound = Bound::of(GraphId::FlowEstimator, Precision::Bf16);
        let mel = measured("mel", 2.0 * MEL, MEL);
        let audio = measured(AUDIO, 4.0 * (1.0 - CORRELATION), 1.0 - CORRELATION);
        for lacking in [mel, audio] {
            let tighter = bound.tightened(Some(2.2e-2), excess(&lacking)).value();
            assert!(
                (tighter - 1e-2).abs() < 1e-9,
                "{tighter} for {}",
                lacking.what
            );
        }
        let silent = measured("loudness, dB", f64::INFINITY, LOUDNESS_DB);
        assert!(!holds(&silent));
        assert!((excess(&silent) - 10.0).abs() < 1e-9);
    }
}
