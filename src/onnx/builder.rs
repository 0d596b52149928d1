//! Small graphs for tests.

use super::data_type::onnx_from_dtype;
use super::file::ModelFile;
use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, tensor_proto,
    type_proto,
};
use crate::tensor::{DType, Element};
use prost::Message;

/// Builds a model node by node; nothing is checked, so that malformed graphs can be built too.
#[derive(Debug, Clone)]
pub struct GraphBuilder {
    model: ModelProto,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// A number.
    Float(f32),
    /// Text.
    Text(&'static str),
    /// A constant.
    Tensor(TensorProto),
    /// A subgraph.
    Graph(GraphProto),
}

impl Default for GraphBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl GraphBuilder {
    /// An empty graph of operator set 17.
    pub fn new() -> Self {
        Self {
            model: ModelProto {
                ir_version: Some(8),
                producer_name: Some("cvtrt tests".to_owned()),
                opset_import: vec![OperatorSetIdProto {
                    domain: Some(String::new()),
                    version: Some(17),
                }],
                graph: Some(GraphProto {
                    name: Some("graph".to_owned()),
                    ..GraphProto::default()
                }),
                ..ModelProto::default()
            },
        }
    }

    /// Adds an input; dimensions are numbers or `dim_param` texts such as `2*tokens`.
    #[must_use]
    pub fn input(mut self, name: &str, dtype: DType, dims: &[&str]) -> Self {
        self.graph().input.push(value_info(name, dtype, dims));
        self
    }

    /// Adds an output.
    #[must_use]
    pub fn output(mut self, name: &str, dtype: DType, dims: &[&str]) -> Self {
        self.graph().output.push(value_info(name, dtype, dims));
        self
    }

    /// Adds a constant.
    #[must_use]
    pub fn constant<T: Element>(mut self, name: &str, dims: &[i64], elements: &[T]) -> Self {
        self.graph().initializer.push(tensor(name, dims, elements));
        self
    }

    /// Adds an FP32 constant whose bytes are `offset..offset + length` of a data file.
    #[must_use]
    pub fn external_constant(
        mut self,
        name: &str,
        dims: &[i64],
        location: &str,
        offset: u64,
        length: u64,
    ) -> Self {
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value),
        };
        self.graph().initializer.push(TensorProto {
            name: Some(name.to_owned()),
            dims: dims.to_vec(),
            data_type: Some(tensor_proto::DataType::Float as i32),
            data_location: Some(tensor_proto::DataLocation::External as i32),
            external_data: vec![
                entry("location", location.to_owned()),
                entry("offset", offset.to_string()),
                entry("length", length.to_string()),
            ],
            ..TensorProto::default()
        });
        self
    }

    /// Adds a node named after its first output; an operator outside ONNX's own set is `domain::Name`.
    #[must_use]
    pub fn node(self, operator: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.node_with(operator, inputs, outputs, &[])
    }

    /// Adds a node with attributes.
    #[must_use]
    pub fn node_with(
        mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> Self {
        let (domain, op_type) = operator.rsplit_once("::").unwrap_or(("", operator));
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        self.graph().node.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: outputs.first().map(|name| format!("/{name}")),
            op_type: Some(op_type.to_owned()),
            domain: (!domain.is_empty()).then(|| domain.to_owned()),
            attribute: attributes
                .iter()
                .map(|(name, value)| attribute(name, value.clone()))
                .collect(),
            ..NodeProto::default()
        });
        self
    }

    /// The model so far.
    pub fn model(&self) -> &ModelProto {
        &self.model
    }

    /// The graph so far, for what has no method here.
    ///
    /// # Panics
    /// Never: the graph is there from the start.
    pub fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.as_mut().expect("made by `new`")
    }

    /// The serialised model.
    pub fn encode(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// The model as if read from a file without external data.
    ///
    /// # Panics
    /// If the model cannot be read.
    pub fn read(&self) -> ModelFile {
        ModelFile::from_bytes("test.onnx", self.encode().into()).expect("a model that can be read")
    }
}

/// A dense tensor with its elements as raw data.
pub fn tensor<T: Element>(name: &str, dims: &[i64], elements: &[T]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(onnx_from_dtype(T::DTYPE) as i32),
        raw_data: Some(bytemuck::cast_slice::<T, u8>(elements).to_vec().into()),
        ..TensorProto::default()
    }
}

fn value_info(name: &str, dtype: DType, dims: &[&str]) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| Dimension {
        denotation: None,
        value: Some(match dim.parse() {
            Ok(size) => dimension::Value::DimValue(size),
            Err(_) => dimension::Value::DimParam((*dim).to_owned()),
        }),
    });
    let tensor = type_proto::Tensor {
        elem_type: Some(onnx_from_dtype(dtype) as i32),
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            denotation: None,
            value: Some(type_proto::Value::TensorType(tensor)),
        }),
        ..ValueInfoProto::default()
    }
}

fn attribute(name: &str, value: Attribute) -> AttributeProto {
    use attribute_proto::AttributeType as Kind;
    let empty = AttributeProto {
        name: Some(name.to_owned()),
        ..AttributeProto::default()
    };
    let (kind, filled) = match value {
        Attribute::Int(i) => (
            Kind::Int,
            AttributeProto {
                i: Some(i),
                ..empty
            },
        ),
        Attribute::Ints(ints) => (Kind::Ints, AttributeProto { ints, ..empty }),
        Attribute::Float(f) => (
            Kind::Float,
            AttributeProto {
                f: Some(f),
                ..empty
            },
        ),
        Attribute::Text(text) => (
            Kind::String,
            AttributeProto {
                s: Some(text.as_bytes().into()),
                ..empty
            },
        ),
        Attribute::Tensor(t) => (
            Kind::Tensor,
            AttributeProto {
                t: Some(t),
                ..empty
            },
        ),
        Attribute::Graph(g) => (
            Kind::Graph,
            AttributeProto {
                g: Some(g),
                ..empty
            },
        ),
    };
    AttributeProto {
        r#type: Some(kind as i32),
        ..filled
    }
}
