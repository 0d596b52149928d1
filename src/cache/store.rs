//! The store: finding, listing and judging entries.

use super::files;
use super::lock::{Attempt, KeyLock};
use super::pending::{Begun, Pending, Waiting};
use super::steps::{Hook, Step};
use super::{
    CacheError, Corruption, EngineKey, Entry, EntryName, KeyInputs, Manifest, Verification,
};
use crate::ids::GraphId;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Engines under one folder.
#[derive(Debug, Clone)]
pub struct EngineStore {
    root: PathBuf,
    pub(super) hook: Hook,
}

/// What a look-up gave.
#[derive(Debug)]
pub enum Lookup {
    /// Nothing was built from these inputs.
    Missing,
    /// The entry, its files being what was built.
    Found(Box<Entry>),
    /// There is an entry that cannot be trusted.
    Corrupt {
        /// What is wrong with it.
        corruption: Corruption,
        /// Where it was moved; `None` where the store cannot be written or was not to be.
        quarantined: Option<PathBuf>,
    },
}

/// One folder of the store.
#[derive(Debug)]
pub struct Listed {
    /// The folder below the root.
    pub id: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// The entry, or why its manifest cannot be read. The files were not looked at.
    pub entry: Result<Entry, Corruption>,
}

/// Where an entry and its temporary forms are.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: String,
    pub(super) folder: PathBuf,
    pub(super) target: PathBuf,
    pub(super) temporary: PathBuf,
    pub(super) old: PathBuf,
}

const LOCKS: &str = ".locks";

impl Place {
    /// Gives an entry its name back that a builder had moved out of the way and not replaced; the caller holds the lock
    /// of its key.
    pub(super) fn restore(&self) -> Result<(), CacheError> {
        if !is_displaced(&self.target, &self.old) {
            return Ok(());
        }
        tracing::info!(entry = %self.id, "an engine whose replacement broke off serves on");
        fs::rename(&self.old, &self.target)
            .map_err(|source| CacheError::new("rename", &self.old, source))
    }
}

/// Whether `old` is an entry that was moved out of the way of one that never came.
pub(super) fn is_displaced(target: &Path, old: &Path) -> bool {
    !target.exists() && old.join(Manifest::FILE).is_file()
}

