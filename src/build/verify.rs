//! An engine beside the FP32 model on ONNX Runtime, on the same random inputs, at the ends of its shape ranges.

use super::inputs::{output_slots, output_tensors, random_inputs};
use super::job::VerifyJob;
use super::worker::JobError;
use crate::backend::{
    Artifact, Backends, Bindings, CompiledGraph, EngineArtifact, Lane, LoadOptions, OutputSlot,
    Progress, Session, Step, open_at,
};
use crate::cache::{CheckedRun, Verification};
use crate::compare::{self, Metrics, OutOfTolerance, Tolerance};
use crate::hint::Hint;
use crate::ids::{BackendId, GraphId, Precision};
use crate::profile::ShapeSet;
use crate::tensor::{AxisSizes, DType, Placement, Shape, Signature, SignatureError, Tensor};
use std::borrow::Cow;
use std::sync::Arc;
use std::thread;

/// An engine that does not compute what the model does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Differs {
    #[error("`{graph}` on {backend} differs from the FP32 reference in `{output}` at {shapes}")]
    Values {
        graph: GraphId,
        backend: BackendId,
        output: String,
        shapes: String,
        /// What makes the next engine more exact.
        wider: &'static str,
        #[source]
        by: Box<OutOfTolerance>,
    },
    #[error("`{graph}` on {backend} gives `{output}` as {got}, the FP32 reference as {want}")]
    Shape {
        graph: GraphId,
        backend: BackendId,
        output: String,
        got: Shape,
        want: Shape,
    },
    #[error("`{graph}` on {backend} has the ports {got}, the model has {want}")]
    Ports {
        graph: GraphId,
        backend: BackendId,
        got: String,
        want: String,
    },
}

/// Loads both, runs both, compares.
pub(super) fn verify(
    backends: &Backends,
    job: &VerifyJob,
    progress: &dyn Progress,
) -> Result<Verification, JobError> {
    let options = LoadOptions {
        threads: thread::available_parallelism().map_or(1, usize::from),
        // A worker sees the one device it is to work on.
        device: 0,
    };
    let reference = backends.get(BackendId::OrtCpu)?;
    let reference = match reference.load(Artifact::Onnx(&job.model), &options) {
        Ok(reference) => reference,
        Err(error) => {
            let reason = JobError::missing_reference(&error).ok_or(error)?;
            return Ok(Verification::NotRunHere { reason });
        }
    };
    let engine = backends.get(job.backend)?;
    let artifact = EngineArtifact {
        path: &job.engine,
        signature: reference.signature(),
        host_code: job.host_code,
    };
    let engine = engine.load(Artifact::Engine(artifact), &options)?;
    let mut pair = Pair::open(job, reference, &engine)?;
    let runs = runs_of(&job.shapes);
    let mut checked = Vec::new();
    for (at, (name, sizes)) in runs.iter().enumerate() {
        let _ = progress.step(&Step {
            phase: "verifying",
            done: count(at),
            total: count(runs.len()),
        });
        checked.push(pair.check(name, sizes, at as u64)?);
    }
    Ok(Verification::Passed { runs: checked })
}

/// Both sides of the comparison.
struct Pair<'a> {
    job: &'a VerifyJob,
    reference: Box<dyn Session>,
    engine: Box<dyn Session>,
}

impl<'a> Pair<'a> {
    fn open(
        job: &'a VerifyJob,
        reference: Arc<dyn CompiledGraph>,
        engine: &Arc<dyn CompiledGraph>,
    ) -> Result<Self, JobError> {
        let ports = |signature: &Signature| {
            let ports = signature.inputs.iter().chain(&signature.outputs);
            let names: Vec<&str> = ports.map(|port| port.name.as_str()).collect();
            names.join(", ")
        };
        let (got, want) = (ports(engine.signature()), ports(reference.signature()));
        if got != want {
            return Err(Differs::Ports {
                graph: job.graph,
                backend: job.backend,
                got,
                want,
            })?;
        }
        let lane = Lane::on_host(0);
        Ok(Self {
            job,
            reference: reference.open(&lane)?,
            engine: open_at(Placement::Host, engine, &lane)?,
        })
    }

    fn check(
        &mut self,
        shapes: &str,
        sizes: &AxisSizes,
        seed: u64,
    ) -> Result<CheckedRun, JobError> {
        let VerifyJob {
            graph, vocabulary, ..
        } = *self.job;
        let signature = self.reference.signature();
        let inputs = random_inputs(graph, signature, sizes, vocabulary, seed)
            .map_err(|source| self.unsized_by(source))?;
        let want = self.outputs_of("reference", shapes, &inputs, sizes)?;
        let got = self.outputs_of("engine", shapes, &inputs, sizes)?;
        let mut run = CheckedRun {
            shapes: shapes.to_owned(),
            max_abs_error: 0.0,
            max_rel_error: 0.0,
        };
        for ((got, want), port) in got.iter().zip(&want).zip(&self.engine.signature().outputs) {
            let metrics = self.judge(&port.name, shapes, got, want)?;
            run.max_abs_error = run.max_abs_error.max(metrics.max_abs);
            run.max_rel_error = run.max_rel_error.max(metrics.relative_l2);
        }
        Ok(run)
    }

