//! NVIDIA's driver, through cudarc.
#![expect(unsafe_code, reason = "every call of the driver is one of C")]

use super::driver::{
    Address, Blocks, CudaError, CudaErrorKind, Driver, Memory, RawEvent, RawReplay, RawStream,
};
use super::kernels::{Kernel, Loaded};
use super::probe::{NoCuda, probe};
use cudarc::driver::sys::{
    CUDA_MEMCPY2D, CUcontext, CUdevice, CUevent, CUevent_flags, CUevent_wait_flags, CUgraphExec,
    CUgraphInstantiate_flags, CUmemorytype, CUresult, CUstream, CUstreamCaptureMode,
    cuMemcpy2DAsync_v2, cuMemsetD2D8Async,
};
use cudarc::driver::{DriverError, result};
use std::ffi::c_void;
use std::ptr;

/// The primary context of one device. Other libraries in the process share it.
#[derive(Debug)]
pub(super) struct Nvidia {
    ordinal: u32,
    device: CUdevice,
    context: CUcontext,
    kernels: Option<Loaded>,
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
        let mut opened = Self {
            ordinal,
            device,
            context,
            kernels: None,
        };
        opened.load_kernels().map_err(NoCuda::Broken)?;
        Ok(opened)
    }

    fn load_kernels(&mut self) -> Result<(), String> {
        self.enter("loading kernels")
            .map_err(|error| error.to_string())?;
        let loaded = Loaded::load();
        let loaded =
            loaded.map_err(|error| format!("it does not take cvtrt's kernels: {error}"))?;
        self.kernels = Some(loaded);
        Ok(())
    }

    /// Makes the context the calling thread's, as most calls need.
    fn enter(&self, operation: &'static str) -> Result<(), CudaError> {
        // SAFETY: retained until `drop`.
        unsafe { result::ctx::set_current(self.context) }.map_err(|error| failed(operation, error))
    }
}

