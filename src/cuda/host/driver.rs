//! The driver's calls on host memory.

use super::{HostGpu, Recording, not_recordable};
use crate::cuda::driver::{
    Address, Blocks, CudaError, CudaErrorKind, Driver, Memory, RawEvent, RawReplay, RawStream,
};
use crate::cuda::kernels::{self, Kernel};
use std::alloc::{self, Layout};
use std::collections::BTreeMap;
use std::ptr;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

const TOTAL_BYTES: u64 = 1 << 30;
/// What the driver promises of its own allocations.
const ALIGNMENT: usize = 256;

// SAFETY: memory comes from the host's allocator and is kept until it is given back.
unsafe impl Driver for HostGpu {
    fn ordinal(&self) -> u32 {
        0
    }

    /// Nothing asks which device is current.
    fn make_current(&self) -> Result<(), CudaError> {
        Ok(())
    }

    fn memory(&self) -> Result<Memory, CudaError> {
        let mut ledger = self.ledger();
        ledger.call("asking for free memory")?;
        Ok(Memory {
            free_bytes: TOTAL_BYTES - ledger.used_bytes(),
            total_bytes: TOTAL_BYTES,
        })
    }

    fn allocate(&self, bytes: usize) -> Result<Address, CudaError> {
        let mut ledger = self.ledger();
        ledger.call("allocating device memory")?;
        ledger.counts.allocations += 1;
        let address = allocate(bytes).expose_provenance() as u64;
        ledger.device.insert(address, bytes);
        Ok(address)
    }

    unsafe fn free(&self, address: Address) {
        let bytes = self.ledger().device.remove(&address);
        let bytes = bytes.expect("device memory is freed once");
        // SAFETY: from `allocate` with this layout, and no longer in the ledger.
        unsafe { alloc::dealloc(pointer(address), layout(bytes)) };
    }

    fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, CudaError> {
        let mut ledger = self.ledger();
        ledger.call("allocating page-locked memory")?;
        ledger.counts.allocations += 1;
        let memory = allocate(bytes);
        ledger
            .pinned
            .insert(memory.expose_provenance() as u64, bytes);
        Ok(memory)
    }

    unsafe fn free_pinned(&self, memory: *mut u8, bytes: usize) {
        let known = self
            .ledger()
            .pinned
            .remove(&(memory.expose_provenance() as u64));
        assert_eq!(known, Some(bytes), "page-locked memory is freed once");
        // SAFETY: from `allocate_pinned` with this layout, and no longer in the ledger.
        unsafe { alloc::dealloc(memory, layout(bytes)) };
    }

    fn create_stream(&self) -> Result<RawStream, CudaError> {
        let mut ledger = self.ledger();
        ledger.call("creating a stream")?;
        let stream = ledger.handle();
        ledger.streams.insert(stream, None);
        Ok(stream)
    }

    unsafe fn destroy_stream(&self, stream: RawStream) {
        let known = self.ledger().streams.remove(&stream);
        known.expect("a stream is destroyed once");
    }

    unsafe fn synchronize(&self, stream: RawStream) -> Result<(), CudaError> {
        const OPERATION: &str = "waiting for the device";
        let mut ledger = self.ledger();
        ledger.call(OPERATION)?;
        ledger.counts.waits += 1;
        ledger.check_not_recording(stream, OPERATION)
    }

    unsafe fn upload(&self, stream: RawStream, to: Address, from: &[u8]) -> Result<(), CudaError> {
        const OPERATION: &str = "copying to the device";
        let mut ledger = self.ledger();
        ledger.call(OPERATION)?;
        ledger.check_not_recording(stream, OPERATION)?;
        ledger.counts.uploads += 1;
        ledger.counts.uploaded_bytes += from.len() as u64;
        poke(&ledger.device, to, from);
        Ok(())
    }

    unsafe fn download(
        &self,
        stream: RawStream,
        to: &mut [u8],
        from: Address,
    ) -> Result<(), CudaError> {
        const OPERATION: &str = "copying from the device";
        let mut ledger = self.ledger();
        ledger.call(OPERATION)?;
        ledger.check_not_recording(stream, OPERATION)?;
        ledger.counts.downloads += 1;
        ledger.counts.downloaded_bytes += to.len() as u64;
        peek(&ledger.device, from, to);
        Ok(())
    }

