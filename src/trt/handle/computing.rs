//! Computing fakes of all interface versions, behind the real shim: what C++ calls back.
#![expect(
    unsafe_code,
    reason = "C++ calls these with raw pointers, and a run is given addresses"
)]

use super::convert::{dims_from, dtype_from, number_from, shape_from};
use super::dynamic::EntryPoint;
use super::library::{BuildEntryPoints, EntryPoints, LibraryHandle};
use crate::tensor::{Bytes, BytesMut, DType, Port, Shape, Signature, TensorView, TensorViewMut};
use crate::trt::computing::{Computation, FakeFailure, World};
use crate::trt::sys;
use crate::trt::version::{Declarations, LibraryVersion};
use std::any::Any;
use std::ffi::{CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::slice;
use std::sync::{Arc, Mutex, Once, PoisonError};

/// Binds a computing library of `raw_version` to the shim.
pub(in crate::trt) fn open_computing(
    raw_version: i32,
    version: LibraryVersion,
    world: &'static World,
) -> LibraryHandle {
    static INSTALLED: Once = Once::new();
    // SAFETY: the table is a static, and no entry point was called before.
    INSTALLED.call_once(|| unsafe { cvtrt_compute_install(&raw const TABLE) });
    let [create_runtime, create_builder, create_parser] = match version.declarations() {
        Some(Declarations::Rtx) => [
            cvtrt_computing_runtime_rtx as *mut c_void,
            cvtrt_computing_builder_rtx as *mut c_void,
            cvtrt_computing_parser_rtx as *mut c_void,
        ],
        Some(Declarations::V11) => [
            cvtrt_computing_runtime_v11 as *mut c_void,
            cvtrt_computing_builder_v11 as *mut c_void,
            cvtrt_computing_parser_v11 as *mut c_void,
        ],
        Some(Declarations::V10) => [
            cvtrt_computing_runtime_v10 as *mut c_void,
            cvtrt_computing_builder_v10 as *mut c_void,
            cvtrt_computing_parser_v10 as *mut c_void,
        ],
        Some(Declarations::V8) => [
            cvtrt_computing_runtime_v8 as *mut c_void,
            cvtrt_computing_builder_v8 as *mut c_void,
            cvtrt_computing_parser_v8 as *mut c_void,
        ],
        None => panic!("{version} is not supported"),
    }
    .map(EntryPoint::from_function);
    let handle = LibraryHandle::open(&EntryPoints {
        infer_version: raw_version,
        create_runtime,
        build: Some(BuildEntryPoints {
            create_builder,
            create_parser,
            parser_version: 200,
        }),
    })
    .expect("the shim knows the declarations");
    let log = ptr::from_ref(handle.log()).addr();
    worlds().push((log, world));
    handle
}

/// Every computing library, by the address of the log its logger writes to.
fn worlds() -> std::sync::MutexGuard<'static, Vec<(usize, &'static World)>> {
    static WORLDS: Mutex<Vec<(usize, &'static World)>> = Mutex::new(Vec::new());
    WORLDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A model as C++ holds it.
struct Model {
    world: &'static World,
    computation: Arc<dyn Computation>,
    ports: Vec<(CString, sys::cvtrt_port)>,
}

impl Model {
    fn new(world: &'static World, computation: Arc<dyn Computation>) -> Self {
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

    fn inputs(&self) -> usize {
        self.computation.signature().inputs.len()
    }

    fn output_shapes(&self, shapes: &[sys::cvtrt_dims]) -> Option<Vec<Shape>> {
        let inputs = shapes[..self.inputs()].iter().map(shape_from);
        let inputs: Vec<Shape> = inputs.collect::<Option<_>>()?;
        self.computation.output_shapes(&inputs)
    }

    /// Hands the work to the stream.
    fn enqueue(&self, run: &RawRun) -> Result<(), String> {
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
            crate::tensor::Dim::Fixed(size) => i64::try_from(*size).expect("a size"),
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

#[repr(C)]
struct RawRun {
    stream: u64,
    shapes: *const sys::cvtrt_dims,
    addresses: *const *mut c_void,
    scratch: *mut c_void,
    scratch_bytes: u64,
}

/// `cvtrt_compute` of `shim/testkit/compute.h`.
#[repr(C)]
struct Table {
    library_of: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    outcome: unsafe extern "C" fn(*mut c_void, i32) -> i32,
    count: unsafe extern "C" fn(*mut c_void, i32, i32),
    compiled: unsafe extern "C" fn(*mut c_void),
    misused: unsafe extern "C" fn(*mut c_void, *const c_char),
    open_model: unsafe extern "C" fn(
        *mut c_void,
        *const c_void,
        usize,
        *mut sys::cvtrt_message,
    ) -> *mut c_void,
    close_model: unsafe extern "C" fn(*mut c_void),
    port_count: unsafe extern "C" fn(*const c_void) -> i32,
    port: unsafe extern "C" fn(*const c_void, i32, *mut sys::cvtrt_port),
    infer: unsafe extern "C" fn(*const c_void, *mut sys::cvtrt_dims) -> i32,
    enqueue: unsafe extern "C" fn(*const c_void, *const RawRun, *mut sys::cvtrt_message) -> i32,
}

static TABLE: Table = Table {
    library_of,
    outcome,
    count,
    compiled,
    misused,
    open_model,
    close_model,
    port_count,
    port,
    infer,
    enqueue,
};

unsafe extern "C" fn library_of(log_user: *mut c_void) -> *mut c_void {
    let log = log_user.addr();
    let found = worlds().iter().find(|(of, _)| *of == log).copied();
    found.map_or(ptr::null_mut(), |(_, world)| {
        ptr::from_ref(world).cast_mut().cast()
    })
}

unsafe extern "C" fn outcome(library: *mut c_void, call: i32) -> i32 {
    // SAFETY: from `library_of`.
    let world = unsafe { world(library) };
    match world.failure(call) {
        None | Some(FakeFailure::Nan) => 0,
        Some(FakeFailure::Refused) => 1,
        Some(FakeFailure::OutOfMemory) => 2,
    }
}

unsafe extern "C" fn count(library: *mut c_void, object: i32, change: i32) {
    // SAFETY: from `library_of`.
    unsafe { world(library) }.count(object, change);
}

unsafe extern "C" fn compiled(library: *mut c_void) {
    // SAFETY: from `library_of`.
    unsafe { world(library) }.compiled();
}

unsafe extern "C" fn misused(library: *mut c_void, how: *const c_char) {
    // SAFETY: a string of the shim's.
    let how = unsafe { super::status::text_from(how) };
    // SAFETY: from `library_of`.
    unsafe { world(library) }.misused(&how);
}

unsafe extern "C" fn open_model(
    library: *mut c_void,
    onnx: *const c_void,
    bytes: usize,
    message: *mut sys::cvtrt_message,
) -> *mut c_void {
    // SAFETY: from `library_of`.
    let world = unsafe { world(library) };
    // SAFETY: the model's bytes during this call.
    let onnx = unsafe { slice::from_raw_parts(onnx.cast::<u8>(), bytes) };
    let opened = outcome_of(|| world.compute.open(onnx));
    match opened {
        Ok(computation) => Box::into_raw(Box::new(Model::new(world, computation))).cast(),
        Err(reason) => {
            // SAFETY: the shim's side passes room for a message.
            unsafe { say(message, &reason) };
            ptr::null_mut()
        }
    }
}

unsafe extern "C" fn close_model(raw: *mut c_void) {
    // SAFETY: from `open_model`, closed once.
    drop(unsafe { Box::from_raw(raw.cast::<Model>()) });
}

unsafe extern "C" fn port_count(raw: *const c_void) -> i32 {
    // SAFETY: an open model.
    i32::try_from(unsafe { model(raw) }.ports.len()).expect("few")
}

unsafe extern "C" fn port(raw: *const c_void, index: i32, out: *mut sys::cvtrt_port) {
    // SAFETY: an open model.
    let model = unsafe { model(raw) };
    let port = model.ports[usize::try_from(index).expect("an index")].1;
    // SAFETY: the shim's side passes room for a port.
    unsafe { out.write(port) };
}

unsafe extern "C" fn infer(raw: *const c_void, shapes: *mut sys::cvtrt_dims) -> i32 {
    // SAFETY: an open model.
    let model = unsafe { model(raw) };
    // SAFETY: as long as the model has ports.
    let shapes = unsafe { slice::from_raw_parts_mut(shapes, model.ports.len()) };
    let inferred = outcome_of(|| model.output_shapes(shapes).ok_or_else(String::new));
    let Ok(outputs) = inferred else { return 0 };
    for (out, shape) in shapes[model.inputs()..].iter_mut().zip(outputs) {
        *out = dims_from(shape);
    }
    1
}

unsafe extern "C" fn enqueue(
    raw: *const c_void,
    run: *const RawRun,
    message: *mut sys::cvtrt_message,
) -> i32 {
    // SAFETY: an open model.
    let model = unsafe { model(raw) };
    // SAFETY: a run of the shim's side, valid during this call.
    let run = unsafe { &*run };
    match outcome_of(|| model.enqueue(run)) {
        Ok(()) => 1,
        Err(reason) => {
            // SAFETY: the shim's side passes room for a message.
            unsafe { say(message, &reason) };
            0
        }
    }
}

/// A test's own code may panic, and must not unwind into C++.
fn outcome_of<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(words_of(panic.as_ref())))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "a panic".to_owned())
}

/// # Safety
/// `message` has room for a message.
unsafe fn say(message: *mut sys::cvtrt_message, text: &str) {
    // SAFETY: the caller's promise.
    let out = unsafe { &mut (*message).text };
    let text = &text[..text.floor_char_boundary(out.len() - 1)];
    for (to, from) in out.iter_mut().zip(text.bytes().chain([0])) {
        *to = from.cast_signed();
    }
}

/// # Safety
/// `library` is from [`library_of`].
unsafe fn world(library: *mut c_void) -> &'static World {
    // SAFETY: worlds are never freed.
    unsafe { &*library.cast::<World>() }
}

/// # Safety
/// `raw` is from [`open_model`] and still open for `'a`.
unsafe fn model<'a>(raw: *const c_void) -> &'a Model {
    // SAFETY: the caller's promise.
    unsafe { &*raw.cast::<Model>() }
}

unsafe extern "C" {
    fn cvtrt_compute_install(table: *const Table);
    fn cvtrt_computing_runtime_rtx(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_runtime_v11(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_runtime_v10(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_runtime_v8(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_builder_rtx(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_builder_v11(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_builder_v10(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_builder_v8(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_parser_rtx(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
    fn cvtrt_computing_parser_v11(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
    fn cvtrt_computing_parser_v10(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
    fn cvtrt_computing_parser_v8(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
}
