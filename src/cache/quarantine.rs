//! Entries that must not be served, moved out of the way under the lock of their key.
//!
//! The manifest of an entry that was built as it should be and gives wrong values says so itself; what is wrong with a
//! damaged one is read off its files.

use super::name::{QUARANTINE, quarantine_name, without_number};
use super::steps::Step;
use super::store::Place;
use super::{
    CacheError, Corruption, EngineKey, EngineStore, Entry, KeyInputs, Verification, files,
};
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

/// An entry in quarantine.
#[derive(Debug)]
pub struct Quarantined {
    /// The folder below the store's root.
    pub id: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Why it must not be served.
    pub reason: String,
    /// The entry; `None` where its manifest cannot be read.
    pub entry: Option<Entry>,
}

impl EngineStore {
    /// Everything in quarantine, sorted by name.
    ///
    /// # Errors
    /// [`CacheError`] when the folder cannot be read.
    pub fn quarantined(&self) -> Result<Vec<Quarantined>, CacheError> {
        let folder = self.quarantine_folder();
        let names = files::folder_names(&folder)
            .map_err(|source| CacheError::new("read", &folder, source))?;
        Ok(names
            .iter()
            .map(|name| Quarantined::read(&folder, name))
            .collect())
    }

    /// Why the engine of these inputs, which was built and found unfit, must not be served; `None` where none was.
    pub fn rejection(&self, inputs: &KeyInputs) -> Option<String> {
        let place = self.place(inputs);
        // One whose move into quarantine broke off says so, too.
        let in_place = Entry::read(place.id, place.target).ok();
        let in_place = in_place.filter(|entry| entry.manifest().key == EngineKey::of(inputs));
        let moved = self.rejected(inputs).into_iter().map(|(_, entry)| entry);
        in_place
            .into_iter()
            .chain(moved)
            .find_map(|entry| entry.unfit().map(str::to_owned))
    }

    /// What is wrong with the engine of these inputs that was found damaged and moved; `None` where none was.
    pub fn damage_in_quarantine(&self, inputs: &KeyInputs) -> Option<String> {
        let key = EngineKey::of(inputs);
        let mut found = self.quarantined_under_name(inputs);
        found.find_map(|(_, entry)| match &entry {
            Ok(entry) if entry.manifest().key != key || entry.unfit().is_some() => None,
            _ => Some(reason(&entry)),
        })
    }

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
    /// Gives where it is now; `None` where a builder has replaced it since, or is replacing it. The verdict is written
    /// first, so that a move that breaks off is finished by the next look-up and serves nobody until then.
    ///
    /// # Errors
    /// [`CacheError`] when the store cannot be written.
    pub fn reject(&self, entry: &Entry, reason: &str) -> Result<Option<PathBuf>, CacheError> {
        let Some(_lock) = self.lock_entry(entry.id())? else {
            return Ok(None);
        };
        if !entry.is_still_there() {
            return Ok(None);
        }
        let reason = reason.to_owned();
        entry
            .with_verification(Verification::Failed { reason })
            .write_manifest()?;
        self.forget_rejections(&entry.manifest().inputs);
        self.quarantine(entry.id()).map(Some)
    }

    /// Moves an entry that says itself that it is unfit; the caller holds the lock of its key.
    ///
    /// Where it cannot be moved, it is passed over where it is.
    pub(super) fn finish_rejection(&self, place: &Place, inputs: &KeyInputs) {
        self.forget_rejections(inputs);
        match self.quarantine(&place.id) {
            Ok(to) => {
                tracing::warn!(entry = %place.id, to = %to.display(), "unfit engine goes into quarantine");
            }
            Err(error) => tracing::warn!(entry = %place.id, %error, "unfit engine stays, unused"),
        }
    }

    /// Moves an entry out of the way; the caller holds the lock of its key.
    pub(super) fn quarantine(&self, id: &str) -> Result<PathBuf, CacheError> {
        self.quarantine_folder_of(id, &self.root().join(id))
    }

