//! What is in a model file, in short.

use super::data_type::payload_bytes;
use super::file::ModelFile;
use super::interface::type_in_words;
use super::proto::ValueInfoProto;
use super::proto::tensor_proto::DataType;
use super::{operators, walk};
use std::collections::BTreeMap;
use std::fmt;

/// The contents of a model file; printed by `inspect`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// The tool that wrote the file, with its version.
    pub producer: String,
    /// Version of the file format.
    pub ir_version: i64,
    /// Operator set by domain; ONNX's own is `ai.onnx`.
    pub operator_sets: BTreeMap<String, i64>,
    /// Inputs in order: name and type.
    pub inputs: Vec<(String, String)>,
    /// Outputs in order: name and type.
    pub outputs: Vec<(String, String)>,
    /// Nodes by operator, subgraphs included.
    pub operators: BTreeMap<String, usize>,
    /// Constants by element type, those in attributes and subgraphs included.
    pub constants: BTreeMap<String, ConstantBytes>,
    /// Data files beside the model.
    pub external: Vec<DataFile>,
}

/// Constants of one element type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ConstantBytes {
    /// Tensors.
    pub tensors: usize,
    /// Bytes their elements take.
    pub bytes: u64,
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DataFile {
    /// Path relative to the model's folder.
    pub location: String,
    /// Size.
    pub bytes: usize,
}

impl Summary {
    /// Sums up a model.
    pub fn of(file: &ModelFile) -> Self {
        let model = file.model();
        let graph = file.graph();
        let named = |value: &ValueInfoProto| (value.name().to_owned(), type_in_words(value));
        let mut operators = BTreeMap::new();
        for node in walk::nodes(graph) {
            *operators.entry(operators::qualified(node)).or_default() += 1;
        }
        let mut constants: BTreeMap<String, ConstantBytes> = BTreeMap::new();
        for tensor in walk::tensors(model) {
            let element = DataType::try_from(tensor.data_type.unwrap_or_default());
            let name = element.unwrap_or_default().as_str_name().to_lowercase();
            let entry = constants.entry(name).or_default();
            entry.tensors += 1;
            entry.bytes = entry
                .bytes
                .saturating_add(payload_bytes(tensor).unwrap_or_default());
        }
        Self {
            producer: format!("{} {}", model.producer_name(), model.producer_version())
                .trim()
                .to_owned(),
            ir_version: model.ir_version(),
            operator_sets: model
                .opset_import
                .iter()
                .map(|set| {
                    let domain = Some(set.domain()).filter(|domain| !domain.is_empty());
                    (domain.unwrap_or("ai.onnx").to_owned(), set.version())
                })
                .collect(),
            inputs: graph.input.iter().map(named).collect(),
            outputs: graph.output.iter().map(named).collect(),
            operators,
            constants,
            external: file
                .external()
                .files()
                .map(|(location, bytes)| DataFile {
                    location: location.to_owned(),
                    bytes,
                })
                .collect(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            producer,
            ir_version,
            operator_sets,
            inputs,
            outputs,
            operators,
            constants,
            external,
        } = self;
        writeln!(f, "producer      {producer}, format {ir_version}")?;
        for (domain, version) in operator_sets {
            writeln!(f, "operator set  {domain} {version}")?;
        }
        for (label, values) in [("input", inputs), ("output", outputs)] {
            for (name, words) in values {
                writeln!(f, "{label:<13} {name} {words}")?;
            }
        }
        let nodes: usize = operators.values().sum();
        writeln!(f, "nodes         {nodes}")?;
        let mut by_count: Vec<_> = operators.iter().collect();
        by_count.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
        for (operator, count) in by_count {
            writeln!(f, "  {count:>6}  {operator}")?;
        }
        for (element, ConstantBytes { tensors, bytes }) in constants {
            writeln!(
                f,
                "constants     {element} {tensors} tensors, {bytes} bytes"
            )?;
        }
        for DataFile { location, bytes } in external {
            writeln!(f, "data file     {location}, {bytes} bytes")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::builder::{Attribute, GraphBuilder, tensor};
    use super::*;
    use crate::tensor::DType;

    #[test]
    fn a_model_is_summed_up() {
        let value = Attribute::Tensor(tensor("", &[1], &[3i64]));
        let file = GraphBuilder::new()
            .input("x", DType::F32, &["batch", "2*tokens"])
            .constant("w", &[2, 2], &[1f32; 4])
            .node_with("Constant", &[], &["shape"], &[("value", value)])
            .node("MatMul", &["x", "w"], &["h"])
            .node("Relu", &["h"], &["y"])
            .output("y", DType::F32, &["batch", "2"])
            .read();
        let text = Summary::of(&file).to_string();
        assert_eq!(
            text,
            "producer      cvtrt tests, format 8
operator set  ai.onnx 17
input         x float [batch, 2*tokens]
output        y float [batch, 2]
nodes         3
       1  Constant
       1  MatMul
       1  Relu
constants     float 1 tensors, 16 bytes
constants     int64 1 tensors, 8 bytes
"
        );
    }
}
