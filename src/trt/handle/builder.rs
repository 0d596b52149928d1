//! One build: builder, configuration, network and parser behind one pointer.
#![expect(unsafe_code, reason = "calls the shim")]

use super::blob::PlanBytes;
use super::callback::{ProgressTarget, on_progress};
use super::convert::{dims_from, dtype_from, sizes_from};
use super::library::LibraryHandle;
use super::status::{Message, ShimError, check, text_from};
use crate::ids::Precision;
use crate::tensor::Shape;
use crate::trt::builder::ParseError;
use crate::trt::network::{LayerInfo, NetworkSummary, TensorInfo};
use crate::trt::request::{BuildProgress, BuildRequest, HardwareCompatibility, TimingCache};
use crate::trt::sys;
use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};

/// Owns one `cvtrt_builder`.
///
/// Fields drop in order: the builder first, then what it calls and reads while it lives.
pub(in crate::trt) struct BuilderHandle<'a> {
    raw: OwnedBuilder,
    /// The builder holds its address.
    _progress: Box<ProgressTarget<'a>>,
    /// The network may refer to weights inside.
    onnx: &'a [u8],
}

/// One input's range, as the shim takes it.
#[derive(Debug)]
pub(in crate::trt) struct RawRange {
    pub(in crate::trt) input: CString,
    pub(in crate::trt) min: Shape,
    pub(in crate::trt) opt: Shape,
    pub(in crate::trt) max: Shape,
}

impl<'a> BuilderHandle<'a> {
    /// Makes the library's objects and sets every option. TensorRT proper may only be asked where CUDA has a device.
    pub(in crate::trt) fn new(
        library: &LibraryHandle,
        request: &BuildRequest<'a>,
        progress: &'a dyn BuildProgress,
    ) -> Result<Self, ShimError> {
        let progress = Box::new(ProgressTarget { sink: progress });
        let targets: Vec<i32> = request
            .targets
            .iter()
            .map(|target| i32::try_from(target.major * 10 + target.minor).unwrap_or(i32::MAX))
            .collect();
        let (use_cache, cache) = match request.timing_cache {
            TimingCache::Off => (0, &[][..]),
            TimingCache::Fresh => (1, &[][..]),
            TimingCache::From(bytes) => (1, bytes),
        };
        let options = sys::cvtrt_options {
            precision: match request.precision {
                Precision::Fp32 => sys::CVTRT_DTYPE_F32,
                Precision::Fp16 => sys::CVTRT_DTYPE_F16,
                Precision::Bf16 => sys::CVTRT_DTYPE_BF16,
            },
            workspace_bytes: request.workspace_bytes.unwrap_or(0),
            optimization_level: request.optimization_level.map_or(-1, i32::from),
            tf32: request.tf32.into(),
            version_compatible: request.version_compatible.into(),
            hardware: match request.hardware {
                HardwareCompatibility::Exact => sys::CVTRT_HARDWARE_EXACT,
                HardwareCompatibility::AmperePlus => sys::CVTRT_HARDWARE_AMPERE_PLUS,
            },
            targets: targets.as_ptr(),
            target_count: targets.len(),
            timing_cache: if cache.is_empty() {
                ptr::null()
            } else {
                cache.as_ptr().cast()
            },
            timing_cache_bytes: cache.len(),
            use_timing_cache: use_cache,
            progress: Some(on_progress),
            progress_user: ptr::from_ref(&*progress).cast_mut().cast(),
        };
        let mut raw = ptr::null_mut();
        let mut message = Message::new();
        // SAFETY: the library handle is live; `options` and what it points to outlive the call, and the progress target
        // outlives the builder: both are fields of `Self`, the builder the earlier one.
        let status = unsafe {
            sys::cvtrt_builder_create(
                library.as_ptr(),
                &raw const options,
                &raw mut raw,
                message.as_mut_ptr(),
            )
        };
        check(status, &message)?;
        let raw = NonNull::new(raw).expect("the shim sets the handle on success");
        Ok(Self {
            raw: OwnedBuilder(raw),
            _progress: progress,
            onnx: request.onnx,
        })
    }

