//! One graph's twin beside what the graph itself gave.

use super::gates::Bound;
use super::islands::Islands;
use super::recording::Run;
use super::{QualifyError, Rehearsal};
use crate::backend::{CompiledGraph, Lane, Session, run_once};
use crate::build;
use crate::compare::{self, Metrics};
use crate::ids::{GraphId, Precision};
use crate::onnx::{self, HalfType, ModelFile, OnnxError, RewrittenOnnx};
use crate::pipeline::SpeechError;
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A graph, what it is to be brought to, and what it gave in FP32.
pub(super) struct Trial<'a> {
    pub(super) rehearsal: &'a Rehearsal<'a>,
    pub(super) graph: GraphId,
    /// Prepared, so that it has the nodes that will be computed.
    pub(super) model: &'a ModelFile,
    pub(super) precision: Precision,
    pub(super) runs: &'a [Run],
    pub(super) bound: Bound,
}

/// How far a twin is from the graph.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Outcome {
    /// The largest error of any output of any run; infinite where one was not finite.
    pub(super) error: f64,
    /// The output it was in.
    pub(super) output: String,
    /// Half values that reached further than the half type does, and how far; only looked for on all runs.
    pub(super) overflows: BTreeMap<String, f32>,
    /// The largest error of each run that was tried, by its position.
    pub(super) errors: BTreeMap<usize, f64>,
}

/// Runs of a trial that only ranks plans; the plan chosen is tried on all.
const SAMPLE: usize = 4;

impl Outcome {
    /// The runs that were furthest off, as many as a sample has.
    pub(super) fn worst(&self) -> Vec<usize> {
        let mut runs: Vec<(usize, f64)> = self
            .errors
            .iter()
            .map(|(&at, &error)| (at, error))
            .collect();
        runs.sort_by(|a, b| b.1.total_cmp(&a.1));
        runs.truncate(SAMPLE);
        runs.into_iter().map(|(at, _)| at).collect()
    }
}

/// Runs from all over a recording, for want of better ones.
pub(super) fn spread(runs: usize) -> Vec<usize> {
    let step = runs.div_ceil(SAMPLE).max(1);
    (0..runs).step_by(step).collect()
}

impl Trial<'_> {
    /// Runs a twin with these islands on a few of the runs, for its error alone.
    pub(super) fn sample(&self, islands: &Islands, of: &[usize]) -> Result<Outcome, QualifyError> {
        self.run(&self.twin(islands, false)?, of)
    }

    /// Runs a twin with these islands on all runs, and looks at every half value that can overflow where FP32 does not.
    pub(super) fn whole(&self, islands: &Islands) -> Result<Outcome, QualifyError> {
        let all: Vec<usize> = (0..self.runs.len()).collect();
        self.run(
            &self.twin(islands, self.precision == Precision::Fp16)?,
            &all,
        )
    }

    /// A twin with these islands, for the pipeline.
    pub(super) fn load(&self, islands: &Islands) -> Result<Arc<dyn CompiledGraph>, QualifyError> {
        self.rehearsal
            .rewritten(self.graph, &self.twin(islands, false)?)
    }

    fn run(&self, twin: &RewrittenOnnx, of: &[usize]) -> Result<Outcome, QualifyError> {
        let loaded = self.rehearsal.rewritten(self.graph, twin)?;
        let mut session = loaded.open(&Lane::on_host(0))?;
        let mut outcome = Outcome::default();
        for &at in of {
            let run = &self.runs[at];
            if (self.rehearsal.cancelled)() {
                return Err(SpeechError::Stopped.into());
            }
            let outputs = run_once(&mut *session, &run.inputs)
                .map_err(|source| QualifyError::run(self.graph, source))?;
            let error = self.judge(&*session, run, &outputs, &mut outcome)?;
            outcome.errors.insert(at, error);
            if let Some(ranges) = outputs.get(run.outputs.len()) {
                let ranges = ranges.elements::<f32>().unwrap_or_default();
                self.look_for_overflows(&twin.report.observed, ranges, &mut outcome);
            }
        }
        Ok(outcome)
    }

    fn look_for_overflows(&self, names: &[String], ranges: &[f32], outcome: &mut Outcome) {
        let limit = HalfType::of(self.precision).map_or(f32::MAX, HalfType::max);
        let (least, greatest) = ranges.split_at(ranges.len() / 2);
        let ends = least.iter().zip(greatest);
        for (name, (&least, &greatest)) in names.iter().zip(ends) {
            let reached = least.abs().max(greatest.abs());
            // An empty tensor's least is above its greatest, and both are infinite.
            if reached > limit && least <= greatest {
                let furthest = outcome.overflows.entry(name.clone()).or_default();
                *furthest = furthest.max(reached);
            }
        }
    }

    fn twin(&self, islands: &Islands, observed: bool) -> Result<RewrittenOnnx, OnnxError> {
        let islands = onnx::Islands {
            nodes: islands.keys().cloned().collect::<BTreeSet<String>>(),
            ..onnx::Islands::default()
        };
        build::twin(self.model, self.precision, &islands, observed)
    }

    fn judge(
        &self,
        session: &dyn Session,
        run: &Run,
        got: &[Tensor],
        worst: &mut Outcome,
    ) -> Result<f64, QualifyError> {
        let mut of_run = 0f64;
        let ports = &session.signature().outputs;
        for ((got, want), port) in got.iter().zip(&run.outputs).zip(ports) {
            let metrics = compare::compare(got.view(), want.view()).map_err(|source| {
                QualifyError::Shapes {
                    graph: self.graph,
                    source: Box::new(source),
                }
            })?;
            let error = self.error(&metrics);
            of_run = of_run.max(error);
            if error > worst.error {
                worst.error = error;
                worst.output.clone_from(&port.name);
            }
        }
        Ok(of_run)
    }

    fn error(&self, metrics: &Metrics) -> f64 {
        if metrics.non_finite_got > 0 {
            return f64::INFINITY;
        }
        match self.bound {
            Bound::Absolute(_) => metrics.max_abs,
            Bound::Relative(_) => metrics.relative_l2,
        }
    }
}
