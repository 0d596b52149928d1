//! The FP32 twin of a graph in half precision, for machines that have no kernels in half.
//!
//! ONNX Runtime's processor kernels keep FP32 inside a half-precision graph, so an overflow can go unseen there. The
//! twin computes in FP32 too, and takes every half value through the half type: `node → exact → rounded → reader`. One
//! operator of our own does it where two conversions would: with those, ONNX Runtime takes many times as long to load a
//! graph of thousands of nodes, since it looks for memory to share among all values of a known shape.

use super::names::Names;
use super::{HalfType, Pass, Report};
use crate::ids::operator::{DOMAIN, ROUND_TO_BF16, ROUND_TO_F16};
use crate::onnx::error::OnnxError;
use crate::onnx::evaluate::Evaluator;
use crate::onnx::graph::Graph;
use crate::onnx::operators;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Gives a graph that [`Half`](super::Half) rewrote its FP32 twin: every half value is rounded to the half type, and
/// becomes infinite where it is too large, just as on a device; products still accumulate in FP32, as there.
///
/// Constants, inputs and outputs keep their types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundingTwin {
    /// The half type of the graph.
    pub of: HalfType,
}

impl Pass for RoundingTwin {
    fn name(&self) -> &'static str {
        "rounding_twin"
    }

    fn version(&self) -> u32 {
        2
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("of".to_owned(), self.of.as_str().to_owned())])
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
        let half = self.of.data_type();
        let is_half = |value: &str| types.of(value) == Some(half);
        let proto = graph.proto_mut();
        let mut twin = Twin {
            of: self.of,
            names: Names::of(proto),
            readers: Readers::of(&proto.node, &proto.output),
            rounded: HashMap::new(),
            exact: BTreeMap::new(),
            nodes: Vec::with_capacity(2 * proto.node.len()),
        };
        let constants = proto.initializer.iter().map(TensorProto::name);
        let inputs = proto.input.iter().map(ValueInfoProto::name);
        for value in constants.chain(inputs).filter(|value| is_half(value)) {
            twin.read_half(value);
        }
        for node in std::mem::take(&mut proto.node) {
            twin.place(node, &is_half);
        }
        proto.node = twin.nodes;
        report.exact = twin.exact;
        proto.value_info.retain(|value| !is_half(value.name()));
        graph.import(OperatorSetIdProto {
            domain: Some(DOMAIN.to_owned()),
            version: Some(1),
        });
        graph.index()?;
        graph.types()?;
        Ok(())
    }
}

struct Twin {
    of: HalfType,
    names: Names,
    readers: Readers,
    /// The FP32 form of each half value.
    rounded: HashMap<String, String>,
    /// The half value that each value before its rounding is.
    exact: BTreeMap<String, String>,
    nodes: Vec<NodeProto>,
}

impl Twin {
    fn place(&mut self, mut node: NodeProto, is_half: &impl Fn(&str) -> bool) {
        // A conversion gives or takes the half type itself; so does what holds a constant.
        if matches!(
            node.op_type(),
            "Cast" | "CastLike" | "Constant" | "ConstantOfShape"
        ) {
            let given = node.output.clone();
            self.nodes.push(node);
            for value in given.iter().filter(|value| is_half(value)) {
                self.read_half(value);
            }
            return;
        }
        for value in &mut node.input {
            if let Some(rounded) = self.rounded.get(value) {
                value.clone_from(rounded);
            }
        }
        let moves = operators::only_moves(&node);
        let mut given = Vec::new();
        for value in node.output.iter_mut().filter(|value| is_half(value)) {
            let half = std::mem::take(value);
            let rounded = self.names.fresh(&half, "rounded");
            *value = if moves {
                // What is only moved was rounded before.
                rounded.clone()
            } else {
                self.names.fresh(&half, "exact")
            };
            given.push((half, value.clone(), rounded));
        }
        self.nodes.push(node);
        for (half, exact, rounded) in given {
            if !moves {
                self.nodes.push(round(&exact, &rounded, self.of));
                self.exact.insert(exact, half.clone());
            }
            if self.readers.in_half.contains(&half) {
                self.nodes.push(cast(&rounded, self.of.data_type(), &half));
            }
            self.rounded.insert(half, rounded);
        }
    }

    /// Gives the FP32 form of a half value to the nodes that compute with it.
    fn read_half(&mut self, value: &str) {
        if self.readers.computing.contains(value) {
            let rounded = self.names.fresh(value, "rounded");
            self.nodes.push(cast(value, DataType::Float, &rounded));
            self.rounded.insert(value.to_owned(), rounded);
        }
    }
}

/// Who reads a value.
struct Readers {
    /// Values that nodes other than conversions read.
    computing: HashSet<String>,
    /// Values that conversions read, or that are outputs of the graph.
    in_half: HashSet<String>,
}

impl Readers {
    fn of(nodes: &[NodeProto], outputs: &[ValueInfoProto]) -> Self {
        let (casts, others): (Vec<_>, Vec<_>) = nodes
            .iter()
            .partition(|node| matches!(node.op_type(), "Cast" | "CastLike"));
        let read = |nodes: Vec<&NodeProto>| -> HashSet<String> {
            let values = nodes.into_iter().flat_map(|node| node.input.iter());
            values.cloned().collect()
        };
        let mut in_half = read(casts);
        in_half.extend(outputs.iter().map(|output| output.name().to_owned()));
        Self {
            computing: read(others),
            in_half,
        }
    }
}

/// A conversion; an exporter may have named a node as the value it gives.
fn cast(from: &str, to: DataType, value: &str) -> NodeProto {
    NodeProto {
        name: Some(format!("{value}__cast")),
        ..super::half::cast_node(from.to_owned(), to, value.to_owned())
    }
}

/// Rounds a value in FP32 to the half type, and leaves it in FP32.
fn round(exact: &str, rounded: &str, of: HalfType) -> NodeProto {
    let operator = match of {
        HalfType::F16 => ROUND_TO_F16,
        HalfType::Bf16 => ROUND_TO_BF16,
    };
    NodeProto {
        input: vec![exact.to_owned()],
        output: vec![rounded.to_owned()],
        name: Some(format!("{rounded}__round")),
        op_type: Some(operator.to_owned()),
        domain: Some(DOMAIN.to_owned()),
        ..NodeProto::default()
    }
}
