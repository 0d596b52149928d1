//! Where libraries are looked for, and what became of each place.

use super::version::{Flavour, LibraryVersion};
use std::fmt;
use std::path::{Path, PathBuf};

/// The folders to look in, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchPath {
    /// A folder named by the user. If set, nothing else is looked at.
    pub explicit: Option<PathBuf>,
    /// Run-time folders and Python site-packages, best first.
    pub roots: Vec<PathBuf>,
}

/// A place that was looked at and did not do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Candidate {
    /// The library's file.
    pub path: PathBuf,
    /// Why it was passed over.
    pub refusal: Refusal,
}

/// Why a candidate was passed over.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub enum Refusal {
    /// No such file.
    Absent,
    /// The dynamic loader refused it.
    NotLoadable(String),
    /// It lacks a function, as lean runtimes lack the builder.
    NoSymbol(&'static str),
    /// Its version number follows no known scheme.
    StrangeVersion(i32),
    /// Its interfaces are not known to this program.
    Version {
        /// Version found.
        found: LibraryVersion,
        /// Versions known.
        expected: &'static str,
        /// Why this one is none of them, where more is known.
        why: Option<&'static str>,
    },
    /// The ONNX parser that belongs to it would not do.
    Parser {
        /// The parser's file.
        path: PathBuf,
        /// Why.
        refusal: Box<Refusal>,
    },
}

/// The files of one library set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LibraryFiles {
    pub(super) infer: PathBuf,
    pub(super) parser: PathBuf,
    /// Opened first where it exists, because the parser may refer to it.
    pub(super) plugin: Option<PathBuf>,
}

impl SearchPath {
    /// Every file set to try, in order.
    pub(super) fn files(&self, flavour: Flavour) -> Vec<LibraryFiles> {
        let folders: Vec<PathBuf> = match &self.explicit {
            Some(folder) => with_subfolders(folder, flavour),
            None => self
                .roots
                .iter()
                .flat_map(|root| with_subfolders(root, flavour))
                .collect(),
        };
        let mut files = Vec::new();
        for folder in folders.iter().map(PathBuf::as_path) {
            match flavour {
                Flavour::TensorRtRtx => files.push(LibraryFiles::rtx(folder)),
                Flavour::TensorRt => {
                    files.extend([11, 10, 8].map(|major| LibraryFiles::tensorrt(folder, major)));
                    files.extend([11, 10, 8].map(|major| LibraryFiles::lean(folder, major)));
                }
            }
        }
        files
    }
}

/// A folder may hold the files itself, be a run-time folder, or be a site-packages with the wheels' folders in it.
fn with_subfolders(folder: &Path, flavour: Flavour) -> Vec<PathBuf> {
    let inside: &[&str] = match flavour {
        Flavour::TensorRtRtx => &["tensorrt_rtx", "tensorrt_rtx_libs"],
        Flavour::TensorRt => &[
            "tensorrt",
            "tensorrt_libs",
            "tensorrt_lean",
            "tensorrt_lean_libs",
        ],
    };
    let mut folders = vec![folder.to_owned()];
    folders.extend(inside.iter().map(|name| folder.join(name)));
    folders
}

impl LibraryFiles {
    fn rtx(folder: &Path) -> Self {
        Self {
            infer: folder.join("libtensorrt_rtx.so.1"),
            parser: folder.join("libtensorrt_onnxparser_rtx.so.1"),
            plugin: None,
        }
    }

    /// The library that only runs engines, and only those built to be version-compatible.
    fn lean(folder: &Path, major: u8) -> Self {
        Self {
            infer: folder.join(format!("libnvinfer_lean.so.{major}")),
            ..Self::tensorrt(folder, major)
        }
    }

    fn tensorrt(folder: &Path, major: u8) -> Self {
        Self {
            infer: folder.join(format!("libnvinfer.so.{major}")),
            parser: folder.join(format!("libnvonnxparser.so.{major}")),
            plugin: Some(folder.join(format!("libnvinfer_plugin.so.{major}"))),
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.refusal)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("not there"),
            Self::NotLoadable(reason) => write!(f, "cannot be loaded ({reason})"),
            Self::NoSymbol(name) => write!(f, "has no {name}"),
            Self::StrangeVersion(raw) => write!(f, "answers the unknown version number {raw}"),
            Self::Version {
                found,
                expected,
                why,
            } => {
                write!(f, "is {found}, cvtrt knows {expected}")?;
                why.map_or(Ok(()), |why| write!(f, "; {why}"))
            }
            Self::Parser { path, refusal } => {
                write!(f, "its parser {}: {refusal}", path.display())
            }
        }
    }
}
