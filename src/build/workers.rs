//! The processes that do the work: how they are started, how long each may take, and how many there are at once.

use super::memory;
use super::side_by_side::{Need, Room};
use super::{BuildRequest, PlanState, PlannedGraph, WorkerCommand};
use crate::ids::BackendId;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

/// The processes that do the work.
#[derive(Debug, Clone)]
pub struct Workers {
    /// How one is started.
    pub command: WorkerCommand,
    /// How long each may take.
    pub deadlines: Deadlines,
    /// How many there are at once.
    pub jobs: Jobs,
}

/// How long a worker may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// To compile one graph.
    pub compile: Duration,
    /// To verify one engine.
    pub verify: Duration,
}

/// Graphs built at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Jobs {
    /// What fits into free memory, half as many as processors at most, and one at a time on a device; one where free
    /// memory is not known.
    #[default]
    WhatFits,
    /// At most so many, on a device too; fewer where memory is short.
    AtMost(NonZeroUsize),
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            compile: Duration::from_hours(1),
            verify: Duration::from_mins(30),
        }
    }
}

impl Jobs {
    /// What there is for so many.
    pub(super) fn room(self) -> Room {
        let free = memory::free_bytes();
        let half = thread::available_parallelism().map_or(1, |all| all.get() / 2);
        let (jobs, shared_device) = match (self, free) {
            (Self::AtMost(jobs), _) => (jobs, true),
            (Self::WhatFits, Some(_)) => (NonZeroUsize::new(half).unwrap_or(ONE), false),
            (Self::WhatFits, None) => (ONE, false),
        };
        Room {
            jobs,
            bytes: free.unwrap_or(u64::MAX),
            shared_device,
        }
    }
}

const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// What building a graph takes.
pub(super) fn need(planned: &PlannedGraph, request: &BuildRequest<'_>) -> Need {
    if matches!(planned.state, PlanState::Cached { .. }) {
        return Need::default();
    }
    Need {
        bytes: memory::estimate(planned, request.bundle),
        device: works_on_the_device(planned, request),
    }
}

/// One backend compiles without the device, and one never sees it.
fn works_on_the_device(planned: &PlannedGraph, request: &BuildRequest<'_>) -> bool {
    match planned.backend {
        BackendId::TensorRt | BackendId::OrtCuda => true,
        BackendId::TensorRtRtx => request.verify && planned.cannot_run.is_none(),
        BackendId::OrtCpu => false,
    }
}
