//! `--for-runtime`: engines for the libraries of a folder that is not the active one.

use crate::backend::{BackendSettings, Backends};
use crate::cli::context::Context;
use crate::cli::failure::{Exit, Failure};
use crate::cli::model;
use crate::ids::BackendId;
use crate::trt::{Flavour, SearchPath, TrtLibrary};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// A run-time folder that builds are for, and what is in it.
#[derive(Debug, serde::Serialize)]
pub(super) struct ForRuntime {
    dir: PathBuf,
    libraries: Vec<Found>,
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
            active: active.to_owned(),
        };
        let mut refused = Vec::new();
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
                    Err(refusal) => refused.push(format!("{}: {refusal}", path.display())),
                }
            }
        }
        runtime.libraries.extend(runtime.onnxruntime());
        if runtime.libraries.is_empty() {
            return Err(runtime.nothing_found(&refused));
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
    fn onnxruntime(&self) -> Option<Found> {
        let backends = self.backends(0);
        let found = backends.get(BackendId::OrtCpu).ok()?.probe().ok()?;
        let path = found.path.canonicalize().ok()?;
        path.starts_with(&self.dir).then_some(Found {
            library: found.library,
            path,
        })
    }

    fn nothing_found(&self, refused: &[String]) -> Failure {
        let mut what = format!(
            "--for-runtime {} holds no library that engines can be built for",
            self.dir.display()
        );
        if !refused.is_empty() {
            what.push_str(": ");
            what.push_str(&refused.join("; "));
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
        )
    }
}
