//! Engines that several tests start from, built once.

use crate::place::{Place, Run, bundle};
use cvtrt::ids::BackendId;
use cvtrt::testkit::backend_or_skip;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A build of every graph of the bundle by `ort-cpu`.
pub(crate) struct OrtBuild {
    /// To be read only, or copied.
    pub(crate) engines: PathBuf,
    pub(crate) run: Run,
}

/// The build that all tests share; it stays in the target folder until the next run of the tests.
pub(crate) fn ort_build() -> &'static OrtBuild {
    static BUILD: OnceLock<OrtBuild> = OnceLock::new();
    BUILD.get_or_init(|| {
        let engines = Path::new(env!("CARGO_TARGET_TMPDIR")).join("commands-engines");
        if engines.exists() {
            std::fs::remove_dir_all(&engines).expect("the last run's engines go");
        }
        let run = Place::new().cvtrt(&ort_arguments(&engines));
        OrtBuild { engines, run }
    })
}

/// The command line of that build.
pub(crate) fn ort_arguments(engines: &Path) -> Vec<std::ffi::OsString> {
    args![
        "build",
        "--backend",
        "ort-cpu",
        "--bundle",
        bundle(),
        "--engines-dir",
        engines
    ]
}

/// Whether a backend's library is here; a test that needs it is skipped aloud where it is not.
pub(crate) fn has_or_skip(backend: BackendId, test: &str) -> bool {
    backend_or_skip(backend, test).is_some()
}
