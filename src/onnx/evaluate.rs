//! Computing a part of a graph while the rest is rewritten.

use crate::tensor::Tensor;
use std::error::Error;
use std::path::Path;

/// Why a part of a graph could not be computed.
pub type EvaluateError = Box<dyn Error + Send + Sync>;

/// Computes parts of graphs; this room calls it and leaves to others with what.
pub trait Evaluator {
    /// One run per element of `inputs`, each giving the model's outputs in their order.
    ///
    /// `model`: a serialised model with one input. `folder`: what the paths of its external data are relative to.
    ///
    /// # Errors
    /// Whatever kept it from computing them.
    fn evaluate(
        &self,
        model: &[u8],
        folder: Option<&Path>,
        inputs: &[Tensor],
    ) -> Result<Vec<Vec<Tensor>>, EvaluateError>;
}

/// Computes nothing: for passes that need no values.
#[derive(Debug, Clone, Copy)]
pub struct NoEvaluator;

impl Evaluator for NoEvaluator {
    fn evaluate(
        &self,
        _model: &[u8],
        _folder: Option<&Path>,
        _inputs: &[Tensor],
    ) -> Result<Vec<Vec<Tensor>>, EvaluateError> {
        Err("nothing was given to compute it with".into())
    }
}
