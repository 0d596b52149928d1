//! The signature a graph declares.

use super::data_type::dtype_from_onnx;
use super::error::OnnxError;
use super::file::ModelFile;
use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::{GraphProto, TensorProto, ValueInfoProto, type_proto};
use crate::tensor::{Dim, Port, Signature};
use std::collections::HashSet;
use std::path::Path;

impl ModelFile {
    /// Inputs and outputs of the graph; an input that only overrides an initialiser is left out.
    ///
    /// # Errors
    /// [`OnnxError::Interface`] for an input or output that is no dense tensor with a shape, or of a type no backend
    /// here passes.
    pub fn signature(&self) -> Result<Signature, OnnxError> {
        signature(self.path(), self.graph())
    }
}

/// Inputs and outputs of a graph from `file`.
///
/// # Errors
/// [`OnnxError::Interface`].
pub(super) fn signature(file: &Path, graph: &GraphProto) -> Result<Signature, OnnxError> {
    let defaults: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    let required = graph
        .input
        .iter()
        .filter(|input| !defaults.contains(input.name()));
    Ok(Signature {
        inputs: required
            .map(|value| port(file, value))
            .collect::<Result<_, _>>()?,
        outputs: graph
            .output
            .iter()
            .map(|value| port(file, value))
            .collect::<Result<_, _>>()?,
    })
}

/// What a dimension says, in the vocabulary of axes.
pub(super) fn dim_from_onnx(dimension: &Dimension) -> Dim {
    match &dimension.value {
        Some(dimension::Value::DimValue(size)) => {
            usize::try_from(*size).map_or_else(|_| Dim::Unknown(size.to_string()), Dim::Fixed)
        }
        Some(dimension::Value::DimParam(text)) => Dim::from_param(text),
        None => Dim::Unknown("?".to_owned()),
    }
}

/// The type of an input or output in words, for what has no [`Port`].
pub(super) fn type_in_words(value: &ValueInfoProto) -> String {
    let held = value.r#type.as_ref().and_then(|held| held.value.as_ref());
    match held {
        None => "without a type".to_owned(),
        Some(type_proto::Value::TensorType(tensor)) => {
            let code = tensor.elem_type.unwrap_or_default();
            let element = DataType::try_from(code).unwrap_or_default();
            let element = element.as_str_name().to_lowercase();
            let Some(shape) = &tensor.shape else {
                return format!("{element} without a shape");
            };
            let dims: Vec<String> = shape
                .dim
                .iter()
                .map(|dim| dim_from_onnx(dim).to_string())
                .collect();
            format!("{element} [{}]", dims.join(", "))
        }
        Some(type_proto::Value::SequenceType(_)) => "a sequence".to_owned(),
        Some(type_proto::Value::MapType(_)) => "a map".to_owned(),
        Some(type_proto::Value::OptionalType(_)) => "an optional value".to_owned(),
        Some(type_proto::Value::SparseTensorType(_)) => "a sparse tensor".to_owned(),
        Some(type_proto::Value::OpaqueType(_)) => "opaque".to_owned(),
    }
}

fn port(file: &Path, value: &ValueInfoProto) -> Result<Port, OnnxError> {
    port_of(value).ok_or_else(|| OnnxError::Interface {
        file: file.to_owned(),
        value: value.name().to_owned(),
        found: type_in_words(value),
    })
}

fn port_of(value: &ValueInfoProto) -> Option<Port> {
    let type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()? else {
        return None;
    };
    let element = DataType::try_from(tensor.elem_type?).ok()?;
    let shape = tensor.shape.as_ref()?;
    Some(Port {
        name: value.name().to_owned(),
        dtype: dtype_from_onnx(element)?,
        dims: shape.dim.iter().map(dim_from_onnx).collect(),
    })
}
