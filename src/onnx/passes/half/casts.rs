//! Placing conversions between FP32 and the half type.

use super::constants::Names;
use super::plan::{Mode, Plan};
use crate::onnx::graph::{Graph, node_label};
use crate::onnx::passes::Report;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{
    AttributeProto, GraphProto, NodeProto, ValueInfoProto, attribute_proto, type_proto,
};
use crate::onnx::types::{element_type, is_float};
use std::collections::HashMap;

/// Wires every reader to its value in the type it wants, with one conversion per value and type.
///
/// A conversion stands before its first reader; one that gives only a graph output stands at the end.
pub(super) fn place(plan: &Plan, names: Names, graph: &mut Graph, report: &mut Report) {
    let mut placer = Placer {
        plan,
        names,
        renamed: HashMap::new(),
        variants: HashMap::new(),
        due: HashMap::new(),
        nodes: Vec::with_capacity(graph.proto().node.len()),
        casts: 0,
    };
    let proto = graph.proto_mut();
    placer.prepare_outputs(proto);
    let nodes = std::mem::take(&mut proto.node).into_iter();
    for (position, (node, &mode)) in nodes.zip(&plan.modes).enumerate() {
        note(plan, &node, position, mode, report);
        if mode != Mode::LookedThrough {
            placer.place(node, mode);
        }
    }
    for output in &proto.output {
        placer.deliver(output.name());
    }
    report.casts = placer.casts;
    let Placer { renamed, nodes, .. } = placer;
    proto.node = nodes;
    retype(plan, &renamed, proto);
}

struct Placer<'a> {
    plan: &'a Plan,
    names: Names,
    /// Values that gave their name to a graph output of another type.
    renamed: HashMap<String, String>,
    /// The converted form of a value.
    variants: HashMap<(String, DataType), String>,
    /// Graph outputs that a conversion still has to give: the value and the type.
    due: HashMap<String, (String, DataType)>,
    nodes: Vec<NodeProto>,
    casts: usize,
}

impl Placer<'_> {
    /// Finds the graph outputs that need a conversion; their names are the contract, so the inner value is renamed.
    fn prepare_outputs(&mut self, graph: &GraphProto) {
        for output in &graph.output {
            let name = output.name();
            let Some(declared) = self.plan.declared(name, element_type(output)) else {
                continue;
            };
            let root = self.plan.root(name);
            let at_source = self.plan.at_source(root);
            if root == name {
                let given = at_source.filter(|&given| given != declared);
                let Some(given) = given.filter(|_| self.plan.is_computed(name)) else {
                    continue;
                };
                let inner = self.names.taken.fresh(name, suffix(given));
                self.renamed.insert(name.to_owned(), inner);
            }
            if at_source != Some(declared) {
                let key = (root.to_owned(), declared);
                self.variants.entry(key).or_insert(name.to_owned());
            }
            self.due
                .insert(name.to_owned(), (root.to_owned(), declared));
        }
    }

    fn place(&mut self, mut node: NodeProto, mode: Mode) {
        let wanted: Vec<Option<DataType>> = (0..node.input.len())
            .map(|input| self.plan.wanted(&node, mode, input))
            .collect();
        let given = self.plan.given(&node, mode, 0);
        for (value, wanted) in node.input.iter_mut().zip(wanted) {
            let root = self.plan.root(value);
            *value = match wanted {
                Some(wanted) => self.in_type(root, wanted),
                None => self.at_source(root),
            };
        }
        for value in &mut node.output {
            if let Some(inner) = self.renamed.get(value) {
                value.clone_from(inner);
            }
        }
        if node.op_type() == "Cast"
            && let (Some(given), Mode::Half | Mode::Full) = (given, mode)
        {
            node.attribute = vec![target_attribute(given)];
        }
        self.nodes.push(node);
    }

    /// The name under which a value is there in this type, after a conversion if need be.
    fn in_type(&mut self, root: &str, wanted: DataType) -> String {
        if self.plan.uses(root).is_some() {
            let half = self.names.halves.get(root);
            return match half.filter(|_| wanted != DataType::Float) {
                Some(half) => half.clone(),
                None => root.to_owned(),
            };
        }
        if self.plan.at_source(root) == Some(wanted) {
            return self.at_source(root);
        }
        let key = (root.to_owned(), wanted);
        if let Some(name) = self.variants.get(&key).cloned() {
            self.deliver(&name);
            return name;
        }
        let name = self.names.taken.fresh(root, suffix(wanted));
        self.convert(self.at_source(root), wanted, name.clone());
        self.variants.insert(key, name.clone());
        name
    }

    /// The name a value has at its source.
    fn at_source(&self, root: &str) -> String {
        self.renamed
            .get(root)
            .map_or_else(|| root.to_owned(), String::clone)
    }

    /// Gives a graph output that is still due.
    fn deliver(&mut self, output: &str) {
        let Some((root, declared)) = self.due.remove(output) else {
            return;
        };
        let from = if self.plan.uses(&root).is_some() {
            self.in_type(&root, declared)
        } else {
            self.at_source(&root)
        };
        self.convert(from, declared, output.to_owned());
    }

    fn convert(&mut self, from: String, to: DataType, name: String) {
        self.casts += 1;
        self.nodes.push(cast_node(from, to, name));
    }
}

