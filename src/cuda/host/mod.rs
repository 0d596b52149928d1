//! Host memory in a device's place: every byte and handle is counted, and every call can be made to fail.
#![expect(
    unsafe_code,
    reason = "plays the driver, whose addresses are plain ones"
)]

mod driver;
mod tests;

use super::driver::{Address, CudaError, CudaErrorKind, RawEvent, RawReplay, RawStream};
use super::gpu::Gpu;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A device whose memory is the host's. Work is done when it is enqueued, or recorded where its stream records.
#[derive(Debug, Clone, Default)]
pub struct HostGpu {
    ledger: Arc<Mutex<Ledger>>,
}

/// One call of the driver that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostFault {
    /// Calls that pass before it, counted over all kinds.
    pub after: u64,
    /// How it fails; a lost device fails ever after.
    pub kind: CudaErrorKind,
}

/// What a device was asked to do so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostCounts {
    /// Pieces of device and page-locked memory given out.
    pub allocations: u64,
    /// Copies to the device.
    pub uploads: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Copies from the device.
    pub downloads: u64,
    /// Their bytes.
    pub downloaded_bytes: u64,
    /// Times the host waited for a stream.
    pub waits: u64,
    /// Pieces of other work: copies on the device, zeroing, work submitted.
    pub enqueued: u64,
    /// Launches of recorded work.
    pub replays: u64,
}

#[derive(Debug, Default)]
struct Ledger {
    device: BTreeMap<Address, usize>,
    pinned: BTreeMap<Address, usize>,
    /// Work each stream records; `None` inside where it does not.
    streams: BTreeMap<RawStream, Option<Recording>>,
    events: BTreeMap<RawEvent, Option<Instant>>,
    replays: BTreeMap<RawReplay, Arc<Mutex<Vec<Work>>>>,
    next_handle: u64,
    counts: HostCounts,
    calls: u64,
    fault: Option<HostFault>,
}

#[derive(Debug, Default)]
struct Recording {
    work: Vec<Work>,
    /// The first thing that cannot be recorded.
    broken: Option<&'static str>,
}

struct Work(Box<dyn Fn() + Send>);

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

impl HostGpu {
    /// The device, as ordinal 0.
    pub fn gpu(&self) -> Gpu {
        Gpu::with_driver(Arc::new(self.clone()))
    }

    /// Makes one call fail, counted from now.
    pub fn fail(&self, fault: HostFault) {
        let mut ledger = self.ledger();
        ledger.calls = 0;
        ledger.fault = Some(fault);
    }

    /// Calls of the driver since the last fault was set.
    pub fn calls(&self) -> u64 {
        self.ledger().calls
    }

    /// Bytes and handles (streams, events, recordings) not given back.
    pub fn outstanding(&self) -> (usize, u64) {
        let ledger = self.ledger();
        let bytes = ledger.device.values().chain(ledger.pinned.values()).sum();
        let handles = ledger.streams.len() + ledger.events.len() + ledger.replays.len();
        (bytes, handles as u64)
    }

    /// What the device was asked to do so far.
    pub fn counts(&self) -> HostCounts {
        self.ledger().counts
    }

    /// Enqueues work on a stream, by the handle that other libraries are given: does it now, or records it.
    pub fn submit(&self, stream: u64, work: Box<dyn Fn() + Send>) {
        self.enqueue(stream, Work(work));
    }

    /// Reads device memory, as work on the device does.
    ///
    /// # Panics
    /// If the span is in no allocation.
    pub fn peek(&self, address: u64, to: &mut [u8]) {
        driver::peek(&self.ledger().device, address, to);
    }

    /// Writes device memory, as work on the device does.
    ///
    /// # Panics
    /// If the span is in no allocation.
    pub fn poke(&self, address: u64, from: &[u8]) {
        driver::poke(&self.ledger().device, address, from);
    }

    fn enqueue(&self, stream: RawStream, work: Work) {
        let mut ledger = self.ledger();
        ledger.counts.enqueued += 1;
        if let Some(recording) = ledger.recording(stream) {
            recording.work.push(work);
            return;
        }
        drop(ledger);
        (work.0)();
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn call(&mut self, operation: &'static str) -> Result<(), CudaError> {
        let call = self.calls;
        self.calls += 1;
        let failing = self.fault.filter(|fault| {
            call == fault.after || (fault.kind == CudaErrorKind::DeviceLost && call > fault.after)
        });
        match failing {
            None => Ok(()),
            Some(fault) => Err(CudaError {
                operation,
                kind: fault.kind,
                reason: "asked for by a test".to_owned(),
            }),
        }
    }

    fn recording(&mut self, stream: RawStream) -> Option<&mut Recording> {
        let stream = self.streams.get_mut(&stream);
        stream.expect("a stream that was handed out").as_mut()
    }

    /// What the host does itself cannot be recorded, and breaks a recording.
    fn check_not_recording(
        &mut self,
        stream: RawStream,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        let Some(recording) = self.recording(stream) else {
            return Ok(());
        };
        recording.broken.get_or_insert(operation);
        Err(not_recordable(operation))
    }

    fn handle(&mut self) -> u64 {
        self.next_handle += 1;
        self.next_handle
    }

    fn used_bytes(&self) -> u64 {
        self.device.values().map(|&bytes| bytes as u64).sum()
    }
}

fn not_recordable(operation: &'static str) -> CudaError {
    CudaError {
        operation,
        kind: CudaErrorKind::Capture,
        reason: "the stream records".to_owned(),
    }
}
