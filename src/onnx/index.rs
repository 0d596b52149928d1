//! The index of a graph by value name.

use super::graph::{GraphFault, node_label};
use super::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use super::walk;
use std::collections::{HashMap, HashSet};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The graph input at this position. An initialiser of the same name is only its default.
    Input(usize),
    /// The initialiser at this position.
    Initializer(usize),
    /// The sparse initialiser at this position.
    SparseInitializer(usize),
    /// An output of a node.
    Node {
        /// Position of the node.
        node: usize,
        /// Position among the node's outputs.
        output: usize,
    },
}

/// Which values a graph has, where each comes from, and who reads it.
#[derive(Debug, Clone, Default)]
pub struct Index {
    sources: HashMap<String, Source>,
    consumers: HashMap<String, Vec<usize>>,
    faults: Vec<GraphFault>,
}

impl Index {
    /// Indexes a graph, also one that is not well formed.
    pub fn of(graph: &GraphProto) -> Self {
        let mut index = Self::default();
        index.add_sources(graph);
        index.add_consumers(graph);
        for output in &graph.output {
            if !index.sources.contains_key(output.name()) {
                let fault = GraphFault::MissingOutput(output.name().to_owned());
                index.faults.push(fault);
            }
        }
        index
    }

    /// What is wrong with the graph.
    pub fn faults(&self) -> &[GraphFault] {
        &self.faults
    }

    /// Where a value comes from.
    pub fn source(&self, value: &str) -> Option<Source> {
        self.sources.get(value).copied()
    }

    /// Positions of the nodes that read a value, in order; a node whose subgraph reads it counts.
    pub fn consumers(&self, value: &str) -> &[usize] {
        self.consumers.get(value).map_or(&[], Vec::as_slice)
    }

    fn add_sources(&mut self, graph: &GraphProto) {
        for (position, input) in graph.input.iter().enumerate() {
            self.add_source(input.name(), Source::Input(position));
        }
        for (position, tensor) in graph.initializer.iter().enumerate() {
            self.add_constant(tensor.name(), Source::Initializer(position));
        }
        for (position, sparse) in graph.sparse_initializer.iter().enumerate() {
            let name = sparse.values.as_ref().map_or("", |values| values.name());
            self.add_constant(name, Source::SparseInitializer(position));
        }
        for (node, proto) in graph.node.iter().enumerate() {
            for (output, name) in proto.output.iter().enumerate() {
                if !name.is_empty() {
                    self.add_source(name, Source::Node { node, output });
                }
            }
        }
    }

    /// Adds an initialiser, unless it is the default of an input.
    fn add_constant(&mut self, name: &str, source: Source) {
        if !matches!(self.source(name), Some(Source::Input(_))) {
            self.add_source(name, source);
        }
    }

    fn add_source(&mut self, name: &str, source: Source) {
        if self.sources.insert(name.to_owned(), source).is_some() {
            self.faults.push(GraphFault::Duplicate(name.to_owned()));
        }
    }

    fn add_consumers(&mut self, graph: &GraphProto) {
        for (position, node) in graph.node.iter().enumerate() {
            for value in values_read(node) {
                let consumers = self.consumers.entry(value.to_owned()).or_default();
                if consumers.last() != Some(&position) {
                    consumers.push(position);
                }
                let fault = match self.sources.get(value) {
                    None => Some(GraphFault::Dangling {
                        node: node_label(node, position),
                        value: value.to_owned(),
                    }),
                    Some(Source::Node { node: giver, .. }) if *giver >= position => {
                        Some(GraphFault::OutOfOrder {
                            node: node_label(node, position),
                            value: value.to_owned(),
                        })
                    }
                    Some(_) => None,
                };
                self.faults.extend(fault);
            }
        }
    }
}

/// Values of the enclosing graph that a node reads, by its inputs or inside its subgraphs.
fn values_read(node: &NodeProto) -> Vec<&str> {
    let inputs = node.input.iter().map(String::as_str);
    let mut values: Vec<&str> = inputs.filter(|name| !name.is_empty()).collect();
    for graph in walk::subgraphs(node) {
        values.extend(free_values(graph));
    }
    values
}

/// Values a subgraph reads and does not give itself. Recursion is as deep as the decoder let the message be.
fn free_values(graph: &GraphProto) -> Vec<&str> {
    let sparse = graph
        .sparse_initializer
        .iter()
        .filter_map(|sparse| sparse.values.as_ref());
    let own: HashSet<&str> = (graph.input.iter().map(ValueInfoProto::name))
        .chain(
            graph
                .initializer
                .iter()
                .chain(sparse)
                .map(TensorProto::name),
        )
        .chain(
            graph
                .node
                .iter()
                .flat_map(|node| node.output.iter().map(String::as_str)),
        )
        .collect();
    let read = graph.node.iter().flat_map(values_read);
    let given_back = graph.output.iter().map(ValueInfoProto::name);
    read.chain(given_back)
        .filter(|value| !own.contains(value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::builder::GraphBuilder;
    use super::super::graph::Graph;
    use super::*;
    use crate::tensor::DType;

    #[test]
    fn faults_are_told_apart() {
        let graph = || {
            GraphBuilder::new()
                .input("x", DType::F32, &["2"])
                .output("y", DType::F32, &["2"])
        };
        let node = || "/y".to_owned();
        let cases = [
            ("good", graph().node("Relu", &["x"], &["y"]), None),
            (
                "dangling",
                graph().node("Add", &["x", "z"], &["y"]),
                Some(GraphFault::Dangling {
                    node: node(),
                    value: "z".to_owned(),
                }),
            ),
            (
                "out of order",
                graph()
                    .node("Relu", &["z"], &["y"])
                    .node("Relu", &["x"], &["z"]),
                Some(GraphFault::OutOfOrder {
                    node: node(),
                    value: "z".to_owned(),
                }),
            ),
            (
                "cycle",
                graph().node("Add", &["x", "y"], &["y"]),
                Some(GraphFault::OutOfOrder {
                    node: node(),
                    value: "y".to_owned(),
                }),
            ),
            (
                "duplicate",
                graph()
                    .node("Relu", &["x"], &["y"])
                    .node("Abs", &["x"], &["y"]),
                Some(GraphFault::Duplicate("y".to_owned())),
            ),
            (
                "missing output",
                graph(),
                Some(GraphFault::MissingOutput("y".to_owned())),
            ),
        ];
        for (name, builder, expected) in cases {
            let index = Index::of(Graph::of(&builder.read()).proto());
            assert_eq!(index.faults().first(), expected.as_ref(), "{name}");
        }
    }

    #[test]
    fn an_initializer_may_be_the_default_of_an_input() {
        let file = GraphBuilder::new()
            .input("w", DType::F32, &["2"])
            .constant("w", &[2], &[1f32, 2.0])
            .node("Relu", &["w"], &["y"])
            .output("y", DType::F32, &["2"])
            .read();
        let index = Graph::of(&file).index().expect("well formed");
        assert_eq!(index.source("w"), Some(Source::Input(0)));
        assert_eq!(index.consumers("w"), [0]);
    }
}
