//! Element types of every value, followed from inputs and constants through the operators.

use super::graph::{Graph, GraphFault, node_label};
use super::operators::{self, OutputType};
use super::proto::tensor_proto::DataType;
use super::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, type_proto,
};
use std::collections::HashMap;

/// Element types by value name; a value that is missing has none we can tell.
#[derive(Debug, Clone, Default)]
pub struct Types {
    known: HashMap<String, DataType>,
    untyped: Vec<Untyped>,
}

/// An output whose element type neither its operator nor the file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untyped {
    /// The node.
    pub node: String,
    /// Its operator, with the domain where that is not the default one.
    pub operator: String,
    /// The output.
    pub value: String,
}

impl Types {
    /// Infers the types of a graph whose nodes are in order.
    ///
    /// Where an operator is unknown, the file's own record of the value is believed.
    pub fn infer(graph: &GraphProto) -> Self {
        let recorded: HashMap<&str, DataType> = graph
            .value_info
            .iter()
            .chain(&graph.output)
            .filter_map(|value| Some((value.name(), element_type(value)?)))
            .collect();
        let mut types = Self::default();
        for tensor in &graph.initializer {
            types.insert(tensor.name(), tensor_type(tensor));
        }
        for values in graph
            .sparse_initializer
            .iter()
            .filter_map(|sparse| sparse.values.as_ref())
        {
            types.insert(values.name(), tensor_type(values));
        }
        for input in &graph.input {
            types.insert(input.name(), element_type(input));
        }
        for (position, node) in graph.node.iter().enumerate() {
            for (slot, value) in node.output.iter().enumerate() {
                if value.is_empty() {
                    continue;
                }
                let inferred = types.of_output(node, slot);
                match inferred.or_else(|| recorded.get(value.as_str()).copied()) {
                    Some(known) => types.insert(value, Some(known)),
                    None => types.untyped.push(Untyped {
                        node: node_label(node, position),
                        operator: operators::qualified(node),
                        value: value.clone(),
                    }),
                }
            }
        }
        types
    }

    /// The type of a value.
    pub fn of(&self, value: &str) -> Option<DataType> {
        self.known.get(value).copied()
    }

    /// Outputs without a type we can tell.
    pub fn untyped(&self) -> &[Untyped] {
        &self.untyped
    }

    /// Nodes whose inputs should share one floating-point type and do not.
    pub fn conflicts(&self, graph: &GraphProto) -> Vec<GraphFault> {
        let nodes = graph.node.iter().enumerate();
        nodes
            .filter_map(|(position, node)| self.conflict(node, position))
            .collect()
    }

    fn conflict(&self, node: &NodeProto, position: usize) -> Option<GraphFault> {
        if operators::may_mix_types(node) {
            return None;
        }
        let mut floats = node
            .input
            .iter()
            .enumerate()
            .filter(|(slot, _)| operators::follows_computation(node, *slot))
            .filter_map(|(_, value)| Some((value, self.of(value)?)))
            .filter(|(_, found)| is_float(*found));
        let (first, first_type) = floats.next()?;
        let (second, second_type) = floats.find(|(_, found)| *found != first_type)?;
        Some(GraphFault::MixedTypes {
            node: node_label(node, position),
            first: first.clone(),
            first_type: first_type.as_str_name(),
            second: second.clone(),
            second_type: second_type.as_str_name(),
        })
    }

    fn insert(&mut self, value: &str, found: Option<DataType>) {
        if let Some(found) = found {
            self.known.insert(value.to_owned(), found);
        }
    }

    fn of_output(&self, node: &NodeProto, slot: usize) -> Option<DataType> {
        match operators::output_type(node, slot)? {
            OutputType::SameAs(input) => self.of(node.input.get(input)?),
            OutputType::Is(fixed) => Some(fixed),
            OutputType::Attribute(name, default) => match attribute(node, name) {
                Some(found) => DataType::try_from(i32::try_from(found.i()).ok()?).ok(),
                None => default,
            },
            OutputType::Value => constant_type(node),
        }
    }
}

impl Graph {
    /// Infers element types and refuses a graph that mixes floating-point types within a node.
    ///
    /// # Errors
    /// [`super::OnnxError::Graph`] with the first conflict.
    pub fn types(&self) -> Result<Types, super::OnnxError> {
        let types = Types::infer(self.proto());
        match types.conflicts(self.proto()).into_iter().next() {
            None => Ok(types),
            Some(fault) => Err(self.fault(fault)),
        }
    }
}

/// A node's attribute by name.
pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name() == name)
}

/// The element type an input, output or recorded value declares, where it is a dense tensor.
pub(super) fn element_type(value: &ValueInfoProto) -> Option<DataType> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => known(tensor.elem_type?),
        _ => None,
    }
}

/// A record of a value whose shape is not known.
pub(super) fn value_info(name: &str, element: DataType) -> ValueInfoProto {
    let tensor = type_proto::Tensor {
        elem_type: Some(element as i32),
        shape: None,
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

/// The element type of a constant tensor.
pub(super) fn tensor_type(tensor: &TensorProto) -> Option<DataType> {
    known(tensor.data_type?)
}

/// Whether values of this type are floating-point numbers a runtime computes with.
pub(super) fn is_float(data_type: DataType) -> bool {
    matches!(
        data_type,
        DataType::Float | DataType::Float16 | DataType::Bfloat16 | DataType::Double
    )
}

fn known(code: i32) -> Option<DataType> {
    DataType::try_from(code)
        .ok()
        .filter(|&known| known != DataType::Undefined)
}

/// The type of `Constant` and `ConstantOfShape`, which is that of the attribute they hold.
fn constant_type(node: &NodeProto) -> Option<DataType> {
    let Some(held) = node
        .attribute
        .iter()
        .find(|held| held.name().starts_with("value") || held.name() == "sparse_value")
    else {
        return (node.op_type() == "ConstantOfShape").then_some(DataType::Float);
    };
    match held.name() {
        "value" => tensor_type(held.t.as_ref()?),
        "sparse_value" => tensor_type(held.sparse_tensor.as_ref()?.values.as_ref()?),
        "value_float" | "value_floats" => Some(DataType::Float),
        "value_int" | "value_ints" => Some(DataType::Int64),
        "value_string" | "value_strings" => Some(DataType::String),
        _ => None,
    }
}
