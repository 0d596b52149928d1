//! From what someone wants said to segments a lane can speak.

use super::error::ReadError;
use super::wish::{DEFAULT_VOICE, Wish, WishedVoice};
use crate::bundle::{Bundle, BundleError, Manifest, Voice};
use crate::frontend::text::{Normalisation, TextFrontend};
use crate::frontend::{FrontendError, TextTokenizer};
use crate::hint::{Class, Hint};
use crate::ids::Mode;
use crate::pipeline::{ConversionRequest, SpeechRequest};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Tokenizer and voices of one bundle.
#[derive(Debug)]
pub struct Reader {
    frontend: TextFrontend,
    /// `None` where no mode of the bundle takes text.
    tokenizer: Option<TextTokenizer>,
    voices: RwLock<Voices>,
    manifest: Manifest,
}

type Voices = BTreeMap<String, Arc<Voice>>;

/// Why a bundle's texts cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// A voice cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Its tokenizer cannot be read.
    #[error(transparent)]
    Frontend(#[from] FrontendError),
}

/// Ends an instruction in the language model's input.
const END_OF_PROMPT: &str = "<|endofprompt|>";

impl Reader {
    /// Reads a bundle's tokenizer and voices. `frontend` normalises and cuts the texts.
    ///
    /// # Errors
    /// [`ReaderError`] when the tokenizer or a voice is unsound.
    pub fn open(bundle: &Bundle, frontend: TextFrontend) -> Result<Self, ReaderError> {
        let tokenizer = bundle.tokenizer_path();
        let voices = bundle.voice_names().into_iter().map(|name| {
            let voice = Arc::new(bundle.voice(&name)?);
            Ok((name, voice))
        });
        Ok(Self {
            frontend,
            tokenizer: tokenizer.as_deref().map(TextTokenizer::open).transpose()?,
            voices: RwLock::new(voices.collect::<Result<_, BundleError>>()?),
            manifest: bundle.manifest().clone(),
        })
    }

    /// Names of the voices, sorted.
    pub fn voice_names(&self) -> Vec<String> {
        self.with_voices(|voices| voices.keys().cloned().collect())
    }

    /// Has a voice from now on; one of the same name is replaced.
    pub fn keep(&self, voice: Voice) {
        let mut voices = self.voices.write().unwrap_or_else(PoisonError::into_inner);
        voices.insert(voice.name.clone(), Arc::new(voice));
    }

    /// Forgets a voice; whether it was there.
    pub fn forget(&self, name: &str) -> bool {
        let mut voices = self.voices.write().unwrap_or_else(PoisonError::into_inner);
        voices.remove(name).is_some()
    }

    /// Whether dates, units and money are spelled out.
    pub fn normalisation(&self) -> &Normalisation {
        self.frontend.normalisation()
    }

    /// Segments in the order they are spoken in; one at least.
    ///
    /// # Errors
    /// [`ReadError`] naming the field of the wish that cannot be met.
    pub fn segments(&self, wish: &Wish) -> Result<Vec<SpeechRequest>, ReadError> {
        let mode = self.mode(wish)?;
        let voice = self.voice(&wish.voice, mode, wish.transcript.as_deref())?;
        let tokenizer = self.tokenizer.as_ref().ok_or(ReadError::NoText(mode))?;
        let prompt_text_ids = match self.prompt_text(wish, mode, &voice)? {
            Some(text) => tokenizer.encode(&text)?,
            None => Vec::new(),
        };
        let Wish {
            text, splitting, ..
        } = wish;
        let segments = self.frontend.segments(text, tokenizer, splitting)?;
        if text.is_empty() || segments.is_empty() {
            return Err(ReadError::EmptyText);
        }
        segments
            .iter()
            .map(|segment| {
                Ok(SpeechRequest {
                    mode,
                    text_ids: tokenizer.encode(segment)?,
                    prompt_text_ids: prompt_text_ids.clone(),
                    voice: Arc::clone(&voice),
                    seed: wish.seed,
                    max_tokens: wish.max_tokens,
                    speed: wish.speed,
                })
            })
            .collect()
    }

    /// A recording's speech tokens, to be said in the wish's voice at its speed; its text is not read.
    ///
    /// # Errors
    /// [`ReadError`] when the bundle has no voice conversion, or the voice no prompt.
    pub fn conversion(
        &self,
        tokens: Vec<i32>,
        wish: &Wish,
    ) -> Result<ConversionRequest, ReadError> {
        self.check_mode(Mode::Vc)?;
        Ok(ConversionRequest {
            tokens,
            voice: self.voice(&wish.voice, Mode::Vc, None)?,
            seed: wish.seed,
            speed: wish.speed,
        })
    }

