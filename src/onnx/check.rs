//! What of a graph a backend is known to refuse.

use super::data_type::dtype_from_onnx;
use super::graph::{GraphFault, node_label};
use super::index::Index;
use super::operators;
use super::proto::tensor_proto::DataType;
use super::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use super::types::{Types, Untyped, element_type};
use super::walk;
use crate::ids::{BackendId, Precision};
use crate::tensor::DType;
use std::fmt;

/// One thing that stands in a backend's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The backend; `None` where every backend is concerned.
    pub backend: Option<BackendId>,
    /// The node, input or output; empty for the model as a whole.
    pub subject: String,
    /// What is in the way.
    pub obstacle: Obstacle,
}

/// What stands in a backend's way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// The graph is not well formed.
    Malformed(GraphFault),
    /// The operator is not ONNX's own and needs a plugin.
    ForeignOperator(String),
    /// The operator is not supported at all.
    Operator(String),
    /// The operator is not supported in this precision.
    OperatorIn(String, Precision),
    /// The model is of an operator set the parser does not read.
    OperatorSet(i64),
    /// An input or output has a type the runtime does not pass.
    InterfaceType(String),
    /// The node holds a subgraph, which passes do not rewrite.
    ControlFlow(String),
    /// The element type of an output is unknown, so that its node keeps the types it has.
    Untyped(String),
}

/// Operator sets the TensorRT parser reads.
const TENSORRT_OPERATOR_SETS: std::ops::RangeInclusive<i64> = 9..=20;

/// Operators that TensorRT does not support.
///
/// Source for these lists: `docs/operators.md` of the ONNX-TensorRT project, release 10.1. TensorRT 8.6 is not listed
/// apart; it reads no BF16, and 64-bit integers only where they fit 32 bits.
#[rustfmt::skip]
const TENSORRT_LACKS: &[&str] = &[
    "AffineGrid", "Bernoulli", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr",
    "BitwiseXor", "BlackmanWindow", "CenterCropPad", "Col2Im", "Compress", "ConcatFromSequence",
    "ConvInteger", "DFT", "Det", "DynamicQuantizeLinear", "HammingWindow", "HannWindow",
    "ImageDecoder", "MatMulInteger", "MaxRoiPool", "MaxUnpool", "MelWeightMatrix",
    "Multinomial", "NegativeLogLikelihoodLoss", "Optional", "OptionalGetElement",
    "OptionalHasElement", "QLinearConv", "QLinearMatMul", "RegexFullMatch", "STFT",
    "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert",
    "SequenceLength", "SequenceMap", "SoftmaxCrossEntropyLoss", "SplitToSequence",
    "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer", "Unique",
];

/// Operators that TensorRT supports in FP16 and not in BF16.
const TENSORRT_LACKS_IN_BF16: &[&str] = &[
    "DeformConv",
    "GridSample",
    "Mish",
    "NonMaxSuppression",
    "NonZero",
    "RoiAlign",
];

/// Everything known to stand in the way of these backends; none for ONNX Runtime beyond what concerns every backend.
///
/// What is not found here may still be refused: operators have limits on attributes and shapes that only the backend's
/// own parser knows.
pub fn check(model: &ModelProto, precision: Precision, backends: &[BackendId]) -> Vec<Finding> {
    let Some(graph) = &model.graph else {
        return Vec::new();
    };
    let mut findings = everywhere(graph);
    for &backend in backends {
        match backend {
            BackendId::TensorRt | BackendId::TensorRtRtx => {
                findings.extend(for_tensorrt(model, graph, precision, backend));
            }
            BackendId::OrtCuda | BackendId::OrtCpu => {}
        }
    }
    findings
}

fn everywhere(graph: &GraphProto) -> Vec<Finding> {
    let index = Index::of(graph);
    let types = Types::infer(graph);
    let faults = index.faults().iter().cloned();
    let malformed = faults.chain(types.conflicts(graph)).map(|fault| Finding {
        backend: None,
        subject: String::new(),
        obstacle: Obstacle::Malformed(fault),
    });
    let untyped = types.untyped().iter().map(|untyped| {
        let Untyped {
            node,
            operator,
            value: _,
        } = untyped;
        Finding {
            backend: None,
            subject: node.clone(),
            obstacle: Obstacle::Untyped(operator.clone()),
        }
    });
    let control = graph
        .node
        .iter()
        .enumerate()
        .filter_map(|(position, node)| {
            walk::subgraphs(node).next()?;
            Some(Finding {
                backend: None,
                subject: node_label(node, position),
                obstacle: Obstacle::ControlFlow(node.op_type().to_owned()),
            })
        });
    malformed.chain(untyped).chain(control).collect()
}