    unsafe fn copy(
        &self,
        stream: RawStream,
        to: Blocks,
        from: Blocks,
        bytes: usize,
        count: usize,
    ) -> Result<(), CudaError> {
        self.ledger().call("copying on the device")?;
        let host = self.clone();
        self.submit(
            stream,
            Box::new(move || {
                let ledger = host.ledger();
                for block in 0..count {
                    let (from, to) = (from.at(block), to.at(block));
                    check_span(&ledger.device, from, bytes);
                    check_span(&ledger.device, to, bytes);
                    // SAFETY: both spans lie inside allocations of ours.
                    unsafe { ptr::copy(pointer(from), pointer(to), bytes) };
                }
            }),
        );
        Ok(())
    }

    unsafe fn zero(
        &self,
        stream: RawStream,
        to: Blocks,
        bytes: usize,
        count: usize,
    ) -> Result<(), CudaError> {
        self.ledger().call("zeroing device memory")?;
        let host = self.clone();
        self.submit(
            stream,
            Box::new(move || {
                let ledger = host.ledger();
                for block in 0..count {
                    check_span(&ledger.device, to.at(block), bytes);
                    // SAFETY: the span lies inside an allocation of ours.
                    unsafe { pointer(to.at(block)).write_bytes(0, bytes) };
                }
            }),
        );
        Ok(())
    }

    unsafe fn launch(&self, stream: RawStream, kernel: &Kernel) -> Result<(), CudaError> {
        self.ledger().call("launching a kernel")?;
        let (host, kernel) = (self.clone(), *kernel);
        self.submit(stream, Box::new(move || host.compute(&kernel)));
        Ok(())
    }

    fn create_event(&self) -> Result<RawEvent, CudaError> {
        let mut ledger = self.ledger();
        ledger.call("creating an event")?;
        let event = ledger.handle();
        ledger.events.insert(event, None);
        Ok(event)
    }

    unsafe fn destroy_event(&self, event: RawEvent) {
        let known = self.ledger().events.remove(&event);
        known.expect("an event is destroyed once");
    }

    unsafe fn record_event(&self, stream: RawStream, event: RawEvent) -> Result<(), CudaError> {
        self.ledger().call("recording an event")?;
        let host = self.clone();
        self.submit(
            stream,
            Box::new(move || {
                host.ledger().events.insert(event, Some(Instant::now()));
            }),
        );
        Ok(())
    }

    unsafe fn wait_for_event(&self, _stream: RawStream, event: RawEvent) -> Result<(), CudaError> {
        let mut ledger = self.ledger();
        ledger.call("letting a stream wait for an event")?;
        // Whatever marks it was done when it was enqueued.
        assert!(ledger.events.contains_key(&event), "a live event");
        Ok(())
    }

    unsafe fn synchronize_event(&self, event: RawEvent) -> Result<(), CudaError> {
        let mut ledger = self.ledger();
        ledger.call("waiting for an event")?;
        ledger.counts.waits += 1;
        assert!(ledger.events.contains_key(&event), "a live event");
        Ok(())
    }

    unsafe fn elapsed_ms(&self, from: RawEvent, to: RawEvent) -> Result<f32, CudaError> {
        const OPERATION: &str = "reading the time between events";
        let mut ledger = self.ledger();
        ledger.call(OPERATION)?;
        let [from, to] = [from, to].map(|event| ledger.events[&event]);
        let (Some(from), Some(to)) = (from, to) else {
            return Err(CudaError {
                operation: OPERATION,
                kind: CudaErrorKind::Other,
                reason: "an event has no mark".to_owned(),
            });
        };
        Ok(to.saturating_duration_since(from).as_secs_f32() * 1e3)
    }

    unsafe fn begin_capture(&self, stream: RawStream) -> Result<(), CudaError> {
        let mut ledger = self.ledger();
        ledger.call("beginning to record work")?;
        let before = ledger.streams.insert(stream, Some(Recording::default()));
        assert!(matches!(before, Some(None)), "a live stream, not recording");
        Ok(())
    }

    unsafe fn end_capture(&self, stream: RawStream) -> Result<RawReplay, CudaError> {
        const OPERATION: &str = "recording work";
        let mut ledger = self.ledger();
        let recording = ledger.streams.insert(stream, None).flatten();
        let recording = recording.expect("a stream that records");
        ledger.call(OPERATION)?;
        if let Some(broken) = recording.broken {
            return Err(not_recordable(broken));
        }
        let replay = ledger.handle();
        let work = Arc::new(Mutex::new(recording.work));
        ledger.replays.insert(replay, work);
        Ok(replay)
    }

