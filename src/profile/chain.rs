//! Which backends may serve a graph, in order, and when to move on.

use crate::ids::BackendId;

/// Backends to try, best first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The links, best first; never empty in a checked profile.
    pub links: Vec<BackendId>,
    /// When the next link may be used.
    pub fallback: Fallback,
}

/// When a chain may move to its next link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// Only the first link; anything else is an error.
    Never,
    /// While loading.
    AtLoad,
    /// While loading, and for a call that fails at run time.
    AtRun,
}
