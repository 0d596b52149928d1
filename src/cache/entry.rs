//! One engine in the store.

use super::files;
use super::{CacheError, Corruption, Manifest, Verification};
use crate::stat::FileStat;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An engine in the store with its manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    id: String,
    dir: PathBuf,
    manifest: Manifest,
}

const STAT_FILE: &str = "stat.json";
const USED_FILE: &str = "used";

type StatRecord = BTreeMap<String, FileStat>;

impl Entry {
    /// Its folder below the store's root: `flow_estimator/tensorrt-fp16-0123456789abcdef`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The file a backend loads.
    pub fn engine_path(&self) -> PathBuf {
        self.dir.join(&self.manifest.files[0].name)
    }

    /// When a look-up last found it, as far as the folder could be written.
    pub fn last_used(&self) -> SystemTime {
        let used = fs::metadata(self.dir.join(USED_FILE));
        let built = || fs::metadata(self.dir.join(Manifest::FILE));
        used.or_else(|_| built())
            .and_then(|metadata| metadata.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Hashes every file and remembers their stat.
    ///
    /// # Errors
    /// [`Corruption`] naming the first file that is not what was built.
    pub fn verify(&self) -> Result<(), Corruption> {
        let record = self.hash()?;
        self.remember(&record);
        Ok(())
    }

    /// Why it must not be served, where it was found unfit and did not get into quarantine: its builder was killed, or
    /// its folder could not be moved.
    pub fn unfit(&self) -> Option<&str> {
        match &self.manifest.verification {
            Verification::Failed { reason } => Some(reason),
            _ => None,
        }
    }

    /// Reads the entry in `dir`; the files are not looked at.
    pub(super) fn read(id: String, dir: PathBuf) -> Result<Self, Corruption> {
        let manifest = Manifest::read(&dir.join(Manifest::FILE))?;
        Ok(Self { id, dir, manifest })
    }

    /// What is wrong with its files as far as their sizes tell; their content is not read.
    pub fn damage(&self) -> Option<&'static str> {
        let whole = self.manifest.files.iter().all(|file| {
            let data = fs::metadata(self.dir.join(&file.name));
            data.is_ok_and(|data| data.is_file() && data.len() == file.bytes)
        });
        (!whole).then_some("a file is missing or has another size")
    }

    /// Checks that every file has the stat it had when last hashed, and hashes all of them where one has not.
    pub(super) fn trust(&self) -> Result<(), Corruption> {
        if self.is_known() {
            Ok(())
        } else {
            self.verify()
        }
    }

    /// As [`Entry::trust`], but remembers nothing.
    pub(super) fn inspect(&self) -> Result<(), Corruption> {
        if self.is_known() {
            Ok(())
        } else {
            self.hash().map(drop)
        }
    }

    fn is_known(&self) -> bool {
        let text = fs::read(self.dir.join(STAT_FILE)).unwrap_or_default();
        let record: StatRecord = serde_json::from_slice(&text).unwrap_or_default();
        self.manifest.files.iter().all(|file| {
            let found = FileStat::of_file(&self.dir.join(&file.name));
            found
                .is_ok_and(|stat| stat.bytes == file.bytes && record.get(&file.name) == Some(&stat))
        })
    }

    /// Remembers that the files were just hashed. Where that cannot be written, they are hashed again next time.
    ///
    /// `read_at`: when that began.
    pub(super) fn remember_files(&self, read_at: SystemTime) {
        let stats = self.manifest.files.iter().filter_map(|file| {
            let stat = FileStat::of_file(&self.dir.join(&file.name)).ok()?;
            stat.is_settled(read_at).then(|| (file.name.clone(), stat))
        });
        self.remember(&stats.collect());
    }

    /// Notes a use for the choice of what to remove first. A store that cannot be written has no such choice to make.
    pub(super) fn mark_used(&self) {
        if let Err(error) = files::touch(&self.dir.join(USED_FILE)) {
            tracing::debug!(entry = %self.id, %error, "use not noted");
        }
    }

    /// The entry with another verification; nothing is written.
    pub(super) fn with_verification(&self, verification: Verification) -> Self {
        let mut changed = self.clone();
        changed.manifest.verification = verification;
        changed
    }

    /// Whether the entry's folder still holds the files this manifest lists, as far as its manifest there says.
    pub(super) fn is_still_there(&self) -> bool {
        let now = Self::read(self.id.clone(), self.dir.clone());
        now.is_ok_and(|now| now.manifest.files == self.manifest.files)
    }

    /// Replaces the manifest in the entry's folder; the caller holds the lock of its key.
    pub(super) fn write_manifest(&self) -> Result<(), CacheError> {
        let path = self.dir.join(Manifest::FILE);
        let temporary = self
            .dir
            .join(format!(".manifest-{}.tmp", std::process::id()));
        files::write_synced(&temporary, &self.manifest.to_json())
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| files::sync_folder(&self.dir))
            .map_err(|source| {
                // Where this fails too, the file goes with the entry.
                let _ = fs::remove_file(&temporary);
                CacheError::new("write", &path, source)
            })
    }

    pub(super) fn at(id: String, dir: PathBuf, manifest: Manifest) -> Self {
        Self { id, dir, manifest }
    }

    fn hash(&self) -> Result<StatRecord, Corruption> {
        let mut record = StatRecord::new();
        for file in &self.manifest.files {
            let path = self.dir.join(&file.name);
            let unreadable = |source| Corruption::Unreadable {
                name: file.name.clone(),
                source,
            };
            let read_at = SystemTime::now();
            let stat = FileStat::of_file(&path).map_err(unreadable)?;
            if stat.bytes != file.bytes {
                return Err(Corruption::Size {
                    name: file.name.clone(),
                    expected: file.bytes,
                    found: stat.bytes,
                });
            }
            let found = files::digest(&path).map_err(unreadable)?;
            if found != file.sha256 {
                return Err(Corruption::Content {
                    name: file.name.clone(),
                    expected: file.sha256,
                    found,
                });
            }
            if stat.is_settled(read_at) {
                record.insert(file.name.clone(), stat);
            }
        }
        Ok(record)
    }

    fn remember(&self, record: &StatRecord) {
        let text = serde_json::to_vec(record).expect("plain values");
        if let Err(error) = fs::write(self.dir.join(STAT_FILE), text) {
            tracing::debug!(entry = %self.id, %error, "stat not remembered");
        }
    }
}
