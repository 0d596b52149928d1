//! Instance normalisation in primitives.

use super::names::Names;
use super::{Pass, Report};
use crate::onnx::error::OnnxError;
use crate::onnx::evaluate::Evaluator;
use crate::onnx::graph::Graph;
use crate::onnx::operators::is_standard;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{
    AttributeProto, GraphProto, NodeProto, OperatorSetIdProto, TensorProto, attribute_proto,
    type_proto,
};
use crate::onnx::types::attribute;
use half::{bf16, f16};
use prost::bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

/// Replaces `InstanceNormalization` by the mean and the variance it is made of, for backends that have no such operator
/// of their own.
///
/// The primitives compute in the node's type, and stay in FP32 where the node did.
#[derive(Debug, Clone, Copy)]
pub struct PlainInstanceNorm;

impl Pass for PlainInstanceNorm {
    fn name(&self) -> &'static str {
        "plain_instance_norm"
    }

    fn version(&self) -> u32 {
        1
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn run(
        &self,
        graph: &mut Graph,
        _evaluator: &dyn Evaluator,
        report: &mut Report,
    ) -> Result<(), OnnxError> {
        graph.require_flat()?;
        graph.index()?;
        if !graph.proto().node.iter().any(is_instance_norm) {
            return Ok(());
        }
        let types = graph.types()?;
        let axes_are_an_input = opset(graph) >= FIRST_WITH_AXES_AS_INPUT;
        let proto = graph.proto_mut();
        let ranks = ranks(proto);
        let mut parts = Parts {
            names: Names::of(proto),
            axes_are_an_input,
            nodes: Vec::with_capacity(proto.node.len()),
            constants: Vec::new(),
        };
        for node in std::mem::take(&mut proto.node) {
            let element = node.input.first().and_then(|input| types.of(input));
            let (Some(element), true) = (element, is_instance_norm(&node)) else {
                parts.nodes.push(node);
                continue;
            };
            let is_flat = ranks.get(node.input[0].as_str()) == Some(&3);
            let before = parts.nodes.len();
            parts.replace(&node, element, is_flat);
            let added = parts.nodes[before..]
                .iter()
                .map(|new| new.name().to_owned());
            // What is told to stay in FP32 by name still is.
            if let Some(at) = report.fp32_nodes.iter().position(|one| one == node.name()) {
                report.fp32_nodes.splice(at..=at, added);
            }
            report.decomposed_nodes += 1;
        }
        let Parts {
            nodes, constants, ..
        } = parts;
        proto.node = nodes;
        proto.initializer.extend(constants);
        graph.index()?;
        graph.types()?;
        Ok(())
    }
}

/// From this operator set on, reductions take their axes as an input.
const FIRST_WITH_AXES_AS_INPUT: i64 = 18;
/// What ONNX takes where the node names none.
const DEFAULT_EPSILON: f32 = 1e-5;

/// The graph that is being put together.
struct Parts {
    names: Names,
    axes_are_an_input: bool,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

/// One normalisation on its way into primitives.
struct Site<'a> {
    node: &'a NodeProto,
    output: &'a str,
}

impl Parts {
    /// `is_flat`: the input has one dimension behind its channels. Others are made so, and given back as they were.
    fn replace(&mut self, node: &NodeProto, element: DataType, is_flat: bool) {
        let site = Site {
            node,
            output: &node.output[0],
        };
        let [input, scale, bias] =
            [0, 1, 2].map(|at| node.input.get(at).cloned().unwrap_or_default());
        let flat = if is_flat {
            input.clone()
        } else {
            let shape = self.integers(&site, "flat_shape", &[0, 0, -1]);
            self.add(&site, "Reshape", "flat", &[&input, &shape])
        };
        let mean = self.mean(&site, "mean", &flat);
        let centred = self.add(&site, "Sub", "centred", &[&flat, &mean]);
        let square = self.add(&site, "Mul", "square", &[&centred, &centred]);
        let variance = self.mean(&site, "variance", &square);
        let epsilon = attribute(node, "epsilon").map_or(DEFAULT_EPSILON, AttributeProto::f);
        let epsilon = self.number(&site, epsilon, element);
        let above_zero = self.add(&site, "Add", "above_zero", &[&variance, &epsilon]);
        let deviation = self.add(&site, "Sqrt", "deviation", &[&above_zero]);
        let normal = self.add(&site, "Div", "normal", &[&centred, &deviation]);
        // Channels are the last dimension but one.
        let column = self.integers(&site, "column", &[-1, 1]);
        let scale = self.add(&site, "Reshape", "scale", &[&scale, &column]);
        let bias = self.add(&site, "Reshape", "bias", &[&bias, &column]);
        let scaled = self.add(&site, "Mul", "scaled", &[&normal, &scale]);
        if is_flat {
            self.give(&site, "Add", &[&scaled, &bias]);
        } else {
            let moved = self.add(&site, "Add", "moved", &[&scaled, &bias]);
            let shape = self.add(&site, "Shape", "shape", &[&input]);
            self.give(&site, "Reshape", &[&moved, &shape]);
        }
    }