impl Drop for Nvidia {
    fn drop(&mut self) {
        if let Some(kernels) = &self.kernels
            && self.enter("unloading kernels").is_ok()
        {
            // SAFETY: the context is current; streams hold the driver, so no work is left.
            let unloaded = unsafe { kernels.unload() };
            log_leak(unloaded.map_err(|error| failed("unloading kernels", error)));
        }
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

    unsafe fn copy(
        &self,
        stream: RawStream,
        to: Blocks,
        from: Blocks,
        bytes: usize,
        count: usize,
    ) -> Result<(), CudaError> {
        const OPERATION: &str = "copying on the device";
        self.enter(OPERATION)?;
        if count == 1 {
            // SAFETY: the caller's promise.
            let copied = unsafe {
                result::memcpy_dtod_async(to.address, from.address, bytes, handle(stream))
            };
            return copied.map_err(|error| failed(OPERATION, error));
        }
        let blocks = CUDA_MEMCPY2D {
            srcXInBytes: 0,
            srcY: 0,
            srcMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
            srcHost: ptr::null(),
            srcDevice: from.address,
            srcArray: ptr::null_mut(),
            srcPitch: from.pitch,
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
            dstHost: ptr::null_mut(),
            dstDevice: to.address,
            dstArray: ptr::null_mut(),
            dstPitch: to.pitch,
            WidthInBytes: bytes,
            Height: count,
        };
        // SAFETY: the caller's promise; the description is read during the call.
        let copied = unsafe { cuMemcpy2DAsync_v2(&raw const blocks, handle(stream)) };
        copied.result().map_err(|error| failed(OPERATION, error))
    }

    unsafe fn zero(
        &self,
        stream: RawStream,
        to: Blocks,
        bytes: usize,
        count: usize,
    ) -> Result<(), CudaError> {
        const OPERATION: &str = "zeroing device memory";
        self.enter(OPERATION)?;
        let zeroed = if count == 1 {
            // SAFETY: the caller's promise.
            unsafe { result::memset_d8_async(to.address, 0, bytes, handle(stream)) }
        } else {
            // SAFETY: the caller's promise.
            unsafe { cuMemsetD2D8Async(to.address, to.pitch, 0, bytes, count, handle(stream)) }
                .result()
        };
        zeroed.map_err(|error| failed(OPERATION, error))
    }

    unsafe fn launch(&self, stream: RawStream, kernel: &Kernel) -> Result<(), CudaError> {
        const OPERATION: &str = "launching a kernel";
        self.enter(OPERATION)?;
        let kernels = self.kernels.as_ref().expect("loaded in `open`");
        // SAFETY: the caller's promise, and the context is current.
        unsafe { kernels.launch(handle(stream), kernel) }.map_err(|error| failed(OPERATION, error))
    }

    fn create_event(&self) -> Result<RawEvent, CudaError> {
        const OPERATION: &str = "creating an event";
        self.enter(OPERATION)?;
        result::event::create(CUevent_flags::CU_EVENT_DEFAULT)
            .map(|event| event.expose_provenance() as u64)
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn destroy_event(&self, event: RawEvent) {
        const OPERATION: &str = "destroying an event";
        let destroyed = self.enter(OPERATION).and_then(|()| {
            // SAFETY: the caller's promise.
            unsafe { result::event::destroy(event_handle(event)) }
                .map_err(|error| failed(OPERATION, error))
        });
        log_leak(destroyed);
    }

    unsafe fn record_event(&self, stream: RawStream, event: RawEvent) -> Result<(), CudaError> {
        const OPERATION: &str = "recording an event";
        self.enter(OPERATION)?;
        // SAFETY: the caller's promise.
        unsafe { result::event::record(event_handle(event), handle(stream)) }
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn wait_for_event(&self, stream: RawStream, event: RawEvent) -> Result<(), CudaError> {
        const OPERATION: &str = "letting a stream wait for an event";
        self.enter(OPERATION)?;
        let flags = CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: the caller's promise.
        unsafe { result::stream::wait_event(handle(stream), event_handle(event), flags) }
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn synchronize_event(&self, event: RawEvent) -> Result<(), CudaError> {
        const OPERATION: &str = "waiting for an event";
        self.enter(OPERATION)?;
        // SAFETY: the caller's promise.
        unsafe { result::event::synchronize(event_handle(event)) }
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn elapsed_ms(&self, from: RawEvent, to: RawEvent) -> Result<f32, CudaError> {
        const OPERATION: &str = "reading the time between events";
        self.enter(OPERATION)?;
        // SAFETY: the caller's promise.
        unsafe { result::event::elapsed(event_handle(from), event_handle(to)) }
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn begin_capture(&self, stream: RawStream) -> Result<(), CudaError> {
        const OPERATION: &str = "beginning to record work";
        self.enter(OPERATION)?;
        // Other threads may allocate meanwhile; this one must not.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the caller's promise.
        unsafe { result::stream::begin_capture(handle(stream), mode) }
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn end_capture(&self, stream: RawStream) -> Result<RawReplay, CudaError> {
        const OPERATION: &str = "recording work";
        self.enter(OPERATION)?;
        // SAFETY: the caller's promise.
        let graph = unsafe { result::stream::end_capture(handle(stream)) }
            .map_err(|error| failed(OPERATION, error))?;
        // SAFETY: `graph` was just made.
        let made = unsafe { result::graph::instantiate(graph, CUgraphInstantiate_flags(0)) };
        // SAFETY: `graph` is ours, and what was made of it does not need it.
        let destroyed = unsafe { result::graph::destroy(graph) };
        log_leak(destroyed.map_err(|error| failed(OPERATION, error)));
        made.map(|replay| replay.expose_provenance() as u64)
            .map_err(|error| failed(OPERATION, error))
    }

    unsafe fn destroy_replay(&self, replay: RawReplay) {
        const OPERATION: &str = "destroying recorded work";
        let destroyed = self.enter(OPERATION).and_then(|()| {
            // SAFETY: the caller's promise.
            unsafe { result::graph::exec_destroy(replay_handle(replay)) }
                .map_err(|error| failed(OPERATION, error))
        });
        log_leak(destroyed);
    }

    unsafe fn launch_replay(&self, stream: RawStream, replay: RawReplay) -> Result<(), CudaError> {
        const OPERATION: &str = "launching recorded work";
        self.enter(OPERATION)?;
        // SAFETY: the caller's promise.
        unsafe { result::graph::launch(replay_handle(replay), handle(stream)) }
            .map_err(|error| failed(OPERATION, error))
    }
}

fn handle(stream: RawStream) -> CUstream {
    pointer(stream)
}

fn event_handle(event: RawEvent) -> CUevent {
    pointer(event)
}

fn replay_handle(replay: RawReplay) -> CUgraphExec {
    pointer(replay)
}

fn pointer<T>(handle: u64) -> *mut T {
    ptr::with_exposed_provenance_mut(usize::try_from(handle).expect("addresses fit usize"))
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
        CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
        | CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
        | CUresult::CUDA_ERROR_STREAM_CAPTURE_MERGE
        | CUresult::CUDA_ERROR_STREAM_CAPTURE_UNMATCHED
        | CUresult::CUDA_ERROR_STREAM_CAPTURE_UNJOINED
        | CUresult::CUDA_ERROR_STREAM_CAPTURE_ISOLATION
        | CUresult::CUDA_ERROR_STREAM_CAPTURE_IMPLICIT
        | CUresult::CUDA_ERROR_CAPTURED_EVENT
        | CUresult::CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD => CudaErrorKind::Capture,
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
