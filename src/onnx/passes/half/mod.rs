//! Computing in a 16-bit floating-point type.
//!
//! A conversion stands wherever the type changes from a value's source to a reader, and nowhere else. To that end the
//! pass first looks through every conversion between FP32 and the half type that the graph already has, decides per
//! node what it computes in ([`plan`]), converts the constants ([`constants`]), and places conversions anew ([`casts`]). Because existing ones are looked
//! through, the pass leaves its own result as it is. Nodes that only move elements between FP32 nodes stay in FP32
//! ([`movers`]), and so do
//! nodes whose result is a position or an index ([`addresses`]).

mod addresses;
mod casts;
mod constants;
mod convert;
mod movers;
mod plan;

pub(super) use casts::cast_node;

use super::{Pass, Report};
use crate::ids::Precision;
use crate::onnx::error::OnnxError;
use crate::onnx::evaluate::Evaluator;
use crate::onnx::graph::Graph;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{AttributeProto, TensorProto};
use std::collections::{BTreeMap, BTreeSet};

/// Rewrites FP32 computations and constants to a half type; inputs and outputs keep their types.
///
/// Integers, Booleans and shapes are not touched. Operators without a half form, unknown operators and the nodes named
/// as islands compute as before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Half {
    /// The half type.
    pub to: HalfType,
    /// What stays in FP32.
    pub islands: Islands,
    /// FP32 inputs and outputs that become half too.
    pub half_io: BTreeSet<String>,
}

/// A 16-bit floating-point type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfType {
    /// Five exponent bits: up to 65504, eleven significant bits.
    F16,
    /// Eight exponent bits: the range of FP32, eight significant bits.
    Bf16,
}

/// Nodes that compute in FP32 inside a half-precision graph.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Islands {
    /// Operator types; every node of these is an island.
    #[serde(default)]
    pub operators: BTreeSet<String>,
    /// Node names.
    #[serde(default)]
    pub nodes: BTreeSet<String>,
}

impl HalfType {
    /// The half type a precision computes in; `None` for FP32.
    pub const fn of(precision: Precision) -> Option<Self> {
        match precision {
            Precision::Fp32 => None,
            Precision::Fp16 => Some(Self::F16),
            Precision::Bf16 => Some(Self::Bf16),
        }
    }

    /// The largest finite magnitude.
    pub fn max(self) -> f32 {
        match self {
            Self::F16 => half::f16::MAX.to_f32(),
            Self::Bf16 => half::bf16::MAX.to_f32(),
        }
    }

    /// The smallest magnitude with all significant bits.
    pub fn min_positive(self) -> f32 {
        match self {
            Self::F16 => half::f16::MIN_POSITIVE.to_f32(),
            Self::Bf16 => half::bf16::MIN_POSITIVE.to_f32(),
        }
    }

    /// The name used in recipes, and at the end of names of converted values.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    pub(super) const fn data_type(self) -> DataType {
        match self {
            Self::F16 => DataType::Float16,
            Self::Bf16 => DataType::Bfloat16,
        }
    }
}

impl Pass for Half {
    fn name(&self) -> &'static str {
        "half"
    }

    fn version(&self) -> u32 {
        2
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        let Self {
            to,
            islands: Islands { operators, nodes },
            half_io,
        } = self;
        let mut parameters = BTreeMap::from([("to".to_owned(), to.as_str().to_owned())]);
        for (name, set) in [
            ("islands.operators", operators),
            ("islands.nodes", nodes),
            ("half_io", half_io),
        ] {
            if !set.is_empty() {
                parameters.insert(name.to_owned(), format!("{set:?}"));
            }
        }
        parameters
    }

    fn run(
        &self,
        graph: &mut Graph,
        _evaluator: &dyn Evaluator,
        report: &mut Report,
    ) -> Result<(), OnnxError> {
        graph.require_flat()?;
        hoist_constants(graph);
        let plan = plan::Plan::of(self, graph)?;
        let constants = constants::convert(&plan, graph, report)?;
        casts::place(&plan, constants, graph, report);
        graph.index()?;
        graph.types()?;
        Ok(())
    }
}

/// Turns FP32 `Constant` nodes into initialisers, so that there is one kind of constant to convert.
fn hoist_constants(graph: &mut Graph) {
    /// Before this version an initialiser had to be an input as well.
    const FIRST_WITH_FREE_INITIALIZERS: i64 = 4;
    if graph.model().ir_version() < FIRST_WITH_FREE_INITIALIZERS {
        return;
    }
    let proto = graph.proto_mut();
    let mut hoisted = Vec::new();
    proto.node.retain_mut(|node| {
        if node.op_type() != "Constant" {
            return true;
        }
        let ([attribute], [name]) = (node.attribute.as_mut_slice(), node.output.as_slice()) else {
            return true;
        };
        match take_float_tensor(attribute) {
            Some(mut tensor) => {
                tensor.name = Some(name.clone());
                hoisted.push(tensor);
                false
            }
            None => true,
        }
    });
    proto.initializer.append(&mut hoisted);
}

fn take_float_tensor(attribute: &mut AttributeProto) -> Option<TensorProto> {
    let (dims, float_data) = match attribute.name() {
        "value" => {
            let is_float = |tensor: &mut TensorProto| tensor.data_type() == DataType::Float as i32;
            return attribute.t.take_if(is_float);
        }
        "value_float" => (Vec::new(), vec![attribute.f?]),
        "value_floats" => (
            vec![i64::try_from(attribute.floats.len()).ok()?],
            std::mem::take(&mut attribute.floats),
        ),
        _ => return None,
    };
    Some(TensorProto {
        dims,
        float_data,
        data_type: Some(DataType::Float as i32),
        ..TensorProto::default()
    })
}

#[cfg(test)]
mod tests;