    fn mean(&mut self, site: &Site<'_>, part: &str, of: &str) -> String {
        let keep = int_attribute("keepdims", 1);
        if self.axes_are_an_input {
            let axes = self.integers(site, &format!("{part}_axes"), &[2]);
            let name = self.add(site, "ReduceMean", part, &[of, &axes]);
            self.last().attribute = vec![keep];
            return name;
        }
        let name = self.add(site, "ReduceMean", part, &[of]);
        let axes = AttributeProto {
            name: Some("axes".to_owned()),
            r#type: Some(attribute_proto::AttributeType::Ints as i32),
            ints: vec![2],
            ..AttributeProto::default()
        };
        self.last().attribute = vec![axes, keep];
        name
    }

    /// Adds a node; gives the name of its output.
    fn add(&mut self, site: &Site<'_>, operator: &str, part: &str, inputs: &[&str]) -> String {
        let output = self.names.fresh(site.output, part);
        self.push(site, operator, part, inputs, &output);
        output
    }

    /// Adds the node that gives what the normalisation gave.
    fn give(&mut self, site: &Site<'_>, operator: &str, inputs: &[&str]) {
        self.push(site, operator, "given", inputs, site.output);
    }

    fn push(&mut self, site: &Site<'_>, operator: &str, part: &str, inputs: &[&str], output: &str) {
        let base = match site.node.name() {
            "" => site.output,
            name => name,
        };
        self.nodes.push(NodeProto {
            name: Some(format!("{base}/{part}")),
            op_type: Some(operator.to_owned()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        });
    }

    fn last(&mut self) -> &mut NodeProto {
        self.nodes.last_mut().expect("a node was just added")
    }

    fn integers(&mut self, site: &Site<'_>, part: &str, values: &[i64]) -> String {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let dims = vec![i64::try_from(values.len()).expect("a few")];
        self.constant(site, part, DataType::Int64, dims, bytes)
    }

    fn number(&mut self, site: &Site<'_>, value: f32, element: DataType) -> String {
        let bytes = match element {
            DataType::Float16 => f16::from_f32(value).to_le_bytes().to_vec(),
            DataType::Bfloat16 => bf16::from_f32(value).to_le_bytes().to_vec(),
            DataType::Double => f64::from(value).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        };
        self.constant(site, "epsilon", element, Vec::new(), bytes)
    }

    fn constant(
        &mut self,
        site: &Site<'_>,
        part: &str,
        element: DataType,
        dims: Vec<i64>,
        bytes: Vec<u8>,
    ) -> String {
        let name = self.names.fresh(site.output, part);
        self.constants.push(TensorProto {
            name: Some(name.clone()),
            dims,
            data_type: Some(element as i32),
            raw_data: Some(Bytes::from(bytes)),
            ..TensorProto::default()
        });
        name
    }
}

fn is_instance_norm(node: &NodeProto) -> bool {
    is_standard(node) && node.op_type() == "InstanceNormalization"
}

fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(attribute_proto::AttributeType::Int as i32),
        i: Some(value),
        ..AttributeProto::default()
    }
}

