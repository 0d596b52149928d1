//! A batch that is fixed in a graph's interface alone.

use super::{Pass, Report};
use crate::onnx::error::OnnxError;
use crate::onnx::evaluate::Evaluator;
use crate::onnx::graph::Graph;
use crate::onnx::operators::{is_standard, only_moves};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use crate::onnx::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, ValueInfoProto,
    type_proto,
};
use crate::onnx::types::{attribute, tensor_type};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Turns the batch that every input and output declares as one number into an axis, where only the interface fixes it:
/// some exporters record the batch of their example, though every operator takes any.
///
/// A batch of one stays, since a one may as well be a dimension that is spread over the others. So does one that is a
/// number in a shape the graph makes, the leading dimension of a constant that is computed with, or what an operator
/// that cuts or repeats along the leading axis counts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeBatch {
    /// The name of the axis.
    pub axis: String,
}

impl Pass for FreeBatch {
    fn name(&self) -> &'static str {
        "free_batch"
    }

    fn version(&self) -> u32 {
        2
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("axis".to_owned(), self.axis.clone())])
    }

    fn run(
        &self,
        graph: &mut Graph,
        _evaluator: &dyn Evaluator,
        report: &mut Report,
    ) -> Result<(), OnnxError> {
        graph.require_flat()?;
        graph.index()?;
        let Some(batch) = declared_batch(graph.proto()) else {
            return Ok(());
        };
        if Shapes::of(graph.proto()).hold(batch) {
            return Ok(());
        }
        let proto = graph.proto_mut();
        let constants: HashSet<String> = names(&proto.initializer).map(str::to_owned).collect();
        let inputs = proto.input.iter_mut();
        let inputs = inputs.filter(|input| !constants.contains(input.name()));
        for value in inputs.chain(&mut proto.output) {
            let leading = shape_mut(value).and_then(|shape| shape.dim.first_mut());
            if let Some(leading) = leading {
                leading.value = Some(dimension::Value::DimParam(self.axis.clone()));
                report.freed_ports += 1;
            }
        }
        // What was recorded of values inside holds for one batch only.
        for value in &mut proto.value_info {
            forget_shape(value);
        }
        Ok(())
    }
}

/// The leading dimension, where all inputs and outputs declare the same number above one.
fn declared_batch(graph: &GraphProto) -> Option<i64> {
    let constants: HashSet<&str> = names(&graph.initializer).collect();
    let inputs = graph.input.iter();
    let inputs = inputs.filter(|input| !constants.contains(input.name()));
    let mut batch = None;
    for value in inputs.chain(&graph.output) {
        let type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()? else {
            return None;
        };
        let leading = tensor.shape.as_ref()?.dim.first()?;
        let Dimension {
            value: Some(dimension::Value::DimValue(size)),
            ..
        } = leading
        else {
            return None;
        };
        if *size < 2 || batch.is_some_and(|batch| batch != *size) {
            return None;
        }
        batch = Some(*size);
    }
    batch
}

/// What of a graph decides shapes.
struct Shapes<'a> {
    graph: &'a GraphProto,
    givers: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, &'a TensorProto>,
    /// Values computed from inputs, but for those computed from shapes alone.
    computed: HashSet<&'a str>,
}

