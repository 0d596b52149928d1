//! Ranges of values as one small output, so that recording them takes no memory.

use super::{Pass, Report};
use crate::onnx::data_type::onnx_from_dtype;
use crate::onnx::error::OnnxError;
use crate::onnx::evaluate::Evaluator;
use crate::onnx::graph::Graph;
use crate::onnx::operators;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use crate::onnx::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto, type_proto,
};
use crate::onnx::types::Types;
use crate::tensor::DType;
use std::collections::BTreeMap;

/// Adds an output `observed_ranges` f32 `[2, n]`: the least and the greatest element of n values.
///
/// [`Report::observed`] names the values. What is only moved has the range of what it was moved from, and is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observe {
    /// Half values of a [`RoundingTwin`](super::RoundingTwin) before they are rounded, instead of every FP32 value.
    pub half_values: bool,
}

/// The output, and what the names of everything added start with.
const OUTPUT: &str = "observed_ranges";

impl Pass for Observe {
    fn name(&self) -> &'static str {
        "observe"
    }

    fn version(&self) -> u32 {
        1
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("half_values".to_owned(), self.half_values.to_string())])
    }

    fn run(
        &self,
        graph: &mut Graph,
        _evaluator: &dyn Evaluator,
        report: &mut Report,
    ) -> Result<(), OnnxError> {
        graph.require_flat()?;
        graph.index()?;
        let types = graph.types()?;
        let proto = graph.proto_mut();
        if proto.output.iter().any(|output| output.name() == OUTPUT) {
            return Ok(());
        }
        let values = self.values(proto, &types, &report.exact);
        if values.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::new();
        for operator in ["ReduceMin", "ReduceMax"] {
            let scalars = values.iter().enumerate().map(|(at, value)| {
                let [scalar, cell] =
                    ["", "_cell"].map(|end| format!("{OUTPUT}_{operator}_{at}{end}"));
                proto.node.push(node(
                    operator,
                    vec![value.clone()],
                    &scalar,
                    &[("keepdims", 0)],
                ));
                let cell_shape = vec![scalar, CELL.to_owned()];
                proto.node.push(node("Reshape", cell_shape, &cell, &[]));
                cell
            });
            let scalars: Vec<String> = scalars.collect();
            let row = format!("{OUTPUT}_{operator}");
            proto
                .node
                .push(node("Concat", scalars, &row, &[("axis", 1)]));
            rows.push(row);
        }
        proto
            .node
            .push(node("Concat", rows, OUTPUT, &[("axis", 0)]));
        proto.initializer.push(cell());
        proto.output.push(output(values.len()));
        report.observed = values
            .into_iter()
            .map(|value| report.exact.get(&value).cloned().unwrap_or(value))
            .collect();
        graph.index()?;
        Ok(())
    }
}

/// The shape `[1, 1]`.
const CELL: &str = "observed_ranges_cell";

impl Observe {
    fn values(
        self,
        graph: &GraphProto,
        types: &Types,
        exact: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let is_single = |value: &&String| types.of(value) == Some(DataType::Float);
        let computed = graph
            .node
            .iter()
            .filter(|node| !operators::only_moves(node) && !node.op_type().starts_with("Constant"))
            .flat_map(|node| &node.output)
            .filter(is_single)
            .filter(|value| !self.half_values || exact.contains_key(*value))
            .cloned();
        let inputs = graph
            .input
            .iter()
            .map(|input| input.name().to_owned())
            .filter(|input| !self.half_values && is_single(&input));
        inputs.chain(computed).collect()
    }
}

fn node(operator: &str, input: Vec<String>, output: &str, integers: &[(&str, i64)]) -> NodeProto {
    let attribute = integers.iter().map(|(name, value)| AttributeProto {
        name: Some((*name).to_owned()),
        r#type: Some(attribute_proto::AttributeType::Int as i32),
        i: Some(*value),
        ..AttributeProto::default()
    });
    NodeProto {
        input,
        output: vec![output.to_owned()],
        name: Some(output.to_owned()),
        op_type: Some(operator.to_owned()),
        attribute: attribute.collect(),
        ..NodeProto::default()
    }
}

fn cell() -> TensorProto {
    TensorProto {
        name: Some(CELL.to_owned()),
        dims: vec![2],
        data_type: Some(DataType::Int64 as i32),
        int64_data: vec![1, 1],
        ..TensorProto::default()
    }
}

fn output(values: usize) -> ValueInfoProto {
    let dims = [2, i64::try_from(values).unwrap_or(i64::MAX)];
    let dim = dims.map(|size| Dimension {
        denotation: None,
        value: Some(dimension::Value::DimValue(size)),
    });
    let tensor = type_proto::Tensor {
        elem_type: Some(onnx_from_dtype(DType::F32) as i32),
        shape: Some(TensorShapeProto { dim: dim.into() }),
    };
    ValueInfoProto {
        name: Some(OUTPUT.to_owned()),
        r#type: Some(TypeProto {
            denotation: None,
            value: Some(type_proto::Value::TensorType(tensor)),
        }),
        ..ValueInfoProto::default()
    }
}
