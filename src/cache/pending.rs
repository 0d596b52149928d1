//! Building an entry: lock, temporary folder, atomic commit.

use super::files;
use super::lock::{BusyLock, KeyLock};
use super::steps::Step;
use super::store::{EngineStore, Place};
use super::{BuildRecord, CacheError, EngineFile, EngineKey, Entry, KeyInputs, Manifest};
use crate::stat::FileStat;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What [`EngineStore::begin`] gives.
#[derive(Debug)]
pub enum Begun {
    /// The engine is there; someone else may have built it meanwhile.
    Found(Box<Entry>),
    /// The caller builds it.
    Build(Pending),
    /// Another builder is at work on the same engine.
    Busy(Waiting),
}

/// The right to build one entry; dropped without [`Pending::commit`] it leaves nothing behind.
#[derive(Debug)]
pub struct Pending {
    store: EngineStore,
    inputs: KeyInputs,
    place: Place,
    engine_file: String,
    done: bool,
    _lock: KeyLock,
}

/// Waits for another builder of the same engine.
#[derive(Debug)]
pub struct Waiting {
    store: EngineStore,
    inputs: KeyInputs,
    engine_file: String,
    rebuild: bool,
    lock: BusyLock,
}

impl Waiting {
    pub(super) fn new(
        store: EngineStore,
        inputs: KeyInputs,
        engine_file: String,
        rebuild: bool,
        lock: BusyLock,
    ) -> Self {
        Self {
            store,
            inputs,
            engine_file,
            rebuild,
            lock,
        }
    }

    /// Blocks until the other builder is done or gone; never gives [`Begun::Busy`].
    ///
    /// An engine the other builder finished is taken, also where a rebuild was asked for: it is new.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn wait(self) -> Result<Begun, CacheError> {
        let Self {
            store,
            inputs,
            engine_file,
            rebuild,
            lock,
        } = self;
        let asked = SystemTime::now();
        let lock = lock.wait()?;
        let is_new = |entry: &Entry| built_after(entry, asked);
        match store.found_under_lock(&inputs)? {
            Some(entry) if !rebuild || is_new(&entry) => Ok(Begun::Found(Box::new(entry))),
            _ => Pending::start(store, inputs, engine_file, lock).map(Begun::Build),
        }
    }
}

impl Pending {
    pub(super) fn start(
        store: EngineStore,
        inputs: KeyInputs,
        engine_file: String,
        lock: KeyLock,
    ) -> Result<Self, CacheError> {
        let place = store.place(&inputs);
        place.restore()?;
        store.step(Step::MakeTemporary, "make", &place.temporary, || {
            // What a killed builder of this key left; its lock is ours now.
            files::remove_folder(&place.temporary)?;
            fs::create_dir_all(&place.temporary)
        })?;
        Ok(Self {
            store,
            inputs,
            place,
            engine_file,
            done: false,
            _lock: lock,
        })
    }

    /// The file the backend is to write; it may write others beside it.
    pub fn engine_path(&self) -> PathBuf {
        self.place.temporary.join(&self.engine_file)
    }

