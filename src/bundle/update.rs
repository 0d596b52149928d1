//! Adding a file to a bundle that others may be reading.

use super::check::MANIFEST_FILE;
use super::error::BundleError;
use super::manifest::{FileSpec, Manifest};
use super::open::Bundle;
use super::path::BundlePath;
use crate::ids::Digest;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

impl Bundle {
    /// Adds a file that the bundle does not list yet, changes the manifest, and gives the bundle as it is then.
    ///
    /// The manifest is replaced last and at once, so a reader sees the bundle before or after. Files that `change` takes
    /// off the list are removed. Two writers wait for each other.
    ///
    /// # Errors
    /// [`BundleError::Write`] where the folder cannot be written; [`BundleError::Manifest`] where the changed manifest is
    /// unsound, and nothing was changed.
    pub fn add_file(
        dir: &Path,
        file: BundlePath,
        content: &[u8],
        change: impl FnOnce(&mut Manifest),
    ) -> Result<Self, BundleError> {
        let wrote = |path: &Path| {
            let path = path.to_owned();
            move |source| BundleError::Write { path, source }
        };
        // The folder itself: a lock on a file that is renamed over would be on the old one.
        let folder = File::open(dir).map_err(wrote(dir))?;
        folder.lock().map_err(wrote(dir))?;
        let before = Self::open(dir)?.manifest().clone();
        let mut after = before.clone();
        let spec = FileSpec {
            bytes: content.len() as u64,
            sha256: Digest::of(content),
        };
        let path = file.within(dir);
        after.files.insert(file, spec);
        change(&mut after);
        let manifest = dir.join(MANIFEST_FILE);
        let text = after.to_text().map_err(|source| BundleError::Manifest {
            path: manifest.clone(),
            source: Box::new(source),
        })?;
        replace(&path, content).map_err(wrote(&path))?;
        replace(&manifest, text.as_bytes()).map_err(wrote(&manifest))?;
        folder.sync_all().map_err(wrote(dir))?;
        for gone in before
            .files
            .keys()
            .filter(|file| !after.files.contains_key(file))
        {
            // A file that stays is listed by nothing, so nothing reads it.
            let _ = std::fs::remove_file(gone.within(dir));
        }
        Self::open(dir)
    }
}

/// Writes beside the target and renames over it, since readers map a bundle's files.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // A temporary file is its owner's alone unless told otherwise; the umask still applies.
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{StatCache, fixture};
    use super::*;

    fn path(name: &str) -> BundlePath {
        BundlePath::try_from(name.to_owned()).expect("plain")
    }

    #[test]
    fn a_file_is_added_and_the_one_it_replaces_goes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fixture::write(dir.path());
        for (name, before) in [
            ("ranges-1.json", None),
            ("ranges-2.json", Some("ranges-1.json")),
        ] {
            let bundle = Bundle::add_file(dir.path(), path(name), name.as_bytes(), |manifest| {
                if let Some(old) = manifest.ranges.replace(path(name)) {
                    manifest.files.remove(&old);
                }
            })
            .expect("can be written");
            assert_eq!(bundle.manifest().ranges, Some(path(name)));
            bundle
                .verify(&mut StatCache::in_memory())
                .expect("as listed");
            assert!(before.is_none_or(|before| !dir.path().join(before).exists()));
        }
    }

    #[test]
    fn an_unsound_change_changes_nothing() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fixture::write(dir.path());
        let text = || std::fs::read_to_string(dir.path().join(MANIFEST_FILE)).expect("there");
        let before = text();
        let outcome = Bundle::add_file(dir.path(), path("x"), b"x", |manifest| {
            manifest.mel_bins = 0;
        });
        assert!(
            matches!(outcome, Err(BundleError::Manifest { .. })),
            "{outcome:?}"
        );
        assert_eq!(text(), before);
        assert!(!dir.path().join("x").exists());
    }
}
