//! Failures of the cache.

use super::EngineKey;
use crate::hint::{Class, Hint};
use crate::ids::Digest;
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why the cache could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The disk or the quota is full.
    #[error("no space left for {}", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be written.
    #[error("cannot write {}", path.display())]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another failure of the file system.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The backend wrote no engine.
    #[error("the backend wrote no file {}", path.display())]
    NoEngine {
        /// The file that was to be written.
        path: PathBuf,
    },
}

/// Why an entry cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// Its manifest is missing or wrong.
    #[error("manifest.json: {0}")]
    Manifest(#[from] ManifestFault),
    /// A file is missing or cannot be read.
    #[error("{name} cannot be read")]
    Unreadable {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file has another size than when it was built.
    #[error("{name} has {found} bytes, it was built with {expected}")]
    Size {
        /// The file.
        name: String,
        /// Built with.
        expected: u64,
        /// Found.
        found: u64,
    },
    /// A file has other content than when it was built.
    #[error("{name} has SHA-256 {found}, it was built as {expected}")]
    Content {
        /// The file.
        name: String,
        /// Built as.
        expected: Digest,
        /// Found.
        found: Digest,
    },
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestFault {
    /// It cannot be read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// It is larger than any manifest.
    #[error("{bytes} bytes are more than a manifest has")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// It is no JSON of a manifest.
    #[error("{0}")]
    Json(#[source] serde_json::Error),
    /// It was written by another version of cvtrt.
    #[error("schema {found}, this version of cvtrt writes {}", EngineKey::SCHEMA)]
    Schema {
        /// The schema found.
        found: u32,
    },
    /// Its key is not the key of its inputs.
    #[error("the key {found} is not that of its inputs, {expected}")]
    Key {
        /// The key of its inputs.
        expected: EngineKey,
        /// The key it states.
        found: EngineKey,
    },
    /// It names a file outside the entry, a file twice, or none.
    #[error("`{0}` cannot be a file of the entry")]
    FileName(String),
}

impl CacheError {
    pub(super) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::DiskFull { path, source }
            }
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, source }
            }
            _ => Self::File {
                action,
                path,
                source,
            },
        }
    }
}

impl Hint for CacheError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::DiskFull { .. } => Some("cvtrt engines gc --max-size 10GB frees space".into()),
            Self::ReadOnly { .. } => {
                Some("make the folder writable, or name another one with --engines-dir DIR".into())
            }
            Self::File { source, .. } if is_no_folder(source) => {
                Some("name a folder with --engines-dir DIR".into())
            }
            Self::File { .. } | Self::NoEngine { .. } => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::File { source, .. } if is_no_folder(source) => Class::Input,
            _ => Class::Failed,
        }
    }
}

/// Whether a file is in the place of the cache's folder, which only a wrong setting does.
fn is_no_folder(source: &io::Error) -> bool {
    matches!(
        source.kind(),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists
    )
}