    fn mode(&self, wish: &Wish) -> Result<Mode, ReadError> {
        let mode = match wish.mode {
            Some(mode) => mode,
            None if wish.instruction.is_some() => Mode::Instruct2,
            None => self.natural_mode(wish)?,
        };
        self.check_mode(mode)?;
        if !mode.takes_text() {
            return Err(ReadError::NoText(mode));
        }
        match (mode, &wish.instruction) {
            (Mode::Instruct2, None) => Err(ReadError::NoInstruction(mode)),
            (Mode::Instruct2, Some(_)) | (_, None) => Ok(mode),
            (_, Some(_)) => Err(ReadError::NeedlessInstruction(mode)),
        }
    }

    fn check_mode(&self, mode: Mode) -> Result<(), ReadError> {
        let Manifest {
            name, modes, lacks, ..
        } = &self.manifest;
        if modes.contains(&mode) {
            return Ok(());
        }
        let unknown = || format!("`{name}` does not have it");
        Err(ReadError::Mode {
            mode,
            reason: lacks.get(&mode).cloned().unwrap_or_else(unknown),
            known: modes.clone(),
        })
    }

    /// The mode that makes the most of what a voice has.
    fn natural_mode(&self, wish: &Wish) -> Result<Mode, ReadError> {
        let voice = match self.chosen(&wish.voice)? {
            Some(voice) => Some(voice),
            None => self.with_voices(|voices| voices.values().next().cloned()),
        };
        Ok(match voice {
            Some(voice) if voice.prompt_token.is_empty() => Mode::Sft,
            Some(voice) if words_of(&voice, wish.transcript.as_deref()).is_none() => {
                Mode::CrossLingual
            }
            Some(_) | None => Mode::ZeroShot,
        })
    }

    fn voice(
        &self,
        wished: &WishedVoice,
        mode: Mode,
        transcript: Option<&str>,
    ) -> Result<Arc<Voice>, ReadError> {
        if let Some(voice) = self.chosen(wished)? {
            check_voice(&voice, mode, transcript)?;
            return Ok(voice);
        }
        let fits = |voice: &&Arc<Voice>| check_voice(voice, mode, transcript).is_ok();
        self.with_voices(|voices| voices.values().find(fits).cloned())
            .ok_or(ReadError::NoVoice(mode))
    }

    /// The voice a wish names or brings; `None` where it leaves the choice.
    fn chosen(&self, wished: &WishedVoice) -> Result<Option<Arc<Voice>>, ReadError> {
        let name = match wished {
            WishedVoice::First => return Ok(None),
            WishedVoice::Given(voice) => return Ok(Some(Arc::clone(voice))),
            WishedVoice::Named(name) => name,
        };
        let known = self.with_voices(|voices| voices.get(name).cloned());
        if known.is_none() && name != DEFAULT_VOICE {
            return Err(ReadError::UnknownVoice {
                name: name.clone(),
                known: self.voice_names(),
            });
        }
        Ok(known)
    }

    /// What the language model reads before the text: the prompt's words, or the instruction.
    ///
    /// Source: CosyVoice `cosyvoice/cli/frontend.py`, `frontend_zero_shot` and `frontend_instruct2`.
    fn prompt_text(
        &self,
        wish: &Wish,
        mode: Mode,
        voice: &Voice,
    ) -> Result<Option<String>, ReadError> {
        Ok(match (mode, &wish.instruction) {
            (Mode::ZeroShot, _) => {
                let words = words_of(voice, wish.transcript.as_deref());
                let missing = || ReadError::NoTranscript {
                    voice: voice.name.clone(),
                    mode,
                };
                Some(self.frontend.unsplit(words.ok_or_else(missing)?))
            }
            (Mode::Instruct2, Some(words))
                if self.has_endofprompt() && !words.contains(END_OF_PROMPT) =>
            {
                Some(format!("{words}{END_OF_PROMPT}"))
            }
            (Mode::Instruct2, Some(words)) => Some(words.clone()),
            _ => None,
        })
    }

    fn has_endofprompt(&self) -> bool {
        let tokenizer = self.manifest.tokenizer.as_ref();
        tokenizer.is_some_and(|spec| spec.endofprompt.is_some())
    }

    fn with_voices<T>(&self, look: impl FnOnce(&Voices) -> T) -> T {
        look(&self.voices.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The prompt's words: the wish's, else the voice's own.
fn words_of<'a>(voice: &'a Voice, given: Option<&'a str>) -> Option<&'a str> {
    given
        .or(voice.transcript.as_deref())
        .filter(|words| !words.trim().is_empty())
}

fn check_voice(voice: &Voice, mode: Mode, transcript: Option<&str>) -> Result<(), ReadError> {
    let name = || voice.name.clone();
    if mode != Mode::Sft && voice.prompt_token.is_empty() {
        return Err(ReadError::NoPrompt {
            voice: name(),
            mode,
        });
    }
    if mode == Mode::ZeroShot && words_of(voice, transcript).is_none() {
        return Err(ReadError::NoTranscript {
            voice: name(),
            mode,
        });
    }
    Ok(())
}

impl Hint for ReaderError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Bundle(error) => error.hint(),
            Self::Frontend(error) => error.hint(),
        }
    }

    fn class(&self) -> Class {
        Class::Input
    }
}
