//! What the fake libraries call back.
#![expect(unsafe_code, reason = "C++ calls these with raw pointers")]

use super::run::{Model, RawRun};
use super::worlds;
use crate::trt::computing::{FakeFailure, World};
use crate::trt::handle::convert::dims_from;
use crate::trt::handle::status::text_from;
use crate::trt::sys;
use std::any::Any;
use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::slice;

/// `cvtrt_compute` of `shim/testkit/compute.h`.
#[repr(C)]
pub(super) struct Table {
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

pub(super) static TABLE: Table = Table {
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
    let how = unsafe { text_from(how) };
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
