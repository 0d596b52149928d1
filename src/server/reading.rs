//! From what a client wants said to segments a lane can speak.

use crate::bundle::{Bundle, BundleError, Manifest, Voice};
use crate::frontend::text::{Splitting, TextFrontend};
use crate::frontend::{FrontendError, TextTokenizer};
use crate::hint::Hint;
use crate::ids::Mode;
use crate::pipeline::SpeechRequest;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tokenizer and voices of one bundle.
#[derive(Debug)]
pub(super) struct Reader {
    frontend: TextFrontend,
    tokenizer: TextTokenizer,
    voices: BTreeMap<String, Arc<Voice>>,
    modes: Vec<Mode>,
    /// The word that ends an instruction.
    endofprompt: bool,
}

/// What a client wants said, and how.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wish {
    pub(super) text: String,
    /// `None` and `default`: the first one the mode can use.
    pub(super) voice: Option<String>,
    /// `None`: what fits the voice and the instruction.
    pub(super) mode: Option<Mode>,
    pub(super) instruction: Option<String>,
    /// The prompt's words, where they are not the voice's own.
    pub(super) transcript: Option<String>,
    /// How the text is cut into segments.
    pub(super) splitting: Splitting,
    pub(super) seed: u64,
    pub(super) speed: f64,
}

/// Why a bundle cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// A voice cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Its tokenizer cannot be read.
    #[error(transparent)]
    Frontend(#[from] FrontendError),
    /// It takes no text.
    #[error("the bundle `{0}` has no tokenizer, so it takes no text")]
    NoTokenizer(String),
    /// It has nothing to speak with.
    #[error("the bundle `{0}` has no voice")]
    NoVoice(String),
}

/// Why a wish cannot be spoken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ReadError {
    #[error("there is nothing to say in the text")]
    EmptyText,
    #[error("there is no voice `{name}`; there are: {}", known.join(", "))]
    UnknownVoice { name: String, known: Vec<String> },
    #[error("no voice of the model has a prompt, which mode `{0}` needs")]
    NoVoice(Mode),
    #[error("voice `{voice}` has no prompt, which mode `{mode}` needs")]
    NoPrompt { voice: String, mode: Mode },
    #[error("the prompt of voice `{voice}` has no transcript, which mode `{mode}` needs")]
    NoTranscript { voice: String, mode: Mode },
    #[error("the model does not have mode `{mode}`; it has: {}", words(known))]
    Mode { mode: Mode, known: Vec<Mode> },
    #[error("mode `{0}` needs an instruction")]
    NoInstruction(Mode),
    #[error("mode `{0}` takes no instruction")]
    NeedlessInstruction(Mode),
    #[error(transparent)]
    Frontend(#[from] FrontendError),
}

/// What a client calls the first voice and the first model.
pub(super) const DEFAULT: &str = "default";

impl Reader {
    pub(super) fn open(bundle: &Bundle, frontend: TextFrontend) -> Result<Self, ReaderError> {
        let Manifest {
            name,
            modes,
            lacks,
            tokenizer,
            ..
        } = bundle.manifest();
        let path = bundle
            .tokenizer_path()
            .ok_or_else(|| ReaderError::NoTokenizer(name.clone()))?;
        let voices: BTreeMap<_, _> = bundle
            .voice_names()
            .into_iter()
            .map(|name| Ok((name.clone(), Arc::new(bundle.voice(&name)?))))
            .collect::<Result<_, BundleError>>()?;
        if voices.is_empty() {
            return Err(ReaderError::NoVoice(name.clone()));
        }
        let speakable = |mode: &&Mode| mode.takes_text() && !lacks.contains_key(mode);
        Ok(Self {
            frontend,
            tokenizer: TextTokenizer::open(&path)?,
            voices,
            modes: modes.iter().filter(speakable).copied().collect(),
            endofprompt: tokenizer
                .as_ref()
                .is_some_and(|spec| spec.endofprompt.is_some()),
        })
    }

    /// Names of the voices.
    pub(super) fn voice_names(&self) -> impl Iterator<Item = &str> {
        self.voices.keys().map(String::as_str)
    }

    /// Segments in the order they are spoken in; one at least.
    pub(super) fn segments(&self, wish: &Wish) -> Result<Vec<SpeechRequest>, ReadError> {
        let mode = self.mode(wish)?;
        let voice = self.voice(wish, mode)?;
        let prompt_text_ids = self.prompt_text_ids(wish, mode, voice)?;
        let Wish {
            text, splitting, ..
        } = wish;
        let segments = self.frontend.segments(text, &self.tokenizer, splitting)?;
        if text.is_empty() || segments.is_empty() {
            return Err(ReadError::EmptyText);
        }
        segments
            .iter()
            .map(|segment| {
                Ok(SpeechRequest {
                    mode,
                    text_ids: self.tokenizer.encode(segment)?,
                    prompt_text_ids: prompt_text_ids.clone(),
                    voice: Arc::clone(voice),
                    seed: wish.seed,
                    max_tokens: None,
                    speed: wish.speed,
                })
            })
            .collect()
    }

