//! Entries that must not be served, moved out of the way under the lock of their key.

use super::{CacheError, Corruption, EngineStore, Entry};
use std::fs;
use std::path::{Path, PathBuf};

/// What became of an entry that looked damaged.
#[derive(Debug)]
pub enum Doubted {
    /// It is damaged, and was moved.
    Quarantined {
        /// What is wrong with it.
        corruption: Corruption,
        /// Where it is now.
        to: PathBuf,
    },
    /// It is what was built; a builder may have replaced it meanwhile.
    Sound,
    /// It was removed meanwhile.
    Gone,
    /// A builder is at work on it.
    Busy,
}

const FOLDER: &str = ".quarantine";

impl EngineStore {
    /// Hashes an entry under the lock of its key and moves it out of the way where it is not what was built.
    ///
    /// `id` is [`Listed::id`](super::Listed::id).
    ///
    /// # Errors
    /// [`CacheError`] when the store cannot be written.
    pub fn quarantine_if_damaged(&self, id: &str) -> Result<Doubted, CacheError> {
        let Some(_lock) = self.lock_entry(id)? else {
            return Ok(Doubted::Busy);
        };
        let dir = self.root().join(id);
        if !dir.is_dir() {
            return Ok(Doubted::Gone);
        }
        let judged = Entry::read(id.to_owned(), dir).and_then(|entry| entry.verify());
        let Err(corruption) = judged else {
            return Ok(Doubted::Sound);
        };
        let to = self.quarantine(id)?;
        Ok(Doubted::Quarantined { corruption, to })
    }

    /// Moves an entry that is what was built, and must not be served, out of the way.
    ///
    /// Gives where it is now; `None` where a builder has replaced it since, or is replacing it.
    ///
    /// # Errors
    /// [`CacheError`] when the store cannot be written.
    pub fn reject(&self, entry: &Entry) -> Result<Option<PathBuf>, CacheError> {
        let Some(_lock) = self.lock_entry(entry.id())? else {
            return Ok(None);
        };
        if !entry.is_still_there() {
            return Ok(None);
        }
        self.quarantine(entry.id()).map(Some)
    }

    /// Moves an entry out of the way; the caller holds the lock of its key.
    pub(super) fn quarantine(&self, id: &str) -> Result<PathBuf, CacheError> {
        let from = self.root().join(id);
        let folder = self.quarantine_folder();
        let name = id.replace('/', "-");
        fs::create_dir_all(&folder)
            .and_then(|()| {
                let to = unused(&folder, &name);
                fs::rename(&from, &to).map(|()| to)
            })
            .map_err(|source| CacheError::new("quarantine", &from, source))
    }

    pub(super) fn quarantine_folder(&self) -> PathBuf {
        self.root().join(FOLDER)
    }
}

fn unused(folder: &Path, name: &str) -> PathBuf {
    let mut path = folder.join(name);
    let mut number = 1;
    while path.exists() {
        path = folder.join(format!("{name}.{number}"));
        number += 1;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::{Begun, GcRequest, Here, fixture};
    use super::*;
    use crate::cache::Manifest;

    #[test]
    fn only_a_damaged_entry_that_no_one_builds_is_moved() {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let entry = fixture::build(&store, &fixture::inputs(), b"engine");
        let doubted = || store.quarantine_if_damaged(entry.id()).expect("writable");
        assert!(matches!(doubted(), Doubted::Sound));

        fs::write(entry.engine_path(), b"Engine").expect("writable");
        let builder = store.begin(&fixture::inputs(), "engine.plan", true);
        assert!(matches!(builder, Ok(Begun::Build(_))), "{builder:?}");
        assert!(matches!(doubted(), Doubted::Busy));
        assert!(entry.dir().is_dir());

        drop(builder);
        let moved = doubted();
        assert!(
            matches!(&moved, Doubted::Quarantined { to, .. } if to.is_dir()),
            "{moved:?}"
        );
        assert!(matches!(doubted(), Doubted::Gone));
    }

    #[test]
    fn an_unreadable_entry_is_not_collected_while_it_is_built_anew() {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let inputs = fixture::inputs();
        let entry = fixture::build(&store, &inputs, b"engine");
        fs::write(entry.dir().join(Manifest::FILE), b"{").expect("writable");
        let here = Here {
            host: inputs.host.clone(),
            backends: [(inputs.backend, inputs.fingerprint.clone())].into(),
        };
        let request = GcRequest {
            here: &here,
            max_bytes: None,
            dry_run: false,
        };

        let builder = store.begin(&inputs, "engine.plan", true).expect("begun");
        let report = store.gc(&request).expect("writable");
        assert_eq!(report.busy, [entry.id()]);
        assert!(entry.dir().is_dir(), "its builder is about to replace it");

        drop(builder);
        let report = store.gc(&request).expect("writable");
        assert_eq!(report.removed.len(), 1);
        assert!(!entry.dir().exists());
    }
}
