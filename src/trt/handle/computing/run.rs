//! A model behind a fake library, and the work of a run.
#![expect(unsafe_code, reason = "a run is given addresses")]

use crate::tensor::{
    Bytes, BytesMut, DType, Dim, Port, Shape, Signature, TensorView, TensorViewMut,
};
use crate::trt::computing::{Computation, World};
use crate::trt::handle::convert::{dtype_from, number_from, shape_from};
use crate::trt::sys;
use std::ffi::{CString, c_void};
use std::slice;
use std::sync::Arc;

/// A model as C++ holds it.
pub(super) struct Model {
    world: &'static World,
    computation: Arc<dyn Computation>,
    pub(super) ports: Vec<(CString, sys::cvtrt_port)>,
}

impl Model {
    pub(super) fn new(world: &'static World, computation: Arc<dyn Computation>) -> Self {
        let Signature { inputs, outputs } = computation.signature();
        let described = |port: &Port, direction| {
            let name = CString::new(port.name.as_str()).expect("a tensor's name");
            let raw = sys::cvtrt_port {
                name: name.as_ptr(),
                dtype: number_from(port.dtype),
                direction,
                on_host: 0,
                dims: dims_of_port(port),
            };
            (name, raw)
        };
        let inputs = inputs
            .iter()
            .map(|port| described(port, sys::CVTRT_TENSOR_INPUT));
        let outputs = outputs
            .iter()
            .map(|port| described(port, sys::CVTRT_TENSOR_OUTPUT));
        Self {
            world,
            ports: inputs.chain(outputs).collect(),
            computation,
        }
    }

    pub(super) fn inputs(&self) -> usize {
        self.computation.signature().inputs.len()
    }

    pub(super) fn output_shapes(&self, shapes: &[sys::cvtrt_dims]) -> Option<Vec<Shape>> {
        let inputs = shapes[..self.inputs()].iter().map(shape_from);
        let inputs: Vec<Shape> = inputs.collect::<Option<_>>()?;
        self.computation.output_shapes(&inputs)
    }

    /// Hands the work to the stream.
    pub(super) fn enqueue(&self, run: &RawRun) -> Result<(), String> {
        // SAFETY: as long as the model has ports, says the shim's side.
        let shapes = unsafe { slice::from_raw_parts(run.shapes, self.ports.len()) };
        // SAFETY: as above.
        let addresses = unsafe { slice::from_raw_parts(run.addresses, self.ports.len()) };
        let tensors: Option<Vec<Tensor>> = shapes
            .iter()
            .zip(addresses)
            .zip(&self.ports)
            .map(|((shape, address), (_, port))| {
                Some(Tensor {
                    dtype: dtype_from(port.dtype)?,
                    shape: shape_from(shape)?,
                    memory: Memory(address.cast()),
                })
            })
            .collect();
        let work = Work {
            tensors: tensors.ok_or("a shape is not known")?,
            inputs: self.inputs(),
            scratch: Memory(run.scratch.cast()),
            scratch_bytes: usize::try_from(run.scratch_bytes).expect("fits memory"),
            nan: self.world.gives_nan(),
            computation: Arc::clone(&self.computation),
            world: self.world,
        };
        let work = Box::new(move || work.perform());
        self.world.submit(run.stream, work);
        Ok(())
    }
}

fn dims_of_port(port: &Port) -> sys::cvtrt_dims {
    let mut dims = sys::cvtrt_dims {
        rank: i32::try_from(port.dims.len()).expect("few"),
        ..sys::cvtrt_dims::default()
    };
    for (out, dim) in dims.size.iter_mut().zip(&port.dims) {
        *out = match dim {
            Dim::Fixed(size) => i64::try_from(*size).expect("a size"),
            _ => -1,
        };
    }
    dims
}

/// Host memory in a device's place.
#[derive(Clone, Copy)]
struct Memory(*mut u8);

// SAFETY: whoever enqueued the run vouched for the memory until the stream has come past it, on any thread.
unsafe impl Send for Memory {}

struct Tensor {
    dtype: DType,
    shape: Shape,
    memory: Memory,
}

impl Tensor {
    fn bytes(&self) -> usize {
        self.shape.elements() * self.dtype.size()
    }
}

/// One enqueued run. A captured one is performed any number of times.
struct Work {
    tensors: Vec<Tensor>,
    inputs: usize,
    scratch: Memory,
    scratch_bytes: usize,
    nan: bool,
    computation: Arc<dyn Computation>,
    world: &'static World,
}

impl Work {
    fn perform(&self) {
        let (inputs, outputs) = self.tensors.split_at(self.inputs);
        // Before and after, so that scratch memory that overlaps an input or an output spoils it.
        self.spoil_scratch();
        let given: Vec<TensorView<'_>> = inputs
            .iter()
            .map(|tensor| {
                // SAFETY: memory of this shape until the stream has come past the run, as its caller promised.
                let bytes = unsafe { slice::from_raw_parts(tensor.memory.0, tensor.bytes()) };
                TensorView::new(tensor.dtype, tensor.shape, Bytes::Host(bytes)).expect("so long")
            })
            .collect();
        let mut wanted: Vec<TensorViewMut<'_>> = outputs
            .iter()
            .map(|tensor| {
                // SAFETY: as above, and nobody else touches an output meanwhile.
                let bytes = unsafe { slice::from_raw_parts_mut(tensor.memory.0, tensor.bytes()) };
                TensorViewMut::new(tensor.dtype, tensor.shape, BytesMut::Host(bytes))
                    .expect("so long")
            })
            .collect();
        let computed = self.computation.run(&given, &mut wanted);
        if self.nan {
            wanted.iter_mut().for_each(fill_with_nan);
        }
        self.spoil_scratch();
        self.world.ran();
        if let Err(reason) = computed {
            panic!("{reason}");
        }
    }

    fn spoil_scratch(&self) {
        // SAFETY: scratch memory of at least this size until the run is done, as its caller promised.
        unsafe { self.scratch.0.write_bytes(0xa5, self.scratch_bytes) };
    }
}

fn fill_with_nan(tensor: &mut TensorViewMut<'_>) {
    if tensor.dtype().is_float()
        && let BytesMut::Host(bytes) = tensor.bytes_mut()
    {
        // All bits set is NaN in every float type.
        bytes.fill(0xff);
    }
}

/// `cvtrt_compute_run` of `shim/testkit/compute.h`.
#[repr(C)]
pub(super) struct RawRun {
    stream: u64,
    shapes: *const sys::cvtrt_dims,
    addresses: *const *mut c_void,
    scratch: *mut c_void,
    scratch_bytes: u64,
}
