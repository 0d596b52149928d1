//! Dimensions and element types on both sides of the seam.

use crate::tensor::{DType, Shape};
use crate::trt::sys;

/// A shape as the shim takes it.
pub(super) fn dims_from(shape: Shape) -> sys::cvtrt_dims {
    let mut dims = sys::cvtrt_dims::default();
    for (out, &size) in dims.size.iter_mut().zip(shape.dims()) {
        *out = i64::try_from(size).expect("a shape's sizes fit isize");
        dims.rank += 1;
    }
    dims
}

/// The sizes the shim gave, `None` where dynamic.
pub(super) fn sizes_from(dims: &sys::cvtrt_dims) -> impl Iterator<Item = Option<usize>> {
    let rank = usize::try_from(dims.rank).unwrap_or(0);
    let sizes = dims.size.iter().take(rank);
    sizes.map(|&size| usize::try_from(size).ok())
}

/// The shape the shim gave, or `None` where it does not know all of it.
pub(super) fn shape_from(dims: &sys::cvtrt_dims) -> Option<Shape> {
    if dims.rank < 0 {
        return None;
    }
    let mut sizes = [0; Shape::MAX_RANK];
    let mut rank = 0;
    for size in sizes_from(dims) {
        sizes[rank] = size?;
        rank += 1;
    }
    Shape::checked(&sizes[..rank]).ok()
}

/// The element type of a number of the seam's, or `None` where it is none of ours.
pub(super) fn dtype_from(number: i32) -> Option<DType> {
    Some(match number {
        sys::CVTRT_DTYPE_F32 => DType::F32,
        sys::CVTRT_DTYPE_F16 => DType::F16,
        sys::CVTRT_DTYPE_BF16 => DType::Bf16,
        sys::CVTRT_DTYPE_I32 => DType::I32,
        sys::CVTRT_DTYPE_I64 => DType::I64,
        sys::CVTRT_DTYPE_BOOL => DType::Bool,
        sys::CVTRT_DTYPE_U8 => DType::U8,
        _ => return None,
    })
}

/// The seam's number of an element type.
#[cfg(feature = "testkit")]
pub(super) fn number_from(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => sys::CVTRT_DTYPE_F32,
        DType::F16 => sys::CVTRT_DTYPE_F16,
        DType::Bf16 => sys::CVTRT_DTYPE_BF16,
        DType::I32 => sys::CVTRT_DTYPE_I32,
        DType::I64 => sys::CVTRT_DTYPE_I64,
        DType::Bool => sys::CVTRT_DTYPE_BOOL,
        DType::U8 => sys::CVTRT_DTYPE_U8,
    }
}
