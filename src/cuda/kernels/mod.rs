//! The few things that an engine cannot hold, as kernels of our own, each with a twin on the host.
//!
//! `kernels.cu` is the source and `kernels.ptx` what the driver is given; `scripts/check-ptx` makes the one from the
//! other and needs no device.
#![expect(unsafe_code, reason = "keeps the promises the driver's calls ask for")]

mod loaded;
mod tests;
mod twin;

pub(super) use loaded::Loaded;
pub use twin::{append, count_not_finite, euler_step};

use super::driver::{Address, CudaError};
use super::gpu::Stream;
use super::memory::DeviceBuffer;

/// Sizes of an append: new positions of several sides (keys and values of every layer) into their past.
///
/// A side of the past is `[rows, heads, capacity, position]`, of the new `[rows, heads, count, position]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendShape {
    /// Number of sides.
    pub sides: usize,
    /// Bytes from one side of the past to the next.
    pub past_side_bytes: usize,
    /// Bytes from one side of the new positions to the next.
    pub fresh_side_bytes: usize,
    /// Rows that get new positions.
    pub rows: usize,
    /// Heads of a row.
    pub heads: usize,
    /// Positions a row of the past has room for.
    pub capacity: usize,
    /// New positions of a row.
    pub count: usize,
    /// Bytes of one position of one head.
    pub position_bytes: usize,
}

/// What an append works on; where a number goes with a buffer, it is the first byte in use.
#[derive(Debug)]
pub struct Append<'a> {
    /// Every side of the past, from the first row to append to on.
    pub past: (&'a mut DeviceBuffer, usize),
    /// `f32` `[rows, capacity]`, from there on.
    pub past_valid: (&'a mut DeviceBuffer, usize),
    /// The new positions of every side.
    pub fresh: &'a DeviceBuffer,
    /// `i32` `[rows, count]`: where a new position belongs.
    pub positions: (&'a DeviceBuffer, usize),
    /// `f32` `[rows, count]`: whether it counts.
    pub fresh_valid: (&'a DeviceBuffer, usize),
}

/// A kernel and what it works on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kernel {
    /// [`euler_step`]; `row`: values of a row, `dt`: where the step's length is.
    EulerStep {
        x: Address,
        velocity: Address,
        row: usize,
        dt: Address,
        guidance: f32,
    },
    /// [`append`].
    Append {
        past: Address,
        past_valid: Address,
        fresh: Address,
        positions: Address,
        fresh_valid: Address,
        shape: AppendShape,
    },
    /// [`count_not_finite`], added to what `count` holds.
    CountNotFinite {
        values: Address,
        length: usize,
        count: Address,
    },
}

const F32: usize = size_of::<f32>();

impl AppendShape {
    /// Bytes of one row of one side of the past.
    pub fn past_row_bytes(&self) -> usize {
        self.heads * self.capacity * self.position_bytes
    }

    /// Bytes of the past that the first `rows` rows of every side span.
    pub(super) fn past_bytes(&self) -> usize {
        self.sides.saturating_sub(1) * self.past_side_bytes + self.rows * self.past_row_bytes()
    }

    /// Bytes that the new positions of every side span.
    pub(super) fn fresh_bytes(&self) -> usize {
        self.sides.saturating_sub(1) * self.fresh_side_bytes
            + self.rows * self.heads * self.count * self.position_bytes
    }

    /// New positions, those that do not count included.
    pub(super) fn tokens(&self) -> usize {
        self.rows * self.count
    }
}

impl Stream {
    /// [`euler_step`] on device memory, in the stream's order; `row`: values of one row, `dt`: where the step's length is,
    /// so that one recording serves every step.
    ///
    /// # Errors
    /// [`CudaError`].
    ///
    /// # Panics
    /// When a buffer is shorter, or belongs to another stream.
    pub fn euler_step(
        &self,
        x: &mut DeviceBuffer,
        velocity: &DeviceBuffer,
        row: usize,
        dt: (&DeviceBuffer, usize),
        guidance: f32,
    ) -> Result<(), CudaError> {
        let (dt, dt_at) = dt;
        self.check_buffers(&[x, velocity, dt]);
        self.launch(Kernel::EulerStep {
            x: x.span(0, 2 * row * F32),
            velocity: velocity.span(0, 2 * row * F32),
            row,
            dt: dt.span(dt_at, F32),
            guidance,
        })
    }

    /// [`append`] on device memory, in the stream's order.
    ///
    /// # Errors
    /// [`CudaError`].
    ///
    /// # Panics
    /// When a buffer is shorter, or belongs to another stream.
    pub fn append(&self, work: Append<'_>, shape: &AppendShape) -> Result<(), CudaError> {
        let Append {
            past: (past, past_at),
            past_valid: (past_valid, past_valid_at),
            fresh,
            positions: (positions, positions_at),
            fresh_valid: (fresh_valid, fresh_valid_at),
        } = work;
        self.check_buffers(&[past, past_valid, fresh, positions, fresh_valid]);
        let marks = shape.rows * shape.capacity * F32;
        let tokens = shape.tokens() * F32;
        self.launch(Kernel::Append {
            past: past.span(past_at, shape.past_bytes()),
            past_valid: past_valid.span(past_valid_at, marks),
            fresh: fresh.span(0, shape.fresh_bytes()),
            positions: positions.span(positions_at, tokens),
            fresh_valid: fresh_valid.span(fresh_valid_at, tokens),
            shape: *shape,
        })
    }

    /// Adds [`count_not_finite`] of the first `length` values to the `u32` at `index` of `counts`, in the stream's order.
    ///
    /// # Errors
    /// [`CudaError`].
    ///
    /// # Panics
    /// When a buffer is shorter, or belongs to another stream.
    pub fn count_not_finite(
        &self,
        values: &DeviceBuffer,
        length: usize,
        counts: &mut DeviceBuffer,
        index: usize,
    ) -> Result<(), CudaError> {
        self.check_buffers(&[values, counts]);
        self.launch(Kernel::CountNotFinite {
            values: values.span(0, length * F32),
            length,
            count: counts.span(index * F32, F32),
        })
    }

    fn launch(&self, kernel: Kernel) -> Result<(), CudaError> {
        if kernel.is_idle() {
            return Ok(());
        }
        // SAFETY: the spans lie in buffers of this stream, which wait for it before they go; those written are borrowed
        // exclusively.
        unsafe { self.gpu().driver().launch(self.raw(), &kernel) }
    }

    fn check_buffers(&self, buffers: &[&DeviceBuffer]) {
        for buffer in buffers {
            buffer.check_stream(self);
        }
    }
}

impl Kernel {
    /// Whether there is nothing to do.
    fn is_idle(&self) -> bool {
        match self {
            Self::EulerStep { row, .. } => *row == 0,
            Self::Append { shape, .. } => shape.fresh_bytes() == 0,
            Self::CountNotFinite { length, .. } => *length == 0,
        }
    }
}
