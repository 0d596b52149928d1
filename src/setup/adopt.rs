//! Libraries that are installed already.

use std::path::{Path, PathBuf};

/// Folders to look for run-time libraries in, best first: the given one, then what is installed.
pub fn library_roots(runtime_dir: &Path) -> Vec<PathBuf> {
    let mut roots = vec![runtime_dir.to_owned()];
    roots.extend(site_packages());
    roots.extend(
        [
            "/usr/local/lib",
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib",
        ]
        .map(PathBuf::from),
    );
    roots
}

/// The folders pip installs into, those of an active environment first.
pub fn site_packages() -> Vec<PathBuf> {
    let active = std::env::var_os("VIRTUAL_ENV")
        .or_else(|| std::env::var_os("CONDA_PREFIX"))
        .map(PathBuf::from);
    let prefixes = [
        active,
        dirs::home_dir().map(|home| home.join(".local")),
        Some("/usr/local".into()),
        Some("/usr".into()),
    ];
    prefixes
        .into_iter()
        .flatten()
        .flat_map(|prefix| packages_below(&prefix.join("lib")))
        .collect()
}

fn packages_below(lib: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(lib) else {
        return Vec::new();
    };
    let mut pythons: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| is_python(path))
        .collect();
    pythons.sort();
    let folders = pythons
        .iter()
        .flat_map(|python| [python.join("site-packages"), python.join("dist-packages")]);
    folders.filter(|folder| folder.is_dir()).collect()
}

fn is_python(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("python3"))
}
