//! How far a result may be from its recording; every tolerance of a replay is here.

use crate::compare::Tolerance;
use std::fmt;

/// How the graphs behind a result compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// FP32 on the processor.
    Exact,
    /// Half precision, or a device that may round products (TF32).
    Reduced,
}

/// What was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Ids, decisions, texts and decoded samples.
    Discrete,
    /// Embeddings that the language model reads.
    LlmInput,
    /// Logits.
    Logits,
    /// The solver's inputs made on the host: noise, times, condition.
    SolverInput,
    /// The encoder's results, and single calls of the estimator.
    Velocity,
    /// Mels after the whole solution.
    Mel,
    /// Fundamental frequency, in Hz.
    Pitch,
    /// The vocoder's source signal.
    Source,
    /// A waveform from the recorded source.
    Wav,
    /// A waveform from a source of our own, where a small error in pitch becomes one in phase.
    WavOwnSource,
    /// A mel resized on the host.
    StretchedMel,
    /// Resampled audio.
    Samples,
    /// Features in the logarithmic domain.
    LogFeatures,
    /// Probabilities of a nucleus.
    Probabilities,
}

/// The bound that one result is judged by.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Nothing may differ.
    Equal,
    /// Largest accepted absolute difference.
    MaxAbs(f64),
    /// Largest accepted norm of the difference, relative to the recording's.
    RelativeL2(f64),
}

impl Quantity {
    /// The gate for results of this kind.
    ///
    /// In reduced arithmetic F0 and source keep the exact gates: their graphs belong in FP32.
    pub fn gate(self, arithmetic: Arithmetic) -> Gate {
        let reduced = arithmetic == Arithmetic::Reduced;
        match self {
            Self::Discrete => Gate::Equal,
            Self::Logits if reduced => Gate::MaxAbs(3e-2),
            Self::Velocity if reduced => Gate::MaxAbs(2e-2),
            Self::Mel if reduced => Gate::MaxAbs(5e-2),
            Self::Wav if reduced => Gate::MaxAbs(1e-2),
            Self::LlmInput
            | Self::Logits
            | Self::Velocity
            | Self::Mel
            | Self::Wav
            | Self::Samples => Gate::MaxAbs(1e-4),
            Self::Pitch | Self::Source => Gate::MaxAbs(5e-3),
            // The waveform's phase means nothing in reduced arithmetic: its log-mel is compared, by the mel's figure.
            Self::WavOwnSource if reduced => Gate::RelativeL2(5e-2),
            Self::WavOwnSource => Gate::RelativeL2(1e-2),
            Self::SolverInput => Gate::MaxAbs(2e-6),
            Self::StretchedMel => Gate::MaxAbs(1e-5),
            Self::LogFeatures => Gate::MaxAbs(2e-3),
            Self::Probabilities => Gate::MaxAbs(1e-6),
        }
    }
}

impl Arithmetic {
    /// The lead over the second best that a recorded decision needs before it must come out the same.
    pub fn decisive_margin(self) -> f32 {
        match self {
            Self::Exact => 0.0,
            Self::Reduced => 0.1,
        }
    }
}

impl Gate {
    /// The gate as bounds of a comparison.
    pub fn tolerance(self) -> Tolerance {
        match self {
            Self::Equal => Tolerance::absolute(0.0),
            Self::MaxAbs(bound) => Tolerance::absolute(bound),
            Self::RelativeL2(bound) => Tolerance::relative_l2(bound),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal => f.pad("equal"),
            Self::MaxAbs(bound) => f.pad(&format!("{bound:e}")),
            Self::RelativeL2(bound) => f.pad(&format!("L2 {bound:e}")),
        }
    }
}
