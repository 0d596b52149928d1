//! Text to segments, each spoken on its own.
//!
//! Text that arrives piece by piece (streaming) passes by this room: its pieces are tokenised as they come.

mod chinese;
mod letters;
mod limit;
mod normaliser;
mod numbers;
mod paragraph;

mod goldens;
mod odd_texts;

use super::error::FrontendError;
use super::tokenizer::TextTokenizer;
pub use chinese::{drop_blanks, remove_brackets};
use letters::strip;
pub use letters::{contains_chinese, is_only_punctuation};
use normaliser::Normaliser;
pub use normaliser::{Normalisation, TransducerError};
pub use numbers::spell_out_numbers;
pub use paragraph::{SplitRules, split_paragraph};
use std::num::NonZeroUsize;
use std::path::Path;

/// Turns a text into what the model is to say.
///
/// Source: CosyVoice `cosyvoice/cli/frontend.py`, `CosyVoiceFrontEnd::text_normalize`.
#[derive(Debug)]
pub struct TextFrontend {
    normaliser: Normaliser,
}

/// How a text is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Splitting {
    /// Packing of sentences.
    pub rules: SplitRules,
    /// Cuts sentences longer than this, in the measure of `rules`; the reference never does.
    pub max_length: Option<NonZeroUsize>,
}

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// It has Chinese characters: Chinese rules, lengths in characters.
    Chinese,
    /// Anything else, Japanese and Korean too: English rules, lengths in tokens.
    Other,
}

impl TextFrontend {
    /// A front end with the wetext graphs of a folder (`{zh,en}/tn/{tagger,verbalizer}.fst`).
    ///
    /// Without them it works as [`TextFrontend::plain`] does, warns once, and [`TextFrontend::normalisation`] says so.
    ///
    /// # Errors
    /// [`FrontendError::ReadGraph`] or [`FrontendError::Graph`] for a graph that is there and cannot be used.
    pub fn open(graphs: &Path) -> Result<Self, FrontendError> {
        Ok(Self {
            normaliser: Normaliser::open(graphs)?,
        })
    }

    /// A front end that does not spell out dates, units and money.
    pub fn plain() -> Self {
        Self {
            normaliser: Normaliser::off(),
        }
    }

    /// Whether dates, units and money are spelled out.
    pub fn normalisation(&self) -> &Normalisation {
        self.normaliser.state()
    }

    /// The segments of a text, in order; none where there is nothing to say.
    ///
    /// A text that holds both `<|` and `|>` is one segment as it is, since the caller wrote special tokens; so is the
    /// empty text. `tokenizer` measures texts without Chinese.
    ///
    /// # Errors
    /// [`FrontendError::Encode`] when the tokenizer fails.
    pub fn segments(
        &self,
        text: &str,
        tokenizer: &TextTokenizer,
        splitting: &Splitting,
    ) -> Result<Vec<String>, FrontendError> {
        self.segments_by(text, splitting, |piece| {
            tokenizer.encode(piece).map(|ids| ids.len())
        })
    }

    /// As [`Self::segments`], where `tokens` counts the tokens of a text without Chinese.
    ///
    /// # Errors
    /// What `tokens` returns.
    pub fn segments_by<E>(
        &self,
        text: &str,
        splitting: &Splitting,
        tokens: impl Fn(&str) -> Result<usize, E>,
    ) -> Result<Vec<String>, E> {
        if is_taken_as_it_is(text) {
            return Ok(vec![text.to_owned()]);
        }
        let (spoken, language) = self.spoken(text);
        let length = |piece: &str| match language {
            Language::Chinese => Ok(piece.chars().count()),
            Language::Other => tokens(piece),
        };
        let mut segments = paragraph::split_paragraph(&spoken, language, &splitting.rules, length)?;
        segments.retain(|segment| !is_only_punctuation(segment));
        if let Some(max) = splitting.max_length {
            let parts: Result<Vec<Vec<String>>, E> = segments
                .iter()
                .map(|segment| limit::cut(segment, max.get(), length))
                .collect();
            segments = parts?.concat();
            segments.retain(|segment| !is_only_punctuation(segment));
        }
        Ok(segments)
    }

    /// A text as it is spoken, in one piece: for the transcript of a prompt and for instructions.
    pub fn unsplit(&self, text: &str) -> String {
        if is_taken_as_it_is(text) {
            return text.to_owned();
        }
        self.spoken(text).0
    }

    fn spoken(&self, text: &str) -> (String, Language) {
        let text = strip(text);
        if contains_chinese(text) {
            let spoken = self.normaliser.spoken(text, Language::Chinese);
            return (chinese::clean(&spoken), Language::Chinese);
        }
        let spoken = self.normaliser.spoken(text, Language::Other);
        (numbers::spell_out_numbers(&spoken), Language::Other)
    }
}

/// Text from the bytes of a file or a request, without a byte order mark.
///
/// # Errors
/// [`FrontendError::NotUtf8`] naming the first byte that is none.
pub fn text_from_bytes(bytes: &[u8]) -> Result<&str, FrontendError> {
    let text = std::str::from_utf8(bytes).map_err(|error| FrontendError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn is_taken_as_it_is(text: &str) -> bool {
    text.is_empty() || text.contains("<|") && text.contains("|>")
}
