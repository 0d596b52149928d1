//! Loaded libraries: found once, checked before anything in them is called, kept for the life of the process.

use super::handle::{DynamicLibrary, EntryPoint, EntryPoints, LibraryHandle};
use super::search::{Candidate, LibraryFiles, Refusal, SearchPath};
use super::version::{Flavour, LibraryVersion};
use crate::elf;
use crate::hint::{Class, Hint};
use std::borrow::Cow;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A TensorRT or TensorRT-RTX library with its ONNX parser, ready to build.
#[derive(Debug)]
pub struct TrtLibrary {
    pub(super) handle: LibraryHandle,
    /// Held during a build: the library has one log, and a build's errors are read from it.
    pub(super) building: Mutex<()>,
    version: LibraryVersion,
    path: PathBuf,
    passed_over: Vec<Candidate>,
}

/// No library of the wanted product can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {flavour} library can be used{}", listed(candidates))]
pub struct NoLibrary {
    /// The product looked for.
    pub flavour: Flavour,
    /// Every place looked at, and why it did not do; empty where the search path was.
    pub candidates: Vec<Candidate>,
}

/// Every library opened so far. One file is opened once: it keeps the first logger it is given.
static LOADED: Mutex<Vec<&'static TrtLibrary>> = Mutex::new(Vec::new());

impl TrtLibrary {
    /// Finds, checks and loads a library. Cheap when it is already loaded. Needs no device and makes no CUDA call.
    ///
    /// # Errors
    /// [`NoLibrary`] with a reason for every place looked at.
    pub fn load(flavour: Flavour, search: &SearchPath) -> Result<&'static Self, NoLibrary> {
        // A panic while loading leaves the list as it was.
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let mut candidates = Vec::new();
        for files in search.files(flavour) {
            let path = std::fs::canonicalize(&files.infer).unwrap_or(files.infer.clone());
            if let Some(library) = loaded.iter().find(|library| library.path == path) {
                return Ok(library);
            }
            match Self::open(flavour, &files, path) {
                Ok(mut library) => {
                    library.passed_over = candidates;
                    let library: &'static Self = Box::leak(Box::new(library));
                    loaded.push(library);
                    tracing::info!(path = %library.path.display(), version = %library.version, "loaded");
                    return Ok(library);
                }
                Err(refusal) => candidates.push(Candidate {
                    path: files.infer,
                    refusal,
                }),
            }
        }
        Err(NoLibrary {
            flavour,
            candidates,
        })
    }

    /// Product and version, as the library tells them.
    pub fn version(&self) -> LibraryVersion {
        self.version
    }

    /// The file it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Places looked at before this one, and why they did not do.
    pub fn passed_over(&self) -> &[Candidate] {
        &self.passed_over
    }

    fn open(flavour: Flavour, files: &LibraryFiles, path: PathBuf) -> Result<Self, Refusal> {
        let infer = open_file(&path)?;
        let infer_version = version_of(&infer, c"getInferLibVersion")?;
        let version =
            LibraryVersion::decode(infer_version).ok_or(Refusal::StrangeVersion(infer_version))?;
        if version.flavour != flavour || version.declarations().is_none() {
            return Err(Refusal::Version {
                found: version,
                expected: flavour.supported(),
            });
        }
        let create_builder = symbol_of(&infer, c"createInferBuilder_INTERNAL")?;
        if let Some(plugin) = &files.plugin
            && let Err(refusal) = open_file(plugin)
        {
            tracing::warn!(path = %plugin.display(), %refusal, "TensorRT plugins are not available");
        }
        let entry = open_parser(&files.parser)
            .map(|(create_parser, parser_version)| EntryPoints {
                create_builder,
                create_parser,
                infer_version,
                parser_version,
            })
            .map_err(|refusal| Refusal::Parser {
                path: files.parser.clone(),
                refusal: Box::new(refusal),
            })?;
        let handle =
            LibraryHandle::open(&entry).map_err(|error| Refusal::NotLoadable(error.message))?;
        Ok(Self::from_handle(handle, version, path))
    }

    pub(super) fn from_handle(
        handle: LibraryHandle,
        version: LibraryVersion,
        path: PathBuf,
    ) -> Self {
        Self {
            handle,
            building: Mutex::new(()),
            version,
            path,
            passed_over: Vec::new(),
        }
    }
}

impl Hint for NoLibrary {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self.flavour {
            Flavour::TensorRtRtx => "cvtrt setup, or name the folder with --runtime-dir".into(),
            Flavour::TensorRt => {
                "cvtrt setup --gpu, or name the folder of an installed TensorRT with --runtime-dir"
                    .into()
            }
        })
    }

    fn class(&self) -> Class {
        Class::Unavailable
    }
}

fn open_parser(path: &Path) -> Result<(EntryPoint, i32), Refusal> {
    let parser = open_file(path)?;
    let version = version_of(&parser, c"getNvOnnxParserVersion")?;
    let create = symbol_of(&parser, c"createNvOnnxParser_INTERNAL")?;
    Ok((create, version))
}

fn open_file(path: &Path) -> Result<DynamicLibrary, Refusal> {
    if !path.is_file() {
        return Err(Refusal::Absent);
    }
    elf::refuse_cut_short(path).map_err(|error| Refusal::NotLoadable(error.to_string()))?;
    DynamicLibrary::open(path).map_err(|error| Refusal::NotLoadable(error.to_string()))
}

fn version_of(library: &DynamicLibrary, name: &'static CStr) -> Result<i32, Refusal> {
    library
        .version(name)
        .ok_or(Refusal::NoSymbol(printed(name)))
}

fn symbol_of(library: &DynamicLibrary, name: &'static CStr) -> Result<EntryPoint, Refusal> {
    library
        .entry_point(name)
        .ok_or(Refusal::NoSymbol(printed(name)))
}

fn printed(name: &'static CStr) -> &'static str {
    name.to_str().expect("symbol names are ASCII")
}

fn listed(candidates: &[Candidate]) -> String {
    if candidates.is_empty() {
        return ": no folder to look in was given".to_owned();
    }
    let places: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    format!(": {}", places.join("; "))
}
