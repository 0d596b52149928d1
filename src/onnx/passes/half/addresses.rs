//! Nodes whose result says where to look: positions and indices.
//!
//! Rounded, they would name another place: half types tell whole numbers apart only up to a few thousand (F16) or a few
//! hundred (BF16), and an angle that grows with a position loses its whole fraction.

use super::plan::{Mode, Plan};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use crate::onnx::types::{element_type, is_float};
use std::collections::HashSet;

const CONTRACTIONS: &[&str] = &["Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"];

/// Nodes that compute in FP32: those that see nothing but whole numbers and constants, and those that see nothing but
/// FP32 inputs and constants and end in no floating-point number.
pub(super) fn found(plan: &Plan, graph: &GraphProto) -> Vec<usize> {
    let mut found = from_integers(plan, graph);
    found.extend(to_integers(plan, graph));
    found.sort_unstable();
    found.dedup();
    found
}

/// What is computed from positions, such as the angles of a rotation.
fn from_integers(plan: &Plan, graph: &GraphProto) -> Vec<usize> {
    let constants = constants(plan, graph);
    let mut exact: HashSet<&str> = HashSet::new();
    let mut found = Vec::new();
    for (position, node) in in_half(plan, graph) {
        let mut read = read(plan, node).peekable();
        let stays = if read.peek().is_none() {
            casts_integer(plan, node)
        } else {
            let mut some_exact = false;
            let all = read.all(|value| {
                some_exact |= exact.contains(value);
                exact.contains(value) || constants.contains(value)
            });
            all && some_exact
        };
        // A product with weights is a position no more.
        if stays && !CONTRACTIONS.contains(&node.op_type()) {
            exact.extend(node.output.iter().map(String::as_str));
            found.push(position);
        }
    }
    // A conversion that only half computations read is one of theirs.
    let full: HashSet<usize> = found.iter().copied().collect();
    let mut read_in_full: HashSet<&str> = HashSet::new();
    for (position, node) in graph.node.iter().enumerate() {
        if full.contains(&position) {
            read_in_full.extend(node.input.iter().map(String::as_str));
        }
    }
    found.retain(|&position| {
        let node = &graph.node[position];
        node.op_type() != "Cast"
            || node
                .output
                .iter()
                .any(|value| read_in_full.contains(value.as_str()))
    });
    found
}

/// What a comparison or a search is made of, from the inputs on.
fn to_integers(plan: &Plan, graph: &GraphProto) -> Vec<usize> {
    let inputs = graph
        .input
        .iter()
        .filter(|input| plan.declared(input.name(), element_type(input)) == Some(DataType::Float));
    let mut at_rest = constants(plan, graph);
    at_rest.extend(inputs.map(ValueInfoProto::name));
    let all: Vec<usize> = in_half(plan, graph).map(|(position, _)| position).collect();
    let mut found = fed_in_full(plan, graph, &at_rest, &all);
    loop {
        let ending = ending_in_integers(plan, graph, &found);
        let fed = fed_in_full(plan, graph, &at_rest, &ending);
        if fed.len() == found.len() {
            return found;
        }
        found = fed;
    }
}

/// Those of `nodes`, which are in order, that read values at rest and results of each other only.
fn fed_in_full(
    plan: &Plan,
    graph: &GraphProto,
    at_rest: &HashSet<&str>,
    nodes: &[usize],
) -> Vec<usize> {
    let mut computed: HashSet<&str> = HashSet::new();
    let mut fed = Vec::new();
    for &position in nodes {
        let node = &graph.node[position];
        let mut read = read(plan, node).peekable();
        let is_fed = read.peek().is_some()
            && read.all(|value| at_rest.contains(value) || computed.contains(value));
        if is_fed {
            computed.extend(node.output.iter().map(String::as_str));
            fed.push(position);
        }
    }
    fed
}

/// Those of `nodes` whose floating-point results only others of them read.
fn ending_in_integers(plan: &Plan, graph: &GraphProto, nodes: &[usize]) -> Vec<usize> {
    let nodes: HashSet<usize> = nodes.iter().copied().collect();
    let outputs = graph.output.iter().map(ValueInfoProto::name);
    let mut wanted: HashSet<&str> = outputs.collect();
    let mut ending = Vec::new();
    for (position, node) in graph.node.iter().enumerate().rev() {
        let ends = nodes.contains(&position)
            && node
                .output
                .iter()
                .all(|value| !plan.concerns(value) || !wanted.contains(value.as_str()));
        if ends {
            ending.push(position);
        } else {
            wanted.extend(node.input.iter().map(String::as_str));
        }
    }
    ending.reverse();
    ending
}

fn in_half<'a>(
    plan: &'a Plan,
    graph: &'a GraphProto,
) -> impl Iterator<Item = (usize, &'a NodeProto)> {
    let nodes = graph.node.iter().zip(&plan.modes).enumerate();
    nodes
        .filter(|(_, (_, mode))| **mode == Mode::Half)
        .map(|(position, (node, _))| (position, node))
}

/// The FP32 and half values a node reads.
fn read<'a>(plan: &'a Plan, node: &'a NodeProto) -> impl Iterator<Item = &'a str> {
    let inputs = node.input.iter().map(String::as_str);
    inputs.filter(|value| plan.concerns(value))
}

fn constants<'a>(plan: &Plan, graph: &'a GraphProto) -> HashSet<&'a str> {
    let names = graph.initializer.iter().map(TensorProto::name);
    names
        .filter(|name| plan.type_before(name) == Some(DataType::Float))
        .collect()
}

fn casts_integer(plan: &Plan, node: &NodeProto) -> bool {
    let type_of = |values: &[String]| values.first().and_then(|value| plan.type_before(value));
    let whole = type_of(&node.input).is_some_and(|from| from != DataType::Bool && !is_float(from));
    node.op_type() == "Cast" && whole && type_of(&node.output) == Some(DataType::Float)
}
