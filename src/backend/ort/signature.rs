//! A session's inputs and outputs in cvtrt's words.

use crate::tensor::{DType, Dim, Port, Shape, Signature};
use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};

/// Reads a session's signature, or says which port cannot be driven.
///
/// Names of dynamic dimensions are those of the file: an optimised model keeps them.
pub(super) fn signature_from_session(session: &Session) -> Result<Signature, String> {
    Ok(Signature {
        inputs: ports_from_outlets(session.inputs())?,
        outputs: ports_from_outlets(session.outputs())?,
    })
}

fn ports_from_outlets(outlets: &[Outlet]) -> Result<Vec<Port>, String> {
    outlets.iter().map(port_from_outlet).collect()
}

fn port_from_outlet(outlet: &Outlet) -> Result<Port, String> {
    let name = outlet.name();
    let ValueType::Tensor {
        ty,
        shape,
        dimension_symbols,
    } = outlet.dtype()
    else {
        return Err(format!("`{name}` is no tensor but {}", outlet.dtype()));
    };
    let dtype =
        dtype_from_element(*ty).ok_or_else(|| format!("`{name}` has elements of type {ty}"))?;
    if shape.len() > Shape::MAX_RANK {
        return Err(format!("`{name}` has {} dimensions", shape.len()));
    }
    let dims = shape
        .iter()
        .zip(dimension_symbols.iter())
        .map(|(&size, symbol)| match usize::try_from(size) {
            Ok(size) => Dim::Fixed(size),
            Err(_) if symbol.is_empty() => Dim::Unknown("?".to_owned()),
            Err(_) => Dim::from_param(symbol),
        })
        .collect();
    Ok(Port {
        name: name.to_owned(),
        dtype,
        dims,
    })
}

fn dtype_from_element(element: TensorElementType) -> Option<DType> {
    Some(match element {
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Float16 => DType::F16,
        TensorElementType::Bfloat16 => DType::Bf16,
        TensorElementType::Int32 => DType::I32,
        TensorElementType::Int64 => DType::I64,
        TensorElementType::Bool => DType::Bool,
        TensorElementType::Uint8 => DType::U8,
        _ => return None,
    })
}
