//! Text to ids.

mod whisper;

use super::error::FrontendError;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tokenizers::Tokenizer;

/// A byte-level BPE tokenizer.
///
/// Special tokens in the text (`<|endofprompt|>`, `[breath]`) become their ids; none is added around it. Those of
/// Whisper's vocabulary (v1) are its own: `<|en|>` is one, `<|endofprompt|>` is ordinary text.
pub struct TextTokenizer {
    tokenizer: Tokenizer,
}

/// Real ones have up to 12 MB.
const MAX_FILE_BYTES: u64 = 128 << 20;

impl TextTokenizer {
    /// Loads a tokenizer: Whisper's vocabulary from `*.tiktoken`, the Hugging Face format from any other file.
    ///
    /// # Errors
    /// [`FrontendError::ReadTokenizer`] when the file cannot be read, [`FrontendError::Tokenizer`] when it is no
    /// tokenizer.
    pub fn open(path: &Path) -> Result<Self, FrontendError> {
        let read = |source| FrontendError::ReadTokenizer {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        File::open(path)
            .map_err(read)?
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(read)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(FrontendError::TokenizerTooLarge {
                path: path.to_owned(),
                max_bytes: MAX_FILE_BYTES,
            });
        }
        let tokenizer = match path.extension() {
            Some(extension) if extension == "tiktoken" => {
                guarded(|| whisper::tokenizer_from_ranks(&bytes))
                    .map(|tokenizer| Self { tokenizer })
            }
            _ => Self::from_bytes(&bytes),
        };
        tokenizer.map_err(|source| FrontendError::Tokenizer {
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
        serde_json::from_slice::<serde::de::IgnoredAny>(json)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Bundle;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/onnx/cosyvoice2-tiny");

    static SHIPPED: LazyLock<(Bundle, TextTokenizer)> = LazyLock::new(|| {
        let bundle = Bundle::open(Path::new(BUNDLE)).expect("the shipped bundle opens");
        let path = bundle.tokenizer_path().expect("it takes text");
        let tokenizer = TextTokenizer::open(&path).expect("it loads");
        (bundle, tokenizer)
    });

    fn shipped_json() -> Vec<u8> {
        std::fs::read(Path::new(BUNDLE).join("tokenizer.json")).expect("there")
    }

    #[test]
    fn nothing_is_added_and_special_tokens_are_matched() {
        let (bundle, tokenizer) = &*SHIPPED;
        let spec = bundle.manifest().tokenizer.as_ref().expect("it takes text");
        let end = spec.endofprompt.expect("v2 has one");
        assert_eq!(tokenizer.token_id("<|endofprompt|>"), Some(end));
        assert_eq!(tokenizer.encode("").expect("encodes"), [0; 0]);
        assert_eq!(tokenizer.encode("<|endofprompt|>").expect("encodes"), [end]);

        let hello = tokenizer.encode("Hello, ").expect("encodes");
        let world = tokenizer.encode("世界").expect("encodes");
        let whole = tokenizer
            .encode("Hello, <|endofprompt|>世界")
            .expect("encodes");
        assert_eq!(whole, [&hello[..], &[end], &world].concat());
        assert!(!hello.is_empty() && !hello.contains(&end));
    }

    #[test]
    fn every_id_has_a_row_in_the_text_table() {
        let (bundle, tokenizer) = &*SHIPPED;
        let table = bundle
            .tables()
            .expect("sound")
            .text_embedding
            .expect("v2 has one");
        assert!(tokenizer.vocab_size() <= table.rows());
        let mut row = vec![0.0; table.width()];
        for id in tokenizer
            .encode("Zażółć gęślą jaźń. 世界 🦀 \u{0}\u{7f}<|endofprompt|>")
            .expect("encodes")
        {
            table.copy_row(id, &mut row).expect("in the table");
        }
    }

    #[test]
    fn odd_texts_are_encoded() {
        let (_, tokenizer) = &*SHIPPED;
        for text in [
            "a".repeat(100_000),
            " ".repeat(100_000),
            "界".repeat(33_333),
            "<|".repeat(50_000),
            "<|endofprompt|>".repeat(6_000),
            (0..=0x2ff).filter_map(char::from_u32).collect(),
            "\u{feff}\u{202e}\u{200d}\u{10ffff}".to_owned(),
            "<|no such token|> |> <|".to_owned(),
        ] {
            assert!(
                !tokenizer.encode(&text).expect("encodes").is_empty(),
                "{text:.20}"
            );
        }
    }

    #[test]
    fn what_a_file_says_of_padding_and_truncation_is_not_followed() {
        let mut json: serde_json::Value = serde_json::from_slice(&shipped_json()).expect("JSON");
        json["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0
        });
        json["padding"] = serde_json::json!({
            "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "!"
        });
        let other = TextTokenizer::from_bytes(json.to_string().as_bytes()).expect("loads");
        let text = "one two three";
        assert_eq!(
            other.encode(text).expect("encodes"),
            SHIPPED.1.encode(text).expect("encodes")
        );
    }

    #[test]
    fn a_damaged_file_is_an_error_or_a_tokenizer() {
        let whole = shipped_json();
        let places = || (0..whole.len()).step_by(101);
        for end in places() {
            assert!(
                TextTokenizer::from_bytes(&whole[..end]).is_err(),
                "cut at {end}"
            );
        }
        for at in places() {
            for bit in [0x01, 0x80] {
                let mut copy = whole.clone();
                copy[at] ^= bit;
                if let Ok(tokenizer) = TextTokenizer::from_bytes(&copy) {
                    let _ = tokenizer.encode("Hello, <|endofprompt|> 世界");
                }
            }
        }
    }

    #[test]
    fn odd_files_are_refused_with_the_path() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let deep = "[".repeat(200_000);
        for content in [
            "",
            "null",
            "[]",
            "{}",
            "{\"model\": 1}",
            "{\"model\": {\"type\": \"BPE\"}}",
            "\u{0}",
            &deep,
        ] {
            std::fs::write(file.path(), content).expect("written");
            let error = TextTokenizer::open(file.path()).expect_err("no tokenizer");
            assert!(
                matches!(error, FrontendError::Tokenizer { .. }),
                "{content:.40}: {error:?}"
            );
        }
        file.as_file().set_len(1 << 40).expect("a sparse file");
        let error = TextTokenizer::open(file.path()).expect_err("too large");
        assert!(matches!(error, FrontendError::TokenizerTooLarge { .. }));
        let error = TextTokenizer::open(Path::new("no/such/file")).expect_err("not there");
        assert!(matches!(error, FrontendError::ReadTokenizer { .. }));
    }

    proptest! {
        #[test]
        fn any_text_is_encoded(text in any::<String>()) {
            prop_assert!(SHIPPED.1.encode(&text).is_ok());
        }
    }
}
