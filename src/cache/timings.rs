//! Timings that builds of one library on one device share.
//!
//! ```text
//! <root>/.timings/<backend>-<digits>/     one library on one device
//!     key.json                            the facts it is named by, in clear
//!     timings                             what the library wrote
//!     timings.lock                        locked while `timings` is replaced
//! ```

use super::lock::{Attempt, KeyLock};
use super::store::EngineStore;
use super::{CacheError, Here, files};
use crate::ids::{BackendId, DigestHasher, Fingerprint};
use std::fs;
use std::path::{Path, PathBuf};

/// Timings of one library on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTimings {
    /// Their folder below the store's root.
    pub id: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// What took them, and where; `None` where that cannot be read.
    pub key: Option<(BackendId, Fingerprint)>,
}

const FOLDER: &str = ".timings";
const KEY_FILE: &str = "key.json";
const TIMINGS_FILE: &str = "timings";
const LOCK_FILE: &str = "timings.lock";

impl EngineStore {
    /// The file for timings of this backend here, which need not exist; its folder does afterwards.
    ///
    /// # Errors
    /// [`CacheError`] when the store cannot be written.
    pub fn timings_file(
        &self,
        backend: BackendId,
        fingerprint: &Fingerprint,
    ) -> Result<PathBuf, CacheError> {
        let folder = self.timings_folder().join(name(backend, fingerprint));
        let key = folder.join(KEY_FILE);
        let text = serde_json::to_vec_pretty(&(backend, fingerprint)).expect("plain values");
        if fs::read(&key).ok().as_ref() != Some(&text) {
            let written =
                fs::create_dir_all(&folder).and_then(|()| files::write_synced(&key, &text));
            written.map_err(|source| CacheError::new("write", &key, source))?;
        }
        Ok(folder.join(TIMINGS_FILE))
    }

    /// All timings in the store, sorted by name.
    ///
    /// # Errors
    /// [`CacheError`] when a folder cannot be read.
    pub fn timings(&self) -> Result<Vec<KeptTimings>, CacheError> {
        let folder = self.timings_folder();
        let names = files::folder_names(&folder)
            .map_err(|source| CacheError::new("read", &folder, source))?;
        Ok(names
            .into_iter()
            .map(|name| KeptTimings {
                bytes: files::folder_bytes(&folder.join(&name)),
                key: key_in(&folder.join(&name)),
                id: format!("{FOLDER}/{name}"),
            })
            .collect())
    }

    /// Gives `false` where a builder is writing them.
    pub(super) fn remove_timings(&self, timings: &KeptTimings) -> Result<bool, CacheError> {
        let folder = self.root().join(&timings.id);
        // A builder that waits for this lock finds its folder gone, and keeps no timings this once.
        let Attempt::Locked(_lock) = KeyLock::attempt(&folder.join(LOCK_FILE))? else {
            return Ok(false);
        };
        files::remove_folder(&folder)
            .map_err(|source| CacheError::new("remove", &folder, source))?;
        Ok(true)
    }

    fn timings_folder(&self) -> PathBuf {
        self.root().join(FOLDER)
    }
}

impl Here {
    /// Whether a build here can begin with these timings, as far as is known.
    pub fn takes(&self, timings: &KeptTimings) -> bool {
        timings.key.as_ref().is_some_and(|(backend, fingerprint)| {
            let here = self.backends.get(backend);
            here.is_none_or(|here| here.contains(fingerprint))
        })
    }

    /// Whether a library of another version took these timings.
    pub(super) fn has_another_library(&self, timings: &KeptTimings) -> bool {
        let library = |facts: &Fingerprint| facts.get("library").map(str::to_owned);
        timings.key.as_ref().is_some_and(|(backend, fingerprint)| {
            let here = self.backends.get(backend);
            here.is_some_and(|here| here.iter().all(|own| library(own) != library(fingerprint)))
        })
    }
}

fn name(backend: BackendId, fingerprint: &Fingerprint) -> String {
    let mut hasher = DigestHasher::default();
    for part in fingerprint.facts().flat_map(|(name, value)| [name, value]) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{backend}-{}", hasher.finish().short())
}

fn key_in(folder: &Path) -> Option<(BackendId, Fingerprint)> {
    let text = fs::read(folder.join(KEY_FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{GcRequest, RemovedBecause};
    use super::*;

    const BACKEND: BackendId = BackendId::TensorRt;

    fn of_library(version: &str) -> Fingerprint {
        Fingerprint::default().with("library", version)
    }

    #[test]
    fn timings_are_apart_by_library_and_device() {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let file = |fingerprint| store.timings_file(BACKEND, &fingerprint);
        let ten = file(of_library("10.16.1")).expect("writable");
        let eleven = file(of_library("11.0.0")).expect("writable");
        let there = file(of_library("11.0.0").with("device", "H200")).expect("writable");
        assert!(ten != eleven && eleven != there && ten != there);
        assert_eq!(file(of_library("10.16.1")).expect("writable"), ten);
        fs::write(&ten, b"timings").expect("its folder is there");
        assert_eq!(store.timings().expect("readable").len(), 3);
        assert!(store.entries().expect("readable").is_empty());
    }

    #[test]
    fn timings_of_another_library_are_collected() {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        for version in ["10.16.1", "11.0.0"] {
            let file = store.timings_file(BACKEND, &of_library(version));
            fs::write(file.expect("writable"), b"timings").expect("its folder is there");
        }
        let broken = root.path().join(".timings/tensorrt-0");
        fs::create_dir(&broken).expect("writable");
        let here = Here {
            host: "here".to_owned(),
            backends: [(BACKEND, vec![of_library("11.0.0")])].into(),
        };
        let request = GcRequest {
            here: &here,
            max_bytes: None,
            all_stale: false,
            dry_run: true,
        };
        let spared = store.gc(&request).expect("readable");
        assert_eq!(spared.removed.len(), 1, "only those that cannot be read");
        assert_eq!(spared.spared.len(), 1, "another run-time folder's");
        let request = GcRequest {
            all_stale: true,
            ..request
        };
        let planned = store.gc(&request).expect("readable");
        assert_eq!(store.timings().expect("readable").len(), 3, "a dry run");
        let request = GcRequest {
            dry_run: false,
            ..request
        };
        assert_eq!(store.gc(&request).expect("writable"), planned);
        assert_eq!(planned.removed.len(), 2);
        let of_timings = |because: &RemovedBecause| *because == RemovedBecause::ForeignTimings;
        assert!(planned.removed.iter().all(|one| of_timings(&one.because)));
        let left = store.timings().expect("readable");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].key, Some((BACKEND, of_library("11.0.0"))));
    }

    #[test]
    fn timings_being_written_stay() {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let file = store.timings_file(BACKEND, &of_library("8.6.0"));
        let lock = file.expect("writable").with_file_name(LOCK_FILE);
        let _held = KeyLock::attempt(&lock).expect("writable");
        let timings = store.timings().expect("readable").remove(0);
        assert!(!store.remove_timings(&timings).expect("readable"));
        assert_eq!(store.timings().expect("readable").len(), 1);
    }
}
