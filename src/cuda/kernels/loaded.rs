//! The kernels as the driver has them.
#![expect(unsafe_code, reason = "launching is unchecked by nature")]

use super::{AppendShape, F32, Kernel};
use crate::cuda::driver::Address;
use cudarc::driver::sys::{CUfunction, CUmodule, CUresult, CUstream};
use cudarc::driver::{DriverError, result};
use std::ffi::{CString, c_void};

/// One context's copy of `kernels.ptx`.
#[derive(Debug)]
pub(in crate::cuda) struct Loaded {
    module: CUmodule,
    euler_step: CUfunction,
    append_bytes: CUfunction,
    append_words: CUfunction,
    count_not_finite: CUfunction,
}

/// `struct Append` of `kernels.cu`.
#[repr(C)]
struct AppendArguments {
    past: Address,
    fresh: Address,
    past_valid: Address,
    positions: Address,
    fresh_valid: Address,
    past_side: u64,
    fresh_side: u64,
    sides: u32,
    rows: u32,
    heads: u32,
    capacity: u32,
    count: u32,
    units: u32,
}

const PTX: &str = include_str!("kernels.ptx");
const THREADS: u32 = 256;
/// Enough to fill any device; each thread takes what is left in strides.
const MOST_BLOCKS: u64 = 2048;
/// Bytes that one thread moves at once where it can.
const WORD: usize = 16;

impl Loaded {
    /// Compiles the kernels for the current context's device.
    ///
    /// All of them are looked up at once, so that none is loaded while work is recorded.
    pub(in crate::cuda) fn load() -> Result<Self, DriverError> {
        let ptx = CString::new(PTX).expect("text");
        // SAFETY: the text ends with a zero byte; the driver compiles it during the call.
        let module = unsafe { result::module::load_data(ptx.as_ptr().cast()) }?;
        let function = |name: &str| {
            let name = CString::new(name).expect("a name");
            // SAFETY: the module was just loaded.
            unsafe { result::module::get_function(module, name) }
        };
        Ok(Self {
            euler_step: function("euler_step")?,
            append_bytes: function("append_bytes")?,
            append_words: function("append_words")?,
            count_not_finite: function("count_not_finite")?,
            module,
        })
    }

    /// # Safety
    /// The context that it was loaded in is current, nothing runs, and nothing is launched afterwards.
    pub(in crate::cuda) unsafe fn unload(&self) -> Result<(), DriverError> {
        // SAFETY: the caller's promise.
        unsafe { result::module::unload(self.module) }
    }

    /// # Safety
    /// The context that it was loaded in is current, the stream is live, and the kernel's memory is valid until the
    /// stream has come past it.
    pub(in crate::cuda) unsafe fn launch(
        &self,
        stream: CUstream,
        kernel: &Kernel,
    ) -> Result<(), DriverError> {
        match *kernel {
            Kernel::EulerStep {
                x,
                velocity,
                row,
                dt,
                guidance,
            } => {
                let mut row = row as u64;
                let (mut x, mut velocity, mut dt, mut guidance) = (x, velocity, dt, guidance);
                let threads = row;
                let mut arguments = [
                    argument(&mut x),
                    argument(&mut velocity),
                    argument(&mut row),
                    argument(&mut dt),
                    argument(&mut guidance),
                ];
                // SAFETY: the caller's promise; the arguments are those of the function in `kernels.cu`.
                unsafe { launch(self.euler_step, threads, stream, &mut arguments) }
            }
            Kernel::Append { shape, .. } => {
                let in_words = in_words(kernel);
                let unit = if in_words { WORD } else { 1 };
                let mut append = AppendArguments::new(kernel, unit)?;
                let function = if in_words {
                    self.append_words
                } else {
                    self.append_bytes
                };
                let threads = shape.sides * shape.tokens() * shape.heads * shape.position_bytes;
                let threads = (threads / unit) as u64;
                // SAFETY: as above.
                unsafe { launch(function, threads, stream, &mut [argument(&mut append)]) }
            }
            Kernel::CountNotFinite {
                values,
                length,
                count,
            } => {
                let (mut values, mut length, mut count) = (values, length as u64, count);
                let threads = length;
                let mut arguments = [
                    argument(&mut values),
                    argument(&mut length),
                    argument(&mut count),
                ];
                // SAFETY: as above.
                unsafe { launch(self.count_not_finite, threads, stream, &mut arguments) }
            }
        }
    }
}

impl AppendArguments {
    fn new(kernel: &Kernel, unit: usize) -> Result<Self, DriverError> {
        let Kernel::Append {
            past,
            past_valid,
            fresh,
            positions,
            fresh_valid,
            shape,
        } = *kernel
        else {
            unreachable!("the caller's kernel is an append");
        };
        let AppendShape {
            sides,
            past_side_bytes,
            fresh_side_bytes,
            rows,
            heads,
            capacity,
            count,
            position_bytes,
        } = shape;
        Ok(Self {
            past,
            fresh,
            past_valid,
            positions,
            fresh_valid,
            past_side: (past_side_bytes / unit) as u64,
            fresh_side: (fresh_side_bytes / unit) as u64,
            sides: size(sides)?,
            rows: size(rows)?,
            heads: size(heads)?,
            capacity: size(capacity)?,
            count: size(count)?,
            units: size(position_bytes / unit)?,
        })
    }
}

/// Whether everything lies where words do.
fn in_words(kernel: &Kernel) -> bool {
    let Kernel::Append {
        past, fresh, shape, ..
    } = kernel
    else {
        return false;
    };
    let lengths = [
        shape.position_bytes,
        shape.past_side_bytes,
        shape.fresh_side_bytes,
    ];
    lengths.into_iter().all(|bytes| bytes.is_multiple_of(WORD))
        && [*past, *fresh]
            .into_iter()
            .all(|address| address.is_multiple_of(WORD as u64))
}

fn size(size: usize) -> Result<u32, DriverError> {
    u32::try_from(size).map_err(|_| DriverError(CUresult::CUDA_ERROR_INVALID_VALUE))
}

fn argument<T>(value: &mut T) -> *mut c_void {
    std::ptr::from_mut(value).cast()
}

/// # Safety
/// As for [`Loaded::launch`]; `arguments` point at the function's arguments.
unsafe fn launch(
    function: CUfunction,
    threads: u64,
    stream: CUstream,
    arguments: &mut [*mut c_void],
) -> Result<(), DriverError> {
    let blocks = threads.div_ceil(u64::from(THREADS)).min(MOST_BLOCKS);
    let blocks = u32::try_from(blocks).expect("bounded");
    // SAFETY: the caller's promise.
    unsafe {
        result::launch_kernel(
            function,
            (blocks, 1, 1),
            (THREADS, 1, 1),
            0,
            stream,
            arguments,
        )
    }
}

const _: () = assert!(
    size_of::<AppendArguments>() == 80 && F32 == 4,
    "as `kernels.cu` has them"
);
