//! Memory as one tensor.

use super::{LaneMemory, Place};
use crate::backend::RunError;
use crate::tensor::{DType, Element, Shape, TensorView, TensorViewMut};

/// A tensor that a stage keeps where its graph works.
#[derive(Debug)]
pub struct LaneTensor {
    dtype: DType,
    shape: Shape,
    memory: LaneMemory,
}

impl Place {
    /// A tensor here; on a device its elements are whatever they are.
    ///
    /// # Errors
    /// [`RunError`] where there is no memory.
    pub fn tensor(&self, dtype: DType, shape: Shape) -> Result<LaneTensor, RunError> {
        let mut tensor = LaneTensor {
            dtype,
            shape,
            memory: self.memory(),
        };
        tensor.reshape(shape)?;
        Ok(tensor)
    }
}

impl LaneTensor {
    /// Shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Gives it another shape; its elements are then whatever they are. Allocates only for more elements than ever before.
    ///
    /// # Errors
    /// [`RunError`] where there is no memory.
    pub fn reshape(&mut self, shape: Shape) -> Result<(), RunError> {
        self.memory.resize(shape.elements() * self.dtype.size())?;
        self.shape = shape;
        Ok(())
    }

    /// The tensor, to read.
    pub fn view(&self) -> TensorView<'_> {
        self.memory.view(0, self.dtype, self.shape)
    }

    /// The tensor, to write.
    pub fn view_mut(&mut self) -> TensorViewMut<'_> {
        self.memory.view_mut(0, self.dtype, self.shape)
    }

    /// Its first elements as a tensor of this shape, to read.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn head(&self, shape: Shape) -> TensorView<'_> {
        self.memory.view(0, self.dtype, shape)
    }

    /// Its first elements as a tensor of this shape, to write.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn head_mut(&mut self, shape: Shape) -> TensorViewMut<'_> {
        self.memory.view_mut(0, self.dtype, shape)
    }

    /// The elements as the host last had them, to fill; [`Self::send`] brings them to their place.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Panics
    /// If they are of another type.
    pub fn stage<T: Element>(&mut self) -> Result<&mut [T], RunError> {
        assert_eq!(self.dtype, T::DTYPE, "the type it was made with");
        Ok(bytemuck::cast_slice_mut(self.memory.stage()?))
    }

    /// Brings the staged elements to their place. Returns before they are there.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn send(&mut self) -> Result<(), RunError> {
        self.memory.send()
    }

    /// Has the elements brought to the host, behind the work enqueued so far. Returns before they are there.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn fetch(&mut self) -> Result<(), RunError> {
        self.memory.fetch()
    }

    /// The elements that were fetched; waits for them.
    ///
    /// # Errors
    /// [`RunError`] of this or of earlier work.
    ///
    /// # Panics
    /// If they are of another type.
    pub fn fetched<T: Element>(&mut self) -> Result<&mut [T], RunError> {
        assert_eq!(self.dtype, T::DTYPE, "the type it was made with");
        Ok(bytemuck::cast_slice_mut(self.memory.fetched()?))
    }

    /// Fetches the elements and waits for them.
    ///
    /// # Errors
    /// [`RunError`] of this or of earlier work.
    ///
    /// # Panics
    /// If they are of another type.
    pub fn read<T: Element>(&mut self) -> Result<&[T], RunError> {
        self.fetch()?;
        Ok(self.fetched()?)
    }

    /// Zeroes every element.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn clear(&mut self) -> Result<(), RunError> {
        let bytes = self.memory.len();
        self.memory.zero(0, bytes, bytes, 1)
    }

    /// The bytes.
    pub fn memory(&self) -> &LaneMemory {
        &self.memory
    }

    /// The bytes, to work on.
    pub fn memory_mut(&mut self) -> &mut LaneMemory {
        &mut self.memory
    }
}
