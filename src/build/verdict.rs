//! What a failure says of an engine, and of the links behind it.

use super::failure::FailureKind;
use super::{BuildError, WorkerError};
use crate::cache::{EngineStore, Entry};

/// An engine that gives wrong values is neither served nor found again. Where it cannot be moved, the verdict still
/// stands.
pub(super) fn reject(store: &EngineStore, entry: &Entry, reason: &str) {
    match store.reject(entry, reason) {
        Ok(Some(to)) => {
            tracing::warn!(entry = entry.id(), to = %to.display(), "engine goes into quarantine");
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(entry = entry.id(), %error, "engine stays"),
    }
}

/// Whether the chain may go on after a worker failed, or an engine was found unfit; a full disk or Ctrl-C is no reason
/// to.
pub(super) fn reason_to_go_on(error: &BuildError) -> Option<String> {
    match error {
        BuildError::Worker {
            source: WorkerError::Start(_) | WorkerError::Cancelled,
            ..
        } => None,
        BuildError::Worker {
            source: WorkerError::Failed(failure),
            ..
        } if failure.kind == FailureKind::Storage => None,
        BuildError::Worker { source, .. } => Some(source.to_string()),
        BuildError::Quarantined { reason, .. } => Some(reason.clone()),
        _ => None,
    }
}

/// Why an engine must not be served, where its verification says so; what a busy machine can do, as a missed deadline, is
/// no verdict.
pub(super) fn verdict(error: &BuildError) -> Option<String> {
    match error {
        BuildError::Worker {
            task: "verify",
            source,
            ..
        } => match source {
            WorkerError::Failed(failure) if failure.kind == FailureKind::Unverified => {
                Some(failure.to_string())
            }
            WorkerError::Crashed { .. } => Some(source.to_string()),
            _ => None,
        },
        BuildError::Quarantined { reason, .. } => Some(reason.clone()),
        _ => None,
    }
}
