//! One deserialised engine, and contexts on it.
#![expect(unsafe_code, reason = "calls the shim")]

use super::blob::PlanBytes;
use super::convert::{dims_from, dtype_from, shape_from, sizes_from};
use super::library::LibraryHandle;
use super::status::{Message, ShimError, check, text_from};
use crate::tensor::Shape;
use crate::trt::engine::{Direction, EnginePort, EngineRange};
use crate::trt::kernels::KernelOptions;
use crate::trt::network::TensorInfo;
use crate::trt::sys;
use std::ffi::c_void;
use std::ptr::{self, NonNull};

/// Owns one `cvtrt_engine`, runtime included.
#[derive(Debug)]
pub(in crate::trt) struct EngineHandle(NonNull<sys::cvtrt_engine>);

// SAFETY: TensorRT's engines may be used from several threads at once as long as each has a context of its own.
unsafe impl Send for EngineHandle {}
// SAFETY: as for `Send`.
unsafe impl Sync for EngineHandle {}

/// Owns one `cvtrt_context`. Must go before its engine.
#[derive(Debug)]
pub(in crate::trt) struct ContextHandle(NonNull<sys::cvtrt_context>);

// SAFETY: a context is tied to no thread; it is used by one at a time, since it is not `Sync`.
unsafe impl Send for ContextHandle {}

/// What an engine says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trt) struct EngineFacts {
    pub(in crate::trt) ports: usize,
    pub(in crate::trt) profiles: usize,
    /// Device memory a context needs while it runs.
    pub(in crate::trt) scratch_bytes: u64,
}

impl EngineHandle {
    /// Deserialises a plan. A CUDA device must be there, and its context current.
    pub(in crate::trt) fn load(
        library: &LibraryHandle,
        plan: &[u8],
        host_code: bool,
    ) -> Result<Self, ShimError> {
        let mut raw = ptr::null_mut();
        let mut message = Message::new();
        // SAFETY: the library handle is live; the library copies what it needs of the plan.
        let status = unsafe {
            sys::cvtrt_engine_load(
                library.as_ptr(),
                plan.as_ptr().cast(),
                plan.len(),
                host_code.into(),
                &raw mut raw,
                message.as_mut_ptr(),
            )
        };
        check(status, &message)?;
        let raw = NonNull::new(raw).expect("the shim sets the handle on success");
        Ok(Self(raw))
    }

    pub(in crate::trt) fn facts(&self) -> Result<EngineFacts, ShimError> {
        let mut facts = sys::cvtrt_engine_facts::default();
        // SAFETY: the engine is live, the out-parameter valid.
        let status = unsafe { sys::cvtrt_engine_get_facts(self.0.as_ptr(), &raw mut facts) };
        check(status, &Message::new())?;
        Ok(EngineFacts {
            ports: usize::try_from(facts.ports).unwrap_or(0),
            profiles: usize::try_from(facts.profiles).unwrap_or(0),
            scratch_bytes: facts.scratch_bytes,
        })
    }

    pub(in crate::trt) fn port(&self, index: usize) -> Result<EnginePort, ShimError> {
        let mut port = sys::cvtrt_port::default();
        // SAFETY: the engine is live, the out-parameter valid.
        let status =
            unsafe { sys::cvtrt_engine_port(self.0.as_ptr(), number(index), &raw mut port) };
        check(status, &Message::new())?;
        // SAFETY: the shim lends its strings until the engine is destroyed.
        let name = unsafe { text_from(port.name) };
        Ok(EnginePort {
            tensor: TensorInfo {
                name,
                dtype: dtype_from(port.dtype),
                dims: sizes_from(&port.dims).collect(),
            },
            direction: if port.direction == sys::CVTRT_TENSOR_INPUT {
                Direction::Input
            } else {
                Direction::Output
            },
            on_host: port.on_host != 0,
        })
    }

    /// What an optimisation profile takes for an input; `None` where it says nothing of it.
    pub(in crate::trt) fn range(
        &self,
        index: usize,
        profile: usize,
    ) -> Result<Option<EngineRange>, ShimError> {
        let mut range = sys::cvtrt_range::default();
        // SAFETY: the engine is live, the out-parameter valid.
        let status = unsafe {
            sys::cvtrt_engine_range(
                self.0.as_ptr(),
                number(index),
                number(profile),
                &raw mut range,
            )
        };
        check(status, &Message::new())?;
        let shapes = [&range.min, &range.opt, &range.max].map(shape_from);
        Ok(match shapes {
            [Some(min), Some(opt), Some(max)] => Some(EngineRange { min, opt, max }),
            _ => None,
        })
    }

    /// Device memory a context needs while it runs with one profile.
    pub(in crate::trt) fn scratch_bytes(&self, profile: usize) -> Result<u64, ShimError> {
        let mut bytes = 0;
        // SAFETY: the engine is live, the out-parameter valid.
        let status =
            unsafe { sys::cvtrt_engine_scratch(self.0.as_ptr(), number(profile), &raw mut bytes) };
        check(status, &Message::new())?;
        Ok(bytes)
    }

