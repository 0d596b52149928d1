//! Host memory in a device's place: every byte and handle is counted, and every call can be made to fail.
#![expect(
    unsafe_code,
    reason = "plays the driver, whose addresses are plain ones"
)]

use super::driver::{Address, CudaError, CudaErrorKind, Driver, Memory, RawStream};
use super::gpu::Gpu;
use std::alloc::{self, Layout};
use std::collections::BTreeMap;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A device whose memory is the host's. Work is done when it is enqueued.
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

#[derive(Debug, Default)]
struct Ledger {
    device: BTreeMap<Address, usize>,
    pinned: BTreeMap<Address, usize>,
    streams: u64,
    next_stream: u64,
    calls: u64,
    fault: Option<HostFault>,
}

const TOTAL_BYTES: u64 = 1 << 30;
/// What the driver promises of its own allocations.
const ALIGNMENT: usize = 256;

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

    /// Bytes and streams not given back.
    pub fn outstanding(&self) -> (usize, u64) {
        let ledger = self.ledger();
        let bytes = ledger.device.values().chain(ledger.pinned.values()).sum();
        (bytes, ledger.streams)
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

    fn used_bytes(&self) -> u64 {
        self.device.values().map(|&bytes| bytes as u64).sum()
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
        ledger.streams += 1;
        ledger.next_stream += 1;
        Ok(ledger.next_stream)
    }

    unsafe fn destroy_stream(&self, _stream: RawStream) {
        self.ledger().streams -= 1;
    }

    unsafe fn synchronize(&self, _stream: RawStream) -> Result<(), CudaError> {
        self.ledger().call("waiting for the device")
    }

    unsafe fn upload(&self, _stream: RawStream, to: Address, from: &[u8]) -> Result<(), CudaError> {
        let mut ledger = self.ledger();
        ledger.call("copying to the device")?;
        check_span(&ledger.device, to, from.len());
        // SAFETY: the span lies inside one allocation of ours, and host and device allocations do not overlap.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), pointer(to), from.len()) };
        Ok(())
    }

    unsafe fn download(
        &self,
        _stream: RawStream,
        to: &mut [u8],
        from: Address,
    ) -> Result<(), CudaError> {
        let mut ledger = self.ledger();
        ledger.call("copying from the device")?;
        check_span(&ledger.device, from, to.len());
        // SAFETY: as in `upload`.
        unsafe { ptr::copy_nonoverlapping(pointer(from), to.as_mut_ptr(), to.len()) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_travel_and_everything_is_given_back() {
        let host = HostGpu::default();
        {
            let stream = host.gpu().stream().expect("a stream");
            let mut there = stream.allocate(8).expect("device memory");
            let mut out = stream.allocate_pinned(8).expect("pinned memory");
            let mut back = stream.allocate_pinned(8).expect("pinned memory");
            out.bytes_mut().expect("idle").copy_from_slice(b"cosyvoic");
            stream.upload(&mut there, &out, 8).expect("a copy");
            stream.download(&mut back, &there, 4).expect("a copy");
            assert_eq!(back.bytes().expect("idle"), b"cosy\0\0\0\0");
            assert_eq!(host.outstanding(), (24, 1));
        }
        assert_eq!(host.outstanding(), (0, 0));
    }

    #[test]
    fn each_failing_call_is_an_error_and_leaks_nothing() {
        for kind in [CudaErrorKind::OutOfMemory, CudaErrorKind::DeviceLost] {
            for after in 0..6 {
                let host = HostGpu::default();
                host.fail(HostFault { after, kind });
                let outcome = round_trip(&host.gpu());
                assert_eq!(outcome.expect_err("a call fails").kind, kind, "{after}");
                assert_eq!(host.outstanding(), (0, 0), "{after}");
            }
        }
    }

    fn round_trip(gpu: &Gpu) -> Result<(), CudaError> {
        let stream = gpu.stream()?;
        let mut there = stream.allocate(4)?;
        let mut here = stream.allocate_pinned(4)?;
        stream.upload(&mut there, &here, 4)?;
        stream.download(&mut here, &there, 4)?;
        stream.synchronize()
    }
}
