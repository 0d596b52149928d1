//! Run-time libraries and text graphs from wheels into one folder: which, from where, and putting them in place.
//!
//! They are plain files; the wheel is only their container, and nothing of Python is used afterwards.
//! pip fetches the wheels, with the user's own configuration.

mod adopt;
mod install;
mod pip;
mod wheels;

pub use adopt::{library_roots, site_packages};
pub use install::{Installed, Origin, install, text_graphs};
pub use wheels::{Kind, Wheel, wheels};

use crate::hint::{Class, Hint};
use std::borrow::Cow;
use std::path::PathBuf;

/// Why a library was not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// No Python to run pip with.
    #[error("cannot start `{program}`")]
    NoPython {
        /// The program tried.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// pip did not bring the wheel.
    #[error("pip could not fetch {package} {version}: {reason}")]
    Fetch {
        /// Package.
        package: &'static str,
        /// Version.
        version: &'static str,
        /// The last line pip said.
        reason: String,
        /// What fetches it by hand.
        command: String,
    },
    /// The offline folder lacks the wheel.
    #[error("{} holds no wheel of {package} {version}", folder.display())]
    NotInFolder {
        /// The folder named by `--from`.
        folder: PathBuf,
        /// Package.
        package: &'static str,
        /// Version.
        version: &'static str,
        /// What fetches it by hand.
        command: String,
    },
    /// The wheel is not the one cvtrt was tried with.
    #[error("{} has the SHA-256 {found}, expected {expected}", path.display())]
    Digest {
        /// The wheel.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
        /// What fetches the right one by hand.
        command: String,
    },
    /// The wheel lacks a file.
    #[error("{} holds no `{member}`", path.display())]
    Member {
        /// The wheel.
        path: PathBuf,
        /// The file looked for.
        member: String,
    },
    /// The wheel is no readable archive.
    #[error("{} is not a readable wheel", path.display())]
    Archive {
        /// The wheel.
        path: PathBuf,
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// A file or folder could not be used.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `--gpu` without a GPU to choose for.
    #[error("the GPU libraries were asked for, and there is no GPU here")]
    NoGpu(#[source] crate::cuda::NoCuda),
}

impl Hint for SetupError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NoPython { .. } => "apt-get install python3-pip, or `cvtrt setup --from DIR` with the wheels fetched elsewhere".into(),
            Self::Fetch { command, .. } => {
                format!("check pip's configuration and the network; or elsewhere `{command}`, and name its folder with --from").into()
            }
            Self::NotInFolder { command, .. } | Self::Digest { command, .. } => {
                format!("on a machine with a network: {command}").into()
            }
            Self::Member { .. } | Self::Archive { .. } => "the wheel is damaged: delete it and run the command again".into(),
            Self::File { .. } => "choose a folder you may write with --runtime-dir".into(),
            Self::NoGpu(_) => "cvtrt setup --cpu, or install the NVIDIA driver first".into(),
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NoGpu(_) => Class::Unavailable,
            Self::NotInFolder { .. }
            | Self::Digest { .. }
            | Self::Member { .. }
            | Self::Archive { .. } => Class::Input,
            _ => Class::Failed,
        }
    }
}
