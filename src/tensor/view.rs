//! Borrowed tensors, on the host or on a device.

use super::{DType, Element, Shape};
use std::marker::PhantomData;

/// Where a tensor's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placement {
    /// Ordinary memory.
    Host,
    /// Memory of the device with this ordinal.
    Device(u32),
}

/// A span of device memory, borrowed from its owner.
#[derive(Debug, Clone, Copy)]
pub struct DeviceBytes<'a> {
    address: u64,
    len: usize,
    ordinal: u32,
    owner: PhantomData<&'a [u8]>,
}

/// A span of device memory, borrowed exclusively from its owner.
#[derive(Debug)]
pub struct DeviceBytesMut<'a> {
    address: u64,
    len: usize,
    ordinal: u32,
    owner: PhantomData<&'a mut [u8]>,
}

/// The bytes under a shared view.
#[derive(Debug, Clone, Copy)]
pub enum Bytes<'a> {
    /// Host memory.
    Host(&'a [u8]),
    /// Device memory.
    Device(DeviceBytes<'a>),
}

/// The bytes under an exclusive view.
#[derive(Debug)]
pub enum BytesMut<'a> {
    /// Host memory.
    Host(&'a mut [u8]),
    /// Device memory.
    Device(DeviceBytesMut<'a>),
}

/// A tensor to read.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    dtype: DType,
    shape: Shape,
    bytes: Bytes<'a>,
}

/// A tensor to write.
#[derive(Debug)]
pub struct TensorViewMut<'a> {
    dtype: DType,
    shape: Shape,
    bytes: BytesMut<'a>,
}

/// Why bytes and shape do not make a tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// Length and shape disagree.
    #[error("{dtype} {shape} needs {expected} bytes, {found} were given")]
    Length {
        /// Element type.
        dtype: DType,
        /// Wanted shape.
        shape: Shape,
        /// Bytes the shape needs.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The element type asked for is not the one stored.
    #[error("elements are {stored}, not {asked}")]
    Type {
        /// Stored type.
        stored: DType,
        /// Asked type.
        asked: DType,
    },
    /// The bytes do not lie where elements of the type may.
    #[error("the bytes are not aligned for {0}")]
    Alignment(DType),
    /// The bytes are on a device and were asked for as host memory.
    #[error("the tensor is in the memory of device {0}")]
    OnDevice(u32),
}

impl DeviceBytes<'_> {
    /// A span of device memory that `owner` keeps alive.
    ///
    /// # Safety
    /// `address..address + len` is memory of device `ordinal` that stays allocated while `owner` is borrowed.
    #[expect(
        unsafe_code,
        reason = "the caller vouches for an address the compiler cannot see"
    )]
    pub unsafe fn from_owner<T: ?Sized>(
        _owner: &T,
        address: u64,
        len: usize,
        ordinal: u32,
    ) -> DeviceBytes<'_> {
        DeviceBytes {
            address,
            len,
            ordinal,
            owner: PhantomData,
        }
    }

    /// The device address.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl DeviceBytesMut<'_> {
    /// A span of device memory that `owner` keeps alive and no one else touches.
    ///
    /// # Safety
    /// `address..address + len` is memory of device `ordinal` that stays allocated while `owner` is borrowed.
    #[expect(
        unsafe_code,
        reason = "the caller vouches for an address the compiler cannot see"
    )]
    pub unsafe fn from_owner<T: ?Sized>(
        _owner: &mut T,
        address: u64,
        len: usize,
        ordinal: u32,
    ) -> DeviceBytesMut<'_> {
        DeviceBytesMut {
            address,
            len,
            ordinal,
            owner: PhantomData,
        }
    }

    /// The device address.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Bytes<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Host(bytes) => bytes.len(),
            Self::Device(span) => span.len,
        }
    }
}

impl BytesMut<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Host(bytes) => bytes.len(),
            Self::Device(span) => span.len,
        }
    }
}

