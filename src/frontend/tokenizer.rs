//! Text to ids.

use super::error::FrontendError;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tokenizers::Tokenizer;

/// A byte-level BPE tokenizer in the Hugging Face format.
///
/// Special tokens in the text (`<|endofprompt|>`, `[breath]`) become their ids; none is added around it.
pub struct TextTokenizer {
    tokenizer: Tokenizer,
}

/// Real ones have up to 12 MB.
const MAX_FILE_BYTES: u64 = 128 << 20;

impl TextTokenizer {
    /// Loads a tokenizer.
    ///
    /// # Errors
    /// [`FrontendError::ReadTokenizer`] when the file cannot be read, [`FrontendError::Tokenizer`] when it is no
    /// tokenizer.
    pub fn open(path: &Path) -> Result<Self, FrontendError> {
        let read = |source| FrontendError::ReadTokenizer {
            path: path.to_owned(),
            source,
        };
        let mut json = Vec::new();
        File::open(path)
            .map_err(read)?
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut json)
            .map_err(read)?;
        if json.len() as u64 > MAX_FILE_BYTES {
            return Err(FrontendError::TokenizerTooLarge {
                path: path.to_owned(),
                max_bytes: MAX_FILE_BYTES,
            });
        }
        Self::from_bytes(&json).map_err(|source| FrontendError::Tokenizer {
            path: path.to_owned(),
            source,
        })
    }

    /// Ids of a text, in order.
    ///
    /// # Errors
    /// [`FrontendError::Encode`] when the tokenizer fails on it.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>, FrontendError> {
        let encoding = guarded(|| self.tokenizer.encode_fast(text, false)).map_err(|source| {
            FrontendError::Encode {
                text_bytes: text.len(),
                source,
            }
        })?;
        encoding
            .get_ids()
            .iter()
            .map(|&id| i32::try_from(id).map_err(|_| FrontendError::IdTooLarge { id }))
            .collect()
    }

    /// The id of one token as it is spelled in the vocabulary.
    pub fn token_id(&self, token: &str) -> Option<i32> {
        i32::try_from(self.tokenizer.token_to_id(token)?).ok()
    }

    /// Ids there are, special tokens included.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    fn from_bytes(json: &[u8]) -> tokenizers::Result<Self> {
        let mut tokenizer = guarded(|| Tokenizer::from_bytes(json))?;
        // A file may ask for any of these; a text must keep its length and its special tokens.
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        tokenizer.set_encode_special_tokens(false);
        Ok(Self { tokenizer })
    }
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTokenizer")
            .field("vocab_size", &self.vocab_size())
            .finish_non_exhaustive()
    }
}

/// Turns a panic inside the library into an error: it has `unwrap`s on what a file says.
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(io::Error::other("the tokenizer library panicked").into()))
}
