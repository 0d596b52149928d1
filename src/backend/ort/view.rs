//! Runs a session over memory of the caller, through the C interface.
//!
//! `ort`'s own `run` looks names up and allocates on every call, and binds only outputs it allocated itself. Here inputs
//! and outputs are values over the caller's memory: the library reads and writes in place.
#![expect(
    unsafe_code,
    reason = "values over borrowed memory and a run that writes through them exist only in the C interface"
)]

use super::fault::{self, Fault};
use crate::backend::{Bindings, OutputSlot};
use crate::tensor::{Bytes, BytesMut, DType, Shape, Signature, Tensor};
use ort::AsPointer;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::sys::{
    ONNXTensorElementDataType as ElementType, OrtStatusPtr, OrtTensorTypeAndShapeInfo, OrtValue,
};
use std::ffi::{CString, c_char, c_void};
use std::fmt;
use std::ptr;

/// A session and the arrays its run needs, kept from call to call.
pub(super) struct Runner {
    inputs: Vec<Value>,
    outputs: Vec<Value>,
    input_names: Names,
    output_names: Names,
    host: MemoryInfo<'static>,
    session: Session,
}

/// A value of the library; null where the library is to make one.
#[repr(transparent)]
struct Value(*mut OrtValue);

/// Strings and the array of their addresses.
struct Names {
    addresses: Vec<*const c_char>,
    _strings: Vec<CString>,
}

// SAFETY: the addresses in `Names` point into heap memory this struct owns, and `Value`s exist only during a run, which
// borrows the runner exclusively. A session may be used from any thread, one at a time (onnxruntime issue 114).
unsafe impl Send for Runner {}

impl Runner {
    /// A runner for a session with this signature.
    pub(super) fn new(session: Session, signature: &Signature) -> Result<Self, Fault> {
        fault::guard(|| {
            Ok(Self {
                inputs: Vec::with_capacity(signature.inputs.len()),
                outputs: Vec::with_capacity(signature.outputs.len()),
                input_names: Names::new(signature.inputs.iter().map(|port| port.name.as_str()))?,
                output_names: Names::new(signature.outputs.iter().map(|port| port.name.as_str()))?,
                host: MemoryInfo::new(
                    AllocationDevice::CPU,
                    0,
                    AllocatorType::Device,
                    MemoryType::Default,
                )?,
                session,
            })
        })
    }