    fn mode(&self, wish: &Wish) -> Result<Mode, ReadError> {
        let mode = match wish.mode {
            Some(mode) => mode,
            None if wish.instruction.is_some() => Mode::Instruct2,
            None => self.natural_mode(wish)?,
        };
        if !self.modes.contains(&mode) {
            let known = self.modes.clone();
            return Err(ReadError::Mode { mode, known });
        }
        match (mode, &wish.instruction) {
            (Mode::Instruct2, None) => Err(ReadError::NoInstruction(mode)),
            (Mode::Instruct2, Some(_)) | (_, None) => Ok(mode),
            (_, Some(_)) => Err(ReadError::NeedlessInstruction(mode)),
        }
    }

    /// The mode that makes the most of what a voice has.
    fn natural_mode(&self, wish: &Wish) -> Result<Mode, ReadError> {
        let voice = match self.named(wish)? {
            Some(voice) => voice,
            None => self.voices.values().next().expect("one at least"),
        };
        let wanted = if voice.prompt_token.is_empty() {
            Mode::Sft
        } else if wish.transcript.is_some() || voice.transcript.is_some() {
            Mode::ZeroShot
        } else {
            Mode::CrossLingual
        };
        Ok(wanted)
    }

    fn voice(&self, wish: &Wish, mode: Mode) -> Result<&Arc<Voice>, ReadError> {
        let speaks = |voice: &Voice| mode == Mode::Sft || !voice.prompt_token.is_empty();
        match self.named(wish)? {
            Some(voice) if speaks(voice) => Ok(voice),
            Some(voice) => Err(ReadError::NoPrompt {
                voice: voice.name.clone(),
                mode,
            }),
            None => self
                .voices
                .values()
                .find(|voice| speaks(voice))
                .ok_or(ReadError::NoVoice(mode)),
        }
    }

    /// The voice a wish names; `None` where it leaves the choice.
    fn named(&self, wish: &Wish) -> Result<Option<&Arc<Voice>>, ReadError> {
        let Some(name) = wish.voice.as_deref() else {
            return Ok(None);
        };
        match self.voices.get(name) {
            Some(voice) => Ok(Some(voice)),
            None if name == DEFAULT => Ok(None),
            None => Err(ReadError::UnknownVoice {
                name: name.to_owned(),
                known: self.voices.keys().cloned().collect(),
            }),
        }
    }

    /// Source: CosyVoice `cosyvoice/cli/frontend.py`, `frontend_zero_shot` and `frontend_instruct2`.
    fn prompt_text_ids(
        &self,
        wish: &Wish,
        mode: Mode,
        voice: &Voice,
    ) -> Result<Vec<i32>, ReadError> {
        let text = match (mode, &wish.instruction) {
            (Mode::ZeroShot, _) => {
                let own = voice.transcript.as_ref();
                let voice = voice.name.clone();
                let words = wish.transcript.as_ref().or(own);
                words
                    .ok_or(ReadError::NoTranscript { voice, mode })?
                    .clone()
            }
            (Mode::Instruct2, Some(instruction))
                if self.endofprompt && !instruction.contains(END_OF_PROMPT) =>
            {
                format!("{instruction}{END_OF_PROMPT}")
            }
            (Mode::Instruct2, Some(instruction)) => instruction.clone(),
            _ => return Ok(Vec::new()),
        };
        Ok(self.tokenizer.encode(&text)?)
    }
}

const END_OF_PROMPT: &str = "<|endofprompt|>";

impl ReadError {
    /// The request's field that is wrong, as [`Wish`] names it.
    pub(super) fn field(&self) -> &'static str {
        match self {
            Self::EmptyText | Self::Frontend(_) => "text",
            Self::UnknownVoice { .. }
            | Self::NoVoice(_)
            | Self::NoPrompt { .. }
            | Self::NoTranscript { .. } => "voice",
            Self::Mode { .. } => "mode",
            Self::NoInstruction(_) | Self::NeedlessInstruction(_) => "instruction",
        }
    }
}

impl Hint for ReaderError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Bundle(error) => error.hint(),
            Self::Frontend(error) => error.hint(),
            Self::NoTokenizer(_) | Self::NoVoice(_) => {
                Some("export the model again: cvtrt export --model-dir DIR --out DIR".into())
            }
        }
    }

    fn class(&self) -> crate::hint::Class {
        crate::hint::Class::Input
    }
}

fn words(modes: &[Mode]) -> String {
    let words: Vec<&str> = modes.iter().map(|mode| mode.as_str()).collect();
    words.join(", ")
}
