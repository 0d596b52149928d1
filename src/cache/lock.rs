//! One builder per key, and one collection per store: operating system locks on files that stay.

use super::CacheError;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Held until dropped, and released by the system when the process ends in any way.
#[derive(Debug)]
pub(super) struct KeyLock {
    _file: File,
}

/// What an attempt to lock gave.
#[derive(Debug)]
pub(super) enum Attempt {
    Locked(KeyLock),
    Busy(BusyLock),
}

/// A lock that someone else holds.
#[derive(Debug)]
pub(super) struct BusyLock {
    path: PathBuf,
    file: File,
}

impl KeyLock {
    /// Locks the file at `path` if no one else does; makes it where it is missing.
    pub(super) fn attempt(path: &Path) -> Result<Attempt, CacheError> {
        // Opened for reading and writing, as some network file systems ask of an exclusive lock.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|source| CacheError::new("open", path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Attempt::Locked(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(Attempt::Busy(BusyLock {
                path: path.to_owned(),
                file,
            })),
            Err(TryLockError::Error(source)) => Err(CacheError::new("lock", path, source)),
        }
    }
}

impl BusyLock {
    /// Blocks until the other one is done or gone.
    pub(super) fn wait(self) -> Result<KeyLock, CacheError> {
        let Self { path, file } = self;
        file.lock()
            .map_err(|source| CacheError::new("lock", &path, source))?;
        Ok(KeyLock { _file: file })
    }
}
