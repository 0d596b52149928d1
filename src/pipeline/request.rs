//! What to say, and with which voice.

use super::error::{SPEEDS, SpeechError};
use super::flow::FlowCall;
use super::llm::LlmPrompt;
use super::schedule::Piece;
use crate::bundle::{EMBEDDING_WIDTH, Manifest, Voice};
use crate::ids::Mode;
use std::sync::Arc;

/// What to say, and with which voice.
#[derive(Debug, Clone)]
pub struct SpeechRequest {
    /// How text and voice condition the models.
    pub mode: Mode,
    /// Ids of the text to say.
    pub text_ids: Vec<i32>,
    /// Ids of the prompt's transcript (`zero_shot`) or of the instruction (`instruct2`).
    pub prompt_text_ids: Vec<i32>,
    /// The voice.
    pub voice: Arc<Voice>,
    /// Decides every random number.
    pub seed: u64,
    /// Ends the speech after this many tokens, where the text's own limit is not lower.
    pub max_tokens: Option<usize>,
    /// 2 is twice as fast; 0.25 to 4.
    pub speed: f64,
}

/// Speech tokens to say in another voice, mode `vc`.
#[derive(Debug, Clone)]
pub struct ConversionRequest {
    /// The tokens, of a recording that the speech tokenizer heard.
    pub tokens: Vec<i32>,
    /// The voice; it needs a prompt.
    pub voice: Arc<Voice>,
    /// Decides every random number.
    pub seed: u64,
    /// 2 is twice as fast; 0.25 to 4.
    pub speed: f64,
}

/// What of a voice the flow hears.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlowVoice<'a> {
    pub(super) prompt_tokens: &'a [i32],
    pub(super) prompt_mel: &'a [f32],
    pub(super) embedding: &'a [f32],
}

impl SpeechRequest {
    /// What the language model reads first.
    pub(super) fn llm_prompt(&self, manifest: &Manifest) -> Result<LlmPrompt, SpeechError> {
        if !self.mode.takes_text() {
            return Err(SpeechError::Mode {
                mode: self.mode,
                reason: "it takes speech, not text".to_owned(),
            });
        }
        check_mode(self.mode, manifest)?;
        if self.text_ids.is_empty() {
            return Err(SpeechError::EmptyText);
        }
        let no_ids: &[i32] = &[];
        let (prompt_text, speech) = match self.mode {
            Mode::ZeroShot => (&self.prompt_text_ids[..], &self.voice.prompt_token[..]),
            Mode::Instruct2 => (&self.prompt_text_ids[..], no_ids),
            Mode::Sft | Mode::CrossLingual | Mode::Instruct | Mode::Vc => (no_ids, no_ids),
        };
        if self.mode == Mode::ZeroShot && prompt_text.is_empty() && !speech.is_empty() {
            let voice = self.voice.name.clone();
            return Err(SpeechError::NoTranscript { voice });
        }
        Ok(LlmPrompt {
            text: [prompt_text, &self.text_ids].concat(),
            speech: speech.to_vec(),
        })
    }
}

impl<'a> FlowVoice<'a> {
    pub(super) fn new(
        mode: Mode,
        voice: &'a Voice,
        manifest: &Manifest,
    ) -> Result<Self, SpeechError> {
        let frames = manifest.frames_of_tokens(voice.prompt_token.len());
        let sizes = [
            (
                "prompt_mel",
                frames * manifest.mel_bins,
                voice.prompt_mel.len(),
            ),
            ("embedding", EMBEDDING_WIDTH, voice.embedding.len()),
        ];
        for (field, expected, found) in sizes {
            if expected != found {
                return Err(SpeechError::VoiceSize {
                    voice: voice.name.clone(),
                    field,
                    expected,
                    found,
                });
            }
        }
        if mode == Mode::Sft {
            return Ok(Self {
                prompt_tokens: &[],
                prompt_mel: &[],
                embedding: &voice.embedding,
            });
        }
        if voice.prompt_token.is_empty() {
            let voice = voice.name.clone();
            return Err(SpeechError::NoPrompt { voice, mode });
        }
        Ok(Self {
            prompt_tokens: &voice.prompt_token,
            prompt_mel: &voice.prompt_mel,
            embedding: &voice.embedding,
        })
    }

    /// The flow's call for a piece of an utterance.
    pub(super) fn call(self, piece: Piece, tokens: &'a [i32]) -> FlowCall<'a> {
        FlowCall {
            prompt_tokens: self.prompt_tokens,
            tokens: &tokens[..piece.tokens],
            prompt_mel: self.prompt_mel,
            embedding: self.embedding,
            finalize: piece.finalize,
            attention: piece.attention,
        }
    }
}

/// Whether speech can be made at a speed.
///
/// # Errors
/// [`SpeechError::Speed`] beyond 0.25 to 4, and for what is no number.
pub fn check_speed(speed: f64) -> Result<(), SpeechError> {
    if (SPEEDS.0..=SPEEDS.1).contains(&speed) {
        Ok(())
    } else {
        Err(SpeechError::Speed(speed))
    }
}

pub(super) fn check_mode(mode: Mode, manifest: &Manifest) -> Result<(), SpeechError> {
    let reason = if let Some(reason) = manifest.lacks.get(&mode) {
        reason.clone()
    } else if !manifest.modes.contains(&mode) {
        format!("`{}` does not have it", manifest.name)
    } else {
        return Ok(());
    };
    Err(SpeechError::Mode { mode, reason })
}
