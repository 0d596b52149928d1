//! Shared libraries, opened by absolute path and never closed.
#![expect(unsafe_code, reason = "loading a library runs its code")]

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_void};
use std::io::Write;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// An open library. Stays open for the life of the process: its objects, threads and exit handlers need its code.
#[derive(Debug)]
pub(in crate::trt) struct DynamicLibrary(ManuallyDrop<Library>);

/// A function's address inside a [`DynamicLibrary`].
#[derive(Debug, Clone, Copy)]
pub(in crate::trt) struct EntryPoint(NonNull<c_void>);

impl DynamicLibrary {
    /// Opens `path` with all symbols resolved and none shared with other libraries.
    pub(in crate::trt) fn open(path: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: runs the library's initialisers. Callers open files of the user's search list only, as the user would
        // by linking to them.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }?;
        Ok(Self(ManuallyDrop::new(library)))
    }

    /// The function `name`, or `None` where the library has none.
    pub(in crate::trt) fn entry_point(&self, name: &CStr) -> Option<EntryPoint> {
        // SAFETY: only the address is taken; its users state the function's type.
        let symbol = unsafe { self.0.get::<*mut c_void>(name.to_bytes_with_nul()) }.ok()?;
        NonNull::new(symbol.into_raw().cast()).map(EntryPoint)
    }

    /// Calls the version function `name`.
    pub(in crate::trt) fn version(&self, name: &CStr) -> Option<i32> {
        let entry = self.entry_point(name)?;
        // SAFETY: `getInferLibVersion` and `getNvOnnxParserVersion` take nothing and return an `int` in every release,
        // and return a constant without touching CUDA.
        let version = unsafe {
            std::mem::transmute::<NonNull<c_void>, unsafe extern "C" fn() -> i32>(entry.0)
        };
        // SAFETY: the type is the function's own, as above; the library stays open.
        Some(unsafe { version() })
    }
}

impl DynamicLibrary {
    /// Tells the builder where its resource libraries lie; `None` where the library has no such function.
    pub(in crate::trt) fn set_internal_library_path(&self, folder: &CStr) -> Option<bool> {
        let entry = self.entry_point(c"setInternalLibraryPath")?;
        // SAFETY: the function has this type in every release that has it, and copies the path.
        let set = unsafe {
            std::mem::transmute::<NonNull<c_void>, unsafe extern "C" fn(*const c_char) -> bool>(
                entry.0,
            )
        };
        // SAFETY: the type is the function's own, as above; the path is a string during the call.
        Some(unsafe { set(folder.as_ptr()) })
    }
}

/// Puts a library in the place of TensorRT 8.6's plugins, which its parser is linked with and our graphs never need.
///
/// The dynamic loader knows it by the plugins' soname from then on, for the life of the process.
pub(in crate::trt) fn load_plugin_stub() -> Result<(), StubError> {
    static LOADED: Mutex<Option<DynamicLibrary>> = Mutex::new(None);
    const STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin_stub.so"));
    // The lock guards an open library or nothing.
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if loaded.is_none() {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(STUB)?;
        *loaded = Some(DynamicLibrary::open(file.path())?);
    }
    Ok(())
}

/// Why the stub could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(in crate::trt) enum StubError {
    #[error("the stand-in for its plugins could not be written ({0})")]
    File(#[from] std::io::Error),
    #[error("the stand-in for its plugins could not be loaded ({0})")]
    Load(#[from] libloading::Error),
}

impl EntryPoint {
    pub(super) fn as_ptr(self) -> *mut c_void {
        self.0.as_ptr()
    }

    #[cfg(feature = "testkit")]
    pub(super) fn from_function(function: *mut c_void) -> Self {
        Self(NonNull::new(function).expect("functions have addresses"))
    }
}
