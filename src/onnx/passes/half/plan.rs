//! What every node computes in, and which type every reader wants.

use super::movers::between_full;
use super::{Half, HalfType, addresses};
use crate::onnx::error::OnnxError;
use crate::onnx::graph::Graph;
use crate::onnx::index::{Index, Source};
use crate::onnx::operators;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use crate::onnx::types::{Types, element_type};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Decisions about one graph; it changes nothing.
pub(super) struct Plan {
    pub(super) to: HalfType,
    /// Per node, in the graph's order.
    pub(super) modes: Vec<Mode>,
    pub(super) half_io: BTreeSet<String>,
    types: Types,
    index: Index,
    /// The new type of each FP32 or half value at its source.
    at_source: HashMap<String, DataType>,
    /// Value given by a conversion that is looked through, to the value it converts.
    roots: HashMap<String, String>,
    /// Uses of each FP32 constant.
    uses: HashMap<String, Uses>,
}

/// What a node computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The half type.
    Half,
    /// FP32.
    Full,
    /// The types it was exported with.
    Keep,
    /// A conversion between FP32 and the half type: looked through and placed anew.
    LookedThrough,
}

/// Which types the readers of a constant want.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Uses {
    pub(super) half: bool,
    pub(super) full: bool,
}

impl Plan {
    pub(super) fn of(pass: &Half, graph: &Graph) -> Result<Self, OnnxError> {
        let Half {
            to,
            islands,
            half_io,
        } = pass;
        let index = graph.index()?;
        let types = graph.types()?;
        let proto = graph.proto();
        let mut plan = Self {
            to: *to,
            modes: Vec::with_capacity(proto.node.len()),
            half_io: half_io.clone(),
            types,
            index,
            at_source: HashMap::new(),
            roots: HashMap::new(),
            uses: HashMap::new(),
        };
        plan.check_half_io(graph)?;
        check_islands(pass, graph)?;
        for node in &proto.node {
            let mode = if plan.converts_between_ours(node) {
                let root = plan.root(&node.input[0]).to_owned();
                plan.roots.insert(node.output[0].clone(), root);
                Mode::LookedThrough
            } else if operators::keeps_types(node) || !plan.is_typed(node) {
                Mode::Keep
            } else if islands.operators.contains(node.op_type())
                || islands.nodes.contains(node.name())
            {
                island_mode(node)
            } else if node.op_type() == "Constant" {
                Mode::Keep
            } else {
                Mode::Half
            };
            plan.modes.push(mode);
        }
        for find in [addresses::found, between_full] {
            for position in find(&plan, proto) {
                plan.modes[position] = Mode::Full;
            }
        }
        plan.collect_sources(proto);
        plan.collect_uses(proto);
        Ok(plan)
    }

    /// The value behind a chain of looked-through conversions.
    pub(super) fn root<'a>(&'a self, value: &'a str) -> &'a str {
        self.roots.get(value).map_or(value, String::as_str)
    }

    /// The type in which a node wants an input, where that is FP32 or the half type and matters.
    pub(super) fn wanted(&self, node: &NodeProto, mode: Mode, input: usize) -> Option<DataType> {
        let own = self.ours(node.input.get(input)?)?;
        if operators::accepts_any_type(node, input) {
            return None;
        }
        match mode {
            Mode::Half if operators::follows_computation(node, input) => Some(self.to.data_type()),
            Mode::Full => Some(DataType::Float),
            Mode::Half | Mode::Keep => Some(own),
            Mode::LookedThrough => None,
        }
    }

    /// The type in which a node gives an output, where that is FP32 or the half type.
    pub(super) fn given(&self, node: &NodeProto, mode: Mode, output: usize) -> Option<DataType> {
        let own = self.ours(node.output.get(output)?)?;
        match mode {
            Mode::Half if operators::output_follows_computation(node, output) => {
                Some(self.to.data_type())
            }
            Mode::Half | Mode::Full => Some(DataType::Float),
            Mode::Keep => Some(own),
            Mode::LookedThrough => None,
        }
    }

    /// The type a graph output must have, where that is FP32 or the half type.
    pub(super) fn declared(&self, output: &str, found: Option<DataType>) -> Option<DataType> {
        let found = found.filter(|&found| self.is_ours(found))?;
        if self.half_io.contains(output) {
            Some(self.to.data_type())
        } else {
            Some(found)
        }
    }

    /// The new type of a value at its source, where that is FP32 or the half type; a convertible constant's is FP32.
    pub(super) fn at_source(&self, value: &str) -> Option<DataType> {
        self.at_source.get(value).copied()
    }

    /// The type a value has in the graph as it is.
    pub(super) fn type_before(&self, value: &str) -> Option<DataType> {
        self.types.of(value)
    }

    /// Whether a node gives this value.
    pub(super) fn is_computed(&self, value: &str) -> bool {
        matches!(self.index.source(value), Some(Source::Node { .. }))
    }

    /// Whether FP32 or the half type is what this value has.
    pub(super) fn concerns(&self, value: &str) -> bool {
        self.ours(value).is_some()
    }

    /// Which types the readers of a constant want; `None` where it cannot be converted at rest.
    pub(super) fn uses(&self, constant: &str) -> Option<Uses> {
        self.uses.get(constant).copied()
    }

