//! What can be wrong with a bundle.

use super::manifest_error::ManifestError;
use super::path::BundlePath;
use super::tensor_file::TensorFileError;
use super::voice::VoiceError;
use crate::hint::{Class, Hint};
use crate::ids::{Digest, GraphId};
use crate::yaml::nearest;
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

/// What can be wrong with a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The folder has no manifest.
    #[error("{} does not exist", path.display())]
    NoManifest {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Neither a folder nor a name resolves to a bundle.
    #[error("`{given}` is neither a bundle's folder nor the name of one")]
    Unknown {
        /// What was asked for.
        given: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The manifest is refused.
    #[error("{} is refused", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<ManifestError>,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A listed file is not there, or not a file.
    #[error("bundle {}: {file} is listed but is not there", dir.display())]
    Missing {
        /// The bundle.
        dir: PathBuf,
        /// The file.
        file: String,
    },
    /// A listed file has another size.
    #[error("bundle {}: {file} has {found} bytes, {listed} are listed", dir.display())]
    Size {
        /// The bundle.
        dir: PathBuf,
        /// The file.
        file: String,
        /// Bytes listed.
        listed: u64,
        /// Bytes found.
        found: u64,
    },
    /// A listed file has other content.
    #[error("bundle {}: the content of {file} is not what is listed: SHA-256 {found}, listed {listed}", dir.display())]
    Content {
        /// The bundle.
        dir: PathBuf,
        /// The file.
        file: BundlePath,
        /// Digest listed.
        listed: Digest,
        /// Digest found.
        found: Digest,
    },
    /// The bundle lacks a graph.
    #[error("bundle `{bundle}` has no graph {graph}; it has: {}", words(known))]
    NoGraph {
        /// The bundle's name.
        bundle: String,
        /// The graph.
        graph: GraphId,
        /// The graphs it has.
        known: Vec<GraphId>,
    },
    /// The bundle lacks a voice.
    #[error("bundle `{bundle}` has no voice `{voice}`; it has: {}", words(known))]
    NoVoice {
        /// The bundle's name.
        bundle: String,
        /// The voice.
        voice: String,
        /// The voices it has.
        known: Vec<String>,
    },
    /// The bundle has a voice of this name, and it is to stay.
    #[error("bundle `{bundle}` has a voice `{voice}` already")]
    VoiceExists {
        /// The bundle's name.
        bundle: String,
        /// The voice.
        voice: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A voice file is unsound.
    #[error("{} is not a voice of this bundle", path.display())]
    Voice {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: VoiceError,
    },
    /// The host's tensors are unsound.
    #[error("{} does not fit the manifest", path.display())]
    Tables {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TensorFileError,
    },
}

impl Hint for BundleError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoManifest { .. } => {
                Some("name a folder that holds a bundle.yaml, or make one: cvtrt export --model-dir DIR --out DIR".into())
            }
            Self::Unknown { given, known } => Some(match nearest(given, known.iter().map(String::as_str)) {
                Some(name) => format!("did you mean --bundle {name}?").into(),
                None if known.is_empty() => "no bundle is installed; make one: cvtrt export --model-dir DIR --out DIR".into(),
                None => format!("bundles here: {}", words(known)).into(),
            }),
            Self::Manifest { source, .. } => Some(match &**source {
                ManifestError::Yaml(error) if error.nearest.is_some() => return error.hint(),
                ManifestError::Format { .. } => "use the cvtrt that wrote it, or export the bundle again with this one".into(),
                _ => "undo the edit, or export the bundle again: cvtrt export --model-dir DIR --out DIR".into(),
            }),
            Self::Missing { dir, file } | Self::Size { dir, file, .. } => Some(copy_again(dir, file)),
            Self::Content { dir, file, .. } => Some(copy_again(dir, file.as_str())),
            Self::NoGraph { graph: GraphId::SpeechTokenizer | GraphId::Campplus, .. } => {
                Some("export the model from a folder that has its prompt encoders, speech_tokenizer_v*.onnx and campplus.onnx".into())
            }
            Self::NoGraph { .. } => Some("choose a mode `cvtrt inspect` lists for this bundle".into()),
            Self::NoVoice { voice, known, .. } => {
                nearest(voice, known.iter().map(String::as_str)).map(|name| format!("did you mean --voice {name}?").into())
            }
            Self::Voice { .. } => Some("make the voice again: cvtrt voices add NAME --wav FILE --text TRANSCRIPT".into()),
            Self::Tables { .. } => Some("export the bundle again: cvtrt export --model-dir DIR --out DIR".into()),
            Self::VoiceExists { .. } => Some("choose another name, or replace it with --force".into()),
            Self::Write { path, source } if is_locked_away(source) => path.parent().map(|dir| {
                format!("the folder {} takes no files: make it writable, or work on a copy of the bundle", dir.display()).into()
            }),
            Self::Read { .. } | Self::Write { .. } => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Write { .. } => Class::Failed,
            _ => Class::Input,
        }
    }
}

fn is_locked_away(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn copy_again(dir: &std::path::Path, file: &str) -> Cow<'static, str> {
    format!(
        "copy {file} into {} again from where the bundle came, or export it again: cvtrt export --model-dir DIR --out {}",
        dir.display(),
        dir.display()
    )
    .into()
}

fn words<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}
