//! `--for-runtime`: engines for the libraries of a folder that is not the active one.

use crate::backend::{
    BackendSettings, Backends, LibraryError, OrtLibrary, SearchPath as OrtSearchPath,
};
use crate::cli::context::Context;
use crate::cli::failure::{Exit, Failure};
use crate::cli::model;
use crate::trt::{Flavour, SearchPath, TrtLibrary};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// A run-time folder that builds are for, and what is in it.
#[derive(Debug, serde::Serialize)]
pub(super) struct ForRuntime {
    dir: PathBuf,
    libraries: Vec<Found>,
    /// Libraries in the folder that this machine cannot load, each with the reason.
    refused: Vec<String>,
    /// Where ONNX Runtime comes from, to compare engines with, where the folder has none.
    #[serde(skip)]
    active: PathBuf,
}

#[derive(Debug, serde::Serialize)]
struct Found {
    library: String,
    path: PathBuf,
}

impl ForRuntime {
    /// Looks what the folder has.
    pub(super) fn look(dir: &Path, context: &Context) -> Result<Self, Failure> {
        let active = context.runtime_dir();
        let canonical = dir.canonicalize().map_err(|error| {
            let what = format!("--for-runtime {}: {error}", dir.display());
            Failure::message(Exit::Usage, what)
        })?;
        if active
            .canonicalize()
            .is_ok_and(|active| active == canonical)
        {
            let what = format!(
                "--for-runtime {} is the active run-time folder",
                dir.display()
            );
            return Err(Failure::message(Exit::Usage, what)
                .with_hint("leave it out: builds are for the active folder anyway"));
        }
        let mut runtime = Self {
            dir: canonical,
            libraries: Vec::new(),
            refused: Vec::new(),
            active: active.to_owned(),
        };
        for flavour in [Flavour::TensorRt, Flavour::TensorRtRtx] {
            let search = SearchPath {
                explicit: Some(runtime.dir.clone()),
                ..SearchPath::default()
            };
            for found in TrtLibrary::survey(flavour, &search) {
                let path = found.path;
                match found.library {
                    Ok(library) => runtime.libraries.push(Found {
                        library: library.version().to_string(),
                        path,
                    }),
                    Err(refusal) => {
                        let refused = format!("{}: {refusal}", path.display());
                        runtime.refused.push(refused);
                    }
                }
            }
        }
        runtime.libraries.extend(runtime.onnxruntime()?);
        if runtime.libraries.is_empty() {
            return Err(runtime.nothing_found());
        }
        Ok(runtime)
    }

    /// Backends on the folder's libraries.
    pub(super) fn backends(&self, device: u32) -> Backends {
        Backends::open(&BackendSettings {
            device,
            ..model::settings(&self.dir, Some(&self.active))
        })
    }

    /// What a worker is told to have the same backends.
    pub(super) fn worker_arguments(&self) -> [OsString; 4] {
        [
            "--runtime-dir".into(),
            self.dir.clone().into(),
            "--reference-dir".into(),
            self.active.clone().into(),
        ]
    }

    /// The folder's ONNX Runtime. A process loads only one, and this one is for the folder.
    ///
    /// One that does not load is refused: builds would be for the active folder's in its place.
    fn onnxruntime(&self) -> Result<Option<Found>, Failure> {
        let own = OrtSearchPath {
            roots: vec![self.dir.clone()],
            ..OrtSearchPath::default()
        };
        let refused = match OrtLibrary::open(&own) {
            Ok(library) => {
                return Ok(Some(Found {
                    library: format!("ONNX Runtime {}", library.version()),
                    path: library.path().to_owned(),
                }));
            }
            Err(LibraryError::NotFound { mut refused }) => {
                refused.retain(|one| one.path.is_file());
                refused.iter().map(ToString::to_string).collect::<Vec<_>>()
            }
            Err(other) => vec![other.to_string()],
        };
        if refused.is_empty() {
            return Ok(None);
        }
        let what = format!(
            "--for-runtime {}: its ONNX Runtime cannot be loaded: {}",
            self.dir.display(),
            refused.join("; ")
        );
        Err(Failure::message(Exit::Unavailable, what).with_hint(
            "install it there again, or remove it; the active folder's then serves to compare with",
        ))
    }

    fn nothing_found(&self) -> Failure {
        let mut what = format!(
            "--for-runtime {} holds no library that engines can be built for",
            self.dir.display()
        );
        if !self.refused.is_empty() {
            what.push_str(": ");
            what.push_str(&self.refused.join("; "));
        }
        Failure::message(Exit::Unavailable, what).with_hint(
            "looked for libnvinfer.so.11, .10 and .8, libtensorrt_rtx.so.1 and libonnxruntime.so there and in its \
             folders tensorrt, tensorrt_libs, tensorrt_rtx, tensorrt_rtx_libs and onnxruntime; name the folder that \
             --runtime-dir will name later",
        )
    }
}

impl fmt::Display for ForRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let libraries: Vec<&str> = self
            .libraries
            .iter()
            .map(|one| one.library.as_str())
            .collect();
        write!(
            f,
            "for the run-time folder {}: {}",
            self.dir.display(),
            libraries.join(", ")
        )?;
        if self.refused.is_empty() {
            return Ok(());
        }
        write!(f, "; cannot be loaded here: {}", self.refused.join("; "))
    }
}
