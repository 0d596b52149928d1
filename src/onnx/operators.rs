//! What the passes know of ONNX operators: which types their outputs have, and which inputs share a computing type.
//!
//! Source: the type constraints in `docs/Operators.md` of the ONNX project, operator sets up to 20. Operators that are
//! not here are treated as opaque.

use super::proto::NodeProto;
use super::proto::tensor_proto::DataType;
use crate::ids::operator;

/// Where the element type of an output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputType {
    /// The input at this position.
    SameAs(usize),
    /// Always this type.
    Is(DataType),
    /// The data type number in this attribute, or the default.
    Attribute(&'static str, Option<DataType>),
    /// The constant in the node's attribute.
    Value,
}

/// Operators whose first output has the type of their first input.
#[rustfmt::skip]
const FOLLOW_FIRST_INPUT: &[&str] = &[
    "Abs", "Acos", "Acosh", "Add", "Asin", "Asinh", "Atan", "Atanh", "AveragePool",
    "BatchNormalization", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor",
    "Ceil", "Celu", "CenterCropPad", "Clip", "Col2Im", "Compress", "Concat", "Conv",
    "ConvTranspose", "Cos", "Cosh", "CumSum", "DepthToSpace", "Det", "Div", "Dropout", "Einsum",
    "Elu", "Erf", "Exp", "Expand", "Flatten", "Floor", "GRU", "Gather", "GatherElements",
    "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool",
    "GridSample", "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity",
    "InstanceNormalization", "LRN", "LSTM", "LayerNormalization", "LeakyRelu", "Log",
    "LogSoftmax", "LpNormalization", "LpPool", "MatMul", "Max", "MaxPool", "Mean",
    "MeanVarianceNormalization", "Min", "Mish", "Mod", "Mul", "Neg", "PRelu", "Pad", "Pow",
    "RNN", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
    "Relu", "Reshape", "Resize", "ReverseSequence", "Round", "Scatter", "ScatterElements",
    "ScatterND", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Slice", "Softmax",
    "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tan",
    "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Unique", "Unsqueeze",
    "Upsample",
];

/// Operators whose only output is Boolean.
#[rustfmt::skip]
const BOOLEAN: &[&str] = &[
    "And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not",
    "Or", "Xor",
];

/// Operators whose only output counts or points.
const INT64: &[&str] = &[
    "ArgMax",
    "ArgMin",
    "NonMaxSuppression",
    "NonZero",
    "Shape",
    "Size",
];

/// Standard operators that ONNX gives no half-precision form at operator set 17, so that they keep the types they have.
#[rustfmt::skip]
const KEEP_TYPES: &[&str] = &[
    "Bernoulli", "BlackmanWindow", "DFT", "DequantizeLinear", "DynamicQuantizeLinear",
    "EyeLike", "HammingWindow", "HannWindow", "IsInf", "MelWeightMatrix", "Multinomial",
    "NonMaxSuppression", "QuantizeLinear", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "Range", "STFT",
];

/// Operators that give something else each time.
const DRAWS: &[&str] = &[
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
];

/// Operators that give elements of their inputs, unchanged.
#[rustfmt::skip]
const MOVERS: &[&str] = &[
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "Identity", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose",
    "Unsqueeze",
];

