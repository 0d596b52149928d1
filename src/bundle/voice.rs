//! A voice: prepared features of a prompt, in one safetensors file.

use super::manifest::Manifest;
use super::tensor_file::{Allowed, TensorFileError, TensorIndex};
use crate::hint::{Class, Hint};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Values of a speaker embedding.
pub const EMBEDDING_WIDTH: usize = 192;

/// Prepared features of a prompt. P speech tokens stand for `frames_per_token · P` mel frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Voice {
    /// Name: the file's stem.
    pub name: String,
    /// `[P]`: speech tokens of the prompt; empty for a voice without a prompt.
    pub prompt_token: Vec<i32>,
    /// `[frames, mel_bins]`, row-major, frames outermost: log-mel of the prompt.
    pub prompt_mel: Vec<f32>,
    /// `[192]`: speaker embedding, not normalised.
    pub embedding: Vec<f32>,
    /// What the prompt says.
    pub transcript: Option<String>,
}

/// Why a voice cannot be read, or not be put into a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoiceError {
    /// The file cannot be read.
    #[error("cannot read the file")]
    Io(#[source] io::Error),
    /// The file is larger than a voice can be.
    #[error("the file has more than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// The file's tensors are not a voice's.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// The voice cannot be put into a file.
    #[error("cannot write the voice as safetensors")]
    Encode(#[source] SafeTensorError),
    /// A prompt token is no speech id of this bundle.
    #[error("`prompt_token` holds {id}, speech ids are 0 to {last}")]
    Token {
        /// The id.
        id: i32,
        /// Largest speech id.
        last: usize,
    },
    /// The two halves of the prompt differ in length.
    #[error("`prompt_mel` has {found} values, {tokens} tokens need {expected}")]
    Mel {
        /// Prompt tokens.
        tokens: usize,
        /// Values there are.
        found: usize,
        /// Values there must be.
        expected: usize,
    },
    /// The speaker embedding has another width.
    #[error("`embedding` has {found} values, it must have {EMBEDDING_WIDTH}")]
    Embedding {
        /// Values there are.
        found: usize,
    },
    /// A value is infinite or no number.
    #[error("`{field}` holds a value that is not finite")]
    NotFinite {
        /// The field.
        field: &'static str,
    },
    /// The name cannot be a file's.
    #[error("`{}` cannot be a voice's name: 1 to 64 characters, no `/`, `\\` or control character, no dot in front", name.escape_debug())]
    Name {
        /// The name.
        name: String,
    },
}

impl Hint for VoiceError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }

    fn class(&self) -> Class {
        Class::Input
    }
}

/// Far above thirty seconds of prompt, the most a speech tokenizer takes.
const MAX_FILE_BYTES: u64 = 16 << 20;
const TRANSCRIPT: &str = "transcript";

impl Voice {
    /// Reads a voice and checks it against the bundle it belongs to.
    ///
    /// # Errors
    /// [`VoiceError`] when the file is no voice, or one of another bundle's dimensions.
    pub fn read(name: &str, path: &Path, manifest: &Manifest) -> Result<Self, VoiceError> {
        let file = File::open(path).map_err(VoiceError::Io)?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(VoiceError::Io)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(VoiceError::TooLarge);
        }
        Self::from_bytes(name, &bytes, manifest)
    }

    /// Reads a voice from a file's bytes.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_bytes(name: &str, bytes: &[u8], manifest: &Manifest) -> Result<Self, VoiceError> {
        let index = TensorIndex::read(bytes)?;
        let token = index.get("prompt_token", Allowed::Ids)?;
        let tokens = token.shape.first().copied().unwrap_or(0);
        let token = token.shaped("prompt_token", &[tokens])?;
        let frames = manifest.frames_of_tokens(tokens);
        let voice = Self {
            name: name.to_owned(),
            prompt_token: token.ids(bytes),
            prompt_mel: index
                .get("prompt_mel", Allowed::Floats)?
                .shaped("prompt_mel", &[frames, manifest.mel_bins])?
                .floats("prompt_mel", bytes)?,
            embedding: index
                .get("embedding", Allowed::Floats)?
                .shaped("embedding", &[EMBEDDING_WIDTH])?
                .floats("embedding", bytes)?,
            transcript: index.text(TRANSCRIPT).map(str::to_owned),
        };
        voice.check(manifest)?;
        Ok(voice)
    }

    /// The voice as a file's bytes; equal voices give equal bytes.
    ///
    /// # Errors
    /// [`VoiceError`] when the voice does not fit the bundle.
    pub fn to_bytes(&self, manifest: &Manifest) -> Result<Vec<u8>, VoiceError> {
        self.check(manifest)?;
        let tokens = little_endian(&self.prompt_token, i32::to_le_bytes);
        let mel = little_endian(&self.prompt_mel, f32::to_le_bytes);
        let embedding = little_endian(&self.embedding, f32::to_le_bytes);
        let frames = manifest.frames_of_tokens(self.prompt_token.len());
        let view = |dtype, shape: Vec<usize>, bytes| {
            TensorView::new(dtype, shape, bytes).map_err(VoiceError::Encode)
        };
        let tensors = [
            (
                "embedding",
                view(Dtype::F32, vec![EMBEDDING_WIDTH], &embedding)?,
            ),
            (
                "prompt_mel",
                view(Dtype::F32, vec![frames, manifest.mel_bins], &mel)?,
            ),
            (
                "prompt_token",
                view(Dtype::I32, vec![self.prompt_token.len()], &tokens)?,
            ),
        ];
        let metadata = self
            .transcript
            .as_ref()
            .map(|text| HashMap::from([(TRANSCRIPT.to_owned(), text.clone())]));
        safetensors::serialize(tensors, metadata).map_err(VoiceError::Encode)
    }

    /// Checks name, sizes and values against the bundle the voice is for.
    ///
    /// # Errors
    /// [`VoiceError`] naming the first part that does not fit.
    pub fn check(&self, manifest: &Manifest) -> Result<(), VoiceError> {
        check_voice_name(&self.name)?;
        let speech_vocab = manifest.llm.speech_vocab;
        let foreign = |id: &&i32| usize::try_from(**id).map_or(true, |id| id >= speech_vocab);
        if let Some(&id) = self.prompt_token.iter().find(foreign) {
            return Err(VoiceError::Token {
                id,
                last: speech_vocab.saturating_sub(1),
            });
        }
        let tokens = self.prompt_token.len();
        let expected = manifest.frames_of_tokens(tokens) * manifest.mel_bins;
        if self.prompt_mel.len() != expected {
            return Err(VoiceError::Mel {
                tokens,
                found: self.prompt_mel.len(),
                expected,
            });
        }
        if self.embedding.len() != EMBEDDING_WIDTH {
            return Err(VoiceError::Embedding {
                found: self.embedding.len(),
            });
        }
        finite("prompt_mel", &self.prompt_mel)?;
        finite("embedding", &self.embedding)
    }
}

