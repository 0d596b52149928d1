//! The folders cvtrt keeps its things in.

use std::path::{Path, PathBuf};

/// Folders of engines, bundles, profiles and run-time libraries.
///
/// Inside a checkout they are the checkout's own; elsewhere the user's data and cache folders.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Places {
    /// Compiled engines.
    pub engines: PathBuf,
    /// Bundles.
    pub onnx: PathBuf,
    /// Profiles of the user's own; the ready-made ones are in the binary.
    pub profiles: PathBuf,
    /// Run-time libraries that `cvtrt setup` fills in.
    pub runtime: PathBuf,
    /// Small files that can be made again: digests, run-time caches.
    pub cache: PathBuf,
}

impl Places {
    /// The folders as seen from `working_dir`.
    pub fn from(working_dir: &Path) -> Self {
        match checkout_above(working_dir) {
            Some(root) => Self {
                engines: root.join("engines"),
                onnx: root.join("onnx"),
                profiles: root.join("profiles"),
                runtime: root.join("third_party"),
                cache: root.join("engines"),
            },
            None => Self::of_user(),
        }
    }

    fn of_user() -> Self {
        let fallback = || std::env::temp_dir().join("cvtrt");
        let data = dirs::data_dir().map_or_else(fallback, |dir| dir.join("cvtrt"));
        let cache = dirs::cache_dir().map_or_else(fallback, |dir| dir.join("cvtrt"));
        let config = dirs::config_dir().map_or_else(fallback, |dir| dir.join("cvtrt"));
        Self {
            engines: cache.join("engines"),
            onnx: data.join("onnx"),
            profiles: config.join("profiles"),
            runtime: data.join("runtime"),
            cache,
        }
    }
}

fn checkout_above(working_dir: &Path) -> Option<&Path> {
    let is_checkout = |dir: &&Path| {
        ["Cargo.toml", "engines", "onnx", "profiles"]
            .iter()
            .all(|name| dir.join(name).exists())
    };
    working_dir.ancestors().find(is_checkout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_keeps_its_own_folders() {
        let root = tempfile::tempdir().expect("temp dir");
        for name in ["engines", "onnx", "profiles", "deep/er"] {
            std::fs::create_dir_all(root.path().join(name)).expect("folder");
        }
        let inside = root.path().join("deep/er");
        assert_ne!(Places::from(&inside).engines, root.path().join("engines"));
        std::fs::write(root.path().join("Cargo.toml"), "").expect("file");
        assert_eq!(Places::from(&inside).engines, root.path().join("engines"));
    }
}
