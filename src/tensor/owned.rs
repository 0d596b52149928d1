//! Tensors that own host memory.

use super::{
    Bytes, BytesMut, DType, Element, Placement, Shape, TensorView, TensorViewMut, ViewError,
};

/// A host tensor that owns its elements, aligned for any element type.
///
/// [`Tensor::reshape`] keeps the allocation, so a buffer sized once can serve every smaller shape.
#[derive(Debug, Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Shape,
    words: Vec<u64>,
}

impl Tensor {
    /// A tensor of zeros.
    pub fn zeros(dtype: DType, shape: Shape) -> Self {
        Self {
            dtype,
            shape,
            words: vec![0; words_for(dtype, shape)],
        }
    }

    /// A tensor holding a copy of `elements`.
    ///
    /// # Errors
    /// [`ViewError::Length`] when the slice does not fill the shape.
    pub fn from_elements<T: Element>(shape: Shape, elements: &[T]) -> Result<Self, ViewError> {
        let view = TensorView::of(shape, elements)?;
        let mut tensor = Self::zeros(view.dtype(), shape);
        tensor
            .bytes_mut()
            .copy_from_slice(bytemuck::cast_slice(elements));
        Ok(tensor)
    }

    /// A tensor holding a copy of little-endian bytes.
    ///
    /// # Errors
    /// [`ViewError::Length`] when the bytes are not exactly the shape's.
    pub fn from_bytes(dtype: DType, shape: Shape, bytes: &[u8]) -> Result<Self, ViewError> {
        TensorView::new(dtype, shape, Bytes::Host(bytes))?;
        let mut tensor = Self::zeros(dtype, shape);
        tensor.bytes_mut().copy_from_slice(bytes);
        Ok(tensor)
    }

    /// A copy of a tensor in host memory.
    ///
    /// # Errors
    /// [`ViewError::OnDevice`].
    pub fn copy_of(view: TensorView<'_>) -> Result<Self, ViewError> {
        match (view.bytes(), view.placement()) {
            (Bytes::Host(bytes), _) => Self::from_bytes(view.dtype(), view.shape(), bytes),
            (Bytes::Device(_), Placement::Device(ordinal)) => Err(ViewError::OnDevice(ordinal)),
            (Bytes::Device(_), Placement::Host) => unreachable!("its bytes say where it is"),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Gives the tensor another shape; elements already there keep their place in row-major order, new ones are zero.
    ///
    /// Allocates only when the new shape is larger than any before.
    pub fn reshape(&mut self, shape: Shape) {
        self.words.resize(words_for(self.dtype, shape), 0);
        self.shape = shape;
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.shape.elements() * self.dtype.size()]
    }

    /// The bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.shape.elements() * self.dtype.size();
        &mut bytemuck::cast_slice_mut(&mut self.words)[..len]
    }

    /// The elements.
    ///
    /// # Errors
    /// [`ViewError::Type`] when the tensor holds another type.
    pub fn elements<T: Element>(&self) -> Result<&[T], ViewError> {
        self.expect_type::<T>()?;
        Ok(bytemuck::cast_slice(self.bytes()))
    }

    /// The elements, to write.
    ///
    /// # Errors
    /// [`ViewError::Type`] when the tensor holds another type.
    pub fn elements_mut<T: Element>(&mut self) -> Result<&mut [T], ViewError> {
        self.expect_type::<T>()?;
        Ok(bytemuck::cast_slice_mut(self.bytes_mut()))
    }

    /// A shared view of the whole tensor.
    pub fn view(&self) -> TensorView<'_> {
        TensorView::new(self.dtype, self.shape, Bytes::Host(self.bytes()))
            .expect("own bytes fill own shape")
    }

    /// An exclusive view of the whole tensor.
    pub fn view_mut(&mut self) -> TensorViewMut<'_> {
        let (dtype, shape) = (self.dtype, self.shape);
        TensorViewMut::new(dtype, shape, BytesMut::Host(self.bytes_mut()))
            .expect("own bytes fill own shape")
    }

    fn expect_type<T: Element>(&self) -> Result<(), ViewError> {
        if self.dtype == T::DTYPE {
            Ok(())
        } else {
            Err(ViewError::Type {
                stored: self.dtype,
                asked: T::DTYPE,
            })
        }
    }
}

fn words_for(dtype: DType, shape: Shape) -> usize {
    (shape.elements() * dtype.size()).div_ceil(size_of::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_round_trip() {
        let tensor = Tensor::from_elements(Shape::new(&[2, 3]), &[1i32, 2, 3, 4, 5, 6])
            .expect("six elements");
        assert_eq!(tensor.elements::<i32>().expect("i32"), &[1, 2, 3, 4, 5, 6]);
        assert!(matches!(
            tensor.elements::<f32>(),
            Err(ViewError::Type { .. })
        ));
    }

    #[test]
    fn a_smaller_shape_keeps_the_allocation() {
        let mut tensor = Tensor::zeros(DType::F32, Shape::new(&[8, 8]));
        let before = tensor.bytes().as_ptr();
        tensor.reshape(Shape::new(&[3]));
        assert_eq!(tensor.bytes().len(), 12);
        assert_eq!(tensor.bytes().as_ptr(), before);
    }

    #[test]
    fn a_wrong_length_is_refused() {
        assert!(matches!(
            Tensor::from_elements(Shape::new(&[3]), &[0f32; 2]),
            Err(ViewError::Length { found: 8, .. })
        ));
    }
}
