//! Every tensor and node of a model, subgraphs and local functions included.

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// Every dense tensor: initialisers, both halves of sparse ones, and tensors in attributes.
pub(super) fn tensors(model: &ModelProto) -> impl Iterator<Item = &TensorProto> {
    let mut found = Vec::new();
    if let Some(graph) = &model.graph {
        collect_graph(graph, &mut found);
    }
    for training in &model.training_info {
        for graph in training.initialization.iter().chain(&training.algorithm) {
            collect_graph(graph, &mut found);
        }
    }
    for function in &model.functions {
        collect_attributes(&function.attribute_proto, &mut found);
        collect_nodes(&function.node, &mut found);
    }
    found.into_iter()
}

/// Every node of a graph and, after the node that holds them, those of its subgraphs.
pub(super) fn nodes(graph: &GraphProto) -> Vec<&NodeProto> {
    let mut found = Vec::new();
    let mut pending: Vec<&NodeProto> = graph.node.iter().rev().collect();
    while let Some(node) = pending.pop() {
        found.push(node);
        let inner = subgraphs(node).flat_map(|graph| &graph.node);
        let at = pending.len();
        pending.extend(inner);
        pending[at..].reverse();
    }
    found
}

/// The subgraphs in a node's attributes.
pub(super) fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute
        .iter()
        .flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

// Recursion is as deep as the decoder let the message be.
fn collect_graph<'a>(graph: &'a GraphProto, found: &mut Vec<&'a TensorProto>) {
    found.extend(&graph.initializer);
    for sparse in &graph.sparse_initializer {
        found.extend(sparse.values.iter().chain(&sparse.indices));
    }
    collect_nodes(&graph.node, found);
}

fn collect_nodes<'a>(nodes: &'a [NodeProto], found: &mut Vec<&'a TensorProto>) {
    for node in nodes {
        collect_attributes(&node.attribute, found);
    }
}

fn collect_attributes<'a>(attributes: &'a [AttributeProto], found: &mut Vec<&'a TensorProto>) {
    for attribute in attributes {
        found.extend(attribute.t.iter().chain(&attribute.tensors));
        for sparse in attribute
            .sparse_tensor
            .iter()
            .chain(&attribute.sparse_tensors)
        {
            found.extend(sparse.values.iter().chain(&sparse.indices));
        }
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            collect_graph(graph, found);
        }
    }
}
