//! How each graph is brought to a precision.

use super::evaluate::OnProcessor;
use super::job::CompileJob;
use crate::backend::Backends;
use crate::bundle::{Bundle, BundleError, solver_times};
use crate::cache::{PrecisionInputs, PrecisionPlan};
use crate::ids::{Axis, BackendId, Fingerprint, GraphId, Precision};
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
    (backend, library): (BackendId, &Fingerprint),
    precision: Precision,
    steps: usize,
    islands: &Islands,
) -> Fingerprint {
    let rewrite = Rewrite {
        plain_instance_norm: lacks_instance_norm(backend, library),
        ..rewrite_of(graph, Some(backend), steps, islands)
    };
    facts_of(precision, &rewrite)
}

/// Whether a library has no instance normalisation of its own: the parser of TensorRT 8 asks for a plugin, whose library
/// needs cuDNN.
pub(super) fn lacks_instance_norm(backend: BackendId, library: &Fingerprint) -> bool {
    let version = library.get("library").unwrap_or_default();
    backend == BackendId::TensorRt && version.starts_with("TensorRT 8.")
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
    let rewrite = Rewrite {
        plain_instance_norm: job.plain_instance_norm,
        ..rewrite_of(job.graph, Some(job.backend), job.steps, &job.islands)
    };
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
const RULES: u32 = 3;

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
        // Two rows per utterance, and as many utterances as there are: whoever exported it may have fixed the two.
        batch_axis: (graph == GraphId::FlowEstimator).then(|| Axis::Batch.to_string()),
        tables,
        fused_snake: graph == GraphId::HiftDecode && backend == Some(BackendId::OrtCpu),
        islands: islands.clone(),
        ..Rewrite::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tensorrt_8_is_given_primitives() {
        let library = |version: &str| Fingerprint::default().with("library", version);
        let (trt, rtx) = (BackendId::TensorRt, BackendId::TensorRtRtx);
        assert!(lacks_instance_norm(trt, &library("TensorRT 8.6.0")));
        assert!(!lacks_instance_norm(trt, &library("TensorRT 10.16.1")));
        assert!(!lacks_instance_norm(rtx, &library("TensorRT-RTX 1.7.1")));
        let recipe = |version: &str| {
            let library = library(version);
            let none = Islands::default();
            recipe(GraphId::Llm, (trt, &library), Precision::Fp32, 10, &none)
        };
        assert_eq!(
            recipe("TensorRT 8.6.1").get("plain_instance_norm"),
            Some("1")
        );
        assert_eq!(recipe("TensorRT 11.4.0"), Fingerprint::default());
    }
}
