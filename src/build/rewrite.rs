//! How each graph is brought to a precision.

use super::evaluate::OnProcessor;
use super::job::CompileJob;
use crate::backend::Backends;
use crate::bundle::solver_times;
use crate::ids::{BackendId, Fingerprint, GraphId, Precision};
use crate::onnx::{
    ModelFile, OnnxError, Recipe, RecipeStep, Rewrite, RewrittenOnnx, Tabulate, passes_for,
};

/// The recipe a model will be rewritten by, as facts of its engine's key. The model is not opened.
///
/// `steps`: of the flow's solver.
pub(super) fn recipe(
    graph: GraphId,
    backend: BackendId,
    precision: Precision,
    steps: usize,
) -> Fingerprint {
    let Recipe { steps } = Recipe::of(&passes_for(precision, &rewrite_of(graph, backend, steps)));
    steps
        .into_iter()
        .fold(Fingerprint::default(), |facts, step| {
            let RecipeStep {
                pass,
                version,
                parameters,
            } = step;
            parameters
                .into_iter()
                .fold(facts.with(&pass, version), |facts, (name, value)| {
                    facts.with(format!("{pass}({name})"), value)
                })
        })
}

/// Brings a model to the precision of a job.
pub(super) fn rewritten(
    job: &CompileJob,
    model: &ModelFile,
    backends: &Backends,
) -> Result<RewrittenOnnx, OnnxError> {
    let rewrite = rewrite_of(job.graph, job.backend, job.steps);
    RewrittenOnnx::of(model, job.precision, &rewrite, &OnProcessor(backends))
}

/// What is done to a graph besides its precision.
///
/// Inputs and outputs keep their types in every precision, and the islands are the passes' own.
fn rewrite_of(graph: GraphId, backend: BackendId, steps: usize) -> Rewrite {
    match graph {
        GraphId::FlowEstimator => Rewrite {
            tables: Some(Tabulate {
                input: "t".to_owned(),
                values: solver_times(steps)[..steps].to_vec(),
            }),
            ..Rewrite::default()
        },
        GraphId::HiftDecode => Rewrite {
            fused_snake: backend == BackendId::OrtCpu,
            ..Rewrite::default()
        },
        _ => Rewrite::default(),
    }
}
