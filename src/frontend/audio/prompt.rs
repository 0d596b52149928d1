//! Everything the models hear of a prompt.

use super::clip::Clip;
use super::error::AudioError;
use super::kaldi_fbank::{FBANK_BINS, kaldi_fbank, subtract_mean};
use super::prompt_mel::{PromptMelSpec, prompt_mel};
use super::whisper_mel::whisper_mel;
use crate::bundle::Manifest;
use crate::tensor::Tensor;

/// Samples per second of the speech tokenizer's and the speaker encoder's input; slower audio is refused.
pub const FEATURE_RATE_HZ: u32 = 16_000;

/// Seconds the speech tokenizer takes.
pub const MAX_SECONDS: u32 = 30;

/// Features of a prompt, computed once per voice.
#[derive(Debug, Clone)]
pub struct PromptFeatures {
    /// f32 `[1, 128, T]`: the speech tokenizer's input.
    pub whisper_mel: Tensor,
    /// f32 `[1, T, 80]`: the speaker encoder's input, each column's mean removed.
    pub fbank: Tensor,
    /// f32 `[1, frames, bins]`: log-mel at the flow's frame rate, not yet aligned to the tokens.
    pub prompt_mel: Tensor,
}

/// A prompt's tokens and mel frames, equally long in time.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignedPrompt {
    /// `[P]`: speech tokens.
    pub tokens: Vec<i32>,
    /// `[frames, bins]`, frames outermost: the frames those tokens stand for.
    pub mel: Vec<f32>,
}

impl PromptFeatures {
    /// Computes a prompt's features.
    ///
    /// # Errors
    /// [`AudioError`] when the audio is too short, too long, silent, or has a rate below [`FEATURE_RATE_HZ`].
    pub fn from_audio(clip: &Clip, mel: &PromptMelSpec) -> Result<Self, AudioError> {
        check_prompt(clip)?;
        let samples = clip.at_rate(FEATURE_RATE_HZ)?;
        let mut fbank = kaldi_fbank(&samples)?;
        subtract_mean(
            fbank.elements_mut::<f32>().expect("made as f32"),
            FBANK_BINS,
        );
        Ok(Self {
            whisper_mel: whisper_mel(&samples)?,
            fbank,
            prompt_mel: prompt_mel(&clip.at_rate(mel.rate_hz)?, mel)?,
        })
    }

    /// Cuts tokens and mel to the same length in time: as many tokens as have all their frames, and exactly those frames.
    ///
    /// With two frames per token that is `min(frames / 2, tokens)` tokens. The flow takes its first frames for the
    /// prompt's, so the two must agree in every mode.
    pub fn aligned(&self, tokens: &[i32], manifest: &Manifest) -> AlignedPrompt {
        let mel = self.prompt_mel.elements::<f32>().expect("made as f32");
        let dims = self.prompt_mel.shape();
        let (frames, bins) = (dims.dims()[1], dims.dims()[2]);
        let kept = (0..=tokens.len())
            .rev()
            .find(|&tokens| manifest.frames_of_tokens(tokens) <= frames)
            .unwrap_or(0);
        AlignedPrompt {
            tokens: tokens[..kept].to_vec(),
            mel: mel[..manifest.frames_of_tokens(kept) * bins].to_vec(),
        }
    }
}

/// Whether audio can be a prompt: as [`PromptFeatures::from_audio`] checks it, before any of the work.
///
/// # Errors
/// [`AudioError`] when it is too short, too long, silent, or has a rate below [`FEATURE_RATE_HZ`].
pub fn check_prompt(clip: &Clip) -> Result<(), AudioError> {
    check_speech(clip, MIN_PROMPT_MS)
}

/// Whether audio can be converted: as [`speech_tokenizer_input`] checks it, before any of the work.
///
/// # Errors
/// As [`check_prompt`], but audio of one token is long enough.
pub fn check_source(clip: &Clip) -> Result<(), AudioError> {
    check_speech(clip, MIN_SOURCE_MS)
}

/// The speech tokenizer's input for audio that is to be converted, f32 `[1, 128, T]`.
///
/// # Errors
/// As [`PromptFeatures::from_audio`], but audio of one token is long enough.
pub fn speech_tokenizer_input(clip: &Clip) -> Result<Tensor, AudioError> {
    check_source(clip)?;
    whisper_mel(&clip.at_rate(FEATURE_RATE_HZ)?)
}

/// The speaker encoder pools over time; below this there is hardly a voice to pool.
const MIN_PROMPT_MS: u64 = 500;
/// One token of the slowest tokenizer.
const MIN_SOURCE_MS: u64 = 40;
/// -60 dB of full scale.
const SILENT_PEAK: f32 = 1e-3;

fn check_speech(clip: &Clip, min_ms: u64) -> Result<(), AudioError> {
    let (samples, rate_hz) = (clip.samples(), clip.rate_hz());
    if rate_hz < FEATURE_RATE_HZ {
        return Err(AudioError::LowRate {
            rate_hz,
            min_hz: FEATURE_RATE_HZ,
        });
    }
    if samples.len() as u64 > u64::from(MAX_SECONDS) * u64::from(rate_hz) {
        return Err(AudioError::TooLong {
            max_seconds: MAX_SECONDS,
        });
    }
    let ms = samples.len() as u64 * 1000 / u64::from(rate_hz);
    if ms < min_ms {
        return Err(AudioError::TooShort { ms, min_ms });
    }
    let peak = samples.iter().fold(0.0f32, |peak, s| peak.max(s.abs()));
    if peak < SILENT_PEAK {
        return Err(AudioError::Silent { peak });
    }
    Ok(())
}
