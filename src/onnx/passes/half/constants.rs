//! Constants in the half type.

use super::convert::{Converted, to_half};
use super::plan::{Mode, Plan};
use crate::onnx::error::{OnnxError, Saturation, TensorFault};
use crate::onnx::external::ExternalData;
use crate::onnx::graph::{Graph, node_label};
use crate::onnx::passes::{Report, names};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto};
use crate::onnx::types::tensor_type;
use std::collections::HashMap;

/// Names after the constants were converted.
pub(super) struct Names {
    /// Every value name in use.
    pub(super) taken: names::Names,
    /// The half form of each constant that has one.
    pub(super) halves: HashMap<String, String>,
}

/// Converts the constants that half computations read.
///
/// A constant keeps its name where all its readers compute in half; one that is also read in FP32 is there twice.
///
/// # Errors
/// [`OnnxError::Tensor`] for a constant that cannot be read, [`OnnxError::Saturates`] with every one that is too large.
pub(super) fn convert(
    plan: &Plan,
    graph: &mut Graph,
    report: &mut Report,
) -> Result<Names, OnnxError> {
    let mut names = Names {
        taken: names_in_use(plan, graph.proto()),
        halves: HashMap::new(),
    };
    let mut losses = Losses::default();
    let file = graph.file().to_owned();
    let external = graph.external().clone();
    let unreadable = |tensor: &str, fault: TensorFault| OnnxError::Tensor {
        file: file.clone(),
        tensor: tensor.to_owned(),
        fault,
    };
    let proto = graph.proto_mut();
    let mut initializers = Vec::with_capacity(proto.initializer.len());
    for tensor in std::mem::take(&mut proto.initializer) {
        let Some(uses) = plan.uses(tensor.name()).filter(|uses| uses.half) else {
            initializers.push(tensor);
            continue;
        };
        let name = tensor.name().to_owned();
        let converted =
            to_half(&tensor, &external, plan.to).map_err(|fault| unreadable(&name, fault))?;
        let mut half = losses.take(&name, converted, report);
        let half_name = if uses.full {
            initializers.push(tensor);
            names.taken.fresh(&name, plan.to.as_str())
        } else {
            name.clone()
        };
        half.name = Some(half_name.clone());
        names.halves.insert(name, half_name);
        initializers.push(half);
    }
    proto.initializer = initializers;
    for (position, (node, &mode)) in proto.node.iter_mut().zip(&plan.modes).enumerate() {
        if mode != Mode::Half || node.op_type() != "ConstantOfShape" {
            continue;
        }
        let label = node_label(node, position);
        if let Some(converted) =
            fill_in_half(node, &external, plan).map_err(|fault| unreadable(&label, fault))?
        {
            let half = losses.take(&label, converted, report);
            node.attribute = vec![AttributeProto {
                name: Some("value".to_owned()),
                r#type: Some(attribute_proto::AttributeType::Tensor as i32),
                t: Some(half),
                ..AttributeProto::default()
            }];
        }
    }
    if losses.saturated.is_empty() {
        Ok(names)
    } else {
        Err(OnnxError::Saturates {
            file,
            to: plan.to.as_str(),
            tensors: losses.saturated,
        })
    }
}

#[derive(Default)]
struct Losses {
    saturated: Vec<Saturation>,
}

impl Losses {
    /// Records what a conversion lost and gives the tensor.
    fn take(&mut self, name: &str, converted: Converted, report: &mut Report) -> TensorProto {
        let Converted {
            tensor,
            flushed,
            saturated,
            worst,
        } = converted;
        report.converted_constants += 1;
        if flushed > 0 {
            report.flushed.insert(name.to_owned(), flushed);
        }
        if saturated > 0 {
            self.saturated.push(Saturation {
                tensor: name.to_owned(),
                values: saturated,
                worst,
            });
        }
        tensor
    }
}

/// The value a `ConstantOfShape` repeats, in the half type; `None` where it is not FP32.
fn fill_in_half(
    node: &NodeProto,
    external: &ExternalData,
    plan: &Plan,
) -> Result<Option<Converted>, TensorFault> {
    let zero = TensorProto {
        dims: vec![1],
        data_type: Some(DataType::Float as i32),
        float_data: vec![0.0],
        ..TensorProto::default()
    };
    let held = node.attribute.first().and_then(|value| value.t.as_ref());
    let fill = held.unwrap_or(&zero);
    if tensor_type(fill) != Some(DataType::Float) {
        return Ok(None);
    }
    to_half(fill, external, plan.to).map(Some)
}

/// Names of all values but those whose conversion is looked through and placed anew.
fn names_in_use(plan: &Plan, graph: &GraphProto) -> names::Names {
    let nodes = graph.node.iter().zip(&plan.modes);
    let computed = nodes
        .filter(|(_, mode)| **mode != Mode::LookedThrough)
        .flat_map(|(node, _)| node.output.iter().map(String::as_str));
    names::Names::with(graph, computed)
}