fn opset(graph: &Graph) -> i64 {
    let sets = graph.model().opset_import.iter();
    let own = sets.filter(|set| matches!(set.domain(), "" | "ai.onnx"));
    own.map(OperatorSetIdProto::version)
        .max()
        .unwrap_or_default()
}

/// Dimensions of the values that the file records with a shape.
fn ranks(graph: &GraphProto) -> HashMap<String, usize> {
    let recorded = graph.input.iter().chain(&graph.value_info);
    let ranks = recorded.filter_map(|value| {
        let type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()? else {
            return None;
        };
        Some((value.name().to_owned(), tensor.shape.as_ref()?.dim.len()))
    });
    ranks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::builder::{Attribute, GraphBuilder};
    use crate::onnx::evaluate::NoEvaluator;
    use crate::onnx::passes::{Half, HalfType, Islands};
    use crate::tensor::DType;
    use std::collections::BTreeSet;

    fn normalised(dims: &[&str]) -> GraphBuilder {
        GraphBuilder::new()
            .input("x", DType::F32, dims)
            .constant("scale", &[3], &[1f32, 2.0, 0.5])
            .constant("bias", &[3], &[0f32, 1.0, -1.0])
            .node_with(
                "InstanceNormalization",
                &["x", "scale", "bias"],
                &["y"],
                &[("epsilon", Attribute::Float(1e-3))],
            )
            .output("y", DType::F32, dims)
    }

    fn run(graph: &mut Graph, report: &mut Report) -> Vec<String> {
        PlainInstanceNorm
            .run(graph, &NoEvaluator, report)
            .expect("well formed");
        let once = graph.model().clone();
        PlainInstanceNorm
            .run(graph, &NoEvaluator, &mut Report::default())
            .expect("its own result");
        assert_eq!(graph.model(), &once);
        let nodes = graph.proto().node.iter();
        nodes.map(|node| node.op_type().to_owned()).collect()
    }

    #[test]
    fn it_becomes_mean_and_variance_and_is_flattened_only_where_it_must_be() {
        let plain = [
            "ReduceMean",
            "Sub",
            "Mul",
            "ReduceMean",
            "Add",
            "Sqrt",
            "Div",
            "Reshape",
            "Reshape",
            "Mul",
            "Add",
        ];
        let mut report = Report::default();
        let mut graph = Graph::of(&normalised(&["batch", "3", "frames"]).read());
        assert_eq!(run(&mut graph, &mut report), plain);
        assert_eq!(report.decomposed_nodes, 1);
        let mut graph = Graph::of(&normalised(&["batch", "3", "h", "w"]).read());
        let operators = run(&mut graph, &mut Report::default());
        let flattened = [&["Reshape"], &plain[..], &["Shape", "Reshape"]].concat();
        assert_eq!(operators, flattened);
    }

    #[test]
    fn what_stayed_in_fp32_stays_there() {
        for islands in [BTreeSet::new(), BTreeSet::from(["/y".to_owned()])] {
            let half = Half {
                to: HalfType::F16,
                islands: Islands {
                    nodes: islands.clone(),
                    ..Islands::default()
                },
                half_io: BTreeSet::new(),
            };
            let mut graph = Graph::of(&normalised(&["1", "3", "n"]).read());
            let mut report = Report::default();
            half.run(&mut graph, &NoEvaluator, &mut report)
                .expect("well formed");
            run(&mut graph, &mut report);
            let types = graph.types().expect("well formed");
            let computed = graph
                .proto()
                .node
                .iter()
                .find(|node| node.op_type() == "Sqrt");
            let computed = computed.expect("decomposed");
            if islands.is_empty() {
                assert_eq!(types.of(&computed.output[0]), Some(DataType::Float16));
                assert!(report.fp32_nodes.is_empty(), "{:?}", report.fp32_nodes);
            } else {
                assert_eq!(types.of(&computed.output[0]), Some(DataType::Float));
                assert_eq!(report.fp32_nodes.len(), 11, "{:?}", report.fp32_nodes);
                assert!(report.fp32_nodes.contains(&"/y/deviation".to_owned()));
            }
        }
    }
}
