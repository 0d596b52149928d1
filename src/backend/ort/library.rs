//! The ONNX Runtime library: where it is looked for, and the one that this process loaded.
#![expect(
    unsafe_code,
    reason = "loading a shared library runs its initialisers, and its version comes from a C function"
)]

use super::fault::{self, Fault};
use crate::elf;
use ort::LoadDynamicError;
use ort::environment::{Environment, EnvironmentBuilder};
use ort::logging::LogLevel;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::error::Error;
use std::ffi::CStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

const PREFIX: &str = "libonnxruntime.so";
const LOADER_NAME: &str = "libonnxruntime.so.1";

/// Where to look for the library, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchPath {
    /// A file or a folder that was named on purpose: where there is one, nothing else will do.
    pub explicit: Option<PathBuf>,
    /// Run-time folders, best first. Each is searched in `onnxruntime/`, in `onnxruntime/capi/` (the layout of the
    /// Python wheel) and itself; the newest version in a folder comes first.
    pub roots: Vec<PathBuf>,
    /// Whether the loader's own path is asked last.
    pub system: bool,
}

/// The library of this process, loaded once and never unloaded.
///
/// Nothing else of `ort` may run before one exists: every entry point panics without a library, even the one that
/// makes an error.
pub struct OrtLibrary {
    path: PathBuf,
    version: String,
    environment: Environment,
}

/// Why there is no library.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// No candidate could be loaded.
    #[error("no ONNX Runtime library: {}", refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NotFound {
        /// Every place looked at.
        refused: Vec<Refused>,
    },
    /// The process has loaded another one, and can load only one.
    #[error("{} is loaded already and is not on the search path", loaded.display())]
    AlreadyLoaded {
        /// The library in use.
        loaded: PathBuf,
    },
}

/// A place that was looked at in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The file or folder.
    pub path: PathBuf,
    /// Why it would not do.
    pub reason: String,
}

impl OrtLibrary {
    /// Loads the first usable library of a search path, or gives the one that is loaded already.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`] with the reason for every candidate, [`LibraryError::AlreadyLoaded`] when the
    /// process runs on a library this search path does not reach.
    pub fn open(search: &SearchPath) -> Result<&'static Self, LibraryError> {
        static LOADED: OnceLock<OrtLibrary> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());

        let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        let (candidates, mut refused) = search.candidates();
        if let Some(library) = LOADED.get() {
            return if candidates.contains(&library.path) {
                Ok(library)
            } else {
                let loaded = library.path.clone();
                Err(LibraryError::AlreadyLoaded { loaded })
            };
        }
        for path in candidates {
            // `ort` keeps the first library it takes for the life of the process: what fails after that is final, and
            // another candidate would be reported under the wrong name.
            let taken = fault::guard(|| {
                elf::refuse_cut_short(&path).map_err(Fault::new)?;
                ort::init_from(&path).map_err(|error| refusal(&error))
            });
            let last = taken.is_ok();
            match taken.and_then(|builder| Self::of(&path, builder)) {
                Ok(library) => return Ok(LOADED.get_or_init(|| library)),
                Err(fault) => refused.push(Refused {
                    path,
                    reason: fault.message,
                }),
            }
            if last {
                break;
            }
        }
        Err(LibraryError::NotFound { refused })
    }

    /// The file it was loaded from; a bare name where the loader chose.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version it reports, as `1.31.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    fn of(path: &Path, builder: EnvironmentBuilder) -> Result<Self, Fault> {
        let version = version_of(path)?;
        let environment = fault::guard(|| {
            let environment = builder
                .with_name("cvtrt")
                .with_telemetry(false)
                .with_logger(Arc::new(|level, _category, _id, location, message| {
                    log(level, location, message);
                }))
                .build()?;
            // Below this level the library formats a line per kernel even where nobody listens.
            environment.set_log_level(LogLevel::Warning);
            Ok(environment)
        })?;
        tracing::debug!(path = %path.display(), version, "loaded ONNX Runtime");
        Ok(Self {
            path: path.to_owned(),
            version,
            environment,
        })
    }
}

impl fmt::Debug for OrtLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrtLibrary")
            .field("path", &self.path)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl LibraryError {
    /// One line per place looked at.
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::NotFound { refused } => refused.iter().map(ToString::to_string).collect(),
            Self::AlreadyLoaded { .. } => vec![self.to_string()],
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl SearchPath {
    /// The files to try, best first, and the places that have none.
    fn candidates(&self) -> (Vec<PathBuf>, Vec<Refused>) {
        let mut found = Candidates::default();
        match &self.explicit {
            Some(path) if path.is_file() => found.push(path),
            Some(path) => found.search(path),
            None => {
                for root in &self.roots {
                    found.search(root);
                }
                if self.system {
                    found.files.push(PathBuf::from(LOADER_NAME));
                }
            }
        }
        if found.files.is_empty() && found.refused.is_empty() {
            found.refuse(Path::new(PREFIX), "no folder to look in was given");
        }
        (found.files, found.refused)
    }
}

#[derive(Default)]
struct Candidates {
    files: Vec<PathBuf>,
    refused: Vec<Refused>,
    seen: HashSet<PathBuf>,
}

impl Candidates {
    fn search(&mut self, root: &Path) {
        if !root.is_dir() {
            return self.refuse(root, "no such file or folder");
        }
        let before = self.files.len();
        for folder in [
            root.join("onnxruntime"),
            root.join("onnxruntime/capi"),
            root.to_owned(),
        ] {
            for file in libraries_in(&folder) {
                self.push(&file);
            }
        }
        if self.files.len() == before {
            self.refuse(root, "holds no libonnxruntime.so");
        }
    }

    fn push(&mut self, file: &Path) {
        match file.canonicalize() {
            Ok(file) if self.seen.insert(file.clone()) => self.files.push(file),
            Ok(_) => {}
            Err(error) => self.refuse(file, &error.to_string()),
        }
    }

    fn refuse(&mut self, path: &Path, reason: &str) {
        self.refused.push(Refused {
            path: path.to_owned(),
            reason: reason.to_owned(),
        });
    }
}

/// `libonnxruntime.so` and `libonnxruntime.so.<version>` in a folder, newest first.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let mut files: Vec<(Vec<u32>, PathBuf)> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter_map(|path| {
            let suffix = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
            let version = suffix
                .split('.')
                .skip(1)
                .map(str::parse)
                .collect::<Result<_, _>>();
            Some((version.ok()?, path))
        })
        .collect();
    files.sort_by_key(|(version, path)| (Reverse(version.clone()), path.clone()));
    files.into_iter().map(|(_, path)| path).collect()
}

