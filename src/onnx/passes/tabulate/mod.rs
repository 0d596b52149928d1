//! Tables in place of what depends on one input alone.

mod cone;
mod splice;
mod table;

use self::cone::Cone;
use self::table::Table;
use super::dead_code::needed_values;
use super::{Pass, Report};
use crate::onnx::data_type::payload_bytes;
use crate::onnx::error::OnnxError;
use crate::onnx::evaluate::Evaluator;
use crate::onnx::graph::Graph;
use crate::onnx::interface;
use crate::onnx::proto::GraphProto;
use crate::tensor::DType;
use prost::Message;
use std::collections::BTreeMap;

/// Looks up what depends on one input alone, for the values that input takes.
///
/// The input is a vector with one value per row of the batch. What the graph computes from it and from constants, row by
/// row, is computed once for each of `values` and kept in tables; the constants behind it are then needed no more. A row
/// with any other value gives NaN. Where tables would take more than they save, the graph stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Tabulate {
    /// The input.
    pub input: String,
    /// Every value it takes.
    pub values: Vec<f32>,
}

impl Pass for Tabulate {
    fn name(&self) -> &'static str {
        "tabulate"
    }

    fn version(&self) -> u32 {
        1
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        let Self { input, values } = self;
        BTreeMap::from([
            ("input".to_owned(), input.clone()),
            ("values".to_owned(), format!("{values:?}")),
        ])
    }

    fn run(
        &self,
        graph: &mut Graph,
        evaluator: &dyn Evaluator,
        report: &mut Report,
    ) -> Result<(), OnnxError> {
        graph.require_flat()?;
        graph.index()?;
        let types = graph.types()?;
        self.check_input(graph)?;
        let cone = Cone::of(graph, &self.input);
        let cuts = cone.cuts(&types);
        if cuts.is_empty() {
            return Ok(());
        }
        let tables = self.tables(graph, &cone, &cuts, evaluator)?;
        let count = tables.len();
        let mut proto = graph.proto().clone();
        splice::splice(&mut proto, &self.input, &self.values, tables);
        if needed_bytes(&proto) < needed_bytes(graph.proto()) {
            *graph.proto_mut() = proto;
            report.tables += count;
            graph.index()?;
        }
        Ok(())
    }
}

impl Tabulate {
    fn check_input(&self, graph: &Graph) -> Result<(), OnnxError> {
        let signature = interface::signature(graph.file(), graph.proto())?;
        let port = signature.inputs.iter().find(|port| port.name == self.input);
        if port.is_some_and(|port| port.dtype == DType::F32 && port.dims.len() == 1) {
            return Ok(());
        }
        Err(OnnxError::Parameter {
            file: graph.file().to_owned(),
            name: self.input.clone(),
            problem: "is to have tables and is no input with one FP32 value per row",
        })
    }

    /// One table per cut that has a row for each value.
    fn tables(
        &self,
        graph: &Graph,
        cone: &Cone<'_>,
        cuts: &[usize],
        evaluator: &dyn Evaluator,
    ) -> Result<Vec<(usize, Table)>, OnnxError> {
        let model = cone.model(cuts).encode_to_vec();
        let failed = |source| OnnxError::Evaluate {
            file: graph.file().to_owned(),
            input: self.input.clone(),
            source,
        };
        let folder = graph.folder();
        let runs = evaluator.evaluate(&model, folder, &table::inputs(&self.values));
        let runs = runs.map_err(failed)?;
        let [alone, others] = runs.as_slice() else {
            return Err(failed("it gave another number of runs".into()));
        };
        let pairs = cuts.iter().zip(alone.iter().zip(others));
        Ok(pairs
            .filter_map(|(&cut, (alone, others))| {
                Some((cut, Table::of(self.values.len(), alone, others)?))
            })
            .collect())
    }
}

/// Bytes of the constants that outputs depend on.
fn needed_bytes(graph: &GraphProto) -> u64 {
    let (needed, _) = needed_values(graph);
    let needed = graph
        .initializer
        .iter()
        .filter(|tensor| needed.contains(tensor.name()));
    needed
        .map(|tensor| payload_bytes(tensor).unwrap_or_default())
        .sum()
}

#[cfg(test)]
mod tests;
