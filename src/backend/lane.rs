//! One thread's worth of work.

use super::{CompiledGraph, LoadError};
use crate::cuda::{CudaError, Gpu, Stream};
use crate::tensor::Placement;
use crate::trt::Scratch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One thread's worth of work: inside it, order is the stream's; nothing mutable crosses lanes.
///
/// Tensors on a device that a lane's sessions are given belong to the lane's stream. Clones are the same lane.
#[derive(Debug, Clone)]
pub struct Lane {
    index: u16,
    stream: Option<Arc<Stream>>,
    /// What its contexts take turns with.
    scratch: Option<Arc<Scratch>>,
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
    /// A lane whose tensors are on the host.
    pub fn on_host(index: u16) -> Self {
        Self {
            index,
            stream: None,
            scratch: None,
            copies: Arc::default(),
        }
    }

    /// A lane whose tensors are on a device, and whose work goes on a stream of its own.
    ///
    /// # Errors
    /// [`CudaError`] where the device gives no stream.
    pub fn on_gpu(index: u16, gpu: &Gpu) -> Result<Self, CudaError> {
        Ok(Self {
            stream: Some(gpu.stream()?),
            ..Self::on_host(index)
        })
    }

    /// This lane, where it is on the device; else one beside it there, with the same counter.
    ///
    /// # Errors
    /// [`CudaError`] where the device gives no stream.
    pub(super) fn joined_to(&self, gpu: &Gpu) -> Result<Self, CudaError> {
        if self.placement() == Placement::Device(gpu.ordinal()) {
            return Ok(self.clone());
        }
        let stream = gpu.stream()?;
        Ok(Self {
            index: self.index,
            stream: Some(stream),
            scratch: None,
            copies: Arc::clone(&self.copies),
        })
    }

    /// A lane for these graphs: on the first device that any of them works on, else on the host. Its sessions share the
    /// scratch memory that the one in most need of it asks for.
    ///
    /// # Errors
    /// [`LoadError::Device`].
    pub fn for_graphs<'a>(
        index: u16,
        graphs: impl IntoIterator<Item = &'a Arc<dyn CompiledGraph>>,
    ) -> Result<Self, LoadError> {
        let graphs: Vec<_> = graphs.into_iter().collect();
        let Some(gpu) = graphs.iter().find_map(|graph| graph.gpu()) else {
            return Ok(Self::on_host(index));
        };
        let lane = Self::on_gpu(index, gpu)?;
        let scratch_bytes = graphs.iter().map(|graph| graph.footprint().scratch_bytes);
        let scratch_bytes = scratch_bytes.max().unwrap_or(0);
        let stream = lane.stream.as_ref().expect("just made on a device");
        Ok(Self {
            scratch: Some(Scratch::new(stream, scratch_bytes)?),
            ..lane
        })
    }

    /// Scratch memory of at least this size that sessions of the lane take turns with, where it has that.
    pub(super) fn scratch(&self, bytes: u64) -> Option<&Arc<Scratch>> {
        self.scratch
            .as_ref()
            .filter(|scratch| scratch.bytes() >= bytes)
    }

    /// The lane's number.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// The stream that its work goes on; `None` for a lane on the host.
    pub fn stream(&self) -> Option<&Arc<Stream>> {
        self.stream.as_ref()
    }

    /// Where the lane's tensors are.
    pub fn placement(&self) -> Placement {
        match &self.stream {
            None => Placement::Host,
            Some(stream) => Placement::Device(stream.gpu().ordinal()),
        }
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
