//! Dense tensors: element type, shape, and bytes on the host or on a device.
//!
//! This room knows where bytes are, and nothing of how a device is driven. Tensors are row-major and contiguous. Named
//! tensors are kept in numpy's archives.

mod dtype;
mod named;
mod npz;
mod owned;
mod port_text;
mod shape;
mod signature;
mod view;

pub use dtype::{DType, Element};
pub use named::InputError;
pub use npz::{NpzError, read_npz, write_npz};
pub use owned::Tensor;
pub use port_text::NoPort;
pub use shape::{Shape, ShapeError};
pub use signature::{AxisSizes, Dim, Port, Signature, SignatureError};
pub use view::{
    Bytes, BytesMut, DeviceBytes, DeviceBytesMut, Placement, TensorView, TensorViewMut, ViewError,
};