fn finite(field: &'static str, values: &[f32]) -> Result<(), VoiceError> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(VoiceError::NotFinite { field })
}

/// Whether a voice can have this name.
///
/// # Errors
/// [`VoiceError::Name`].
pub fn check_voice_name(name: &str) -> Result<(), VoiceError> {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
    let length = name.chars().count();
    if !(1..=64).contains(&length) || name.starts_with('.') || name.contains(bad) {
        return Err(VoiceError::Name {
            name: name.chars().take(80).collect(),
        });
    }
    Ok(())
}

fn little_endian<T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|value| bytes(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_fit_the_bundle_is_refused() {
        type Edit = fn(&mut Voice);
        let manifest = fixture::manifest();
        let cases: [(&str, Edit); 9] = [
            ("`prompt_token` holds 6", |voice| voice.prompt_token[1] = 6),
            ("`prompt_token` holds -1", |voice| {
                voice.prompt_token[1] = -1;
            }),
            ("`prompt_mel` has 12 values, 4 tokens need 16", |voice| {
                voice.prompt_token.push(0);
            }),
            ("`prompt_mel` has 11", |voice| voice.prompt_mel.truncate(11)),
            ("`prompt_mel` holds", |voice| voice.prompt_mel[3] = f32::NAN),
            ("`embedding` has 191", |voice| voice.embedding.truncate(191)),
            ("`embedding` holds", |voice| {
                voice.embedding[0] = f32::INFINITY;
            }),
            ("cannot be a voice's name", |voice| {
                voice.name = "../one".to_owned();
            }),
            ("cannot be a voice's name", |voice| voice.name.clear()),
        ];
        for (expected, edit) in cases {
            let mut voice = fixture::voice();
            edit(&mut voice);
            let error = voice.to_bytes(&manifest).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn damaged_files_never_panic() {
        let manifest = fixture::manifest();
        let whole = fixture::voice().to_bytes(&manifest).expect("fits");
        for bytes in fixture::damaged(&whole) {
            if let Ok(voice) = Voice::from_bytes("one", &bytes, &manifest) {
                assert_eq!(
                    voice.prompt_mel.len(),
                    voice.prompt_token.len() * 2 * manifest.mel_bins
                );
            }
        }
    }

    #[test]
    fn a_huge_file_is_not_read_whole() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.as_file().set_len(1 << 40).expect("a sparse file");
        let error = Voice::read("one", file.path(), &fixture::manifest()).expect_err("too large");
        assert!(matches!(error, VoiceError::TooLarge));
    }

    prop_compose! {
        fn voices()(tokens in prop::collection::vec(0..6_i32, 0..40))(
            prompt_mel in prop::collection::vec(-20.0..20.0_f32, tokens.len() * 4),
            prompt_token in Just(tokens),
            embedding in prop::collection::vec(-9.0..9.0_f32, EMBEDDING_WIDTH),
            transcript in any::<Option<String>>(),
        ) -> Voice {
            Voice { name: "any".to_owned(), prompt_token, prompt_mel, embedding, transcript }
        }
    }

    proptest! {
        #[test]
        fn a_voice_round_trips(voice in voices()) {
            let manifest = fixture::manifest();
            let bytes = voice.to_bytes(&manifest).expect("fits");
            prop_assert_eq!(&bytes, &voice.clone().to_bytes(&manifest).expect("fits"));
            prop_assert_eq!(Voice::from_bytes("any", &bytes, &manifest).expect("reads"), voice);
        }
    }
}
