//! The steps of a commit, so that tests can fail or stop a builder between any two of them, and of a collection.

use std::io;

/// A change to the store's folder that is about to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Step {
    /// Making the folders and the lock file.
    Prepare,
    /// Making the folder an engine is built in.
    MakeTemporary,
    /// Flushing the engine to the disk.
    SyncEngine,
    /// Writing the manifest.
    WriteManifest,
    /// Flushing the names inside the entry.
    SyncEntry,
    /// Moving an entry that is being replaced out of the way.
    Displace,
    /// Giving the entry its name.
    Publish,
    /// Flushing that name.
    SyncFolder,
    /// Removing what was replaced.
    RemoveDisplaced,
    /// Moving what must not be served out of the way; no step of a commit.
    Quarantine,
    /// Removing what a killed builder left; no step of a commit.
    Collect,
}

#[cfg(test)]
impl Step {
    /// The steps of a commit, in order.
    pub(super) const ALL: [Self; 9] = [
        Self::Prepare,
        Self::MakeTemporary,
        Self::SyncEngine,
        Self::WriteManifest,
        Self::SyncEntry,
        Self::Displace,
        Self::Publish,
        Self::SyncFolder,
        Self::RemoveDisplaced,
    ];
}

/// Called before each step; does nothing outside tests.
#[derive(Clone, Default)]
pub(super) struct Hook {
    #[cfg(test)]
    pub(super) before: Option<std::sync::Arc<dyn Fn(Step) -> io::Result<()> + Send + Sync>>,
}

impl Hook {
    #[cfg(test)]
    pub(super) fn before(&self, step: Step) -> io::Result<()> {
        self.before.as_ref().map_or(Ok(()), |hook| hook(step))
    }

    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "a test's hook is an object that can fail"
    )]
    pub(super) fn before(&self, _: Step) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}
