//! What the host computes on a stage's memory itself, wherever it is.

use super::{LaneMemory, Store};
use crate::backend::RunError;
use crate::cuda::kernels;
use std::sync::Arc;

/// Where new positions belong, and whether they count: `i32` and `f32`, one for each, somewhere in one memory.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// Holds both.
    pub memory: &'a LaneMemory,
    /// First byte of the positions.
    pub positions: usize,
    /// First byte of what tells whether they count.
    pub valid: usize,
}

impl LaneMemory {
    /// [`kernels::euler_step`] on this memory as the sample, both rows of it; `dt`: the memory and the byte where the
    /// step's length is.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Panics
    /// If the velocity is of another length or in another place.
    pub fn euler_step(
        &mut self,
        velocity: &Self,
        dt: (&Self, usize),
        guidance: f32,
    ) -> Result<(), RunError> {
        assert_eq!(self.len, velocity.len, "one velocity per value");
        let row = self.len / (2 * size_of::<f32>());
        let (dt, at) = dt;
        match (&mut self.store, &velocity.store, &dt.store) {
            (Store::Host(x), Store::Host(velocity), Store::Host(dt)) => {
                let word = size_of::<f32>();
                let dt: &[f32] = bytemuck::cast_slice(&dt.bytes()[at..at + word]);
                let velocity = bytemuck::cast_slice(velocity.bytes());
                let x = bytemuck::cast_slice_mut(x.bytes_mut());
                kernels::euler_step(x, velocity, dt[0], guidance);
            }
            (Store::Device(x), Store::Device(velocity), Store::Device(dt)) => {
                let stream = Arc::clone(&x.stream);
                let dt = (dt.buffer(), at);
                stream.euler_step(x.buffer_mut(), velocity.buffer(), row, dt, guidance)?;
            }
            _ => unreachable!("a stage keeps its tensors in one place"),
        }
        Ok(())
    }

    /// [`kernels::append`] to this memory as the past, from row `first_row` on.
    ///
    /// `tokens`: where the new positions' places and whether they count begin in the memory given with them.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Panics
    /// If the memories are too short, or in different places.
    pub fn append(
        &mut self,
        past_valid: &mut Self,
        fresh: &Self,
        tokens: &Tokens<'_>,
        first_row: usize,
        shape: &kernels::AppendShape,
    ) -> Result<(), RunError> {
        let word = size_of::<f32>();
        let count = shape.rows * shape.count;
        let (past_at, mark) = (
            first_row * shape.past_row_bytes(),
            first_row * shape.capacity * word,
        );
        match (
            &mut self.store,
            &mut past_valid.store,
            &fresh.store,
            &tokens.memory.store,
        ) {
            (
                Store::Host(past),
                Store::Host(past_valid),
                Store::Host(fresh),
                Store::Host(given),
            ) => {
                let given = given.bytes();
                kernels::append(
                    &mut past.bytes_mut()[past_at..],
                    &mut bytemuck::cast_slice_mut(past_valid.bytes_mut())[mark / word..],
                    fresh.bytes(),
                    bytemuck::cast_slice(&given[tokens.positions..][..count * word]),
                    bytemuck::cast_slice(&given[tokens.valid..][..count * word]),
                    shape,
                );
            }
            (
                Store::Device(past),
                Store::Device(past_valid),
                Store::Device(fresh),
                Store::Device(given),
            ) => {
                let stream = Arc::clone(&past.stream);
                let append = kernels::Append {
                    past: (past.buffer_mut(), past_at),
                    past_valid: (past_valid.buffer_mut(), mark),
                    fresh: fresh.buffer(),
                    positions: (given.buffer(), tokens.positions),
                    fresh_valid: (given.buffer(), tokens.valid),
                };
                stream.append(append, shape)?;
            }
            _ => unreachable!("a stage keeps its tensors in one place"),
        }
        Ok(())
    }

    /// Adds [`kernels::count_not_finite`] of this memory to the `u32` at `index` of `counts`.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Panics
    /// If the counts are too few, or in another place.
    pub fn count_not_finite(&self, counts: &mut Self, index: usize) -> Result<(), RunError> {
        match (&self.store, &mut counts.store) {
            (Store::Host(values), Store::Host(counts)) => {
                let counts: &mut [u32] = bytemuck::cast_slice_mut(counts.bytes_mut());
                counts[index] += kernels::count_not_finite(bytemuck::cast_slice(values.bytes()));
            }
            (Store::Device(values), Store::Device(counts)) => {
                let length = self.len / size_of::<f32>();
                let stream = &values.stream;
                stream.count_not_finite(values.buffer(), length, counts.buffer_mut(), index)?;
            }
            _ => unreachable!("a stage keeps its tensors in one place"),
        }
        Ok(())
    }
}
