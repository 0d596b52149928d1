//! How each graph is brought to a precision.

use crate::ids::{BackendId, Fingerprint, GraphId, Precision};
use crate::onnx::{ModelFile, OnnxError, Recipe, RecipeStep, Rewrite, RewrittenOnnx, passes_for};

/// The recipe a model will be rewritten by, as facts of its engine's key. The model is not opened.
pub(super) fn recipe(graph: GraphId, backend: BackendId, precision: Precision) -> Fingerprint {
    let Recipe { steps } = Recipe::of(&passes_for(precision, &rewrite_of(graph, backend)));
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
    backend: BackendId,
    model: &ModelFile,
    precision: Precision,
) -> Result<RewrittenOnnx, OnnxError> {
    RewrittenOnnx::of(model, precision, &rewrite_of(graph, backend))
}

/// Inputs and outputs keep their types in every precision, and the islands are the passes' own.
fn rewrite_of(graph: GraphId, backend: BackendId) -> Rewrite {
    Rewrite {
        fused_snake: graph == GraphId::HiftDecode && backend == BackendId::OrtCpu,
        ..Rewrite::default()
    }
}