    unsafe fn destroy_replay(&self, replay: RawReplay) {
        let known = self.ledger().replays.remove(&replay);
        known.expect("recorded work is destroyed once");
    }

    unsafe fn launch_replay(&self, stream: RawStream, replay: RawReplay) -> Result<(), CudaError> {
        let mut ledger = self.ledger();
        ledger.call("launching recorded work")?;
        ledger.counts.replays += 1;
        let work = Arc::clone(&ledger.replays[&replay]);
        drop(ledger);
        let again = move || {
            let work = work.lock().unwrap_or_else(PoisonError::into_inner);
            work.iter().for_each(|work| (work.0)());
        };
        self.submit(stream, Box::new(again));
        Ok(())
    }
}

impl HostGpu {
    /// Does what a kernel does, by its twin.
    fn compute(&self, kernel: &Kernel) {
        let ledger = self.ledger();
        let memory = &ledger.device;
        match *kernel {
            Kernel::EulerStep {
                x,
                velocity,
                row,
                dt,
                guidance,
            } => {
                let (x, velocity) = (
                    span_mut(memory, x, 2 * row),
                    span(memory, velocity, 2 * row),
                );
                kernels::euler_step(x, velocity, span(memory, dt, 1)[0], guidance);
            }
            Kernel::Append {
                past,
                past_valid,
                fresh,
                positions,
                fresh_valid,
                shape,
            } => kernels::append(
                span_mut(memory, past, shape.past_bytes()),
                span_mut(memory, past_valid, shape.rows * shape.capacity),
                span(memory, fresh, shape.fresh_bytes()),
                span(memory, positions, shape.tokens()),
                span(memory, fresh_valid, shape.tokens()),
                &shape,
            ),
            Kernel::CountNotFinite {
                values,
                length,
                count,
            } => {
                let found = kernels::count_not_finite(span(memory, values, length));
                span_mut::<u32>(memory, count, 1)[0] += found;
            }
        }
    }
}

impl Blocks {
    fn at(&self, block: usize) -> Address {
        self.address + (block * self.pitch) as u64
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, ALIGNMENT).expect("small")
}

fn allocate(bytes: usize) -> *mut u8 {
    assert!(bytes > 0, "the driver refuses empty allocations");
    // SAFETY: not empty. Filled with what no result should contain, since a device clears nothing either.
    let memory = unsafe { alloc::alloc(layout(bytes)) };
    assert!(!memory.is_null(), "a test's memory is small");
    // SAFETY: just allocated.
    unsafe { memory.write_bytes(0xff, bytes) };
    memory
}

fn pointer(address: Address) -> *mut u8 {
    ptr::with_exposed_provenance_mut(usize::try_from(address).expect("addresses fit usize"))
}

/// The allocation that holds the span.
fn check_span(allocations: &BTreeMap<Address, usize>, address: Address, len: usize) {
    let holder = allocations.range(..=address).next_back();
    let (start, size) = holder.expect("an address that was handed out");
    let end = start + *size as u64;
    assert!(
        address + len as u64 <= end,
        "a copy of {len} bytes runs out of its allocation"
    );
}

pub(super) fn peek(allocations: &BTreeMap<Address, usize>, address: Address, to: &mut [u8]) {
    to.copy_from_slice(span(allocations, address, to.len()));
}

pub(super) fn poke(allocations: &BTreeMap<Address, usize>, address: Address, from: &[u8]) {
    span_mut(allocations, address, from.len()).copy_from_slice(from);
}

/// Elements in an allocation, to read.
fn span<T: bytemuck::Pod>(
    allocations: &BTreeMap<Address, usize>,
    address: Address,
    len: usize,
) -> &[T] {
    check_span(allocations, address, len * size_of::<T>());
    // SAFETY: the span lies inside an allocation of ours, aligned for any element; the ledger's lock keeps others away.
    unsafe { slice::from_raw_parts(pointer(address).cast(), len) }
}

/// Elements in an allocation, to write.
#[expect(clippy::mut_from_ref, reason = "the memory is not the ledger's own")]
fn span_mut<T: bytemuck::Pod>(
    allocations: &BTreeMap<Address, usize>,
    address: Address,
    len: usize,
) -> &mut [T] {
    check_span(allocations, address, len * size_of::<T>());
    // SAFETY: as in `span`; a kernel writes to no memory that it reads by another argument.
    unsafe { slice::from_raw_parts_mut(pointer(address).cast(), len) }
}
