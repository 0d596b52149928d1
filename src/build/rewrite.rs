//! How each graph is brought to a precision.

use super::evaluate::OnProcessor;
use super::job::CompileJob;
use crate::backend::Backends;
use crate::bundle::{Bundle, BundleError, solver_times};
use crate::cache::{PrecisionInputs, PrecisionPlan};
use crate::ids::{BackendId, Fingerprint, GraphId, Precision};
use crate::onnx::{
    Evaluator, Islands, ModelFile, NoEvaluator, OnnxError, Recipe, RecipeStep, Rewrite,
    RewrittenOnnx, Tabulate, passes_for,
};
use std::collections::BTreeSet;

/// The recipe a model will be rewritten by, as facts of its engine's key. The model is not opened.
///
/// `steps`: of the flow's solver.
pub(super) fn recipe(
    graph: GraphId,
    backend: BackendId,
    precision: Precision,
    steps: usize,
    islands: &Islands,
) -> Fingerprint {
    facts_of(precision, &rewrite_of(graph, Some(backend), steps, islands))
}

fn facts_of(precision: Precision, rewrite: &Rewrite) -> Fingerprint {
    let Recipe { steps } = Recipe::of(&passes_for(precision, rewrite));
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
    let rewrite = rewrite_of(job.graph, Some(job.backend), job.steps, &job.islands);
    RewrittenOnnx::of(model, job.precision, &rewrite, &OnProcessor(backends))
}

/// Brings a [`prepared`] model to the FP32 twin of a half precision; `observed` also gives the ranges of its half values.
///
/// # Errors
/// [`OnnxError`].
pub fn twin(
    prepared: &ModelFile,
    precision: Precision,
    islands: &Islands,
    observed: bool,
) -> Result<RewrittenOnnx, OnnxError> {
    let rewrite = Rewrite {
        islands: islands.clone(),
        ..Rewrite::default()
    };
    RewrittenOnnx::twin(prepared, precision, &rewrite, observed, &NoEvaluator)
}

/// Does to a model what is done before its precision changes, so that islands are named in what will be computed.
///
/// # Errors
/// [`OnnxError`].
pub fn prepared(
    graph: GraphId,
    model: ModelFile,
    steps: usize,
    evaluator: &dyn Evaluator,
) -> Result<ModelFile, OnnxError> {
    let rewrite = rewrite_of(graph, None, steps, &Islands::default());
    if rewrite.tables.is_none() {
        return Ok(model);
    }
    let RewrittenOnnx { bytes, .. } =
        RewrittenOnnx::of(&model, Precision::Fp32, &rewrite, evaluator)?;
    model.rewritten_to(bytes)
}

/// What a graph's precision plan depends on.
///
/// # Errors
/// [`BundleError::NoGraph`].
pub fn precision_inputs(
    bundle: &Bundle,
    graph: GraphId,
    precision: Precision,
) -> Result<PrecisionInputs, BundleError> {
    let manifest = bundle.manifest();
    let ranges = manifest.ranges.as_ref();
    let rewrite = rewrite_of(graph, None, manifest.flow.steps, &Islands::default());
    Ok(PrecisionInputs {
        graph,
        model: bundle.graph_file(graph)?.sha256,
        precision,
        ranges: ranges.map(|file| manifest.files[file].sha256),
        recipe: facts_of(precision, &rewrite).with("rules", RULES),
    })
}

/// Raised whenever the choice of what stays in FP32, or the bounds it is judged by, would be another.
const RULES: u32 = 1;

/// The islands of a plan.
pub(super) fn islands_of(plan: Option<&PrecisionPlan>) -> Islands {
    Islands {
        nodes: plan.map_or_else(BTreeSet::new, |plan| plan.islands.keys().cloned().collect()),
        ..Islands::default()
    }
}

/// What is done to a graph besides its precision; for no backend in particular where none is named.
///
/// Inputs and outputs keep their types in every precision.
fn rewrite_of(
    graph: GraphId,
    backend: Option<BackendId>,
    steps: usize,
    islands: &Islands,
) -> Rewrite {
    let tables = (graph == GraphId::FlowEstimator).then(|| Tabulate {
        input: "t".to_owned(),
        values: solver_times(steps)[..steps].to_vec(),
    });
    Rewrite {
        tables,
        fused_snake: graph == GraphId::HiftDecode && backend == Some(BackendId::OrtCpu),
        islands: islands.clone(),
        ..Rewrite::default()
    }
}