impl<'a> Shapes<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        let outputs =
            |node: &'a NodeProto| node.output.iter().map(move |name| (name.as_str(), node));
        let constants = graph.initializer.iter();
        Self {
            graph,
            givers: graph.node.iter().flat_map(outputs).collect(),
            constants: constants.map(|tensor| (tensor.name(), tensor)).collect(),
            computed: computed(graph),
        }
    }

    /// Whether the batch is a number somewhere.
    fn hold(&self, batch: i64) -> bool {
        self.graph.node.iter().any(|node| {
            let shape = match node.op_type() {
                "ConstantOfShape" => node.input.first(),
                "Expand" | "Reshape" => node.input.get(1),
                _ => None,
            };
            let is_made = shape.is_some_and(|shape| self.leading(shape) == Some(batch));
            let takes_weights = matches!(
                node.op_type(),
                "Conv" | "ConvTranspose" | "Gather" | "Gemm" | "MatMul"
            );
            let spreads = |input: &String| {
                let tensor = self.constant(input);
                tensor.is_some_and(|tensor| {
                    // Vectors of integers are axes, sizes and positions.
                    let is_value = tensor.dims.len() > 1 || is_float(tensor);
                    is_value && tensor.dims.first() == Some(&batch)
                })
            };
            is_made
                || self.cuts_the_batch(node)
                || (!takes_weights && node.input.iter().any(spreads))
        })
    }

    /// Whether a node takes the leading axis of what is computed apart, or repeats it.
    ///
    /// That axis need not be the batch any more; a batch that stays costs a number of requests, and nothing else.
    fn cuts_the_batch(&self, node: &NodeProto) -> bool {
        let data = node.input.first();
        if !is_standard(node) || data.is_none_or(|data| !self.computed.contains(data.as_str())) {
            return false;
        }
        match node.op_type() {
            "Gather" | "Split" => attribute(node, "axis").map_or(0, AttributeProto::i) == 0,
            "Slice" => match node.input.get(3).filter(|name| !name.is_empty()) {
                Some(name) => self
                    .constant(name)
                    .is_none_or(|axes| integers(axes).contains(&0)),
                None => attribute(node, "axes").is_none_or(|axes| axes.ints.contains(&0)),
            },
            "Tile" => {
                let repeats = node.input.get(1).and_then(|repeats| self.leading(repeats));
                repeats.is_some_and(|repeats| repeats != 1)
            }
            _ => false,
        }
    }

    /// The first element of a vector of integers, where it is a number.
    fn leading(&self, value: &str) -> Option<i64> {
        if let Some(tensor) = self.constant(value) {
            return first_integer(tensor);
        }
        let node = self.givers.get(value)?;
        let passes = node.op_type() == "Cast" || only_moves(node);
        // What is taken from the middle of another vector is no leading element of it.
        let picks = matches!(node.op_type(), "Gather" | "Slice" | "Split");
        (is_standard(node) && passes && !picks)
            .then(|| self.leading(node.input.first()?))
            .flatten()
    }

    fn constant(&self, value: &str) -> Option<&'a TensorProto> {
        let held = || {
            let node = self.givers.get(value)?;
            (node.op_type() == "Constant").then(|| attribute(node, "value"))?
        };
        let known = self.constants.get(value).copied();
        known.or_else(|| held().and_then(|held: &AttributeProto| held.t.as_ref()))
    }
}

/// Values that hold the batch: computed from inputs, other than by their shapes alone. Nodes are in the order of their
/// computation.
fn computed(graph: &GraphProto) -> HashSet<&str> {
    let constants: HashSet<&str> = names(&graph.initializer).collect();
    let inputs = graph.input.iter().map(ValueInfoProto::name);
    let mut computed: HashSet<&str> = inputs.filter(|name| !constants.contains(name)).collect();
    for node in &graph.node {
        let is_shape = matches!(node.op_type(), "Shape" | "Size");
        if !is_shape
            && node
                .input
                .iter()
                .any(|value| computed.contains(value.as_str()))
        {
            computed.extend(node.output.iter().map(String::as_str));
        }
    }
    computed
}

fn first_integer(tensor: &TensorProto) -> Option<i64> {
    integers(tensor).first().copied()
}

