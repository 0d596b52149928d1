//! One thread's worth of work.

use crate::tensor::Placement;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One thread's worth of work: inside it, order is the stream's; nothing mutable crosses lanes.
#[derive(Debug)]
pub struct Lane {
    index: u16,
    placement: Placement,
    copies: Arc<CopyCounter>,
}

/// Counts what crosses between host and device.
#[derive(Debug, Default)]
pub struct CopyCounter {
    calls: AtomicU64,
    bytes: AtomicU64,
}

/// Copies counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct CopyCount {
    /// Number of copies.
    pub calls: u64,
    /// Bytes moved.
    pub bytes: u64,
}

impl Lane {
    /// A lane whose tensors live at `placement`.
    pub fn new(index: u16, placement: Placement) -> Self {
        Self {
            index,
            placement,
            copies: Arc::default(),
        }
    }

    /// The lane's number.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Where the lane's tensors live.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The lane's counter; whoever copies between placements reports here.
    pub fn copies(&self) -> &Arc<CopyCounter> {
        &self.copies
    }
}

impl CopyCounter {
    /// Counts one copy.
    pub fn add(&self, bytes: usize) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn count(&self) -> CopyCount {
        CopyCount {
            calls: self.calls.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
