//! What of a graph depends on one input alone.

use crate::onnx::graph::Graph;
use crate::onnx::operators;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use crate::onnx::types::{Types, value_info};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The nodes of a graph that depend on one input and constants only.
pub(super) struct Cone<'a> {
    graph: &'a Graph,
    input: &'a str,
    depends: HashMap<&'a str, Depends>,
    /// Node that gives a value.
    givers: HashMap<&'a str, usize>,
}

/// What a value depends on; of several, the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depends {
    Constants,
    Input,
    More,
}

impl<'a> Cone<'a> {
    pub(super) fn of(graph: &'a Graph, input: &'a str) -> Self {
        let proto = graph.proto();
        let constants = proto.initializer.iter().map(TensorProto::name);
        let others = proto.input.iter().map(ValueInfoProto::name);
        let mut depends: HashMap<&str, Depends> = HashMap::new();
        depends.extend(constants.map(|name| (name, Depends::Constants)));
        // An initialiser of an input's name is only its default.
        depends.extend(others.map(|name| (name, Depends::More)));
        depends.insert(input, Depends::Input);
        let mut givers = HashMap::new();
        for (position, node) in proto.node.iter().enumerate() {
            let of_inputs = given(&node.input).map(|value| depends.get(value).copied());
            let on = of_inputs
                .map(|found| found.unwrap_or(Depends::More))
                .max()
                .unwrap_or(Depends::Constants);
            let on = if operators::is_repeatable(node) {
                on
            } else {
                Depends::More
            };
            for value in given(&node.output) {
                depends.insert(value, on);
                givers.insert(value, position);
            }
        }
        Self {
            graph,
            input,
            depends,
            givers,
        }
    }

    /// Nodes whose one FP32 output stands for everything behind it that the rest of the graph needs.
    ///
    /// Operators that only move elements are left to the graph: six slices of one vector need one table.
    pub(super) fn cuts(&self, types: &Types) -> Vec<usize> {
        let proto = self.graph.proto();
        let outside = proto.node.iter().filter(|node| {
            given(&node.output).any(|value| self.depends.get(value) == Some(&Depends::More))
        });
        let read = outside.flat_map(|node| given(&node.input));
        let wanted = read.chain(proto.output.iter().map(ValueInfoProto::name));
        let cuts: BTreeSet<usize> = wanted
            .filter_map(|value| self.behind_movers(value))
            .filter(|&position| {
                let mut values = given(&proto.node[position].output);
                let first = values.next().and_then(|value| types.of(value));
                first == Some(DataType::Float) && values.next().is_none()
            })
            .collect();
        cuts.into_iter().collect()
    }

    /// The part that gives the outputs of `cuts`, as a model of its own.
    pub(super) fn model(&self, cuts: &[usize]) -> ModelProto {
        let ModelProto {
            ir_version,
            opset_import,
            ..
        } = self.graph.model();
        let proto = self.graph.proto();
        let outputs: Vec<&str> = cuts
            .iter()
            .flat_map(|&position| given(&proto.node[position].output))
            .collect();
        let mut needed: HashSet<&str> = outputs.iter().copied().collect();
        let mut nodes = Vec::new();
        for node in proto.node.iter().rev() {
            if given(&node.output).any(|value| needed.contains(value)) {
                needed.extend(given(&node.input));
                nodes.push(node.clone());
            }
        }
        nodes.reverse();
        let is_needed = |name: &str| needed.contains(name);
        let initializers = proto.initializer.iter();
        let inputs = proto.input.iter();
        ModelProto {
            ir_version: *ir_version,
            opset_import: opset_import.clone(),
            graph: Some(GraphProto {
                name: proto.name.clone(),
                node: nodes,
                initializer: initializers
                    .filter(|tensor| is_needed(tensor.name()))
                    .cloned()
                    .collect(),
                input: inputs
                    .filter(|input| input.name() == self.input)
                    .cloned()
                    .collect(),
                output: outputs
                    .into_iter()
                    .map(|name| value_info(name, DataType::Float))
                    .collect(),
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        }
    }

    /// The node in the cone whose result this value is, moved at most; `None` outside the cone and for the input itself.
    fn behind_movers(&self, value: &str) -> Option<usize> {
        let mut value = value;
        loop {
            if self.depends.get(value) != Some(&Depends::Input) {
                return None;
            }
            let position = *self.givers.get(value)?;
            let node = &self.graph.proto().node[position];
            match self.moved(node) {
                Some(moved) => value = moved,
                None => return Some(position),
            }
        }
    }

    /// What a node moves, where that is one value of the cone.
    fn moved(&self, node: &'a NodeProto) -> Option<&'a str> {
        let first = node.input.first()?;
        let mut on_input =
            given(&node.input).filter(|&value| self.depends.get(value) == Some(&Depends::Input));
        let one = operators::only_moves(node) && on_input.next() == Some(first);
        (one && on_input.next().is_none()).then_some(first)
    }
}

fn given(values: &[String]) -> impl Iterator<Item = &str> {
    values
        .iter()
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}
