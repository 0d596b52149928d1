//! Operators that only move elements, between FP32 nodes.

use super::plan::{Mode, Plan};
use crate::onnx::operators;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::onnx::types::element_type;
use std::collections::{HashMap, HashSet};

/// Nodes that only move elements and stand between FP32 on both sides; they stay in FP32.
///
/// Otherwise a reshape inside an island would round the island's values to half and back.
pub(super) fn between_full(plan: &Plan, graph: &GraphProto) -> Vec<usize> {
    let candidates = read_in_full(plan, graph);
    let mut full: HashSet<&str> = plan.full_at_rest(graph).collect();
    let mut found = Vec::new();
    for (position, (node, &mode)) in graph.node.iter().zip(&plan.modes).enumerate() {
        let stays = candidates.contains(&position)
            && moved(plan, node).all(|value| full.contains(plan.root(value)));
        let mode = if stays { Mode::Full } else { mode };
        if stays {
            found.push(position);
        }
        let given = (0..node.output.len())
            .filter(|&output| plan.given(node, mode, output) == Some(DataType::Float));
        full.extend(given.map(|output| node.output[output].as_str()));
    }
    found
}

/// Positions of the moving nodes whose every reader wants FP32.
fn read_in_full(plan: &Plan, graph: &GraphProto) -> HashSet<usize> {
    // By value: whether all readers met so far want FP32.
    let mut readers: HashMap<&str, bool> = HashMap::new();
    for output in &graph.output {
        if let Some(declared) = plan.declared(output.name(), element_type(output)) {
            let all = readers.entry(plan.root(output.name())).or_insert(true);
            *all &= declared == DataType::Float;
        }
    }
    let mut candidates = HashSet::new();
    for (position, (node, &mode)) in graph.node.iter().zip(&plan.modes).enumerate().rev() {
        let is_candidate = mode == Mode::Half
            && operators::only_moves(node)
            && moved(plan, node).next().is_some()
            && node
                .output
                .iter()
                .all(|value| readers.get(value.as_str()) == Some(&true));
        let mode = if is_candidate { Mode::Full } else { mode };
        if is_candidate {
            candidates.insert(position);
        }
        for (input, value) in node.input.iter().enumerate() {
            if let Some(wanted) = plan.wanted(node, mode, input) {
                let all = readers.entry(plan.root(value)).or_insert(true);
                *all &= wanted == DataType::Float;
            }
        }
    }
    candidates
}

/// The FP32 and half values among a node's inputs.
fn moved<'a>(plan: &'a Plan, node: &'a NodeProto) -> impl Iterator<Item = &'a str> {
    let inputs = node.input.iter().map(String::as_str);
    inputs.filter(|value| plan.concerns(value))
}
