//! Names for what a pass adds.

use crate::onnx::proto::{GraphProto, TensorProto, ValueInfoProto};
use std::collections::HashSet;

/// The value names a graph uses.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn of(graph: &GraphProto) -> Self {
        let nodes = graph.node.iter();
        let computed = nodes.flat_map(|node| node.output.iter().map(String::as_str));
        Self::with(graph, computed)
    }

    /// Only these of the values that nodes give.
    pub(super) fn with<'a>(graph: &'a GraphProto, computed: impl Iterator<Item = &'a str>) -> Self {
        let sparse = graph
            .sparse_initializer
            .iter()
            .filter_map(|sparse| sparse.values.as_ref());
        let constants = graph.initializer.iter().chain(sparse);
        let io = graph.input.iter().chain(&graph.output);
        let names = computed
            .chain(constants.map(TensorProto::name))
            .chain(io.map(ValueInfoProto::name));
        Self(names.map(str::to_owned).collect())
    }

    /// A name like `base__part` that nothing has yet.
    pub(super) fn fresh(&mut self, base: &str, part: &str) -> String {
        let mut name = format!("{base}__{part}");
        while !self.0.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}
