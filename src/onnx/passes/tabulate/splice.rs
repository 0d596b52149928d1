//! Tables in the place of what they were computed from.

use super::table::{Table, tensor};
use crate::onnx::passes::names::Names;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto};

/// An input this far from every value is none of them.
const TOLERANCE: f32 = 1e-4;

/// Turns each of these nodes into a look-up; what gave their inputs is then needed by no one.
///
/// The row is that of the nearest value. A distance of [`TOLERANCE`] to the last row, which is NaN, stands beside the
/// distances to the values, so that an input that is none of them shows in every result.
pub(super) fn splice(
    graph: &mut GraphProto,
    input: &str,
    values: &[f32],
    tables: Vec<(usize, Table)>,
) {
    let mut names = Names::of(graph);
    let mut fresh = |part: &str| names.fresh(input, part);
    let [column_shape, signs, points] = ["column_shape", "signs", "values"].map(&mut fresh);
    let [column, signed, offset, distance, row] =
        ["column", "signed", "offset", "distance", "row"].map(&mut fresh);
    for (position, table) in tables {
        let node = &mut graph.node[position];
        let held = names.fresh(node.output.first().map_or("", String::as_str), "table");
        graph.initializer.push(table.into_proto(&held));
        *node = NodeProto {
            name: node.name.take(),
            ..operator(
                "Gather",
                &[&held, &row],
                node.output.first().map_or("", String::as_str),
            )
        };
    }
    let count = i64::try_from(values.len() + 1).expect("a handful of values");
    let last = |body: f32, end: f32| {
        let ones = values.iter().map(move |_| body);
        ones.chain([end]).collect::<Vec<f32>>()
    };
    let mut targets = values.to_vec();
    targets.push(TOLERANCE);
    graph.initializer.extend([
        TensorProto {
            name: Some(column_shape.clone()),
            dims: vec![2],
            data_type: Some(DataType::Int64 as i32),
            int64_data: vec![-1, 1],
            ..TensorProto::default()
        },
        tensor(&signs, vec![1, count], &last(1.0, 0.0)),
        tensor(&points, vec![1, count], &targets),
    ]);
    let nearest = NodeProto {
        attribute: vec![integer("axis", 1), integer("keepdims", 0)],
        ..operator("ArgMin", &[&distance], &row)
    };
    let look_up = [
        operator("Reshape", &[input, &column_shape], &column),
        operator("Mul", &[&column, &signs], &signed),
        operator("Sub", &[&signed, &points], &offset),
        operator("Abs", &[&offset], &distance),
        nearest,
    ];
    graph.node.splice(0..0, look_up);
}

fn operator(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        name: Some(output.to_owned()),
        op_type: Some(operator.to_owned()),
        ..NodeProto::default()
    }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(attribute_proto::AttributeType::Int as i32),
        i: Some(value),
        ..AttributeProto::default()
    }
}
