//! Removing what is stale, and what was not used for longest.

use super::explain::is_of_another_library;
use super::hold::Claim;
use super::lock::{Attempt, KeyLock};
use super::steps::Step;
use super::store::{EngineStore, Listed, is_displaced};
use super::{CacheError, Change, Entry, Here, KeptTimings, Quarantined, files};
use crate::ids::GraphId;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// What to remove.
#[derive(Debug, Clone)]
pub struct GcRequest<'a> {
    /// Entries that cannot be used here any more go first.
    pub here: &'a Here,
    /// Those of another version of a library, too, which may be for another run-time folder.
    pub all_stale: bool,
    /// Then the least recently used, until the rest fits.
    pub max_bytes: Option<u64>,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// What was removed and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct GcReport {
    /// Removed, in order.
    pub removed: Vec<Removed>,
    /// Entries that stay because a builder is at work on them or has just replaced them.
    pub busy: Vec<String>,
    /// Entries that stay because a running program may still read them.
    pub held: Vec<String>,
    /// What stays though it is stale, because it is of another version of a library.
    pub spared: Vec<String>,
    /// Entries that stay.
    pub kept_entries: usize,
    /// Their bytes.
    pub kept_bytes: u64,
}

/// One thing removed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Removed {
    /// Its folder below the store's root.
    pub id: String,
    /// What it occupied.
    pub bytes: u64,
    /// Why it went.
    pub because: RemovedBecause,
}

/// Why something was removed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovedBecause {
    /// A builder was killed and left it.
    Leftover,
    /// It was in quarantine, for this reason.
    Quarantined(String),
    /// Its manifest cannot be read.
    Unreadable(String),
    /// It cannot be used on this machine as it is now.
    Stale(Vec<Change>),
    /// Timings of another library or device.
    ForeignTimings,
    /// The store was over its limit, and everything that stays was used later.
    LeastRecentlyUsed,
}

impl EngineStore {
    /// Removes leftovers, what is in quarantine and stale entries, those of other library versions only where asked for;
    /// then, over `max_bytes`, the least recently used.
    ///
    /// # Errors
    /// [`CacheError`] when the store cannot be read, or something cannot be removed.
    pub fn gc(&self, request: &GcRequest<'_>) -> Result<GcReport, CacheError> {
        let mut report = GcReport::default();
        let _alone = self.lock_collection(request.dry_run)?;
        self.remove_quarantined(request, &mut report)?;
        for graph in GraphId::ALL {
            self.remove_leftovers(*graph, request, &mut report)?;
        }
        self.remove_foreign_timings(request, &mut report)?;
        let mut kept: Vec<(SystemTime, Listed)> = Vec::new();
        for listed in self.entries()? {
            let because = match &listed.entry {
                Err(corruption) => Some(RemovedBecause::Unreadable(corruption.to_string())),
                Ok(entry) if let Some(reason) = entry.unfit() => {
                    Some(RemovedBecause::Quarantined(reason.to_owned()))
                }
                Ok(entry) => match request.here.stale(&entry.manifest().inputs) {
                    stale if stale.is_empty() => None,
                    stale if !request.all_stale && is_of_another_library(&stale) => {
                        report.spared.push(listed.id.clone());
                        None
                    }
                    stale => Some(RemovedBecause::Stale(stale)),
                },
            };
            match because {
                Some(because) => {
                    if !self.remove_entry(&listed, because, request, &mut report)? {
                        report.kept_entries += 1;
                        report.kept_bytes += listed.bytes;
                    }
                }
                None => kept.push((last_used(&listed), listed)),
            }
        }
        kept.sort_by_key(|(used, _)| *used);
        report.kept_entries += kept.len();
        report.kept_bytes += kept.iter().map(|(_, listed)| listed.bytes).sum::<u64>();
        for (_, listed) in &kept {
            if request
                .max_bytes
                .is_none_or(|max_bytes| report.kept_bytes <= max_bytes)
            {
                break;
            }
            let because = RemovedBecause::LeastRecentlyUsed;
            if self.remove_entry(listed, because, request, &mut report)? {
                report.spared.retain(|id| *id != listed.id);
                report.kept_entries -= 1;
                report.kept_bytes -= listed.bytes;
            }
        }
        Ok(report)
    }