/// A conversion, named after the value it gives.
pub(in crate::onnx::passes) fn cast_node(from: String, to: DataType, name: String) -> NodeProto {
    NodeProto {
        input: vec![from],
        output: vec![name.clone()],
        name: Some(name),
        op_type: Some("Cast".to_owned()),
        attribute: vec![target_attribute(to)],
        ..NodeProto::default()
    }
}

/// Brings recorded types, inputs and outputs up to date.
fn retype(plan: &Plan, renamed: &HashMap<String, String>, graph: &mut GraphProto) {
    graph.value_info.retain_mut(|value| {
        if renamed.contains_key(value.name()) || plan.root(value.name()) != value.name() {
            return false;
        }
        let now = match plan.uses(value.name()) {
            Some(uses) if uses.half && !uses.full => Some(plan.to.data_type()),
            _ => plan.at_source(value.name()),
        };
        set_element_type(value, now);
        true
    });
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        let declared = plan.declared(value.name(), element_type(value));
        set_element_type(value, declared);
    }
}

fn note(plan: &Plan, node: &NodeProto, position: usize, mode: Mode, report: &mut Report) {
    let mut values = node.input.iter().chain(&node.output);
    match mode {
        Mode::Half if node.op_type() == "Cast" => {
            let from = node.input.first().and_then(|input| plan.type_before(input));
            let from_integer = from.is_some_and(|from| from != DataType::Bool && !is_float(from));
            if from_integer && plan.given(node, mode, 0) == Some(plan.to.data_type()) {
                report.integers_to_half.push(node_label(node, position));
            }
        }
        Mode::Keep
            if !node.op_type().starts_with("Constant")
                && values.any(|value| plan.concerns(value)) =>
        {
            report.kept_nodes.push(node_label(node, position));
        }
        Mode::Full if !node.name().is_empty() => report.fp32_nodes.push(node.name().to_owned()),
        _ => {}
    }
}

fn set_element_type(value: &mut ValueInfoProto, now: Option<DataType>) {
    let tensor = value.r#type.as_mut().and_then(|held| held.value.as_mut());
    if let (Some(now), Some(type_proto::Value::TensorType(tensor))) = (now, tensor) {
        tensor.elem_type = Some(now as i32);
    }
}

fn target_attribute(to: DataType) -> AttributeProto {
    AttributeProto {
        name: Some("to".to_owned()),
        r#type: Some(attribute_proto::AttributeType::Int as i32),
        i: Some(i64::from(to as i32)),
        ..AttributeProto::default()
    }
}

fn suffix(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Float16 => "f16",
        DataType::Bfloat16 => "bf16",
        _ => "f32",
    }
}
