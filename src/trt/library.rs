//! Loaded libraries: found once, checked before anything in them is called, kept for the life of the process.

use super::handle::{
    BuildEntryPoints, DynamicLibrary, EntryPoint, EntryPoints, LibraryHandle, load_plugin_stub,
};
use super::known;
use super::search::{Candidate, LibraryFiles, Refusal, SearchPath};
use super::version::{Flavour, LibraryVersion};
use crate::elf;
use crate::hint::{Class, Hint};
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A TensorRT or TensorRT-RTX library, with its ONNX parser where it builds.
#[derive(Debug)]
pub struct TrtLibrary {
    pub(super) handle: LibraryHandle,
    /// Held during a build: the library has one log, and a build's errors are read from it.
    pub(super) building: Mutex<()>,
    version: LibraryVersion,
    path: PathBuf,
    cannot_build: Option<Refusal>,
    /// Whether its factories crash, or return addresses of nothing, where there is no driver.
    pub(super) needs_driver: bool,
    remarks: Vec<String>,
    resources: Option<BuilderResources>,
}

/// Where a builder's resource libraries lie, for a library that can be told.
#[derive(Debug)]
struct BuilderResources {
    infer: DynamicLibrary,
    folder: CString,
}

/// A library's file that was found, and what it is good for.
#[derive(Debug)]
pub struct Surveyed {
    /// The file.
    pub path: PathBuf,
    /// The library, or why it is of no use.
    pub library: Result<&'static TrtLibrary, Refusal>,
    /// Whether it is the one [`TrtLibrary::load`] takes.
    pub taken: bool,
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
    /// Finds, checks and loads a library: the first that builds, else the first that at least runs engines. Cheap when
    /// it is already loaded. Needs no device and makes no CUDA call.
    ///
    /// # Errors
    /// [`NoLibrary`] with a reason for every place looked at.
    pub fn load(flavour: Flavour, search: &SearchPath) -> Result<&'static Self, NoLibrary> {
        let mut refused = Vec::new();
        let mut only_runs = None;
        for (path, found) in Self::look(flavour, search) {
            match found {
                Ok(library) if library.cannot_build.is_none() => return Ok(library),
                Ok(library) => {
                    only_runs.get_or_insert(library);
                }
                Err(refusal) => refused.push(Candidate { path, refusal }),
            }
        }
        only_runs.ok_or(NoLibrary {
            flavour,
            candidates: refused,
        })
    }

    /// Every library there is with what can be said for or against it, in the order of the search. Loads them all.
    pub fn survey(flavour: Flavour, search: &SearchPath) -> Vec<Surveyed> {
        let taken = Self::load(flavour, search).ok();
        let mut seen = Vec::new();
        Self::look(flavour, search)
            .filter(|(_, library)| !matches!(library, Err(Refusal::Absent)))
            .filter(|(path, _)| {
                // One file may be reached by several names.
                let real = std::fs::canonicalize(path).unwrap_or(path.clone());
                let new = !seen.contains(&real);
                seen.push(real);
                new
            })
            .map(|(path, library)| Surveyed {
                taken: matches!((&library, taken), (Ok(one), Some(other)) if std::ptr::eq(*one, other)),
                path,
                library,
            })
            .collect()
    }

    /// Opens one place after the other, as far as the caller goes.
    fn look(
        flavour: Flavour,
        search: &SearchPath,
    ) -> impl Iterator<Item = (PathBuf, Result<&'static Self, Refusal>)> {
        search.files(flavour).into_iter().map(move |files| {
            let path = std::fs::canonicalize(&files.infer).unwrap_or(files.infer.clone());
            // A panic while loading leaves the list as it was.
            let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
            let known = loaded.iter().find(|library| library.path == path).copied();
            let found = known.map_or_else(
                || Self::open(flavour, &files, path).inspect(|library| loaded.push(library)),
                Ok,
            );
            (files.infer, found)
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

    /// Why it only runs engines, where it does: a lean library, or one without its parser.
    pub fn cannot_build(&self) -> Option<&Refusal> {
        self.cannot_build.as_ref()
    }

    /// What to expect of it that its version does not tell.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Has the builder look for its resource libraries beside its own file, wherever that is.
    pub(super) fn lead_to_resources(&self) {
        let Some(BuilderResources { infer, folder }) = &self.resources else {
            return;
        };
        if infer.set_internal_library_path(folder) == Some(false) {
            tracing::warn!(?folder, "the library does not look for its resources there");
        }
    }

    fn open(
        flavour: Flavour,
        files: &LibraryFiles,
        path: PathBuf,
    ) -> Result<&'static Self, Refusal> {
        let infer = open_file(&path)?;
        let infer_version = version_of(&infer, c"getInferLibVersion")?;
        let version =
            LibraryVersion::decode(infer_version).ok_or(Refusal::StrangeVersion(infer_version))?;
        if version.flavour != flavour || version.declarations().is_none() {
            return Err(Refusal::Version {
                found: version,
                expected: flavour.supported(),
                why: known::why_unusable(version),
            });
        }
        let create_runtime = symbol_of(&infer, c"createInferRuntime_INTERNAL")?;
        let mut remarks: Vec<String> = known::remarks(version).map(str::to_owned).collect();
        let (build, cannot_build) = match open_builder(&infer, files, version, &mut remarks) {
            Ok(build) => (Some(build), None),
            Err(refusal) => (None, Some(refusal)),
        };
        if let Some(Refusal::NoSymbol(_)) = cannot_build {
            remarks.push("runs only plans built with --version-compatible".to_owned());
        }
        let resources = (build.is_some() && flavour == Flavour::TensorRt)
            .then(|| builder_resources(infer, &path, &mut remarks))
            .flatten();
        let entry = EntryPoints {
            infer_version,
            create_runtime,
            build,
        };
        let handle =
            LibraryHandle::open(&entry).map_err(|error| Refusal::NotLoadable(error.message))?;
        let library = Self {
            cannot_build,
            remarks,
            resources,
            ..Self::from_handle(handle, version, path)
        };
        tracing::info!(path = %library.path.display(), %version, "loaded");
        Ok(Box::leak(Box::new(library)))
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
            cannot_build: None,
            needs_driver: version.flavour == Flavour::TensorRt,
            remarks: Vec::new(),
            resources: None,
        }
    }
}