    /// Tells how contexts to come compile their kernels; returns whether the cache was taken.
    pub(in crate::trt) fn configure(
        &mut self,
        options: &KernelOptions<'_>,
    ) -> Result<bool, ShimError> {
        let cache = options.cache;
        let raw = sys::cvtrt_kernel_options {
            cache: if cache.is_empty() {
                ptr::null()
            } else {
                cache.as_ptr().cast()
            },
            cache_bytes: cache.len(),
        };
        let mut taken = 0;
        let mut message = Message::new();
        // SAFETY: the engine is live; the library copies the cache, which outlives the call.
        let status = unsafe {
            sys::cvtrt_engine_configure(
                self.0.as_ptr(),
                &raw const raw,
                &raw mut taken,
                message.as_mut_ptr(),
            )
        };
        check(status, &message)?;
        Ok(taken != 0)
    }

    /// The kernels compiled so far.
    pub(in crate::trt) fn kernels(&self) -> Result<PlanBytes, ShimError> {
        let mut blob = ptr::null_mut();
        let mut message = Message::new();
        // SAFETY: the engine is live, the out-parameters valid; the library locks its cache.
        let status = unsafe {
            sys::cvtrt_engine_kernels(self.0.as_ptr(), &raw mut blob, message.as_mut_ptr())
        };
        check(status, &message)?;
        PlanBytes::from_shim(blob)
    }

    /// A context without scratch memory.
    pub(in crate::trt) fn create_context(&self) -> Result<ContextHandle, ShimError> {
        let mut raw = ptr::null_mut();
        let mut message = Message::new();
        // SAFETY: the engine is live, the out-parameters valid.
        let status = unsafe {
            sys::cvtrt_context_create(self.0.as_ptr(), &raw mut raw, message.as_mut_ptr())
        };
        check(status, &message)?;
        let raw = NonNull::new(raw).expect("the shim sets the handle on success");
        Ok(ContextHandle(raw))
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        // SAFETY: ours alone; contexts hold the engine, so none is left.
        unsafe { sys::cvtrt_engine_destroy(self.0.as_ptr()) };
    }
}

impl ContextHandle {
    /// # Safety
    /// `address..address + bytes` is device memory that outlives this context's runs and that nothing else uses meanwhile.
    pub(in crate::trt) unsafe fn set_scratch(
        &mut self,
        address: u64,
        bytes: u64,
    ) -> Result<(), ShimError> {
        let mut message = Message::new();
        // SAFETY: the context is live; the memory is the caller's promise.
        let status = unsafe {
            sys::cvtrt_context_set_scratch(
                self.0.as_ptr(),
                pointer(address),
                bytes,
                message.as_mut_ptr(),
            )
        };
        check(status, &message)
    }

    /// # Safety
    /// `stream` is a live stream of the engine's device.
    pub(in crate::trt) unsafe fn set_profile(
        &mut self,
        profile: usize,
        stream: u64,
    ) -> Result<(), ShimError> {
        let mut message = Message::new();
        // SAFETY: the context is live; the stream is the caller's promise.
        let status = unsafe {
            sys::cvtrt_context_set_profile(
                self.0.as_ptr(),
                number(profile),
                pointer(stream),
                message.as_mut_ptr(),
            )
        };
        check(status, &message)
    }

    pub(in crate::trt) fn set_input_shape(
        &mut self,
        index: usize,
        shape: Shape,
    ) -> Result<(), ShimError> {
        let dims = dims_from(shape);
        let mut message = Message::new();
        // SAFETY: the context is live, the dimensions outlive the call.
        let status = unsafe {
            sys::cvtrt_context_set_input_shape(
                self.0.as_ptr(),
                number(index),
                &raw const dims,
                message.as_mut_ptr(),
            )
        };
        check(status, &message)
    }

    /// The shape that follows from the input shapes; `None` where it does not.
    pub(in crate::trt) fn shape(&self, index: usize) -> Result<Option<Shape>, ShimError> {
        let mut dims = sys::cvtrt_dims::default();
        // SAFETY: the context is live, the out-parameter valid.
        let status =
            unsafe { sys::cvtrt_context_shape(self.0.as_ptr(), number(index), &raw mut dims) };
        check(status, &Message::new())?;
        Ok(shape_from(&dims))
    }

    /// # Safety
    /// `address` is memory that holds the tensor until the last run enqueued with it is done.
    pub(in crate::trt) unsafe fn set_address(
        &mut self,
        index: usize,
        address: u64,
    ) -> Result<(), ShimError> {
        let mut message = Message::new();
        // SAFETY: the context is live; the memory is the caller's promise.
        let status = unsafe {
            sys::cvtrt_context_set_address(
                self.0.as_ptr(),
                number(index),
                pointer(address),
                message.as_mut_ptr(),
            )
        };
        check(status, &message)
    }

    /// # Safety
    /// `stream` is a live stream of the engine's device, and every address and the scratch memory were set.
    pub(in crate::trt) unsafe fn enqueue(&mut self, stream: u64) -> Result<(), ShimError> {
        let mut message = Message::new();
        // SAFETY: the context is live; the rest is the caller's promise.
        let status = unsafe {
            sys::cvtrt_context_enqueue(self.0.as_ptr(), pointer(stream), message.as_mut_ptr())
        };
        check(status, &message)
    }
}

impl Drop for ContextHandle {
    fn drop(&mut self) {
        // SAFETY: ours alone; its owner has waited for its runs.
        unsafe { sys::cvtrt_context_destroy(self.0.as_ptr()) };
    }
}

fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

fn pointer(address: u64) -> *mut c_void {
    ptr::with_exposed_provenance_mut(usize::try_from(address).expect("addresses fit usize"))
}