    /// Inputs and constants in FP32.
    pub(super) fn full_at_rest<'a>(&self, graph: &'a GraphProto) -> impl Iterator<Item = &'a str> {
        let constants = graph.initializer.iter().map(TensorProto::name);
        let inputs = graph
            .input
            .iter()
            .filter(|input| !self.half_io.contains(input.name()))
            .map(ValueInfoProto::name);
        constants
            .chain(inputs)
            .filter(|value| self.types.of(value) == Some(DataType::Float))
    }

    fn collect_sources(&mut self, graph: &GraphProto) {
        let mut at_source = HashMap::new();
        let constants = graph.initializer.iter().map(TensorProto::name);
        let sparse = graph
            .sparse_initializer
            .iter()
            .filter_map(|sparse| sparse.values.as_ref())
            .map(TensorProto::name);
        for name in constants.chain(sparse) {
            at_source.extend(self.ours(name).map(|found| (name.to_owned(), found)));
        }
        for input in &graph.input {
            let declared = self.declared(input.name(), element_type(input));
            at_source.extend(declared.map(|found| (input.name().to_owned(), found)));
        }
        for (node, &mode) in graph.node.iter().zip(&self.modes) {
            for (output, name) in node.output.iter().enumerate() {
                let given = self.given(node, mode, output);
                at_source.extend(given.map(|found| (name.clone(), found)));
            }
        }
        self.at_source = at_source;
    }

    fn collect_uses(&mut self, graph: &GraphProto) {
        let mut wants = Vec::new();
        for (node, &mode) in graph.node.iter().zip(&self.modes) {
            for (input, value) in node.input.iter().enumerate() {
                wants.extend(self.wanted(node, mode, input).map(|wanted| (value, wanted)));
            }
        }
        let outputs: Vec<(String, Option<DataType>)> = graph
            .output
            .iter()
            .map(|output| (output.name().to_owned(), element_type(output)))
            .collect();
        for (name, found) in &outputs {
            wants.extend(self.declared(name, *found).map(|wanted| (name, wanted)));
        }
        let mut uses: HashMap<String, Uses> = HashMap::new();
        for (value, wanted) in wants {
            let root = self.root(value);
            if !self.is_convertible_constant(root) {
                continue;
            }
            let uses = uses.entry(root.to_owned()).or_default();
            if wanted == DataType::Float {
                uses.full = true;
            } else {
                uses.half = true;
            }
        }
        self.uses = uses;
    }

    fn is_convertible_constant(&self, value: &str) -> bool {
        matches!(self.index.source(value), Some(Source::Initializer(_)))
            && self.types.of(value) == Some(DataType::Float)
    }

    fn converts_between_ours(&self, node: &NodeProto) -> bool {
        let ([input], [output]) = (node.input.as_slice(), node.output.as_slice()) else {
            return false;
        };
        node.op_type() == "Cast"
            && operators::is_standard(node)
            && self.ours(input).is_some()
            && self.ours(output).is_some()
    }

    fn is_typed(&self, node: &NodeProto) -> bool {
        let values = node.input.iter().chain(&node.output);
        values
            .filter(|value| !value.is_empty())
            .all(|value| self.types.of(value).is_some())
    }

    /// The value's type, where it is one this pass decides about.
    fn ours(&self, value: &str) -> Option<DataType> {
        self.types.of(value).filter(|&found| self.is_ours(found))
    }

    fn is_ours(&self, found: DataType) -> bool {
        found == DataType::Float || found == self.to.data_type()
    }

    fn check_half_io(&self, graph: &Graph) -> Result<(), OnnxError> {
        let refuse = |name: &str, problem| {
            Err(OnnxError::Parameter {
                file: graph.file().to_owned(),
                name: name.to_owned(),
                problem,
            })
        };
        let proto = graph.proto();
        let io: HashMap<&str, Option<DataType>> = proto
            .input
            .iter()
            .chain(&proto.output)
            .map(|value| (value.name(), element_type(value)))
            .collect();
        for name in &self.half_io {
            match io.get(name.as_str()) {
                None => return refuse(name, "is neither an input nor an output"),
                Some(found) if found.is_none_or(|found| !self.is_ours(found)) => {
                    return refuse(name, "is not FP32, so it cannot become half");
                }
                Some(_) if self.is_convertible_constant(name) => {
                    return refuse(name, "is a constant, so its type is not a caller's");
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

fn check_islands(pass: &Half, graph: &Graph) -> Result<(), OnnxError> {
    let names: HashSet<&str> = graph.proto().node.iter().map(NodeProto::name).collect();
    let unknown = pass
        .islands
        .nodes
        .iter()
        .find(|name| name.is_empty() || !names.contains(name.as_str()));
    match unknown {
        None => Ok(()),
        Some(name) => Err(OnnxError::Parameter {
            file: graph.file().to_owned(),
            name: name.clone(),
            problem: "is to stay in FP32 and no node has this name",
        }),
    }
}

/// An island computes in FP32; one that only holds a constant gives it as it is.
fn island_mode(node: &NodeProto) -> Mode {
    if matches!(node.op_type(), "Constant" | "ConstantOfShape") {
        Mode::Keep
    } else {
        Mode::Full
    }
}
