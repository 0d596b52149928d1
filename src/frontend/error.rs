//! What can go wrong between a user's files and the model.

use super::text::TransducerError;
use crate::hint::{Class, Hint};
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

/// What can go wrong between a user's files and the model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrontendError {
    /// The tokenizer's file cannot be read.
    #[error("cannot read the tokenizer {}", path.display())]
    ReadTokenizer {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tokenizer's file is larger than a tokenizer is.
    #[error("the tokenizer {} has more than {max_bytes} bytes", path.display())]
    TokenizerTooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes read at most.
        max_bytes: u64,
    },
    /// The tokenizer's file is no tokenizer.
    #[error("{} is not a tokenizer in the Hugging Face or tiktoken format", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: tokenizers::Error,
    },
    /// A text cannot be turned into ids.
    #[error("a text of {text_bytes} bytes cannot be tokenised")]
    Encode {
        /// Length of the text.
        text_bytes: usize,
        /// Why.
        #[source]
        source: tokenizers::Error,
    },
    /// The tokenizer gives an id that is no int32.
    #[error("the tokenizer gives the id {id}, which is larger than an int32")]
    IdTooLarge {
        /// The id.
        id: u32,
    },
    /// A text is not UTF-8.
    #[error("the text is not UTF-8: byte {offset} fits no character")]
    NotUtf8 {
        /// Place of the first byte that fits none.
        offset: usize,
    },
    /// A graph of the text normalisation cannot be read.
    #[error("cannot read the text normalisation graph {}", path.display())]
    ReadGraph {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A graph of the text normalisation is damaged.
    #[error("{} is not a text normalisation graph", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TransducerError,
    },
    /// Audio cannot be written.
    #[error("cannot write audio")]
    WriteAudio(#[source] io::Error),
    /// An encoder refuses.
    #[error("cannot encode audio as {format}")]
    EncodeAudio {
        /// The format.
        format: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A sample rate no WAV file can have.
    #[error("{sample_rate} Hz is not a sample rate: 1 to {max_hz}")]
    SampleRate {
        /// The rate.
        sample_rate: u32,
        /// The highest one the format has room for.
        max_hz: u32,
    },
    /// More samples than a WAV file can hold.
    #[error("{samples} samples do not fit into one WAV file, it holds {max_samples}")]
    TooLong {
        /// Samples there are.
        samples: u64,
        /// Samples that fit.
        max_samples: u64,
    },
    /// The stream ended with another length than its header promised.
    #[error("{written} samples were written, the header promised {promised}")]
    Length {
        /// Samples the header promised.
        promised: u64,
        /// Samples written, the refused ones included.
        written: u64,
    },
}

impl Hint for FrontendError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::ReadTokenizer { .. }
            | Self::TokenizerTooLarge { .. }
            | Self::Tokenizer { .. } => Some(
                "copy the bundle again, or export it again: cvtrt export --model-dir DIR --out DIR"
                    .into(),
            ),
            Self::ReadGraph { path, .. } | Self::Graph { path, .. } => {
                Some(format!("delete {} and run `cvtrt setup`", path.display()).into())
            }
            Self::NotUtf8 { .. } => Some("save the text as UTF-8".into()),
            Self::TooLong { .. } => Some("split the text over several files".into()),
            _ => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::ReadTokenizer { .. }
            | Self::TokenizerTooLarge { .. }
            | Self::Tokenizer { .. }
            | Self::NotUtf8 { .. }
            | Self::SampleRate { .. }
            | Self::TooLong { .. } => Class::Input,
            Self::ReadGraph { .. }
            | Self::Graph { .. }
            | Self::Encode { .. }
            | Self::IdTooLarge { .. }
            | Self::WriteAudio(_)
            | Self::EncodeAudio { .. }
            | Self::Length { .. } => Class::Failed,
        }
    }
}