/// The elements of a tensor of integers; none of another.
fn integers(tensor: &TensorProto) -> Vec<i64> {
    let raw = tensor.raw_data.as_deref();
    match (tensor_type(tensor), raw) {
        (Some(DataType::Int64), Some(raw)) => {
            let (elements, _) = raw.as_chunks();
            elements
                .iter()
                .map(|bytes| i64::from_le_bytes(*bytes))
                .collect()
        }
        (Some(DataType::Int64), None) => tensor.int64_data.clone(),
        (Some(DataType::Int32), Some(raw)) => {
            let (elements, _) = raw.as_chunks();
            elements
                .iter()
                .map(|bytes| i64::from(i32::from_le_bytes(*bytes)))
                .collect()
        }
        (Some(DataType::Int32), None) => tensor.int32_data.iter().copied().map(i64::from).collect(),
        _ => Vec::new(),
    }
}

fn is_float(tensor: &TensorProto) -> bool {
    matches!(
        tensor_type(tensor),
        Some(DataType::Float | DataType::Float16 | DataType::Bfloat16 | DataType::Double)
    )
}

fn names(tensors: &[TensorProto]) -> impl Iterator<Item = &str> {
    tensors.iter().map(TensorProto::name)
}

fn shape_mut(value: &mut ValueInfoProto) -> Option<&mut TensorShapeProto> {
    match value.r#type.as_mut()?.value.as_mut()? {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_mut(),
        _ => None,
    }
}