    /// Moves the folder of an entry, which need not be the one its name says, out of the way; as
    /// [`Self::quarantine`].
    pub(super) fn quarantine_folder_of(
        &self,
        id: &str,
        from: &Path,
    ) -> Result<PathBuf, CacheError> {
        let folder = self.quarantine_folder();
        self.step(Step::Quarantine, "quarantine", from, || {
            fs::create_dir_all(&folder)?;
            let to = unused(&folder, id);
            fs::rename(from, &to).map(|()| to)
        })
    }

    /// Removes earlier engines of these inputs that were found unfit; the caller holds the lock of the key.
    pub(super) fn forget_rejections(&self, inputs: &KeyInputs) {
        for (path, entry) in self.rejected(inputs) {
            if let Err(error) = files::remove_folder(&path) {
                tracing::warn!(entry = entry.id(), %error, "stays in quarantine");
            }
        }
    }

    /// Removes every earlier engine of these inputs from quarantine, what was damaged on disk and cannot be read any more
    /// among it: a sound one is in its place. The caller holds the lock of the key.
    pub(super) fn forget_replaced(&self, inputs: &KeyInputs) {
        let key = EngineKey::of(inputs);
        for (path, entry) in self.quarantined_under_name(inputs) {
            let is_other = entry.is_ok_and(|entry| entry.manifest().key != key);
            if is_other {
                continue;
            }
            if let Err(error) = files::remove_folder(&path) {
                tracing::warn!(path = %path.display(), %error, "stays in quarantine");
            }
        }
    }

    /// What is in quarantine under the name that an engine of these inputs has.
    fn quarantined_under_name(
        &self,
        inputs: &KeyInputs,
    ) -> impl Iterator<Item = (PathBuf, Result<Entry, Corruption>)> {
        let folder = self.quarantine_folder();
        let name = quarantine_name(&self.place(inputs).id, 0);
        let names = files::folder_names(&folder).unwrap_or_default().into_iter();
        let alike = names.filter(move |found| without_number(found) == name);
        alike.map(move |found| {
            let path = folder.join(&found);
            let entry = Entry::read(format!("{QUARANTINE}/{found}"), path.clone());
            (path, entry)
        })
    }

    /// Engines of these inputs that were found unfit, with their folders.
    fn rejected(&self, inputs: &KeyInputs) -> Vec<(PathBuf, Entry)> {
        let key = EngineKey::of(inputs);
        let entries = self.quarantined_under_name(inputs);
        entries
            .filter_map(|(path, entry)| Some((path, entry.ok()?)))
            .filter(|(_, entry)| entry.manifest().key == key && entry.unfit().is_some())
            .collect()
    }

    pub(super) fn quarantine_folder(&self) -> PathBuf {
        self.root().join(QUARANTINE)
    }
}

impl Quarantined {
    fn read(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        let id = format!("{QUARANTINE}/{name}");
        let entry = Entry::read(id.clone(), path.clone());
        Self {
            id,
            bytes: files::folder_bytes(&path),
            reason: reason(&entry),
            entry: entry.ok(),
        }
    }
}

/// Why an entry in quarantine must not be served.
fn reason(entry: &Result<Entry, Corruption>) -> String {
    match entry {
        Err(corruption) => corruption.to_string(),
        Ok(entry) => entry
            .unfit()
            .or_else(|| entry.damage())
            .unwrap_or("a file is not what was built")
            .to_owned(),
    }
}

/// A folder in quarantine for an entry, beside those it has there already.
fn unused(folder: &Path, id: &str) -> PathBuf {
    let mut paths = (0..).map(|number| folder.join(quarantine_name(id, number)));
    paths
        .find(|path| !path.exists())
        .expect("there are more numbers than folders")
}