    fn outputs_of(
        &mut self,
        which: &'static str,
        shapes: &str,
        inputs: &[Tensor],
        sizes: &AxisSizes,
    ) -> Result<Vec<Tensor>, JobError> {
        let graph = self.job.graph;
        let session = match which {
            "reference" => &mut self.reference,
            _ => &mut self.engine,
        };
        let mut outputs = output_tensors(graph, session.signature(), sizes);
        let mut bindings = Bindings {
            inputs: inputs.iter().map(Tensor::view).collect(),
            outputs: output_slots(&mut outputs),
        };
        let run_error = |source| JobError::Run {
            which,
            shapes: shapes.to_owned(),
            source: Box::new(source),
        };
        session.run(&mut bindings).map_err(run_error)?;
        let made: Vec<Option<Tensor>> = bindings
            .outputs
            .into_iter()
            .map(|slot| match slot {
                OutputSlot::Into(_) => None,
                OutputSlot::Alloc(made) => made,
            })
            .collect();
        let outputs = outputs.into_iter().zip(made);
        outputs
            .zip(&session.signature().outputs)
            .map(|((known, made), port)| {
                known.or(made).ok_or_else(|| JobError::NoOutput {
                    which,
                    output: port.name.clone(),
                    shapes: shapes.to_owned(),
                })
            })
            .collect()
    }

    fn judge(
        &self,
        output: &str,
        shapes: &str,
        got: &Tensor,
        want: &Tensor,
    ) -> Result<Metrics, JobError> {
        let VerifyJob { graph, backend, .. } = *self.job;
        let metrics = compare::compare(got.view(), want.view()).map_err(|_| Differs::Shape {
            graph,
            backend,
            output: output.to_owned(),
            got: got.shape(),
            want: want.shape(),
        })?;
        let [near, close] = self.tolerances(want.dtype());
        if metrics.check(near).is_ok() {
            return Ok(metrics);
        }
        match metrics.check(close) {
            Ok(()) => Ok(metrics),
            Err(by) => Err(Differs::Values {
                graph,
                backend,
                output: output.to_owned(),
                shapes: shapes.to_owned(),
                wider: self.wider(),
                by: Box::new(by),
            }
            .into()),
        }
    }

    /// Two tolerances, either of which is enough: an absolute one for outputs near zero, and one relative to the whole
    /// output. Integers have to be equal.
    fn tolerances(&self, dtype: DType) -> [Tolerance; 2] {
        if !dtype.is_float() {
            return [Tolerance::absolute(0.0); 2];
        }
        let (absolute, relative) = match self.job.precision {
            Precision::Fp32 if self.job.tf32 => (1e-4, 5e-3),
            Precision::Fp32 => (1e-5, 1e-3),
            Precision::Fp16 => (1e-3, 2e-2),
            Precision::Bf16 => (1e-2, 8e-2),
        };
        [
            Tolerance::absolute(absolute),
            Tolerance::relative_l2(relative),
        ]
    }

    /// The flags that ask for more exact values than the engine's, and those of the command that they replace.
    fn wider(&self) -> &'static str {
        match self.job.precision {
            Precision::Fp16 | Precision::Bf16 => "--fp32 in place of its graphs and precision",
            Precision::Fp32 if self.job.tf32 => {
                "--fp32 --no-tf32 in place of its graphs and precision"
            }
            Precision::Fp32 => "and another --backend in place of its graphs and backend",
        }
    }

    fn unsized_by(&self, source: SignatureError) -> JobError {
        JobError::Shapes {
            path: self.job.model.clone(),
            source,
        }
    }
}

/// Every end of every set, each size once.
fn runs_of(sets: &[ShapeSet]) -> Vec<(String, AxisSizes)> {
    let mut runs: Vec<(String, AxisSizes)> = Vec::new();
    for set in sets {
        let ends = [
            ("min", set.sizes(|extent| extent.min)),
            ("opt", set.sizes(|extent| extent.opt)),
            ("max", set.sizes(|extent| extent.max)),
        ];
        for (end, sizes) in ends {
            if runs.iter().all(|(_, known)| *known != sizes) {
                runs.push((format!("{} {end}", set.name), sizes));
            }
        }
    }
    runs
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Hint for Differs {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Values { graph, wider, .. } => {
                format!("the same command with --graphs {graph} {wider}").into()
            }
            Self::Shape { .. } | Self::Ports { .. } => {
                "export the model again with `cvtrt export`".into()
            }
        })
    }
}

#[cfg(all(test, feature = "testkit"))]
mod tests {
    use super::super::inputs::Vocabulary;
    use super::*;
    use crate::backend::Fake;
    use crate::tensor::{Dim, Port};
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;
    use std::path::PathBuf;

    struct Unheard;

    impl Progress for Unheard {
        fn step(&self, _: &Step<'_>) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
    }

    #[test]
    fn an_output_that_is_not_there_is_an_error() {
        let signature = Signature {
            inputs: Vec::new(),
            outputs: vec![Port {
                name: "y".to_owned(),
                dtype: DType::F32,
                // The session is to make it, since the sizes do not tell its shape.
                dims: vec![Dim::Unknown("n".to_owned())],
            }],
        };
        let mut backends = Backends::default();
        for id in [BackendId::OrtCpu, BackendId::TensorRtRtx] {
            backends.insert(Arc::new(Fake::new(id, signature.clone(), |_| {})));
        }
        let job = VerifyJob {
            graph: GraphId::HiftF0,
            model: PathBuf::from("never-read.onnx"),
            data: Vec::new(),
            backend: BackendId::TensorRtRtx,
            precision: Precision::Fp32,
            tf32: false,
            shapes: vec![ShapeSet {
                name: "any".to_owned(),
                axes: BTreeMap::new(),
            }],
            vocabulary: Vocabulary {
                speech: 1,
                text: 1,
                positions: 1,
                steps: 1,
            },
            host_code: false,
            engine: PathBuf::from("never-read.plan"),
        };
        let error = verify(&backends, &job, &Unheard).expect_err("there is nothing to compare");
        assert!(
            matches!(&error, JobError::NoOutput { which: "reference", output, .. } if output == "y"),
            "{error:?}"
        );
    }
}