#[cfg(feature = "testkit")]
impl TrtLibrary {
    /// A library that may be entered without a driver, as a fake may.
    pub(super) fn without_driver(self) -> Self {
        Self {
            needs_driver: false,
            ..self
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

fn open_builder(
    infer: &DynamicLibrary,
    files: &LibraryFiles,
    version: LibraryVersion,
    remarks: &mut Vec<String>,
) -> Result<BuildEntryPoints, Refusal> {
    let create_builder = symbol_of(infer, c"createInferBuilder_INTERNAL")?;
    if let Some(plugin) = &files.plugin
        && let Err(refusal) = open_file(plugin)
    {
        tracing::info!(path = %plugin.display(), %refusal, "TensorRT plugins are not available");
        remarks.push(format!("has no plugins: {}: {refusal}", plugin.display()));
        if version.release.major == 8 {
            // Its parser asks for one function of the plugins, and none of our graphs for a plugin.
            load_plugin_stub().map_err(|error| Refusal::NotLoadable(error.to_string()))?;
        }
    }
    open_parser(&files.parser)
        .map(|(create_parser, parser_version)| BuildEntryPoints {
            create_builder,
            create_parser,
            parser_version,
        })
        .map_err(|refusal| Refusal::Parser {
            path: files.parser.clone(),
            refusal: Box::new(refusal),
        })
}

/// The folder of a builder's resource libraries, where they lie beside the library and it can be told so.
fn builder_resources(
    infer: DynamicLibrary,
    path: &Path,
    remarks: &mut Vec<String>,
) -> Option<BuilderResources> {
    let folder = path.parent()?;
    let beside = std::fs::read_dir(folder).ok()?.any(|entry| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            name.to_string_lossy()
                .starts_with("libnvinfer_builder_resource")
        })
    });
    if !beside {
        remarks.push(
            "no libnvinfer_builder_resource lies beside it; its builder asks the system's loader for one"
                .to_owned(),
        );
        return None;
    }
    let folder = CString::new(folder.as_os_str().as_encoded_bytes()).ok()?;
    Some(BuilderResources { infer, folder })
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
    let is_absent = |candidate: &&Candidate| candidate.refusal == Refusal::Absent;
    let (absent, present): (Vec<_>, Vec<_>) = candidates.iter().partition(is_absent);
    let mut places: Vec<String> = present.iter().map(ToString::to_string).collect();
    let mut folders = Vec::new();
    for folder in absent.iter().filter_map(|one| one.path.parent()) {
        // Most of the folders that are looked for are not there themselves.
        if folder.is_dir() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    if !folders.is_empty() {
        let folders: Vec<String> = folders
            .iter()
            .map(|one| one.display().to_string())
            .collect();
        places.push(format!("none in {}", folders.join(", ")));
    }
    if places.is_empty() {
        places.push("no folder looked in is there".to_owned());
    }
    format!(": {}", places.join("; "))
}