fn for_tensorrt(
    model: &ModelProto,
    graph: &GraphProto,
    precision: Precision,
    backend: BackendId,
) -> Vec<Finding> {
    let finding = |subject: String, obstacle| Finding {
        backend: Some(backend),
        subject,
        obstacle,
    };
    let sets = model.opset_import.iter();
    let version = sets
        .filter(|set| matches!(set.domain(), "" | "ai.onnx"))
        .map(OperatorSetIdProto::version)
        .find(|version| !TENSORRT_OPERATOR_SETS.contains(version))
        .map(|version| finding(String::new(), Obstacle::OperatorSet(version)));
    let io = graph.input.iter().chain(&graph.output);
    let interface = io
        .filter(|value| !passes(element_type(value)))
        .map(|value| {
            let words = super::interface::type_in_words(value);
            finding(value.name().to_owned(), Obstacle::InterfaceType(words))
        });
    let nodes = walk::nodes(graph).into_iter().enumerate();
    let refused = nodes.filter_map(|(position, node)| {
        Some(finding(
            node_label(node, position),
            tensorrt_obstacle(node, precision)?,
        ))
    });
    version
        .into_iter()
        .chain(interface)
        .chain(refused)
        .collect()
}

fn tensorrt_obstacle(node: &NodeProto, precision: Precision) -> Option<Obstacle> {
    let operator = node.op_type();
    if !operators::is_standard(node) {
        Some(Obstacle::ForeignOperator(operators::qualified(node)))
    } else if TENSORRT_LACKS.contains(&operator) {
        Some(Obstacle::Operator(operator.to_owned()))
    } else if precision == Precision::Bf16 && TENSORRT_LACKS_IN_BF16.contains(&operator) {
        Some(Obstacle::OperatorIn(operator.to_owned(), precision))
    } else {
        None
    }
}

/// Whether the runtime passes this type to TensorRT; 64-bit integers are for ONNX Runtime alone.
fn passes(element: Option<DataType>) -> bool {
    let dtype = element.and_then(dtype_from_onnx);
    dtype.is_some_and(|dtype| dtype != DType::I64)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(backend) = self.backend {
            write!(f, "{backend}: ")?;
        }
        if !self.subject.is_empty() {
            write!(f, "`{}`: ", self.subject)?;
        }
        write!(f, "{}", self.obstacle)
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(fault) => write!(f, "{fault}"),
            Self::ForeignOperator(operator) => write!(f, "{operator} needs a plugin"),
            Self::Operator(operator) => write!(f, "{operator} is not supported"),
            Self::OperatorIn(operator, precision) => {
                write!(f, "{operator} is not supported in {precision}")
            }
            Self::OperatorSet(version) => write!(f, "operator set {version} is not read"),
            Self::InterfaceType(words) => write!(f, "{words} is not passed"),
            Self::ControlFlow(operator) => {
                write!(f, "{operator} holds a subgraph, so the graph stays in FP32")
            }
            Self::Untyped(operator) => {
                write!(f, "the types that {operator} gives are unknown")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::builder::GraphBuilder;
    use super::*;

    const TENSORRT: &[BackendId] = &[BackendId::TensorRt];

    #[test]
    fn the_lists_are_sorted() {
        assert!(TENSORRT_LACKS.is_sorted());
        assert!(TENSORRT_LACKS_IN_BF16.is_sorted());
    }

    #[test]
    fn an_ordinary_graph_has_no_findings() {
        let graph = GraphBuilder::new()
            .input("x", DType::F32, &["batch", "3"])
            .node("Relu", &["x"], &["y"])
            .output("y", DType::F32, &["batch", "3"]);
        assert_eq!(check(graph.model(), Precision::Fp16, TENSORRT), []);
    }

    #[test]
    fn obstacles_are_found() {
        let graph = GraphBuilder::new()
            .input("x", DType::F32, &["1", "4"])
            .input("ids", DType::I64, &["1"])
            .node("Det", &["x"], &["a"])
            .node("com.microsoft::Gelu", &["x"], &["b"])
            .node("Mish", &["x"], &["c"])
            .node("Add", &["c", "nowhere"], &["d"])
            .output("a", DType::F32, &[])
            .output("d", DType::F32, &[]);
        let found: Vec<String> = check(graph.model(), Precision::Bf16, TENSORRT)
            .iter()
            .map(Finding::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "`/d` reads `nowhere`, which nothing gives",
                "`/b`: the types that com.microsoft::Gelu gives are unknown",
                "tensorrt: `ids`: int64 [1] is not passed",
                "tensorrt: `/a`: Det is not supported",
                "tensorrt: `/b`: com.microsoft::Gelu needs a plugin",
                "tensorrt: `/c`: Mish is not supported in bf16",
            ]
        );
        let on_processor = check(graph.model(), Precision::Fp32, &[BackendId::OrtCpu]);
        assert_eq!(on_processor.len(), 2);
    }
}
