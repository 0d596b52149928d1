//! Which nodes stay in FP32 before anything was measured, and which follow if that is not enough.

use super::ranges::GraphRanges;
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::onnx::{HalfType, ModelFile, only_moves};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Nodes that stay in FP32, each with the reason.
pub(super) type Islands = BTreeMap<String, String>;

/// What is known of a graph before its first trial.
#[derive(Debug)]
pub(super) struct Forecast {
    /// Nodes that cannot be half, or are known not to bear it.
    pub(super) islands: Islands,
    /// The other nodes that compute, those whose values reach furthest first.
    pub(super) order: Vec<(String, f32)>,
}

/// The share of the half type's range that a recorded value may reach: other texts and voices go further.
const HEADROOM: f32 = 0.5;

/// Sums of squares and their roots; a norm loses more than its own digits where they are rounded.
#[rustfmt::skip]
const NORMS: &[&str] = &[
    "InstanceNormalization", "Pow", "ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare",
    "Sqrt",
];

/// A phase below this keeps in half what a sine of it has in half.
const PHASE: f32 = 2.0;

/// Foretells which nodes of a graph must stay in FP32.
pub(super) fn forecast(model: &ModelFile, ranges: &GraphRanges, half: HalfType) -> Forecast {
    let graph = model.graph();
    let constants = model.constant_magnitudes();
    let reach = Reach::of(graph, ranges, &constants);
    let mut islands = Islands::new();
    // What a constant decides, as the score of a masked place, no other text changes.
    let decided: HashSet<u32> = constants.values().map(|value| value.to_bits()).collect();
    let is_far = |value: &&String| {
        let reached = reach.at(value);
        let share = if decided.contains(&reached.to_bits()) {
            1.0
        } else {
            HEADROOM
        };
        reached > half.max() * share
    };
    for node in &graph.node {
        let values = || node.input.iter().chain(&node.output);
        let far = values().find(is_far);
        let unfit = node.input.iter().find_map(|value| {
            let greatest = *constants.get(value)?;
            let vanishes = greatest != 0.0 && greatest < half.min_positive();
            (greatest > half.max() || vanishes).then_some((value, greatest))
        });
        let reason = if let Some(value) = far {
            format!("`{value}` reaches {:.1e}", reach.at(value))
        } else if let Some((value, greatest)) = unfit {
            format!("the constant `{value}` is {greatest:.1e}")
        } else if NORMS.contains(&node.op_type()) {
            format!("{} of a norm", node.op_type())
        } else {
            continue;
        };
        islands.insert(node.name().to_owned(), reason);
    }
    add_phases(graph, &reach, &mut islands);
    islands.remove("");
    let mut order: Vec<(String, f32)> = graph
        .node
        .iter()
        .filter(|node| computes(node) && !islands.contains_key(node.name()))
        .map(|node| (node.name().to_owned(), reach.given(node)))
        .collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    Forecast { islands, order }
}

impl Forecast {
    /// The islands foretold, and the first `count` of those that follow.
    pub(super) fn widened(&self, count: usize) -> Islands {
        let mut islands = self.islands.clone();
        for (node, reach) in &self.order[..count] {
            islands.insert(
                node.clone(),
                format!("reaches {reach:.1e}, and the error asked for it"),
            );
        }
        islands
    }

    /// Adds what these values touch, which were found to overflow, to the islands foretold; gives whether any node is new
    /// there, and takes those that are from the ones that follow.
    ///
    /// Beside values that overflow themselves, those that only inherit an infinity are left out.
    pub(super) fn add_overflowing(
        &mut self,
        graph: &GraphProto,
        overflows: &BTreeMap<String, f32>,
    ) -> bool {
        let begins = overflows.values().any(|reached| reached.is_finite());
        let overflows = |value: &&String| {
            let reached = overflows.get(*value);
            reached.is_some_and(|reached| reached.is_finite() || !begins)
        };
        let known = self.islands.len();
        for node in graph.node.iter().filter(|node| !node.name().is_empty()) {
            if let Some(value) = node.input.iter().chain(&node.output).find(overflows) {
                self.islands
                    .entry(node.name().to_owned())
                    .or_insert_with(|| format!("`{value}` overflowed"));
            }
        }
        let islands = &self.islands;
        self.order.retain(|(node, _)| !islands.contains_key(node));
        self.islands.len() > known
    }
}

/// Adds what makes the argument of a sine, back to the products it comes from: an error there is an error of the phase,
/// however small it is beside the argument.
fn add_phases(graph: &GraphProto, reach: &Reach<'_>, islands: &mut Islands) {
    let mut phases: HashSet<&str> = HashSet::new();
    for node in graph.node.iter().rev() {
        let is_sine = matches!(node.op_type(), "Sin" | "Cos");
        let makes_phase = node
            .output
            .iter()
            .any(|value| phases.contains(value.as_str()));
        if !is_sine && !makes_phase {
            continue;
        }
        let large = node.input.iter().filter(|value| reach.at(value) > PHASE);
        if is_sine && large.clone().next().is_none() {
            continue;
        }
        islands
            .entry(node.name().to_owned())
            .or_insert_with(|| "the phase of a sine".to_owned());
        if !matches!(node.op_type(), "Conv" | "ConvTranspose" | "Gemm" | "MatMul") {
            phases.extend(large.map(String::as_str));
        }
    }
}

fn computes(node: &NodeProto) -> bool {
    !node.name().is_empty()
        && !only_moves(node)
        && !matches!(node.op_type(), "Cast" | "Shape")
        && !node.op_type().starts_with("Constant")
}

/// How far each value reaches from zero.
struct Reach<'a> {
    known: HashMap<&'a str, f32>,
}

