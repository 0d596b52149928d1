//! Finding bundles on this machine.

use super::check::MANIFEST_FILE;
use super::error::BundleError;
use super::open::Bundle;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

impl Bundle {
    /// The folders under `onnx_dir` that hold a manifest, sorted; none where the folder does not exist.
    ///
    /// Opens none of them: a damaged bundle is listed as well.
    ///
    /// # Errors
    /// [`BundleError::Read`] when the folder cannot be read.
    pub fn list(onnx_dir: &Path) -> Result<Vec<PathBuf>, BundleError> {
        let read = |source| BundleError::Read {
            path: onnx_dir.to_owned(),
            source,
        };
        let entries = match fs::read_dir(onnx_dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(read(error)),
        };
        let mut bundles = Vec::new();
        for entry in entries {
            let entry = entry.map_err(read)?;
            // An export in progress has a dot in front.
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !hidden && is_bundle(&entry.path()) {
                bundles.push(entry.path());
            }
        }
        bundles.sort();
        Ok(bundles)
    }

    /// The folder a user's word means: a bundle's folder, its manifest, or the name of a bundle under one of
    /// `onnx_dirs`, searched in order.
    ///
    /// # Errors
    /// [`BundleError::Unknown`] when it means none, [`BundleError::Read`] when a folder cannot be read.
    pub fn resolve(dir_or_name: &Path, onnx_dirs: &[PathBuf]) -> Result<PathBuf, BundleError> {
        if is_bundle(dir_or_name) {
            return Ok(dir_or_name.to_owned());
        }
        if dir_or_name
            .file_name()
            .is_some_and(|name| name == MANIFEST_FILE)
            && dir_or_name.is_file()
        {
            let parent = dir_or_name.parent().unwrap_or(Path::new(""));
            return Ok(Path::new(".").join(parent));
        }
        let is_name = dir_or_name.components().count() == 1 && dir_or_name.file_name().is_some();
        let named = onnx_dirs
            .iter()
            .map(|onnx_dir| onnx_dir.join(dir_or_name))
            .find(|dir| is_name && is_bundle(dir));
        if let Some(dir) = named {
            return Ok(dir);
        }
        let mut known = Vec::new();
        for onnx_dir in onnx_dirs {
            let bundles = Self::list(onnx_dir)?;
            known.extend(
                bundles
                    .iter()
                    .filter_map(|dir| Some(dir.file_name()?.to_string_lossy().into_owned())),
            );
        }
        Err(BundleError::Unknown {
            given: dir_or_name.display().to_string(),
            known,
        })
    }
}

fn is_bundle(dir: &Path) -> bool {
    dir.join(MANIFEST_FILE).is_file()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::hint::Hint;

    #[test]
    fn bundles_are_listed_and_found_by_folder_manifest_and_name() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let small = second.join("small");
        fixture::write(&small);
        fixture::write(&second.join(".small-export"));
        fs::create_dir_all(second.join("no-bundle")).expect("a folder");
        fs::write(second.join("README.md"), "a file").expect("a file");

        let none: [PathBuf; 0] = [];
        assert_eq!(Bundle::list(&first).expect("no folder, no bundles"), none);
        assert_eq!(
            Bundle::list(&second).expect("lists"),
            std::slice::from_ref(&small)
        );

        let dirs = [first, second];
        for word in [Path::new("small"), &small, &small.join(MANIFEST_FILE)] {
            let found = Bundle::resolve(word, &dirs).expect("found");
            assert_eq!(
                found.canonicalize().expect("there"),
                small.canonicalize().expect("there")
            );
        }
        for word in ["smal", "second/small", "", "/", "..", "no-bundle"] {
            let error = Bundle::resolve(Path::new(word), &dirs).expect_err(word);
            assert!(error.hint().expect("a fix").contains("small"), "{word}");
        }
    }
}
