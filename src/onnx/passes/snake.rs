//! The vocoder's activation as one operator.

use super::{Pass, Report};
use crate::ids::operator::{DOMAIN, SNAKE};
use crate::onnx::error::OnnxError;
use crate::onnx::evaluate::Evaluator;
use crate::onnx::graph::Graph;
use crate::onnx::index::Index;
use crate::onnx::proto::{GraphProto, NodeProto, OperatorSetIdProto, ValueInfoProto};
use std::collections::{BTreeMap, HashSet};

/// Replaces `x + sin(x) * sin(x)`, three nodes, by one operator of our own, for backends that compute it.
///
/// ONNX Runtime computes a sine on one thread and without wide vectors, and a sum and a product are a pass over memory
/// each: a sixth of the vocoder's time.
#[derive(Debug, Clone, Copy)]
pub struct FusedSnake;

impl Pass for FusedSnake {
    fn name(&self) -> &'static str {
        "fused_snake"
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
        let index = graph.index()?;
        let found = found(graph.proto(), &index);
        if found.is_empty() {
            return Ok(());
        }
        report.fused_nodes += 3 * found.len();
        let proto = graph.proto_mut();
        let mut gone = HashSet::new();
        for Parts { sine, square, sum } in found {
            let input = proto.node[sine].input[0].clone();
            let node = &mut proto.node[sum];
            node.op_type = Some(SNAKE.to_owned());
            node.domain = Some(DOMAIN.to_owned());
            node.input = vec![input];
            gone.extend([sine, square]);
        }
        let mut position = 0;
        proto.node.retain(|_| {
            position += 1;
            !gone.contains(&(position - 1))
        });
        graph.import(OperatorSetIdProto {
            domain: Some(DOMAIN.to_owned()),
            version: Some(1),
        });
        Ok(())
    }
}

/// Positions of the nodes of one activation.
struct Parts {
    sine: usize,
    square: usize,
    sum: usize,
}

fn found(graph: &GraphProto, index: &Index) -> Vec<Parts> {
    let outputs: HashSet<&str> = graph.output.iter().map(ValueInfoProto::name).collect();
    // What nothing else reads, so that it may go.
    let only_reader = |node: &NodeProto| {
        let value = node.output.first()?;
        let mut readers = index.consumers(value).to_vec();
        readers.dedup();
        match readers[..] {
            [reader] if !outputs.contains(value.as_str()) => Some(reader),
            _ => None,
        }
    };
    let parts = |sine: usize| {
        let node = &graph.node[sine];
        let square = only_reader(node)?;
        let squared = &graph.node[square];
        let sum = only_reader(squared)?;
        let of_itself = squared.input.iter().all(|input| *input == node.output[0]);
        let summed = &graph.node[sum];
        let pair = [&node.input[0], &squared.output[0]];
        let is_sum = summed.input.len() == 2
            && (summed.input.iter().eq(pair) || summed.input.iter().rev().eq(pair));
        (is(squared, "Mul") && of_itself && is(summed, "Add") && is_sum).then_some(Parts {
            sine,
            square,
            sum,
        })
    };
    let sines = (0..graph.node.len()).filter(|&position| is(&graph.node[position], "Sin"));
    sines.filter_map(parts).collect()
}

fn is(node: &NodeProto, operator: &str) -> bool {
    node.domain().is_empty() && node.op_type() == operator
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::builder::GraphBuilder;
    use crate::onnx::evaluate::NoEvaluator;
    use crate::tensor::DType;

    fn builder() -> GraphBuilder {
        GraphBuilder::new().input("x", DType::F32, &["n"])
    }

    fn operators(builder: &GraphBuilder) -> (Vec<String>, usize) {
        let mut graph = Graph::of(&builder.read());
        let mut report = Report::default();
        FusedSnake
            .run(&mut graph, &NoEvaluator, &mut report)
            .expect("well formed");
        graph.index().expect("still well formed");
        let once = graph.model().clone();
        FusedSnake
            .run(&mut graph, &NoEvaluator, &mut Report::default())
            .expect("its own result");
        assert_eq!(graph.model(), &once);
        let nodes = graph.proto().node.iter();
        (
            nodes.map(|node| node.op_type().to_owned()).collect(),
            report.fused_nodes,
        )
    }

    #[test]
    fn three_nodes_become_one_in_either_order_of_the_sum() {
        for sum in [["x", "q"], ["q", "x"]] {
            let builder = builder()
                .node("Sin", &["x"], &["w"])
                .node("Mul", &["w", "w"], &["q"])
                .node("Add", &sum, &["y"])
                .node("Relu", &["y"], &["z"])
                .output("z", DType::F32, &["n"]);
            assert_eq!(
                operators(&builder),
                (vec![SNAKE.to_owned(), "Relu".to_owned()], 3)
            );
        }
    }

    #[test]
    fn what_is_read_elsewhere_or_is_another_formula_stays() {
        let sine = || builder().node("Sin", &["x"], &["w"]);
        let output = |builder: GraphBuilder| builder.output("y", DType::F32, &["n"]);
        let others = [
            output(
                sine()
                    .node("Mul", &["w", "w"], &["q"])
                    .node("Add", &["x", "q"], &["y"]),
            )
            .output("q", DType::F32, &["n"]),
            output(
                sine()
                    .node("Mul", &["w", "w"], &["q"])
                    .node("Add", &["w", "q"], &["y"]),
            ),
            output(
                sine()
                    .node("Mul", &["w", "w"], &["q"])
                    .node("Add", &["q", "q"], &["y"]),
            ),
            output(
                sine()
                    .node("Mul", &["w", "x"], &["q"])
                    .node("Add", &["x", "q"], &["y"]),
            ),
            output(
                sine()
                    .node("Mul", &["w", "w"], &["q"])
                    .node("Sub", &["x", "q"], &["y"]),
            ),
        ];
        for builder in others {
            assert_eq!(operators(&builder).1, 0, "{:?}", builder.model().graph);
        }
    }
}