    /// Parses the model the handle was made for. External weights are looked up beside `path`.
    pub(in crate::trt) fn parse(&mut self, path: Option<&CStr>) -> Result<(), ShimError> {
        let mut message = Message::new();
        // SAFETY: the model's bytes live as long as `self`, `path` as long as the call.
        let status = unsafe {
            sys::cvtrt_builder_parse(
                self.raw.as_ptr(),
                self.onnx.as_ptr().cast(),
                self.onnx.len(),
                path.map_or(ptr::null(), CStr::as_ptr),
                message.as_mut_ptr(),
            )
        };
        check(status, &message)
    }

    /// Why the last [`Self::parse`] failed.
    pub(in crate::trt) fn parse_errors(&self) -> Vec<ParseError> {
        let mut count = 0;
        // SAFETY: the builder is live, the out-parameter valid.
        let status =
            unsafe { sys::cvtrt_builder_parse_error_count(self.raw.as_ptr(), &raw mut count) };
        if status != sys::CVTRT_OK {
            return Vec::new();
        }
        (0..count)
            .filter_map(|index| self.parse_error(index))
            .collect()
    }

    fn parse_error(&self, index: i32) -> Option<ParseError> {
        let mut error = sys::cvtrt_parse_error::default();
        // SAFETY: the builder is live, the out-parameter valid.
        let status =
            unsafe { sys::cvtrt_builder_parse_error(self.raw.as_ptr(), index, &raw mut error) };
        if status != sys::CVTRT_OK {
            return None;
        }
        // SAFETY: the shim lends its strings until the builder is destroyed, here and below.
        let name = unsafe { text_from(error.node_name) };
        // SAFETY: as above.
        let operator = unsafe { text_from(error.node_operator) };
        // SAFETY: as above.
        let message = unsafe { text_from(error.description) };
        Some(ParseError {
            code: error.code,
            node: usize::try_from(error.node).ok(),
            name,
            operator,
            message,
        })
    }