#[cfg(test)]
mod tests {
    use super::super::{
        Begun, BuildRecord, GcRequest, Here, Lookup, Manifest, RemovedBecause, fixture,
    };
    use super::*;

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
    fn an_unfit_engine_is_known_by_its_key_until_a_sound_one_is_there() {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let inputs = fixture::inputs();
        assert_eq!(store.rejection(&inputs), None);

        let entry = fixture::build(&store, &inputs, b"engine");
        let to = store.reject(&entry, "it gives NaN").expect("writable");
        assert!(to.is_some_and(|to| to.is_dir()));
        assert!(matches!(store.lookup(&inputs), Lookup::Missing));
        assert_eq!(store.rejection(&inputs).as_deref(), Some("it gives NaN"));
        let mut other = inputs.clone();
        other.host.push('x');
        assert_eq!(store.rejection(&other), None);

        let pending = fixture::begin(&store, &inputs).expect("begun");
        fs::write(pending.engine_path(), b"again").expect("writable");
        let record = BuildRecord {
            verification: Verification::Failed {
                reason: "it crashes".to_owned(),
            },
            ..fixture::record()
        };
        pending.reject(record).expect("writable");
        let [only] = &store.quarantined().expect("readable")[..] else {
            panic!("one rejection per key");
        };
        assert_eq!(only.reason, "it crashes");
        assert!(
            only.entry
                .as_ref()
                .is_some_and(|entry| entry.damage().is_none())
        );
        assert!(store.entries().expect("readable").is_empty());

        fixture::build(&store, &inputs, b"sound");
        assert_eq!(store.rejection(&inputs), None);
        assert!(store.quarantined().expect("readable").is_empty());
    }

    #[test]
    fn what_is_damaged_says_so_and_is_no_verdict_on_its_key() {
        type Damage = fn(&Entry) -> std::io::Result<()>;
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let damages: [(Damage, &str); 3] = [
            (
                |entry| fs::write(entry.engine_path(), b"Engine"),
                "not what was built",
            ),
            (
                |entry| fs::write(entry.engine_path(), b"eng"),
                "another size",
            ),
            (
                |entry| fs::write(entry.dir().join(Manifest::FILE), b"{"),
                "manifest.json",
            ),
        ];
        let mut all = Vec::new();
        for (at, (damage, said)) in damages.into_iter().enumerate() {
            let mut inputs = fixture::inputs();
            inputs.host = format!("host {at}");
            all.push(inputs.clone());
            let entry = fixture::build(&store, &inputs, b"engine");
            damage(&entry).expect("writable");
            let moved = store.quarantine_if_damaged(entry.id()).expect("writable");
            assert!(matches!(moved, Doubted::Quarantined { .. }), "{moved:?}");
            let found = store.quarantined().expect("readable");
            let reasons: Vec<&str> = found.iter().map(|one| one.reason.as_str()).collect();
            assert!(
                reasons.iter().any(|reason| reason.contains(said)),
                "{said}: {reasons:?}"
            );
        }
        assert!(all.iter().all(|inputs| store.rejection(inputs).is_none()));
        let inputs = fixture::inputs();
        let here = Here {
            host: inputs.host.clone(),
            backends: [(inputs.backend, vec![inputs.fingerprint.clone()])].into(),
        };
        let report = store.gc(&GcRequest {
            here: &here,
            max_bytes: None,
            all_stale: false,
            dry_run: false,
        });
        let removed = report.expect("writable").removed;
        assert_eq!(removed.len(), 3);
        assert!(removed.iter().all(|one| {
            matches!(&one.because, RemovedBecause::Quarantined(reason) if !reason.is_empty())
        }));
    }

    #[test]
    fn what_was_damaged_goes_when_a_sound_engine_takes_its_place() {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let inputs = fixture::inputs();
        for damaged in ["engine.plan", Manifest::FILE] {
            let entry = fixture::build(&store, &inputs, b"engine");
            fs::write(entry.dir().join(damaged), b"{").expect("writable");
            let moved = store.quarantine_if_damaged(entry.id()).expect("writable");
            assert!(matches!(moved, Doubted::Quarantined { .. }), "{moved:?}");
            assert_eq!(store.quarantined().expect("readable").len(), 1, "{damaged}");
        }
        let mut other = inputs.clone();
        other.host.push('x');
        fixture::build(&store, &other, b"engine");
        assert_eq!(
            store.quarantined().expect("readable").len(),
            1,
            "another key's"
        );
        fixture::build(&store, &inputs, b"engine");
        assert!(store.quarantined().expect("readable").is_empty());
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
            backends: [(inputs.backend, vec![inputs.fingerprint.clone()])].into(),
        };
        let request = GcRequest {
            here: &here,
            max_bytes: None,
            all_stale: false,
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
