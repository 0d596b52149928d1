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

    /// The same bound, tightened.
    pub(super) fn tightened(self, by: f64) -> Self {
        match self {
            Self::Absolute(bound) => Self::Absolute(bound / by),
            Self::Relative(bound) => Self::Relative(bound / by),
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
        measured(
            "audio at one F0, 1 - correlation",
            worst(decorrelation),
            1.0 - CORRELATION,
        ),
        measured("loudness, dB", worst(loudness), LOUDNESS_DB),
    ]
}

/// Whether a measurement keeps to its bound; one that is no number does not.
pub(super) fn holds(measured: &Measured) -> bool {
    measured.value <= measured.bound
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
