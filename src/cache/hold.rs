//! Keeping collections away from engines that running programs may read again: a lock on the engine's file, which those
//! who may read it share.

use super::{CacheError, Entry};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;

/// No program holds the entry, nor can hold it for as long as this lives.
#[derive(Debug, Default)]
pub(super) struct Claim {
    _file: Option<File>,
}

impl Entry {
    /// Keeps [`EngineStore::gc`](super::EngineStore::gc) of every process away from its file for as long as what is given
    /// stays open; `None` where the file is gone, or is on a file system without locks.
    ///
    /// A build that replaces the engine makes another file, which nobody holds.
    pub fn hold(&self) -> Option<File> {
        let path = self.engine_path();
        let held = File::open(&path).and_then(|file| {
            // Waits for a collection, whose claims are short.
            file.lock_shared()?;
            // It may have been collected meanwhile.
            fs::metadata(&path).map(|_| file)
        });
        held.inspect_err(|error| tracing::debug!(entry = %self.id(), %error, "not held"))
            .ok()
    }

    /// Keeps programs from holding it until the claim is dropped; `None` where one holds it, or may.
    pub(super) fn claim(&self) -> Option<Claim> {
        let path = self.engine_path();
        // NFS gives an exclusive lock only to who can write; other file systems also give it to who cannot.
        let opened = File::options().read(true).write(true).open(&path);
        let claimed = match opened.or_else(|_| File::open(&path)) {
            Ok(file) => match file.try_lock() {
                Ok(()) => return Some(Claim { _file: Some(file) }),
                Err(TryLockError::WouldBlock) => return None,
                Err(TryLockError::Error(error)) => error,
            },
            Err(error) => error,
        };
        match claimed.kind() {
            // Nobody can hold what is not there, or cannot be locked.
            ErrorKind::NotFound | ErrorKind::Unsupported => Some(Claim::default()),
            _ => {
                let error = CacheError::new("lock", &path, claimed);
                tracing::warn!(entry = %self.id(), %error, "taken to be held by a program");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EngineStore, fixture};
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn what_is_held_cannot_be_claimed_and_what_is_claimed_is_waited_for() {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let entry = fixture::build(&store, &fixture::inputs(), b"engine");
        let held = entry.hold().expect("the file is there");
        assert!(entry.claim().is_none());
        drop(held);

        let claim = fixture::claim(&entry);
        let (tell, told) = mpsc::channel();
        let waiting = entry.clone();
        let thread = thread::spawn(move || tell.send(waiting.hold()));
        let early = told.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "{early:?} while it is claimed");
        drop(claim);
        assert!(told.recv().expect("it goes on").is_some());
        thread.join().expect("no panic").expect("heard");
    }

    #[test]
    fn what_is_collected_while_it_is_waited_for_is_not_held() {
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let entry = fixture::build(&store, &fixture::inputs(), b"engine");
        let claim = entry.claim().expect("nobody holds it");
        let waiting = entry.clone();
        let thread = thread::spawn(move || waiting.hold());
        fs::remove_file(entry.engine_path()).expect("writable");
        drop(claim);
        assert!(thread.join().expect("no panic").is_none());
        assert!(entry.claim().is_some(), "nobody holds what is not there");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_cannot_be_written_is_claimed_all_the_same() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().expect("temporary folder");
        let store = EngineStore::new(root.path());
        let entry = fixture::build(&store, &fixture::inputs(), b"engine");
        let read_only = fs::Permissions::from_mode(0o444);
        fs::set_permissions(entry.engine_path(), read_only).expect("own file");
        assert!(entry.claim().is_some());
        let _held = entry.hold().expect("the file is there");
        assert!(entry.claim().is_none());
    }
}
