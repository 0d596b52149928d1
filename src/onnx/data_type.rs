//! ONNX element types and ours.

use super::error::TensorFault;
use super::proto::TensorProto;
use super::proto::tensor_proto::DataType;
use crate::tensor::DType;

/// The element type of a tensor the runtime passes, or `None` for one it never does.
pub fn dtype_from_onnx(data_type: DataType) -> Option<DType> {
    match data_type {
        DataType::Float => Some(DType::F32),
        DataType::Float16 => Some(DType::F16),
        DataType::Bfloat16 => Some(DType::Bf16),
        DataType::Int32 => Some(DType::I32),
        DataType::Int64 => Some(DType::I64),
        DataType::Bool => Some(DType::Bool),
        DataType::Uint8 => Some(DType::U8),
        _ => None,
    }
}

/// The ONNX name of an element type.
pub const fn onnx_from_dtype(dtype: DType) -> DataType {
    match dtype {
        DType::F32 => DataType::Float,
        DType::F16 => DataType::Float16,
        DType::Bf16 => DataType::Bfloat16,
        DType::I32 => DataType::Int32,
        DType::I64 => DataType::Int64,
        DType::Bool => DataType::Bool,
        DType::U8 => DataType::Uint8,
    }
}

/// Bits per element, or `None` where elements have no fixed size.
pub(super) fn bits(data_type: DataType) -> Option<u64> {
    match data_type {
        DataType::Undefined | DataType::String => None,
        DataType::Uint2 | DataType::Int2 => Some(2),
        DataType::Uint4 | DataType::Int4 | DataType::Float4e2m1 => Some(4),
        DataType::Float6e2m3 | DataType::Float6e3m2 => Some(6),
        DataType::Bool
        | DataType::Uint8
        | DataType::Int8
        | DataType::Float8e4m3fn
        | DataType::Float8e4m3fnuz
        | DataType::Float8e5m2
        | DataType::Float8e5m2fnuz
        | DataType::Float8e8m0 => Some(8),
        DataType::Float16 | DataType::Bfloat16 | DataType::Uint16 | DataType::Int16 => Some(16),
        DataType::Float | DataType::Int32 | DataType::Uint32 => Some(32),
        DataType::Double | DataType::Int64 | DataType::Uint64 | DataType::Complex64 => Some(64),
        DataType::Complex128 => Some(128),
    }
}

/// Number of elements a tensor declares; one for a scalar.
///
/// # Errors
/// [`TensorFault::Dims`] for a negative size or a product beyond 63 bits.
pub(super) fn elements(tensor: &TensorProto) -> Result<u64, TensorFault> {
    let product = tensor.dims.iter().try_fold(1i64, |product, &size| {
        product.checked_mul(size).filter(|_| size >= 0)
    });
    product
        .and_then(|product| u64::try_from(product).ok())
        .ok_or_else(|| TensorFault::Dims(tensor.dims.clone()))
}

/// Bytes a tensor's elements take, packed.
///
/// # Errors
/// [`TensorFault::Dims`], or [`TensorFault::Type`] for an unknown type or one without a fixed size.
pub(super) fn payload_bytes(tensor: &TensorProto) -> Result<u64, TensorFault> {
    let code = tensor.data_type.unwrap_or_default();
    let bits = DataType::try_from(code).ok().and_then(bits);
    let bits = bits.ok_or(TensorFault::Type(code))?;
    let elements = elements(tensor)?;
    let total = elements
        .checked_mul(bits)
        .ok_or_else(|| TensorFault::Dims(tensor.dims.clone()))?;
    Ok(total.div_ceil(8))
}
