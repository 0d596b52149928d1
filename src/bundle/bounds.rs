//! The ranges a manifest's numbers must lie in.

use super::manifest::{LlmSpec, Manifest};
use super::manifest_error::ManifestError;
use crate::tensor::DType;

impl Manifest {
    /// Refuses a number outside its range.
    pub(super) fn check_numbers(&self) -> Result<(), ManifestError> {
        self.llm.check()?;
        let Self {
            sampling,
            flow,
            hift,
            ..
        } = self;
        within("sample_rate", self.sample_rate, 8_000.0, 192_000.0)?;
        within("token_rate", self.token_rate, 1.0, 1_000.0)?;
        within("frames_per_token", self.frames_per_token, 0.5, 64.0)?;
        within(
            "samples_per_frame",
            count(self.samples_per_frame),
            1.0,
            8_192.0,
        )?;
        within("mel_bins", count(self.mel_bins), 1.0, 1_024.0)?;

        within("sampling.top_p", sampling.top_p, 0.0, 1.0)?;
        within("sampling.top_k", count(sampling.top_k), 1.0, MAX_VOCAB)?;
        within("sampling.window", count(sampling.window), 0.0, 10_000.0)?;
        within("sampling.tau", sampling.tau, 0.0, 1.0)?;
        within("sampling.max_ratio", sampling.max_ratio, 0.0, 1_000.0)?;
        within(
            "sampling.min_ratio",
            sampling.min_ratio,
            0.0,
            f64::from(sampling.max_ratio),
        )?;

        within("flow.steps", count(flow.steps), 1.0, 1_000.0)?;
        within("flow.guidance", flow.guidance, 0.0, 100.0)?;
        within("flow.look_ahead", count(flow.look_ahead), 0.0, 64.0)?;
        within("flow.chunk_tokens", count(flow.chunk_tokens), 1.0, 10_000.0)?;
        if let Some(max_tokens) = flow.max_tokens {
            within("flow.max_tokens", count(max_tokens), 1.0, 1_000_000.0)?;
        }

        // `source_weight` merges exactly nine sines.
        within("hift.harmonics", count(hift.harmonics), 9.0, 9.0)?;
        within("hift.sine_amplitude", hift.sine_amplitude, 0.0, 1.0)?;
        within("hift.noise_std", hift.noise_std, 0.0, 1.0)?;
        within(
            "hift.voiced_threshold_hz",
            hift.voiced_threshold_hz,
            0.0,
            10_000.0,
        )?;
        within("hift.audio_limit", hift.audio_limit, 0.01, 1.0)?;

        match self.tokenizer.as_ref().and_then(|spec| spec.endofprompt) {
            Some(id) => within("tokenizer.endofprompt", id, 0.0, MAX_VOCAB),
            None => Ok(()),
        }
    }

    /// Refuses a sample rate that does not follow from the other rates.
    pub(super) fn check_rates(&self) -> Result<(), ManifestError> {
        let product =
            f64::from(self.token_rate) * self.frames_per_token * count(self.samples_per_frame);
        if (product - f64::from(self.sample_rate)).abs() > 1e-6 * product {
            return Err(ManifestError::Rates {
                sample_rate: self.sample_rate,
                product,
            });
        }
        Ok(())
    }
}

impl LlmSpec {
    fn check(&self) -> Result<(), ManifestError> {
        within("llm.layers", count(self.layers), 1.0, 1_024.0)?;
        within("llm.hidden", count(self.hidden), 1.0, 65_536.0)?;
        within("llm.kv_heads", count(self.kv_heads), 1.0, 1_024.0)?;
        within("llm.head_dim", count(self.head_dim), 1.0, 4_096.0)?;
        within("llm.head_rows", count(self.head_rows), 1.0, MAX_VOCAB)?;
        within(
            "llm.speech_vocab",
            count(self.speech_vocab),
            1.0,
            count(self.head_rows),
        )?;
        within(
            "llm.max_positions",
            count(self.max_positions),
            1.0,
            16_777_216.0,
        )?;

        if !matches!(self.kv_dtype, DType::F32 | DType::F16) {
            return Err(ManifestError::KvDtype {
                found: self.kv_dtype,
            });
        }
        let last_row = count(self.head_rows) - 1.0;
        let (first, last) = (*self.stop.start(), *self.stop.end());
        within("llm.stop[0]", first, count(self.speech_vocab), last_row)?;
        within("llm.stop[1]", last, f64::from(first), last_row)?;
        within("llm.eos", self.eos, f64::from(first), f64::from(last))?;
        if let Some(fill) = self.fill {
            within("llm.fill", fill, f64::from(first), f64::from(last))?;
        }
        self.silent
            .iter()
            .try_for_each(|id| within("llm.silent", *id, 0.0, count(self.speech_vocab) - 1.0))
    }
}

const MAX_VOCAB: f64 = 16_777_216.0;

/// Refuses NaN as well.
fn within(
    field: &'static str,
    found: impl Into<f64>,
    min: f64,
    max: f64,
) -> Result<(), ManifestError> {
    let found = found.into();
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(ManifestError::Range {
        field,
        found,
        min,
        max,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "only compared with limits far below 2^52"
)]
fn count(value: usize) -> f64 {
    value as f64
}
