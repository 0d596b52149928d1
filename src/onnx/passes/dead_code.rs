//! Removes what no output needs.

use super::{Pass, Report};
use crate::onnx::error::OnnxError;
use crate::onnx::evaluate::Evaluator;
use crate::onnx::graph::Graph;
use crate::onnx::proto::GraphProto;
use std::collections::{BTreeMap, HashSet};

/// Removes nodes, constants and recorded types that no graph output depends on.
///
/// Inputs stay, also unused ones: they belong to the graph's contract.
#[derive(Debug, Clone, Copy)]
pub struct DeadCode;

impl Pass for DeadCode {
    fn name(&self) -> &'static str {
        "dead_code"
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
        let proto = graph.proto_mut();
        let (needed, live) = needed_values(proto);
        let constants = proto.initializer.len() + proto.sparse_initializer.len();
        report.removed_nodes += live.iter().filter(|&&live| !live).count();
        let mut is_live = live.iter();
        proto.node.retain(|_| is_live.next() == Some(&true));
        proto
            .initializer
            .retain(|tensor| needed.contains(tensor.name()));
        proto.sparse_initializer.retain(|sparse| {
            let values = sparse.values.as_ref();
            values.is_some_and(|values| needed.contains(values.name()))
        });
        proto
            .value_info
            .retain(|value| needed.contains(value.name()));
        report.removed_constants +=
            constants - proto.initializer.len() - proto.sparse_initializer.len();
        Ok(())
    }
}

/// Values that outputs depend on, and for each node whether it gives one of them.
pub(super) fn needed_values(graph: &GraphProto) -> (HashSet<String>, Vec<bool>) {
    let outputs = graph.output.iter().map(|output| output.name().to_owned());
    let mut needed: HashSet<String> = outputs.collect();
    let mut live = vec![false; graph.node.len()];
    for (position, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|value| needed.contains(value)) {
            live[position] = true;
            needed.extend(node.input.iter().chain(&node.output).cloned());
        }
    }
    needed.remove("");
    (needed, live)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::builder::{Attribute, GraphBuilder};
    use crate::onnx::evaluate::NoEvaluator;
    use crate::tensor::DType;

    #[test]
    fn what_no_output_needs_goes() {
        let file = GraphBuilder::new()
            .input("x", DType::F32, &["2"])
            .input("unused", DType::F32, &["2"])
            .constant("w", &[2], &[1f32, 2.0])
            .constant("dead_w", &[2], &[1f32, 2.0])
            .node("Mul", &["x", "dead_w"], &["dead"])
            .node("Relu", &["dead"], &["deader"])
            .node("Add", &["x", "w"], &["y"])
            .output("y", DType::F32, &["2"])
            .read();
        let mut graph = Graph::of(&file);
        let mut report = Report::default();
        DeadCode
            .run(&mut graph, &NoEvaluator, &mut report)
            .expect("well formed");
        assert_eq!((report.removed_nodes, report.removed_constants), (2, 1));
        assert_eq!(graph.proto().node.len(), 1);
        assert_eq!(graph.proto().initializer[0].name(), "w");
        assert_eq!(graph.proto().input.len(), 2);
        let once = graph.proto().clone();
        DeadCode
            .run(&mut graph, &NoEvaluator, &mut report)
            .expect("well formed");
        assert_eq!(*graph.proto(), once);
    }

    #[test]
    fn graphs_with_subgraphs_are_refused() {
        let body = GraphBuilder::new()
            .node("Identity", &["x"], &["inner"])
            .output("inner", DType::F32, &["2"])
            .graph()
            .clone();
        let branches = [
            ("then_branch", Attribute::Graph(body.clone())),
            ("else_branch", Attribute::Graph(body)),
        ];
        let file = GraphBuilder::new()
            .input("c", DType::Bool, &[])
            .input("x", DType::F32, &["2"])
            .node_with("If", &["c"], &["y"], &branches)
            .output("y", DType::F32, &["2"])
            .read();
        let mut graph = Graph::of(&file);
        assert_eq!(
            graph
                .index()
                .expect("captures are no faults")
                .consumers("x"),
            [0]
        );
        let error = DeadCode.run(&mut graph, &NoEvaluator, &mut Report::default());
        assert!(
            matches!(error, Err(OnnxError::NotFlat { ref construct, .. }) if construct == "If"),
            "{error:?}"
        );
    }
}