/// Where the type of one output comes from; `None` for operators unknown here. Those of our own keep their input's.
pub(super) fn output_type(node: &NodeProto, output: usize) -> Option<OutputType> {
    use OutputType::{Attribute, Is, SameAs, Value};
    if node.domain() == operator::DOMAIN && operator::ALL.contains(&node.op_type()) {
        return (output == 0).then_some(SameAs(0));
    }
    if !is_standard(node) {
        return None;
    }
    Some(match (node.op_type(), output) {
        ("Constant" | "ConstantOfShape", 0) => Value,
        ("Cast", 0) => Attribute("to", None),
        ("CastLike" | "DequantizeLinear" | "Where", 0) => SameAs(1),
        ("OneHot", 0) => SameAs(2),
        ("Dropout", 1) => Is(DataType::Bool),
        ("MaxPool" | "TopK", 1) | ("Unique", 1..) => Is(DataType::Int64),
        ("LayerNormalization", 1 | 2) | ("DynamicQuantizeLinear", 1) => Is(DataType::Float),
        ("QuantizeLinear", 0) if node.input.len() > 2 => SameAs(2),
        ("QuantizeLinear", 0) | ("DynamicQuantizeLinear", _) => Is(DataType::Uint8),
        ("ConvInteger" | "MatMulInteger", 0) => Is(DataType::Int32),
        ("RandomNormal" | "RandomUniform", 0) => Attribute("dtype", Some(DataType::Float)),
        (operator, 0) if BOOLEAN.contains(&operator) => Is(DataType::Bool),
        (operator, 0) if INT64.contains(&operator) => Is(DataType::Int64),
        (operator, _) if FOLLOW_FIRST_INPUT.contains(&operator) => SameAs(0),
        _ => return None,
    })
}

/// Whether the operator is ONNX's own.
pub(super) fn is_standard(node: &NodeProto) -> bool {
    matches!(node.domain(), "" | "ai.onnx")
}

/// The operator with its domain, where that is not ONNX's own.
pub(super) fn qualified(node: &NodeProto) -> String {
    if is_standard(node) {
        node.op_type().to_owned()
    } else {
        format!("{}::{}", node.domain(), node.op_type())
    }
}

/// Whether the node must keep the types it was exported with.
pub(super) fn keeps_types(node: &NodeProto) -> bool {
    !is_standard(node)
        || KEEP_TYPES.contains(&node.op_type())
        || (output_type(node, 0).is_none() && node.op_type() != "Constant")
}

/// Whether a floating-point input at this position has the type the node computes in.
///
/// False for the scales of `Resize`, which are FP32 always, and for inputs that may have any type.
pub(super) fn follows_computation(node: &NodeProto, input: usize) -> bool {
    !accepts_any_type(node, input)
        && !keeps_types(node)
        && !matches!((node.op_type(), input), ("Resize", 1 | 2) | ("Upsample", 1))
}

/// Whether ONNX lets the floating-point inputs of the node differ in type.
pub(super) fn may_mix_types(node: &NodeProto) -> bool {
    !is_standard(node)
        || matches!(
            node.op_type(),
            "BatchNormalization" | "Dropout" | "OneHot" | "Pow"
        )
}

/// Whether the node gives the same for the same inputs, as far as this room knows it.
pub(super) fn is_repeatable(node: &NodeProto) -> bool {
    is_standard(node) && !DRAWS.contains(&node.op_type())
}

/// Whether the node's outputs are its inputs' elements, unchanged.
pub fn only_moves(node: &NodeProto) -> bool {
    is_standard(node) && MOVERS.contains(&node.op_type())
}

/// Whether an input may have any type, whatever the node's outputs have.
pub(super) fn accepts_any_type(node: &NodeProto, input: usize) -> bool {
    is_standard(node)
        && matches!(
            (node.op_type(), input),
            (
                "Cast" | "CastLike" | "IsNaN" | "NonZero" | "Shape" | "Size",
                0
            )
        )
}

/// Whether a floating-point output at this position has the type the node computes in.
pub(super) fn output_follows_computation(node: &NodeProto, output: usize) -> bool {
    !keeps_types(node) && !matches!(output_type(node, output), Some(OutputType::Is(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_apart() {
        for table in [
            FOLLOW_FIRST_INPUT,
            BOOLEAN,
            INT64,
            KEEP_TYPES,
            DRAWS,
            MOVERS,
        ] {
            assert!(table.is_sorted(), "{table:?}");
        }
        for operator in FOLLOW_FIRST_INPUT {
            assert!(
                !BOOLEAN.contains(operator) && !INT64.contains(operator),
                "{operator}"
            );
        }
    }
}