fn forget_shape(value: &mut ValueInfoProto) {
    let held = value.r#type.as_mut().and_then(|held| held.value.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = held {
        tensor.shape = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::builder::{Attribute, GraphBuilder};
    use crate::onnx::evaluate::NoEvaluator;
    use crate::tensor::{DType, Dim};

    /// `x` goes through `middle` to `y`.
    fn fixed(batch: &str, middle: impl FnOnce(GraphBuilder) -> GraphBuilder) -> GraphBuilder {
        let builder = GraphBuilder::new()
            .input("x", DType::F32, &[batch, "80", "frames"])
            .input("t", DType::F32, &[batch]);
        middle(builder).output("y", DType::F32, &[batch, "80", "frames"])
    }

    fn freed(builder: &GraphBuilder) -> usize {
        let pass = FreeBatch {
            axis: "batch".to_owned(),
        };
        let mut graph = Graph::of(&builder.read());
        let mut report = Report::default();
        pass.run(&mut graph, &NoEvaluator, &mut report)
            .expect("well formed");
        let once = graph.model().clone();
        pass.run(&mut graph, &NoEvaluator, &mut Report::default())
            .expect("its own result");
        assert_eq!(graph.model(), &once);
        let signature = crate::onnx::interface::signature(graph.file(), graph.proto());
        let signature = signature.expect("plain");
        let ports = signature.inputs.iter().chain(&signature.outputs);
        let is_axis = |dim: &Dim| *dim == Dim::from_param("batch");
        let axes = ports.filter(|port| is_axis(&port.dims[0])).count();
        assert_eq!(axes, report.freed_ports);
        report.freed_ports
    }

    #[test]
    fn a_batch_of_the_interface_alone_becomes_an_axis() {
        let generic = fixed("2", |builder| {
            builder
                .constant("rows", &[3], &[0i64, 0, -1])
                .constant("weight", &[2, 80, 80], &vec![0f32; 12_800])
                .node("Reshape", &["x", "rows"], &["r"])
                .node("MatMul", &["weight", "r"], &["m"])
                .node("Relu", &["x"], &["y"])
        });
        assert_eq!(freed(&generic), 3);
    }

    #[test]
    fn what_is_cut_elsewhere_holds_no_batch() {
        let cut = fixed("2", |builder| {
            let axis = [("axis", Attribute::Int(1))];
            builder
                .constant("begin", &[1], &[0i64])
                .constant("end", &[1], &[1i64])
                .constant("last", &[1], &[-1i64])
                .constant("none", &[1], &[0i64])
                .constant("table", &[2, 80], &[0f32; 160])
                .constant("once", &[3], &[1i64, 1, 2])
                .node("Slice", &["x", "begin", "end", "last"], &["frame"])
                .node_with("Split", &["x"], &["low", "high"], &axis)
                .node("Shape", &["x"], &["shape"])
                .node("Slice", &["shape", "begin", "end", "none"], &["rows"])
                .node("Gather", &["shape", "begin"], &["size"])
                .node("Gather", &["table", "begin"], &["row"])
                .node("Tile", &["x", "once"], &["long"])
                .node("Relu", &["x"], &["y"])
        });
        assert_eq!(freed(&cut), 3);
    }

    #[test]
    fn a_batch_that_the_graph_holds_stays() {
        let relu = |builder: GraphBuilder| builder.node("Relu", &["x"], &["y"]);
        let reshaped = |builder: GraphBuilder| {
            relu(builder.constant("rows", &[3], &[2i64, 80, -1]).node(
                "Reshape",
                &["x", "rows"],
                &["r"],
            ))
        };
        let joined = |builder: GraphBuilder| {
            let axis = [("axis", Attribute::Int(0))];
            let builder = builder
                .constant("two", &[1], &[2i64])
                .constant("rest", &[2], &[80i64, -1])
                .node_with("Concat", &["two", "rest"], &["rows"], &axis);
            relu(builder.node("Reshape", &["x", "rows"], &["r"]))
        };
        let spread = |builder: GraphBuilder| {
            builder.constant("noise", &[2, 80, 1], &[0f32; 160]).node(
                "Add",
                &["x", "noise"],
                &["y"],
            )
        };
        let scaled = |builder: GraphBuilder| {
            relu(
                builder
                    .constant("rates", &[2], &[1f32, 0.5])
                    .node("Mul", &["t", "rates"], &["u"]),
            )
        };
        let mixed = |builder: GraphBuilder| {
            relu(builder.constant("bias", &[2, 1], &[1f32, 0.5]).node(
                "Add",
                &["t", "bias"],
                &["u"],
            ))
        };
        let sliced = |builder: GraphBuilder| {
            let builder = builder
                .constant("begin", &[1], &[0i64])
                .constant("end", &[1], &[1i64])
                .constant("axes", &[1], &[0i64]);
            relu(builder.node("Slice", &["x", "begin", "end", "axes"], &["first"]))
        };
        let all_axes = |builder: GraphBuilder| {
            let builder = builder
                .constant("begin", &[1], &[0i64])
                .constant("end", &[1], &[1i64]);
            relu(builder.node("Slice", &["x", "begin", "end"], &["first"]))
        };
        let split = |builder: GraphBuilder| {
            let axis = [("axis", Attribute::Int(0))];
            relu(builder.node_with("Split", &["x"], &["first", "second"], &axis))
        };
        let picked = |builder: GraphBuilder| {
            let axis = [("axis", Attribute::Int(0))];
            let builder = builder.constant("one", &[], &[1i64]);
            relu(builder.node_with("Gather", &["x", "one"], &["second"], &axis))
        };
        let tiled = |builder: GraphBuilder| {
            let builder = builder.constant("twice", &[3], &[2i64, 1, 1]);
            relu(builder.node("Tile", &["x", "twice"], &["both"]))
        };
        for (batch, builder) in [
            ("2", fixed("2", reshaped)),
            ("2", fixed("2", scaled)),
            ("2", fixed("2", mixed)),
            ("2", fixed("2", sliced)),
            ("2", fixed("2", all_axes)),
            ("2", fixed("2", split)),
            ("2", fixed("2", picked)),
            ("2", fixed("2", tiled)),
            ("2", fixed("2", joined)),
            ("2", fixed("2", spread)),
            ("1", fixed("1", relu)),
        ] {
            assert_eq!(
                freed(&builder),
                0,
                "batch {batch}: {:?}",
                builder.model().graph
            );
        }
        let uneven = fixed("2", relu).input("u", DType::F32, &["3"]);
        assert_eq!(freed(&uneven), 0);
    }
}
