//! How each graph is brought to a precision.

use crate::bundle::{Bundle, BundleError};
use crate::cache::{PrecisionInputs, PrecisionPlan};
use crate::ids::{Fingerprint, GraphId, Precision};
use crate::onnx::{
    Islands, ModelFile, OnnxError, Recipe, RecipeStep, Rewrite, RewrittenOnnx, passes_for,
};
use std::collections::BTreeSet;

/// The recipe a model will be rewritten by, as facts of its engine's key. The model is not opened.
pub(super) fn recipe(graph: GraphId, precision: Precision, islands: &Islands) -> Fingerprint {
    let Recipe { steps } = Recipe::of(&passes_for(precision, &rewrite_of(graph, islands)));
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

/// Brings a model to a precision.
pub(super) fn rewritten(
    graph: GraphId,
    model: &ModelFile,
    precision: Precision,
    islands: &Islands,
) -> Result<RewrittenOnnx, OnnxError> {
    RewrittenOnnx::of(model, precision, &rewrite_of(graph, islands))
}

/// Brings a model to the FP32 twin of a half precision; `observed` also gives the ranges of its half values.
///
/// # Errors
/// [`OnnxError`].
pub fn twin(
    graph: GraphId,
    model: &ModelFile,
    precision: Precision,
    islands: &Islands,
    observed: bool,
) -> Result<RewrittenOnnx, OnnxError> {
    RewrittenOnnx::twin(model, precision, &rewrite_of(graph, islands), observed)
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
    Ok(PrecisionInputs {
        graph,
        model: bundle.graph_file(graph)?.sha256,
        precision,
        ranges: ranges.map(|file| manifest.files[file].sha256),
        recipe: recipe(graph, precision, &Islands::default()).with("rules", RULES),
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

/// Inputs and outputs keep their types in every precision.
fn rewrite_of(_graph: GraphId, islands: &Islands) -> Rewrite {
    Rewrite {
        islands: islands.clone(),
        ..Rewrite::default()
    }
}
