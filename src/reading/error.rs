//! Why a wish cannot be spoken, and why a recording cannot be used.

use crate::bundle::VoiceError;
use crate::frontend::FrontendError;
use crate::frontend::audio::AudioError;
use crate::hint::{Class, Hint};
use crate::ids::Mode;
use crate::pipeline::SpeechError;
use std::borrow::Cow;

/// Why a wish cannot be spoken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nothing is left of the text.
    #[error("there is nothing to say in the text")]
    EmptyText,
    /// The bundle has no such voice.
    #[error("there is no voice `{name}`; there are: {}", listed(known))]
    UnknownVoice {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// No voice was named and none fits.
    #[error("the model has no voice for mode `{0}`")]
    NoVoice(Mode),
    /// The mode needs a prompt.
    #[error("voice `{voice}` has no prompt, which mode `{mode}` needs")]
    NoPrompt {
        /// The voice.
        voice: String,
        /// The mode.
        mode: Mode,
    },
    /// The mode needs the prompt's words.
    #[error("the prompt of voice `{voice}` has no transcript, which mode `{mode}` needs")]
    NoTranscript {
        /// The voice.
        voice: String,
        /// The mode.
        mode: Mode,
    },
    /// The bundle does not have the mode.
    #[error(
        "mode `{mode}` is not available: {reason}; there are: {}",
        listed(known)
    )]
    Mode {
        /// The mode asked for.
        mode: Mode,
        /// Why.
        reason: String,
        /// The modes there are.
        known: Vec<Mode>,
    },
    /// A text was given to a mode that speaks from a recording.
    #[error("mode `{0}` takes a recording, not a text")]
    NoText(Mode),
    /// The mode needs an instruction.
    #[error("mode `{0}` needs an instruction")]
    NoInstruction(Mode),
    /// An instruction was given to a mode that hears none.
    #[error("mode `{0}` takes no instruction")]
    NeedlessInstruction(Mode),
    /// The text cannot become ids.
    #[error(transparent)]
    Frontend(#[from] FrontendError),
}

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The audio is none, or holds no speech.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// A graph failed.
    #[error(transparent)]
    Speech(Box<SpeechError>),
    /// The speech tokenizer gave nothing.
    #[error("the speech tokenizer hears nothing in the recording")]
    NoTokens,
    /// What the graphs gave is no voice of the bundle, or its name is none.
    #[error(transparent)]
    Voice(#[from] VoiceError),
}

impl From<SpeechError> for ListenError {
    fn from(error: SpeechError) -> Self {
        Self::Speech(Box::new(error))
    }
}

impl ReadError {
    /// The wish's field that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::EmptyText | Self::Frontend(_) => "text",
            Self::UnknownVoice { .. } | Self::NoVoice(_) | Self::NoPrompt { .. } => "voice",
            Self::NoTranscript { .. } => "transcript",
            Self::Mode { .. } | Self::NoText(_) => "mode",
            Self::NoInstruction(_) | Self::NeedlessInstruction(_) => "instruction",
        }
    }
}

impl Hint for ReadError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NoVoice(_) => {
                "bring a recording with --prompt-wav, or keep one: cvtrt voices add NAME --wav FILE --text TRANSCRIPT"
                    .into()
            }
            Self::NoPrompt { .. } => "choose a voice with a prompt, or --mode sft".into(),
            Self::NoTranscript { .. } => {
                "say the prompt's words with --prompt-text, or choose --mode cross_lingual".into()
            }
            Self::NoText(_) => "name the recording with --source-wav".into(),
            Self::NoInstruction(_) => "--instruct \"Speak softly.\"".into(),
            Self::NeedlessInstruction(_) => "--mode instruct2, or leave out --instruct".into(),
            Self::Frontend(error) => return error.hint(),
            Self::EmptyText | Self::UnknownVoice { .. } | Self::Mode { .. } => return None,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Frontend(error) => error.class(),
            _ => Class::Input,
        }
    }
}

impl Hint for ListenError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Audio(error) => error.hint(),
            Self::Speech(error) => error.hint(),
            Self::NoTokens => Some("use a recording with a few seconds of clear speech".into()),
            Self::Voice(_) => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Speech(error) => error.class(),
            Self::Audio(_) | Self::NoTokens | Self::Voice(_) => Class::Input,
        }
    }
}

fn listed(items: &[impl ToString]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    words.join(", ")
}