impl EngineStore {
    /// The store under `root`, which need not exist before something is built.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            hook: Hook::default(),
        }
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Finds the engine built from these inputs.
    ///
    /// Files whose stat is the one remembered are trusted, others are hashed. An entry that is not what was built goes
    /// into quarantine, and so does one that was found unfit and stayed where it was, which counts as missing.
    pub fn lookup(&self, inputs: &KeyInputs) -> Lookup {
        let place = self.place(inputs);
        match judge(&place, inputs, Entry::trust) {
            Judgement::Missing if place.old.is_dir() => self.lookup_again(&place, inputs, None),
            Judgement::Missing => Lookup::Missing,
            Judgement::Good(entry) => {
                entry.mark_used();
                Lookup::Found(entry)
            }
            Judgement::Unfit => self.lookup_again(&place, inputs, None),
            Judgement::Corrupt(corruption) => self.lookup_again(&place, inputs, Some(corruption)),
        }
    }

    /// Finds what [`EngineStore::lookup`] would, and changes nothing: no use is noted, no digest remembered, and a
    /// damaged entry stays where it is.
    pub fn peek(&self, inputs: &KeyInputs) -> Lookup {
        match judge(&self.place(inputs), inputs, Entry::inspect) {
            Judgement::Missing | Judgement::Unfit => Lookup::Missing,
            Judgement::Good(entry) => Lookup::Found(entry),
            Judgement::Corrupt(corruption) => Lookup::Corrupt {
                corruption,
                quarantined: None,
            },
        }
    }

    /// Takes the right to build the engine of these inputs into a file named `engine_file`, unless it is there already
    /// and no `rebuild` is asked for.
    ///
    /// # Errors
    /// [`CacheError`], [`CacheError::ReadOnly`] and [`CacheError::DiskFull`] among them.
    pub fn begin(
        &self,
        inputs: &KeyInputs,
        engine_file: &str,
        rebuild: bool,
    ) -> Result<Begun, CacheError> {
        let place = self.place(inputs);
        self.step(Step::Prepare, "make", &place.folder, || {
            fs::create_dir_all(self.root.join(LOCKS))?;
            fs::create_dir_all(&place.folder)
        })?;
        let lock = match KeyLock::attempt(&self.lock_path(&EngineKey::of(inputs).short()))? {
            Attempt::Locked(lock) => lock,
            Attempt::Busy(busy) => {
                return Ok(Begun::Busy(Waiting::new(
                    self.clone(),
                    inputs.clone(),
                    engine_file.to_owned(),
                    rebuild,
                    busy,
                )));
            }
        };
        if !rebuild && let Some(entry) = self.found_under_lock(inputs)? {
            return Ok(Begun::Found(Box::new(entry)));
        }
        Pending::start(self.clone(), inputs.clone(), engine_file.to_owned(), lock).map(Begun::Build)
    }

    /// Everything in the store, sorted by name.
    ///
    /// # Errors
    /// [`CacheError`] when a folder cannot be read.
    pub fn entries(&self) -> Result<Vec<Listed>, CacheError> {
        let mut listed = Vec::new();
        for graph in GraphId::ALL {
            listed.extend(self.entries_of(*graph)?);
        }
        Ok(listed)
    }

    /// Everything in the store for one graph, sorted by name.
    ///
    /// # Errors
    /// [`CacheError`] when a folder cannot be read.
    pub fn entries_of(&self, graph: GraphId) -> Result<Vec<Listed>, CacheError> {
        let folder = self.root.join(graph.as_str());
        let names = files::folder_names(&folder)
            .map_err(|source| CacheError::new("read", &folder, source))?;
        let entries = names.into_iter().filter(|name| !name.starts_with('.'));
        Ok(entries
            .map(|name| {
                let dir = folder.join(&name);
                let id = format!("{graph}/{name}");
                Listed {
                    bytes: files::folder_bytes(&dir),
                    entry: Entry::read(id.clone(), dir),
                    id,
                }
            })
            .collect())
    }

    /// The entry with the result of a verification, which is written into its manifest.
    ///
    /// Where it cannot be written, as in a read-only store, there is a warning, and the next build verifies again. An
    /// entry that a builder has replaced since, or is replacing, is left as it is.
    pub fn record_verification(&self, entry: &Entry, verification: Verification) -> Entry {
        let verified = entry.with_verification(verification);
        match self.write_verified(entry, &verified) {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                entry = %entry.id(),
                "verification not recorded: the entry was replaced meanwhile"
            ),
            Err(error) => tracing::warn!(
                entry = %entry.id(),
                %error,
                cause = error.source().map(tracing::field::display),
                "verification not recorded"
            ),
        }
        verified
    }

    pub(super) fn make_lock_folder(&self) -> Result<(), CacheError> {
        let folder = self.root.join(LOCKS);
        fs::create_dir_all(&folder).map_err(|source| CacheError::new("make", &folder, source))
    }

    /// Gives `false` where the entry is not, or will not stay, the one that was verified.
    fn write_verified(&self, entry: &Entry, verified: &Entry) -> Result<bool, CacheError> {
        let Some(_lock) = self.lock_entry(entry.id())? else {
            return Ok(false);
        };
        if !entry.is_still_there() {
            return Ok(false);
        }
        verified.write_manifest().map(|()| true)
    }

    /// The lock of the key that an entry's folder is named by; `None` while a builder holds it.
    pub(super) fn lock_entry(&self, id: &str) -> Result<Option<KeyLock>, CacheError> {
        self.make_lock_folder()?;
        let key = id.rsplit('-').next().unwrap_or(id);
        match KeyLock::attempt(&self.lock_path(key))? {
            Attempt::Locked(lock) => Ok(Some(lock)),
            Attempt::Busy(_) => Ok(None),
        }
    }

    pub(super) fn lock_path(&self, short_key: &str) -> PathBuf {
        self.root.join(LOCKS).join(format!("{short_key}.lock"))
    }

    pub(super) fn place(&self, inputs: &KeyInputs) -> Place {
        let name = EntryName::of(inputs);
        let (graph, name) = (name.graph, name.folder());
        let folder = self.root.join(graph.as_str());
        Place {
            id: format!("{graph}/{name}"),
            target: folder.join(&name),
            temporary: folder.join(format!(".{name}.tmp")),
            old: folder.join(format!(".{name}.old")),
            folder,
        }
    }

    /// The entry of these inputs, seen by the only builder of its key; a corrupt one goes into quarantine.
    pub(super) fn found_under_lock(&self, inputs: &KeyInputs) -> Result<Option<Entry>, CacheError> {
        let place = self.place(inputs);
        place.restore()?;
        match judge(&place, inputs, Entry::trust) {
            Judgement::Missing => Ok(None),
            Judgement::Good(entry) => {
                entry.mark_used();
                Ok(Some(*entry))
            }
            Judgement::Unfit => {
                self.finish_rejection(&place, inputs);
                Ok(None)
            }
            Judgement::Corrupt(corruption) => {
                tracing::warn!(entry = %place.id, %corruption, "engine goes into quarantine");
                self.quarantine(&place.id)?;
                Ok(None)
            }
        }
    }

    pub(super) fn step<T>(
        &self,
        step: Step,
        action: &'static str,
        path: &Path,
        run: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, CacheError> {
        self.hook
            .before(step)
            .and_then(|()| run())
            .map_err(|source| CacheError::new(action, path, source))
    }

    /// Judges a doubtful entry again under its lock: a builder may have been replacing it under our eyes, or was killed
    /// while it did.
    fn lookup_again(
        &self,
        place: &Place,
        inputs: &KeyInputs,
        corruption: Option<Corruption>,
    ) -> Lookup {
        let lock = KeyLock::attempt(&self.lock_path(&EngineKey::of(inputs).short()));
        let restored = match lock {
            Ok(Attempt::Locked(lock)) => place.restore().map(|()| lock),
            Ok(Attempt::Busy(_)) => return Lookup::Missing,
            Err(error) => Err(error),
        };
        let Ok(lock) = restored else {
            return corruption.map_or(Lookup::Missing, |corruption| Lookup::Corrupt {
                corruption,
                quarantined: None,
            });
        };
        let lookup = match judge(place, inputs, Entry::trust) {
            Judgement::Missing => Lookup::Missing,
            Judgement::Good(entry) => Lookup::Found(entry),
            Judgement::Unfit => {
                self.finish_rejection(place, inputs);
                Lookup::Missing
            }
            Judgement::Corrupt(corruption) => {
                tracing::warn!(entry = %place.id, %corruption, "engine goes into quarantine");
                Lookup::Corrupt {
                    corruption,
                    quarantined: self.quarantine(&place.id).ok(),
                }
            }
        };
        drop(lock);
        lookup
    }
}

enum Judgement {
    Missing,
    Good(Box<Entry>),
    /// It was found unfit, and its folder was not moved.
    Unfit,
    Corrupt(Corruption),
}

/// `files` judges the entry's files.
fn judge(
    place: &Place,
    inputs: &KeyInputs,
    files: fn(&Entry) -> Result<(), Corruption>,
) -> Judgement {
    if !place.target.is_dir() {
        return Judgement::Missing;
    }
    let entry = Entry::read(place.id.clone(), place.target.clone());
    let judged = entry.and_then(|entry| {
        let Manifest { key, .. } = entry.manifest();
        let expected = EngineKey::of(inputs);
        if *key != expected {
            let found = *key;
            return Err(super::ManifestFault::Key { expected, found }.into());
        }
        if entry.unfit().is_some() {
            return Ok(None);
        }
        files(&entry).map(|()| Some(entry))
    });
    match judged {
        Ok(Some(entry)) => Judgement::Good(Box::new(entry)),
        Ok(None) => Judgement::Unfit,
        Err(corruption) => Judgement::Corrupt(corruption),
    }
}