    /// Runs once. The bindings fit the signature and are in host memory; anything else is a fault.
    pub(super) fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), Fault> {
        let done = self
            .bind(io)
            .and_then(|()| self.call())
            .and_then(|()| self.take(io));
        // The values point into memory that is borrowed only until this call returns.
        self.inputs.clear();
        self.outputs.clear();
        done
    }

    fn bind(&mut self, io: &mut Bindings<'_>) -> Result<(), Fault> {
        for view in &io.inputs {
            let Bytes::Host(bytes) = view.bytes() else {
                return Err(Fault::new("an input is in device memory"));
            };
            // Inputs are only read, so the cast never leads to a write.
            let value = Value::over(
                &self.host,
                view.dtype(),
                view.shape(),
                bytes.as_ptr().cast_mut(),
                bytes.len(),
            )?;
            self.inputs.push(value);
        }
        for slot in &mut io.outputs {
            let OutputSlot::Into(view) = slot else {
                self.outputs.push(Value(ptr::null_mut()));
                continue;
            };
            let (dtype, shape) = (view.dtype(), view.shape());
            let BytesMut::Host(bytes) = view.bytes_mut() else {
                return Err(Fault::new("an output is in device memory"));
            };
            let value = Value::over(&self.host, dtype, shape, bytes.as_mut_ptr(), bytes.len())?;
            self.outputs.push(value);
        }
        Ok(())
    }

    fn call(&mut self) -> Result<(), Fault> {
        if self.inputs.len() != self.input_names.len()
            || self.outputs.len() != self.output_names.len()
        {
            return Err(Fault::new("the bindings do not fit the signature"));
        }
        // SAFETY: the session is alive and borrowed exclusively. Each array has the length given: one value, transparent
        // over its pointer, per name. Inputs are read and outputs written within the lengths given to `Value::over`, and
        // the library refuses an output whose computed shape is not that of its value. A null output is replaced by a
        // value this runner then owns. No run options.
        let status = unsafe {
            (ort::api().Run)(
                self.session.ptr().cast_mut(),
                ptr::null(),
                self.input_names.as_ptr(),
                self.inputs.as_ptr().cast(),
                self.inputs.len(),
                self.output_names.as_ptr(),
                self.outputs.len(),
                self.outputs.as_mut_ptr().cast(),
            )
        };
        check(status)
    }

    /// Copies out the outputs the library made.
    fn take(&self, io: &mut Bindings<'_>) -> Result<(), Fault> {
        for (value, slot) in self.outputs.iter().zip(&mut io.outputs) {
            if let OutputSlot::Alloc(kept) = slot {
                *kept = Some(value.to_tensor(kept.take())?);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Names {
    fn new<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, Fault> {
        let strings: Vec<CString> = names
            .map(CString::new)
            .collect::<Result<_, _>>()
            .map_err(Fault::new)?;
        Ok(Self {
            addresses: strings.iter().map(|name| name.as_ptr()).collect(),
            _strings: strings,
        })
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.addresses.as_ptr()
    }

    fn len(&self) -> usize {
        self.addresses.len()
    }
}

impl Value {
    /// A value over `len` bytes at `data`, which must stay borrowed for as long as a run may use the value.
    fn over(
        host: &MemoryInfo<'_>,
        dtype: DType,
        shape: Shape,
        data: *mut u8,
        len: usize,
    ) -> Result<Self, Fault> {
        if len > 0 && !data.addr().is_multiple_of(dtype.size()) {
            return Err(Fault::new(format_args!(
                "a tensor of {dtype} is not aligned to its elements"
            )));
        }
        let mut dims = [0i64; Shape::MAX_RANK];
        for (dim, &size) in dims.iter_mut().zip(shape.dims()) {
            *dim = i64::try_from(size).map_err(Fault::new)?;
        }
        let mut value = ptr::null_mut();
        // SAFETY: `dims` holds at least `rank` sizes; `data` is `len` bytes, which the library compares with the shape's
        // need and does not touch here; `value` is a place for one pointer.
        let status = unsafe {
            (ort::api().CreateTensorWithDataAsOrtValue)(
                host.ptr(),
                data.cast::<c_void>(),
                len,
                dims.as_ptr(),
                shape.rank(),
                element_from_dtype(dtype),
                &raw mut value,
            )
        };
        check(status)?;
        Ok(Self(value))
    }

    /// A copy of a value on the host, in the allocation of `kept` where it has the right type.
    fn to_tensor(&self, kept: Option<Tensor>) -> Result<Tensor, Fault> {
        let (dtype, shape) = self.type_and_shape()?;
        let mut tensor = match kept {
            Some(mut tensor) if tensor.dtype() == dtype => {
                tensor.reshape(shape);
                tensor
            }
            _ => Tensor::zeros(dtype, shape),
        };
        let bytes = tensor.bytes_mut();
        let mut data: *mut c_void = ptr::null_mut();
        // SAFETY: the value is a tensor the library made and this runner owns; `data` is a place for one pointer.
        let status = unsafe { (ort::api().GetTensorMutableData)(self.0, &raw mut data) };
        check(status)?;
        if data.is_null() || bytes.is_empty() {
            return if bytes.is_empty() {
                Ok(tensor)
            } else {
                Err(Fault::new("an output has no data"))
            };
        }
        // SAFETY: the tensor holds as many elements as its shape says, of the size its type says, and no one writes to it.
        let made = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), bytes.len()) };
        bytes.copy_from_slice(made);
        Ok(tensor)
    }

    fn type_and_shape(&self) -> Result<(DType, Shape), Fault> {
        let mut info = Info(ptr::null_mut());
        // SAFETY: the value is alive; `info.0` is a place for one pointer, released with `info`.
        let status = unsafe { (ort::api().GetTensorTypeAndShape)(self.0, &raw mut info.0) };
        check(status)?;
        let mut element = ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        // SAFETY: `info` is alive. An output has the type the model declares, which loading found to be one of ours.
        let status = unsafe { (ort::api().GetTensorElementType)(info.0, &raw mut element) };
        check(status)?;
        let mut rank = 0;
        // SAFETY: `info` is alive.
        let status = unsafe { (ort::api().GetDimensionsCount)(info.0, &raw mut rank) };
        check(status)?;
        let mut dims = [0i64; Shape::MAX_RANK];
        if rank > dims.len() {
            return Err(Fault::new(format_args!("an output has {rank} dimensions")));
        }
        // SAFETY: `info` is alive and `dims` holds at least `rank` sizes.
        let status = unsafe { (ort::api().GetDimensions)(info.0, dims.as_mut_ptr(), rank) };
        check(status)?;
        let mut sizes = [0usize; Shape::MAX_RANK];
        for (size, &dim) in sizes.iter_mut().zip(&dims) {
            *size = usize::try_from(dim).map_err(Fault::new)?;
        }
        let dtype = dtype_from_element(element)
            .ok_or_else(|| Fault::new("an output has an unknown element type"))?;
        let shape = Shape::checked(&sizes[..rank]).map_err(Fault::new)?;
        Ok((dtype, shape))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: this struct owns the value; memory under it that belongs to a caller is not touched.
            unsafe { (ort::api().ReleaseValue)(self.0) }
        }
    }
}

struct Info(*mut OrtTensorTypeAndShapeInfo);

impl Drop for Info {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: this struct owns the description.
            unsafe { (ort::api().ReleaseTensorTypeAndShapeInfo)(self.0) }
        }
    }
}

fn check(status: OrtStatusPtr) -> Result<(), Fault> {
    // SAFETY: the status comes from a call to the library and is given away here.
    unsafe { ort::Error::result_from_status(status) }.map_err(Fault::from)
}

fn element_from_dtype(dtype: DType) -> ElementType {
    match dtype {
        DType::F32 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        DType::F16 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        DType::Bf16 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        DType::I32 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        DType::I64 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        DType::Bool => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        DType::U8 => ElementType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
    }
}

fn dtype_from_element(element: ElementType) -> Option<DType> {
    const DTYPES: [DType; 7] = [
        DType::F32,
        DType::F16,
        DType::Bf16,
        DType::I32,
        DType::I64,
        DType::Bool,
        DType::U8,
    ];
    DTYPES
        .into_iter()
        .find(|&dtype| element_from_dtype(dtype) == element)
}
