//! What a build tells its caller while it goes on.

use super::Built;
use crate::ids::{BackendId, GraphId, Precision};

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// Another process builds the same engine; this one waits for it.
    Waiting {
        /// The graph.
        graph: GraphId,
    },
    /// A compile starts.
    Compiling {
        /// The graph.
        graph: GraphId,
        /// What compiles it.
        backend: BackendId,
        /// In which precision.
        precision: Precision,
    },
    /// A verification starts.
    Verifying {
        /// The graph.
        graph: GraphId,
        /// What runs it.
        backend: BackendId,
    },
    /// A compile or verification goes on.
    Step {
        /// The graph.
        graph: GraphId,
        /// What is being done.
        phase: &'a str,
        /// Steps done in this phase.
        done: u32,
        /// Steps in this phase; 0 where unknown.
        total: u32,
    },
    /// A line of the library's log.
    Log {
        /// The graph.
        graph: GraphId,
        /// The line.
        line: &'a str,
    },
    /// A backend failed and the chain goes on to its next link.
    PassedOver {
        /// The graph.
        graph: GraphId,
        /// The backend that failed.
        backend: BackendId,
        /// Why.
        reason: &'a str,
    },
    /// A rebuild failed, and the engine it was to replace serves on.
    Stays {
        /// The graph.
        graph: GraphId,
        /// The engine's name in the store.
        entry: &'a str,
    },
    /// A graph is done.
    Done(&'a Built),
}

/// Hears what happens, one event after the other, from threads that build.
pub trait Watch: Send {
    /// Something happened.
    fn on(&mut self, event: Event<'_>);
}
