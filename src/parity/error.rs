//! Why recordings were not replayed.

use crate::frontend::FrontendError;
use crate::hint::{Class, Hint};
use crate::pipeline::{OpenError, SpeechError};
use crate::tensor::{NpzError, Shape};
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoldenError {
    /// The archive cannot be read.
    #[error(transparent)]
    Npz(#[from] NpzError),
    /// The folder or a file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The texts are not the JSON they should be.
    #[error("{} is not a recording of texts", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An array that a case needs is not there.
    #[error("{} has no array `{name}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
    },
    /// An array is not what the format says.
    #[error("`{name}` of {} is {found}, expected {expected}", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// Type and shape, or length, that the format asks for.
        expected: String,
        /// What is stored.
        found: String,
    },
    /// The vocabulary beside the texts cannot be used.
    #[error(transparent)]
    Vocabulary(#[from] FrontendError),
}

/// Why a set was not replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParityError {
    /// A recording cannot be used.
    #[error(transparent)]
    Golden(#[from] GoldenError),
    /// The folder holds no recording.
    #[error("there is no recording in {}", dir.display())]
    Empty {
        /// The folder.
        dir: PathBuf,
    },
    /// A stage does not open, though its graphs are loaded.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Every case was skipped.
    #[error("nothing of {} can be replayed: {}", dir.display(), reasons.join("; "))]
    NothingRan {
        /// The folder.
        dir: PathBuf,
        /// Why, each reason once.
        reasons: Vec<String>,
    },
}

/// What ends one case: a recording that cannot be used ends the replay, a stage that fails ends the case.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaseError {
    #[error(transparent)]
    Golden(#[from] GoldenError),
    #[error(transparent)]
    Speech(#[from] SpeechError),
}

impl From<crate::pipeline::NotFinite> for CaseError {
    fn from(source: crate::pipeline::NotFinite) -> Self {
        let (graph, tokens) = (crate::ids::GraphId::Llm, 0);
        Self::from(SpeechError::Logits {
            graph,
            tokens,
            source,
        })
    }
}

impl GoldenError {
    pub(super) fn array(path: &std::path::Path, name: &str, expected: &str, found: Shape) -> Self {
        Self::Array {
            path: path.to_owned(),
            name: name.to_owned(),
            expected: expected.to_owned(),
            found: format!("{found:?}"),
        }
    }
}

impl Hint for GoldenError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Npz(error) => error.hint(),
            Self::Vocabulary(error) => error.hint(),
            Self::Json { .. } | Self::Missing { .. } | Self::Array { .. } => {
                Some("tests/data/goldens/README.md describes the recordings".into())
            }
            Self::Read { .. } => None,
        }
    }

    fn class(&self) -> Class {
        Class::Input
    }
}

impl Hint for ParityError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Golden(error) => error.hint(),
            Self::Open(error) => error.hint(),
            Self::Empty { .. } => Some(
                "--golden takes a folder with golden_*.npz, frontend_audio.npz, sampling.npz or text.json"
                    .into(),
            ),
            Self::NothingRan { .. } => {
                Some("name the bundle that was exported from the recorded model".into())
            }
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Golden(error) => error.class(),
            Self::Open(error) => error.class(),
            Self::Empty { .. } => Class::Input,
            Self::NothingRan { .. } => Class::Failed,
        }
    }
}
