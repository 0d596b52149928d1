//! One graph's twin beside what the graph itself gave.

use super::gates::Bound;
use super::islands::Islands;
use super::recording::Run;
use super::{QualifyError, Rehearsal};
use crate::backend::{Bindings, CompiledGraph, Lane, OutputSlot, Session};
use crate::build;
use crate::compare::{self, Metrics};
use crate::ids::{GraphId, Precision};
use crate::onnx::{self, HalfType, ModelFile, OnnxError};
use crate::tensor::{Placement, Tensor};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A graph, what it is to be brought to, and what it gave in FP32.
pub(super) struct Trial<'a> {
    pub(super) rehearsal: &'a Rehearsal<'a>,
    pub(super) graph: GraphId,
    pub(super) model: &'a ModelFile,
    pub(super) precision: Precision,
    pub(super) runs: &'a [Run],
    pub(super) bound: Bound,
}

/// How far a twin is from the graph.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// The largest error of any output of any run; infinite where one was not finite.
    pub(super) error: f64,
    /// The output it was in.
    pub(super) output: String,
}

/// Runs of a trial that only ranks plans; the plan chosen is tried on all.
const SAMPLE: usize = 4;

impl Trial<'_> {
    /// Runs a twin with these islands on a sample of the runs, or on `all`.
    pub(super) fn run(&self, islands: &Islands, all: bool) -> Result<Outcome, QualifyError> {
        let mut session = self.open(self.load(islands)?)?;
        let step = if all {
            1
        } else {
            self.runs.len().div_ceil(SAMPLE).max(1)
        };
        let mut worst = Outcome {
            error: 0.0,
            output: String::new(),
        };
        for run in self.runs.iter().step_by(step) {
            if (self.rehearsal.cancelled)() {
                return Err(crate::pipeline::SpeechError::Stopped.into());
            }
            let outputs = self.outputs(&mut *session, run)?;
            self.judge(&*session, run, &outputs, &mut worst)?;
        }
        Ok(worst)
    }

    /// A twin with these islands, for the pipeline.
    pub(super) fn load(&self, islands: &Islands) -> Result<Arc<dyn CompiledGraph>, QualifyError> {
        self.rehearsal
            .rewritten(self.graph, &self.twin(islands, false)?)
    }

    /// The half values of a twin with these islands that reached further than the half type does, over all runs.
    pub(super) fn overflows(&self, islands: &Islands) -> Result<Vec<(String, f32)>, QualifyError> {
        let model = self.twin(islands, true)?;
        let shown = self.model.signature()?.outputs.len();
        let names = &model.report.observed;
        let mut session = self.open(self.rehearsal.rewritten(self.graph, &model)?)?;
        let limit = HalfType::of(self.precision).map_or(f32::MAX, HalfType::max);
        let mut found: Vec<(String, f32)> = Vec::new();
        for run in self.runs {
            let outputs = self.outputs(&mut *session, run)?;
            let observed = outputs
                .get(shown)
                .and_then(|ranges| ranges.elements::<f32>().ok());
            let observed = observed.unwrap_or_default();
            let (least, greatest) = observed.split_at(observed.len() / 2);
            let reached = least
                .iter()
                .zip(greatest)
                .map(|(a, b)| a.abs().max(b.abs()));
            for (name, reached) in names.iter().zip(reached) {
                let is_new = found.iter().all(|(known, _)| known != name);
                // An empty tensor's least is above its greatest, and both are infinite.
                if is_new && reached > limit {
                    found.push((name.clone(), reached));
                }
            }
        }
        Ok(found)
    }

    fn twin(&self, islands: &Islands, observed: bool) -> Result<onnx::RewrittenOnnx, OnnxError> {
        let islands = onnx::Islands {
            nodes: islands.keys().cloned().collect::<BTreeSet<String>>(),
            ..onnx::Islands::default()
        };
        build::twin(self.graph, self.model, self.precision, &islands, observed)
    }

    fn open(&self, twin: Arc<dyn CompiledGraph>) -> Result<Box<dyn Session>, QualifyError> {
        Ok(twin.open(&Lane::new(0, Placement::Host))?)
    }

    fn outputs(&self, session: &mut dyn Session, run: &Run) -> Result<Vec<Tensor>, QualifyError> {
        let outputs = session.signature().outputs.len();
        let mut io = Bindings {
            inputs: run.inputs.iter().map(Tensor::view).collect(),
            outputs: (0..outputs).map(|_| OutputSlot::Alloc(None)).collect(),
        };
        session
            .run(&mut io)
            .map_err(|source| QualifyError::run(self.graph, source))?;
        let made = io.outputs.into_iter().filter_map(|slot| match slot {
            OutputSlot::Alloc(made) => made,
            OutputSlot::Into(_) => None,
        });
        Ok(made.collect())
    }

    fn judge(
        &self,
        session: &dyn Session,
        run: &Run,
        got: &[Tensor],
        worst: &mut Outcome,
    ) -> Result<(), QualifyError> {
        let ports = &session.signature().outputs;
        for ((got, want), port) in got.iter().zip(&run.outputs).zip(ports) {
            let metrics = compare::compare(got.view(), want.view()).map_err(|source| {
                QualifyError::Shapes {
                    graph: self.graph,
                    source,
                }
            })?;
            let error = self.error(&metrics);
            if error > worst.error {
                *worst = Outcome {
                    error,
                    output: port.name.clone(),
                };
            }
        }
        Ok(())
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