    /// Makes the entry: engine flushed, manifest written, then both appear under the entry's name at once.
    ///
    /// # Errors
    /// [`CacheError`]; the store is then as it was before. Once the entry has its name, nothing fails any more: what could
    /// not be flushed or cleaned up is a warning.
    pub fn commit(mut self, record: BuildRecord) -> Result<Entry, CacheError> {
        let read_at = SystemTime::now();
        let files = self.seal_files()?;
        let manifest = self.manifest(files, record);
        let Place {
            id,
            target,
            temporary,
            old,
            folder,
        } = &self.place;
        let path = temporary.join(Manifest::FILE);
        let text = manifest.to_json();
        let store = &self.store;
        store.step(Step::WriteManifest, "write", &path, || {
            files::write_synced(&path, &text)
        })?;
        Entry::at(id.clone(), temporary.clone(), manifest.clone()).remember_files(read_at);
        store.step(Step::SyncEntry, "flush", temporary, || {
            files::sync_folder(temporary)
        })?;
        store.step(Step::Displace, "move", target, || displace(target, old))?;
        let published = store.step(Step::Publish, "rename", temporary, || {
            fs::rename(temporary, target)
        });
        if let Err(error) = published {
            if let Err(error) = self.place.restore() {
                tracing::warn!(entry = %id, %error, "the engine before stays out of the way");
            }
            return Err(error);
        }
        self.done = true;
        self.store.forget_replaced(&self.inputs);
        let flushed = self.store.step(Step::SyncFolder, "flush", folder, || {
            files::sync_folder(folder)
        });
        let removed = self.store.step(Step::RemoveDisplaced, "remove", old, || {
            files::remove_folder(old)
        });
        for error in [flushed, removed].into_iter().filter_map(Result::err) {
            tracing::warn!(entry = %id, %error, "engine built, but not tidied up");
        }
        let entry = Entry::at(id.clone(), target.clone(), manifest);
        entry.mark_used();
        Ok(entry)
    }

    /// Keeps the engine in quarantine: it was built as it should be and must not be served, as `record` says. Gives where
    /// it is.
    ///
    /// # Errors
    /// [`CacheError`]; nothing is then kept.
    pub fn reject(mut self, record: BuildRecord) -> Result<PathBuf, CacheError> {
        let files = self.seal_files()?;
        let text = self.manifest(files, record).to_json();
        let Place { id, temporary, .. } = &self.place;
        let path = temporary.join(Manifest::FILE);
        files::write_synced(&path, &text)
            .map_err(|source| CacheError::new("write", &path, source))?;
        self.store.forget_rejections(&self.inputs);
        let to = self.store.quarantine_folder_of(id, temporary)?;
        self.done = true;
        Ok(to)
    }

    /// Flushes what the backend wrote; the engine itself comes first.
    fn seal_files(&self) -> Result<Vec<EngineFile>, CacheError> {
        let engine = self.engine_path();
        if !engine.is_file() {
            return Err(CacheError::NoEngine { path: engine });
        }
        self.store.step(Step::SyncEngine, "flush", &engine, || {
            let mut names: Vec<String> = Vec::new();
            for file in fs::read_dir(&self.place.temporary)? {
                let name = file?.file_name().into_string();
                names.push(name.map_err(|_| io::Error::other("a file name that is no text"))?);
            }
            names.sort_unstable_by_key(|name| (*name != self.engine_file, name.clone()));
            names
                .into_iter()
                .map(|name| seal(&self.place.temporary, name))
                .collect()
        })
    }

    fn manifest(&self, files: Vec<EngineFile>, record: BuildRecord) -> Manifest {
        let BuildRecord {
            build_time,
            signature,
            report,
            verification,
        } = record;
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Manifest {
            schema: EngineKey::SCHEMA,
            key: EngineKey::of(&self.inputs),
            inputs: self.inputs.clone(),
            files,
            built_at_unix: since_epoch.as_secs(),
            build_ms: u64::try_from(build_time.as_millis()).unwrap_or(u64::MAX),
            cvtrt: env!("CARGO_PKG_VERSION").to_owned(),
            signature,
            report,
            verification,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = files::remove_folder(&self.place.temporary)
        {
            tracing::warn!(path = %self.place.temporary.display(), %error, "temporary folder stays");
        }
    }
}

fn seal(folder: &Path, name: String) -> io::Result<EngineFile> {
    let path = folder.join(&name);
    files::sync_file(&path)?;
    Ok(EngineFile {
        bytes: FileStat::of_file(&path)?.bytes,
        sha256: files::digest(&path)?,
        name,
    })
}

fn displace(target: &Path, old: &Path) -> io::Result<()> {
    files::remove_folder(old)?;
    match fs::rename(target, old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether an entry was built in or after the second of `time`, which is as exact as manifests are.
fn built_after(entry: &Entry, time: SystemTime) -> bool {
    let second = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    entry.manifest().built_at_unix >= second
}