impl<'a> Reach<'a> {
    fn of_range(range: [f32; 2]) -> f32 {
        range[0].abs().max(range[1].abs())
    }

    /// What is only moved reaches as far as what it was moved from.
    fn of(
        graph: &'a GraphProto,
        ranges: &'a GraphRanges,
        constants: &'a BTreeMap<String, f32>,
    ) -> Self {
        let constants = constants
            .iter()
            .map(|(name, greatest)| (name.as_str(), *greatest));
        let recorded = ranges.values.iter();
        let recorded = recorded.map(|(name, range)| (name.as_str(), Self::of_range(*range)));
        let mut known: HashMap<&str, f32> = constants.chain(recorded).collect();
        for node in graph.node.iter().filter(|node| only_moves(node)) {
            let from = node
                .input
                .iter()
                .filter_map(|value| known.get(value.as_str()));
            if let Some(furthest) = from.copied().reduce(f32::max) {
                known.extend(node.output.iter().map(|value| (value.as_str(), furthest)));
            }
        }
        Self { known }
    }

    /// Zero for a value that was not observed.
    fn at(&self, value: &str) -> f32 {
        self.known.get(value).copied().unwrap_or(0.0)
    }

    fn given(&self, node: &NodeProto) -> f32 {
        node.output
            .iter()
            .map(|value| self.at(value))
            .fold(0.0, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use crate::onnx::builder::GraphBuilder;
    use crate::tensor::DType;

    fn ranges(values: &[(&str, f32)]) -> GraphRanges {
        let mut ranges = GraphRanges::new(Digest::of(b"model"));
        for (name, reach) in values {
            ranges.add(&[(*name).to_owned()], &[-reach, *reach]);
        }
        ranges
    }

    fn foretold(model: &ModelFile, values: &[(&str, f32)], half: HalfType) -> Vec<String> {
        let Forecast { islands, .. } = forecast(model, &ranges(values), half);
        islands.into_keys().collect()
    }

    #[test]
    fn what_a_value_out_of_range_touches_stays() {
        let model = GraphBuilder::new()
            .input("x", DType::F32, &["2", "2"])
            .node("Mul", &["x", "x"], &["a"])
            .node("Transpose", &["a"], &["b"])
            .node("Relu", &["b"], &["c"])
            .node("Tanh", &["c"], &["d"])
            .node("Neg", &["d"], &["y"])
            .output("y", DType::F32, &["2", "2"])
            .read();
        let values = [("x", 300.0), ("a", 9e4), ("c", 9e4), ("d", 1.0), ("y", 1.0)];
        assert_eq!(
            foretold(&model, &values, HalfType::F16),
            ["/a", "/b", "/c", "/d"]
        );
        assert!(foretold(&model, &values, HalfType::Bf16).is_empty());
        let Forecast { order, .. } = forecast(&model, &ranges(&values), HalfType::Bf16);
        let order: Vec<&str> = order.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(order, ["/a", "/c", "/d", "/y"]);
    }

    #[test]
    fn what_a_value_that_overflowed_touches_stays_from_then_on() {
        let model = GraphBuilder::new()
            .input("x", DType::F32, &["2"])
            .node("Mul", &["x", "x"], &["a"])
            .node("Relu", &["a"], &["b"])
            .node("Tanh", &["b"], &["c"])
            .node("Neg", &["c"], &["y"])
            .output("y", DType::F32, &["2"])
            .read();
        let mut forecast = forecast(&model, &ranges(&[("x", 1.0)]), HalfType::F16);
        let ordered = |forecast: &Forecast| -> Vec<String> {
            forecast
                .order
                .iter()
                .map(|(node, _)| node.clone())
                .collect()
        };
        assert_eq!(ordered(&forecast), ["/a", "/b", "/c", "/y"]);
        let found = |values: &[(&str, f32)]| -> BTreeMap<String, f32> {
            values
                .iter()
                .map(|(value, reached)| ((*value).to_owned(), *reached))
                .collect()
        };
        // `b` only inherits the infinity that `a` was rounded to.
        let overflows = found(&[("a", 9e4), ("b", f32::INFINITY)]);
        assert!(forecast.add_overflowing(model.graph(), &overflows));
        assert!(forecast.islands.keys().eq(["/a", "/b"]), "{forecast:?}");
        assert_eq!(ordered(&forecast), ["/c", "/y"]);
        assert!(!forecast.add_overflowing(model.graph(), &overflows));
        assert!(forecast.add_overflowing(model.graph(), &found(&[("c", f32::INFINITY)])));
        assert!(ordered(&forecast).is_empty());
    }

    #[test]
    fn constants_that_do_not_fit_norms_and_phases_stay() {
        let model = GraphBuilder::new()
            .input("t", DType::F32, &["1"])
            .constant("mask", &[1], &[-1e10f32])
            .constant("eps", &[], &[1e-12f32])
            .constant("scale", &[], &[1e3f32])
            .node("Mul", &["t", "scale"], &["times"])
            .node("Unsqueeze", &["times"], &["row"])
            .node("Mul", &["row", "row"], &["phase"])
            .node("Sin", &["phase"], &["sine"])
            .node("Sin", &["sine"], &["small"])
            .node("Add", &["small", "mask"], &["masked"])
            .node("ReduceMean", &["small"], &["mean"])
            .node("Add", &["mean", "eps"], &["safe"])
            .node("Relu", &["safe"], &["y"])
            .output("y", DType::F32, &["1"])
            .read();
        let values = [
            ("t", 1.0),
            ("times", 1e3),
            ("phase", 1e3),
            ("sine", 1.0),
            ("small", 0.8),
        ];
        assert_eq!(
            foretold(&model, &values, HalfType::F16),
            [
                "/masked", "/mean", "/phase", "/row", "/safe", "/sine", "/times"
            ]
        );
    }
}
