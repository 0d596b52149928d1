//! Recordings to voices and speech tokens.

use super::error::ListenError;
use crate::backend::Lane;
use crate::bundle::{Bundle, Manifest, Voice};
use crate::frontend::audio::{Clip, PromptFeatures, PromptMelSpec, speech_tokenizer_input};
use crate::pipeline::{Graphs, OpenError, PromptStage};

/// Hears recordings for one bundle: what it gives is what the bundle's own voices are made of.
#[derive(Debug)]
pub struct Listener {
    stage: PromptStage,
    manifest: Manifest,
}

impl Listener {
    /// Opens the graphs of [`PromptStage::GRAPHS`].
    ///
    /// # Errors
    /// [`OpenError`] for one that is not loaded, is no prompt encoder, or opens no session.
    pub fn open(bundle: &Bundle, graphs: &Graphs, lane: &Lane) -> Result<Self, OpenError> {
        Ok(Self {
            stage: PromptStage::open(graphs, lane)?,
            manifest: bundle.manifest().clone(),
        })
    }

    /// The voice of a recording: tokens and mel of equal length in time, and the speaker's embedding.
    ///
    /// `transcript`: what the recording says, which mode `zero_shot` needs; a blank one is none.
    ///
    /// # Errors
    /// [`ListenError`] for audio without half a second to thirty seconds of sound, a graph that fails, or a name no voice
    /// can have.
    pub fn voice(
        &mut self,
        name: &str,
        recording: &Clip,
        transcript: Option<&str>,
    ) -> Result<Voice, ListenError> {
        let features = PromptFeatures::from_audio(recording, &PromptMelSpec::of(&self.manifest))?;
        let tokens = self.stage.tokens(&features.whisper_mel)?;
        let aligned = features.aligned(&tokens, &self.manifest);
        if aligned.tokens.is_empty() {
            return Err(ListenError::NoTokens);
        }
        let transcript = transcript.map(str::trim).filter(|words| !words.is_empty());
        let voice = Voice {
            name: name.to_owned(),
            prompt_token: aligned.tokens,
            prompt_mel: aligned.mel,
            embedding: self.stage.embedding(&features.fbank)?,
            transcript: transcript.map(str::to_owned),
        };
        voice.check(&self.manifest)?;
        Ok(voice)
    }

    /// The speech tokens of a recording that another voice is to repeat.
    ///
    /// # Errors
    /// [`ListenError`] for audio without sound or of more than thirty seconds, or a graph that fails.
    pub fn tokens(&mut self, recording: &Clip) -> Result<Vec<i32>, ListenError> {
        let tokens = self.stage.tokens(&speech_tokenizer_input(recording)?)?;
        if tokens.is_empty() {
            return Err(ListenError::NoTokens);
        }
        Ok(tokens)
    }
}