    /// Waits for another collection to end: its claims would be taken for those of programs that serve. A dry run makes no
    /// lock, and needs none in a store that cannot be written.
    fn lock_collection(&self, dry_run: bool) -> Result<Option<KeyLock>, CacheError> {
        let path = self.lock_path("gc");
        if !self.root().is_dir() || dry_run && !path.exists() {
            return Ok(None);
        }
        self.make_lock_folder()?;
        match KeyLock::attempt(&path) {
            Ok(Attempt::Locked(lock)) => Ok(Some(lock)),
            Ok(Attempt::Busy(other)) => other.wait().map(Some),
            Err(CacheError::ReadOnly { .. }) if dry_run => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives `false` where a program holds the entry, or a builder is at work on it or has replaced it since it was listed.
    fn remove_entry(
        &self,
        listed: &Listed,
        because: RemovedBecause,
        request: &GcRequest<'_>,
        report: &mut GcReport,
    ) -> Result<bool, CacheError> {
        // Both locks last until the entry is gone; under that of its key, the file that is claimed is not replaced.
        let lock = if request.dry_run {
            None
        } else {
            self.lock_entry(&listed.id)?
        };
        if !request.dry_run && (lock.is_none() || !self.is_as_listed(listed)) {
            report.busy.push(listed.id.clone());
            return Ok(false);
        }
        let Some(_claim) = claimed(listed.entry.as_ref().ok()) else {
            report.held.push(listed.id.clone());
            return Ok(false);
        };
        if !request.dry_run {
            self.remove(&listed.id)?;
        }
        report.removed.push(Removed {
            id: listed.id.clone(),
            bytes: listed.bytes,
            because,
        });
        Ok(true)
    }

    /// Whether the entry's manifest, or its absence, is the one that was judged.
    fn is_as_listed(&self, listed: &Listed) -> bool {
        let dir = self.root().join(&listed.id);
        match (&listed.entry, Entry::read(listed.id.clone(), dir.clone())) {
            (Ok(listed), Ok(now)) => *listed == now,
            (Err(_), Err(_)) => dir.is_dir(),
            _ => false,
        }
    }

    /// Renames before removing, so that half an entry never has an entry's name.
    fn remove(&self, id: &str) -> Result<(), CacheError> {
        let path = self.root().join(id);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Not `.old`, from which an entry is restored.
        let gone = path.with_file_name(format!(".{name}.tmp"));
        let removed = files::remove_folder(&gone)
            .and_then(|()| fs::rename(&path, &gone))
            .and_then(|()| files::remove_folder(&gone));
        removed.map_err(|source| CacheError::new("remove", &path, source))
    }

    /// Folders of builders that are gone: their lock is free.
    fn remove_leftovers(
        &self,
        graph: GraphId,
        request: &GcRequest<'_>,
        report: &mut GcReport,
    ) -> Result<(), CacheError> {
        let folder = self.root().join(graph.as_str());
        for name in names(&folder)?.iter().filter(|name| name.starts_with('.')) {
            let path = folder.join(name);
            let Some(key) = key_of_leftover(name) else {
                continue;
            };
            let entry = name
                .strip_prefix('.')
                .and_then(|name| name.strip_suffix(".old"));
            if entry.is_some_and(|entry| is_displaced(&folder.join(entry), &path)) {
                // The next look-up gives it its name back.
                continue;
            }
            let lock = self.lock_path(key);
            // Held until the folder is gone: the next builder of the key uses the same name.
            let _lock = if request.dry_run && !lock.exists() {
                None
            } else {
                match KeyLock::attempt(&lock)? {
                    Attempt::Locked(lock) => Some(lock),
                    Attempt::Busy(_) => continue,
                }
            };
            if !path.is_dir() {
                continue;
            }
            let bytes = files::folder_bytes(&path);
            if !request.dry_run {
                self.step(Step::Collect, "remove", &path, || {
                    files::remove_folder(&path)
                })?;
            }
            report.removed.push(Removed {
                id: format!("{graph}/{name}"),
                bytes,
                because: RemovedBecause::Leftover,
            });
        }
        Ok(())
    }

    fn remove_foreign_timings(
        &self,
        request: &GcRequest<'_>,
        report: &mut GcReport,
    ) -> Result<(), CacheError> {
        let foreign = |timings: &KeptTimings| !request.here.takes(timings);
        for timings in self.timings()?.into_iter().filter(foreign) {
            if !request.all_stale && request.here.has_another_library(&timings) {
                report.spared.push(timings.id);
                continue;
            }
            if !request.dry_run && !self.remove_timings(&timings)? {
                report.busy.push(timings.id);
                continue;
            }
            report.removed.push(Removed {
                id: timings.id,
                bytes: timings.bytes,
                because: RemovedBecause::ForeignTimings,
            });
        }
        Ok(())
    }

    fn remove_quarantined(
        &self,
        request: &GcRequest<'_>,
        report: &mut GcReport,
    ) -> Result<(), CacheError> {
        for one in self.quarantined()? {
            let Quarantined {
                id,
                bytes,
                reason,
                entry,
            } = one;
            let Some(_claim) = claimed(entry.as_ref()) else {
                report.held.push(id);
                report.kept_entries += 1;
                report.kept_bytes += bytes;
                continue;
            };
            if !request.dry_run {
                let path = self.root().join(&id);
                files::remove_folder(&path)
                    .map_err(|source| CacheError::new("remove", &path, source))?;
            }
            report.removed.push(Removed {
                id,
                bytes,
                because: RemovedBecause::Quarantined(reason),
            });
        }
        Ok(())
    }
}

impl fmt::Display for RemovedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leftover => f.write_str("left by a killed build"),
            // What follows the first line is a library's log.
            Self::Quarantined(why) => {
                write!(
                    f,
                    "in quarantine: {}",
                    why.lines().next().unwrap_or_default()
                )
            }
            Self::Unreadable(why) => write!(f, "unreadable: {why}"),
            Self::Stale(changes) => {
                f.write_str("stale")?;
                changes
                    .iter()
                    .try_for_each(|change| write!(f, ", {change}"))
            }
            Self::ForeignTimings => f.write_str("timings of another library or device"),
            Self::LeastRecentlyUsed => f.write_str("least recently used"),
        }
    }
}

/// `None` where a program holds the entry. One whose manifest cannot be read does not say which file that would be.
fn claimed(entry: Option<&Entry>) -> Option<Claim> {
    entry.map_or_else(|| Some(Claim::default()), Entry::claim)
}

fn last_used(listed: &Listed) -> SystemTime {
    listed
        .entry
        .as_ref()
        .map_or(SystemTime::UNIX_EPOCH, Entry::last_used)
}

fn names(folder: &Path) -> Result<Vec<String>, CacheError> {
    files::folder_names(folder).map_err(|source| CacheError::new("read", folder, source))
}

/// `0123456789abcdef` of `.tensorrt-fp16-0123456789abcdef.tmp`.
fn key_of_leftover(name: &str) -> Option<&str> {
    let stem = name
        .strip_suffix(".tmp")
        .or_else(|| name.strip_suffix(".old"))?;
    stem.rsplit('-').next()
}