    /// Inputs, outputs and layers of the parsed network.
    pub(in crate::trt) fn network(&self) -> Result<NetworkSummary, ShimError> {
        let mut counts = sys::cvtrt_counts::default();
        // SAFETY: the builder is live, the out-parameter valid.
        let status = unsafe { sys::cvtrt_builder_counts(self.raw.as_ptr(), &raw mut counts) };
        check(status, &Message::new())?;
        let tensors = |direction, count| {
            (0..count)
                .map(|index| self.tensor(direction, index))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(NetworkSummary {
            inputs: tensors(sys::CVTRT_TENSOR_INPUT, counts.inputs)?,
            outputs: tensors(sys::CVTRT_TENSOR_OUTPUT, counts.outputs)?,
            layers: (0..counts.layers)
                .map(|index| self.layer(index))
                .collect::<Result<Vec<_>, _>>()?,
        })
    }

    fn tensor(&self, direction: i32, index: i32) -> Result<TensorInfo, ShimError> {
        let mut tensor = sys::cvtrt_tensor::default();
        // SAFETY: the builder is live, the out-parameter valid.
        let status = unsafe {
            sys::cvtrt_builder_tensor(self.raw.as_ptr(), direction, index, &raw mut tensor)
        };
        check(status, &Message::new())?;
        // SAFETY: the shim lends its strings until the builder is destroyed.
        let name = unsafe { text_from(tensor.name) };
        Ok(TensorInfo {
            name,
            dtype: dtype_from(tensor.dtype),
            dims: sizes_from(&tensor.dims).collect(),
        })
    }

    fn layer(&self, index: i32) -> Result<LayerInfo, ShimError> {
        let mut layer = sys::cvtrt_layer::default();
        // SAFETY: the builder is live, the out-parameter valid.
        let status = unsafe { sys::cvtrt_builder_layer(self.raw.as_ptr(), index, &raw mut layer) };
        check(status, &Message::new())?;
        // SAFETY: the shim lends its strings until the builder is destroyed.
        let name = unsafe { text_from(layer.name) };
        // SAFETY: as above; kinds are static.
        let kind = unsafe { text_from(layer.kind) };
        Ok(LayerInfo {
            name,
            kind,
            dtype: dtype_from(layer.dtype),
        })
    }

    /// Makes the named layers compute in FP32 and counts those found. Only where the model's types do not bind the builder.
    pub(in crate::trt) fn keep_fp32(&mut self, names: &[CString]) -> Result<usize, ShimError> {
        let raw: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let mut kept = 0;
        let mut message = Message::new();
        // SAFETY: the names outlive the call, which copies nothing.
        let status = unsafe {
            sys::cvtrt_builder_keep_fp32(
                self.raw.as_ptr(),
                raw.as_ptr(),
                raw.len(),
                &raw mut kept,
                message.as_mut_ptr(),
            )
        };
        check(status, &message)?;
        Ok(usize::try_from(kept).unwrap_or(0))
    }

    /// Adds one optimisation profile.
    pub(in crate::trt) fn add_profile(&mut self, ranges: &[RawRange]) -> Result<(), ShimError> {
        let raw: Vec<sys::cvtrt_range> = ranges
            .iter()
            .map(|range| sys::cvtrt_range {
                input: range.input.as_ptr(),
                min: dims_from(range.min),
                opt: dims_from(range.opt),
                max: dims_from(range.max),
            })
            .collect();
        let mut message = Message::new();
        // SAFETY: the ranges and their names outlive the call; the library copies both.
        let status = unsafe {
            sys::cvtrt_builder_add_profile(
                self.raw.as_ptr(),
                raw.as_ptr(),
                raw.len(),
                message.as_mut_ptr(),
            )
        };
        check(status, &message)
    }

    /// Builds the engine.
    pub(in crate::trt) fn build(&mut self) -> Result<PlanBytes, ShimError> {
        let mut blob = ptr::null_mut();
        let mut message = Message::new();
        // SAFETY: the builder is live, the out-parameters valid.
        let status = unsafe {
            sys::cvtrt_builder_build(self.raw.as_ptr(), &raw mut blob, message.as_mut_ptr())
        };
        check(status, &message)?;
        PlanBytes::from_shim(blob)
    }

    /// The timings taken by [`Self::build`] and those it began with.
    pub(in crate::trt) fn timing_cache(&mut self) -> Result<PlanBytes, ShimError> {
        let mut blob = ptr::null_mut();
        let mut message = Message::new();
        // SAFETY: the builder is live, the out-parameters valid.
        let status = unsafe {
            sys::cvtrt_builder_timing_cache(self.raw.as_ptr(), &raw mut blob, message.as_mut_ptr())
        };
        check(status, &message)?;
        PlanBytes::from_shim(blob)
    }

    /// Adds the timings of another build to this one's.
    pub(in crate::trt) fn add_timings(&mut self, timings: &[u8]) -> Result<(), ShimError> {
        let mut message = Message::new();
        // SAFETY: the builder is live; the library copies the bytes during the call.
        let status = unsafe {
            sys::cvtrt_builder_add_timings(
                self.raw.as_ptr(),
                timings.as_ptr().cast(),
                timings.len(),
                message.as_mut_ptr(),
            )
        };
        check(status, &message)
    }
}

/// Destroys its builder on drop.
struct OwnedBuilder(NonNull<sys::cvtrt_builder>);

impl OwnedBuilder {
    fn as_ptr(&self) -> *mut sys::cvtrt_builder {
        self.0.as_ptr()
    }
}

impl Drop for OwnedBuilder {
    fn drop(&mut self) {
        // SAFETY: ours alone, made by `cvtrt_builder_create` and not destroyed before.
        unsafe { sys::cvtrt_builder_destroy(self.0.as_ptr()) };
    }
}
