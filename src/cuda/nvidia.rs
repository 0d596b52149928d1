//! NVIDIA's driver, through cudarc.
#![expect(unsafe_code, reason = "every call of the driver is one of C")]

use super::driver::{Address, CudaError, CudaErrorKind, Driver, Memory, RawStream};
use super::probe::{NoCuda, probe};
use cudarc::driver::sys::{CUcontext, CUdevice, CUresult};
use cudarc::driver::{DriverError, result};
use std::ffi::c_void;
use std::ptr;

/// The primary context of one device. Other libraries in the process share it.
#[derive(Debug)]
pub(super) struct Nvidia {
    ordinal: u32,
    device: CUdevice,
    context: CUcontext,
}

// SAFETY: a context may be current on several threads at once; the driver locks inside.
unsafe impl Send for Nvidia {}
// SAFETY: as for `Send`.
unsafe impl Sync for Nvidia {}

impl Nvidia {
    /// Opens a device by its ordinal after `CUDA_VISIBLE_DEVICES`.
    pub(super) fn open(ordinal: u32) -> Result<Self, NoCuda> {
        let found = probe()?.devices.len();
        if ordinal as usize >= found {
            return Err(NoCuda::NoSuchDevice { ordinal, found });
        }
        let broken = |error: DriverError| NoCuda::Broken(error.to_string());
        let device = i32::try_from(ordinal)
            .map_err(|_| NoCuda::NoSuchDevice { ordinal, found })
            .and_then(|ordinal| result::device::get(ordinal).map_err(broken))?;
        // SAFETY: `device` came from the driver; released once, in `drop`.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(broken)?;
        Ok(Self {
            ordinal,
            device,
            context,
        })
    }

    /// Makes the context the calling thread's, as most calls need.
    fn enter(&self, operation: &'static str) -> Result<(), CudaError> {
        // SAFETY: retained until `drop`.
        unsafe { result::ctx::set_current(self.context) }.map_err(|error| failed(operation, error))
    }
}

impl Drop for Nvidia {
    fn drop(&mut self) {
        // SAFETY: retained in `open`; buffers and streams hold the driver, so none is left.
        if let Err(error) = unsafe { result::primary_ctx::release(self.device) } {
            tracing::warn!(%error, "the device's context was not released");
        }
    }
}

// SAFETY: addresses and handles are the driver's own.
unsafe impl Driver for Nvidia {
    fn ordinal(&self) -> u32 {
        self.ordinal
    }

    fn make_current(&self) -> Result<(), CudaError> {
        self.enter("choosing the device")
    }

    fn memory(&self) -> Result<Memory, CudaError> {
        const OPERATION: &str = "asking for free memory";
        self.enter(OPERATION)?;
        let (free, total) = result::mem_get_info().map_err(|error| failed(OPERATION, error))?;
        Ok(Memory {
            free_bytes: free as u64,
            total_bytes: total as u64,
        })
    }

    fn allocate(&self, bytes: usize) -> Result<Address, CudaError> {
        const OPERATION: &str = "allocating device memory";
        self.enter(OPERATION)?;
        // SAFETY: the context is current.
        unsafe { result::malloc_sync(bytes) }.map_err(|error| failed(OPERATION, error))
    }

    unsafe fn free(&self, address: Address) {
        const OPERATION: &str = "freeing device memory";
        let freed = self.enter(OPERATION).and_then(|()| {
            // SAFETY: the caller's promise.
            unsafe { result::free_sync(address) }.map_err(|error| failed(OPERATION, error))
        });
        log_leak(freed);
    }

    fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, CudaError> {
        const OPERATION: &str = "allocating page-locked memory";
        self.enter(OPERATION)?;
        // SAFETY: the context is current.
        let memory = unsafe { result::malloc_host(bytes, 0) };
        memory
            .map(<*mut c_void>::cast)
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn free_pinned(&self, memory: *mut u8, _bytes: usize) {
        const OPERATION: &str = "freeing page-locked memory";
        let freed = self.enter(OPERATION).and_then(|()| {
            // SAFETY: the caller's promise.
            unsafe { result::free_host(memory.cast()) }.map_err(|error| failed(OPERATION, error))
        });
        log_leak(freed);
    }

    fn create_stream(&self) -> Result<RawStream, CudaError> {
        const OPERATION: &str = "creating a stream";
        self.enter(OPERATION)?;
        result::stream::create(result::stream::StreamKind::NonBlocking)
            .map(|stream| stream.expose_provenance() as u64)
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn destroy_stream(&self, stream: RawStream) {
        const OPERATION: &str = "destroying a stream";
        let destroyed = self.enter(OPERATION).and_then(|()| {
            // SAFETY: the caller's promise.
            unsafe { result::stream::destroy(handle(stream)) }
                .map_err(|error| failed(OPERATION, error))
        });
        log_leak(destroyed);
    }

    unsafe fn synchronize(&self, stream: RawStream) -> Result<(), CudaError> {
        const OPERATION: &str = "waiting for the device";
        self.enter(OPERATION)?;
        // SAFETY: the caller's promise.
        unsafe { result::stream::synchronize(handle(stream)) }
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn upload(&self, stream: RawStream, to: Address, from: &[u8]) -> Result<(), CudaError> {
        const OPERATION: &str = "copying to the device";
        self.enter(OPERATION)?;
        // SAFETY: the caller's promise.
        unsafe { result::memcpy_htod_async(to, from, handle(stream)) }
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn download(
        &self,
        stream: RawStream,
        to: &mut [u8],
        from: Address,
    ) -> Result<(), CudaError> {
        const OPERATION: &str = "copying from the device";
        self.enter(OPERATION)?;
        // SAFETY: the caller's promise.
        unsafe { result::memcpy_dtoh_async(to, from, handle(stream)) }
            .map_err(|error| failed(OPERATION, error))
    }
}

fn handle(stream: RawStream) -> cudarc::driver::sys::CUstream {
    ptr::with_exposed_provenance_mut(usize::try_from(stream).expect("addresses fit usize"))
}

fn failed(operation: &'static str, error: DriverError) -> CudaError {
    let kind = match error.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaErrorKind::OutOfMemory,
        // The driver's documentation says of these that the process must end and start anew.
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
        | CUresult::CUDA_ERROR_ECC_UNCORRECTABLE
        | CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR
        | CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
        | CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | CUresult::CUDA_ERROR_INVALID_PC
        | CUresult::CUDA_ERROR_LAUNCH_FAILED
        | CUresult::CUDA_ERROR_LAUNCH_TIMEOUT
        | CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED
        | CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE
        | CUresult::CUDA_ERROR_DEINITIALIZED => CudaErrorKind::DeviceLost,
        _ => CudaErrorKind::Other,
    };
    CudaError {
        operation,
        kind,
        reason: error.to_string(),
    }
}

/// What cannot be given back is gone with the context; there is nobody to tell but the log.
fn log_leak(outcome: Result<(), CudaError>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "device resource not given back");
    }
}