/// Whether the loader finds a library, and its words where it does not.
pub(super) fn probe_loadable(name: &str) -> Result<(), String> {
    // SAFETY: called with the vendor's driver library, whose initialisers run in any process that uses the device.
    let opened = unsafe { libloading::Library::new(name) };
    opened.map(drop).map_err(|error| loader_words(&error))
}

/// Opens a library for the life of the process, so that others find it under its name; the loader's words on failure.
pub(super) fn keep_open(path: &Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    elf::refuse_cut_short(path).map_err(|error| error.to_string())?;
    // SAFETY: one of the vendor's CUDA libraries, which the CUDA provider would load itself where it is on the path.
    let opened = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    opened
        .map(std::mem::forget)
        .map_err(|error| loader_words(&error))
}

fn refusal(error: &LoadDynamicError) -> Fault {
    match error {
        LoadDynamicError::Dlopen { error, .. } => Fault::new(loader_words(error)),
        LoadDynamicError::MissingApi { .. } => Fault::new("does not export OrtGetApiBase"),
        LoadDynamicError::BadVersion { version_str, .. } => Fault::new(format_args!(
            "is version {version_str}, 1.{} or newer is needed",
            ort::MINOR_VERSION
        )),
        LoadDynamicError::InvalidVersionString => Fault::new(error),
    }
}

/// The loader's message, which `libloading` keeps one level down.
fn loader_words(error: &libloading::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

/// The version string of a library `ort` has loaded.
fn version_of(path: &Path) -> Result<String, Fault> {
    // SAFETY: the same file is loaded already, so no initialiser runs; this is one more handle on it.
    let library = unsafe { libloading::Library::new(path) }.map_err(Fault::new)?;
    // SAFETY: `OrtGetApiBase` has this type in every release; `ort` called it through the same type while loading.
    let base = unsafe {
        library.get::<extern "system" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase")
    }
    .map_err(Fault::new)?;
    // SAFETY: the function gives the address of a static, or null, which `as_ref` turns into `None`.
    let base =
        unsafe { base().as_ref() }.ok_or_else(|| Fault::new("OrtGetApiBase gave nothing"))?;
    // SAFETY: a function pointer of that static.
    let version = unsafe { (base.GetVersionString)() };
    // SAFETY: the function gives a static string that ends in a zero byte.
    let version = unsafe { CStr::from_ptr(version) };
    Ok(version.to_string_lossy().into_owned())
}

fn log(level: LogLevel, location: &str, message: &str) {
    match level {
        LogLevel::Verbose => tracing::trace!(target: "onnxruntime", location, "{message}"),
        LogLevel::Info => tracing::debug!(target: "onnxruntime", location, "{message}"),
        LogLevel::Warning => tracing::warn!(target: "onnxruntime", location, "{message}"),
        LogLevel::Error | LogLevel::Fatal => {
            tracing::error!(target: "onnxruntime", location, "{message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_gives_its_newest_library_first_and_no_provider() {
        let root = tempfile::tempdir().expect("temp dir");
        let folder = root.path().join("onnxruntime");
        fs::create_dir(&folder).expect("folder");
        for name in [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.31.1",
            "libonnxruntime.so",
            "libonnxruntime_providers_shared.so",
            "libonnxruntime.so.1.2.bak",
        ] {
            fs::write(folder.join(name), name).expect(name);
        }
        let search = SearchPath {
            roots: vec![root.path().join("missing"), root.path().to_owned()],
            ..SearchPath::default()
        };
        let (files, refused) = search.candidates();
        let names: Vec<_> = files
            .iter()
            .filter_map(|file| file.file_name()?.to_str())
            .collect();
        assert_eq!(
            names,
            [
                "libonnxruntime.so.1.31.1",
                "libonnxruntime.so.1.9.0",
                "libonnxruntime.so"
            ]
        );
        assert_eq!(refused.len(), 1, "{refused:?}");
    }

    #[test]
    fn a_named_file_leaves_no_choice() {
        let root = tempfile::tempdir().expect("temp dir");
        let file = root.path().join("mine.so");
        fs::write(&file, "").expect("file");
        let search = SearchPath {
            explicit: Some(file.clone()),
            roots: vec![root.path().to_owned()],
            system: true,
        };
        assert_eq!(
            search.candidates().0,
            [file.canonicalize().expect("exists")]
        );
    }
}