impl<'a> TensorView<'a> {
    /// Bytes seen as a tensor.
    ///
    /// # Errors
    /// [`ViewError::Length`] when the bytes are not exactly the shape's.
    pub fn new(dtype: DType, shape: Shape, bytes: Bytes<'a>) -> Result<Self, ViewError> {
        check_length(dtype, shape, bytes.len())?;
        Ok(Self {
            dtype,
            shape,
            bytes,
        })
    }

    /// Host elements seen as a tensor.
    ///
    /// # Errors
    /// [`ViewError::Length`] when the slice does not fill the shape.
    pub fn of<T: Element>(shape: Shape, elements: &'a [T]) -> Result<Self, ViewError> {
        Self::new(T::DTYPE, shape, Bytes::Host(bytemuck::cast_slice(elements)))
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The bytes.
    pub fn bytes(&self) -> Bytes<'a> {
        self.bytes
    }

    /// Where the bytes are.
    pub fn placement(&self) -> Placement {
        match self.bytes {
            Bytes::Host(_) => Placement::Host,
            Bytes::Device(span) => Placement::Device(span.ordinal),
        }
    }

    /// The elements, where they are on the host and of this type.
    ///
    /// # Errors
    /// [`ViewError::Type`] for another element type, [`ViewError::OnDevice`] for device memory,
    /// [`ViewError::Alignment`] for bytes out of line.
    pub fn elements<T: Element>(&self) -> Result<&'a [T], ViewError> {
        if self.dtype != T::DTYPE {
            return Err(ViewError::Type {
                stored: self.dtype,
                asked: T::DTYPE,
            });
        }
        match self.bytes {
            Bytes::Host(bytes) => {
                bytemuck::try_cast_slice(bytes).map_err(|_| ViewError::Alignment(self.dtype))
            }
            Bytes::Device(span) => Err(ViewError::OnDevice(span.ordinal)),
        }
    }
}

impl<'a> TensorViewMut<'a> {
    /// Bytes seen as a tensor to write.
    ///
    /// # Errors
    /// [`ViewError::Length`] when the bytes are not exactly the shape's.
    pub fn new(dtype: DType, shape: Shape, bytes: BytesMut<'a>) -> Result<Self, ViewError> {
        check_length(dtype, shape, bytes.len())?;
        Ok(Self {
            dtype,
            shape,
            bytes,
        })
    }

    /// Host elements seen as a tensor to write.
    ///
    /// # Errors
    /// [`ViewError::Length`] when the slice does not fill the shape.
    pub fn of<T: Element>(shape: Shape, elements: &'a mut [T]) -> Result<Self, ViewError> {
        Self::new(
            T::DTYPE,
            shape,
            BytesMut::Host(bytemuck::cast_slice_mut(elements)),
        )
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The bytes.
    pub fn bytes_mut(&mut self) -> &mut BytesMut<'a> {
        &mut self.bytes
    }

    /// The same tensor, to read.
    pub fn as_view(&self) -> TensorView<'_> {
        let bytes = match &self.bytes {
            BytesMut::Host(bytes) => Bytes::Host(bytes),
            BytesMut::Device(span) => Bytes::Device(DeviceBytes {
                address: span.address,
                len: span.len,
                ordinal: span.ordinal,
                owner: PhantomData,
            }),
        };
        TensorView {
            dtype: self.dtype,
            shape: self.shape,
            bytes,
        }
    }

    /// Where the bytes are.
    pub fn placement(&self) -> Placement {
        match &self.bytes {
            BytesMut::Host(_) => Placement::Host,
            BytesMut::Device(span) => Placement::Device(span.ordinal),
        }
    }
}

fn check_length(dtype: DType, shape: Shape, found: usize) -> Result<(), ViewError> {
    let expected = shape.elements() * dtype.size();
    if expected == found {
        Ok(())
    } else {
        Err(ViewError::Length {
            dtype,
            shape,
            expected,
            found,
        })
    }
}
