//! ONNX files: protobuf codec, graph index, checker and rewriting passes; bytes to bytes.
//!
//! [`ModelFile`] reads a file, [`ModelFile::signature`] tells its inputs and outputs, [`Summary`] what is in it and
//! [`check()`] which backends refuse it. [`RewrittenOnnx::of`] brings it to a precision.
//!
//! Messages keep only the fields that `proto/onnx.proto` knows; a rewritten model loses fields of a later format.

#[cfg(any(test, feature = "testkit"))]
pub mod builder;
mod check;
mod constants;
mod data_type;
mod error;
mod evaluate;
mod external;
mod file;
mod graph;
mod index;
mod interface;
mod mapping;
mod operators;
mod parts;
mod passes;
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated from proto/onnx.proto, which documents every field"
)]
#[rustfmt::skip]
pub mod proto;
mod summary;
mod types;
mod walk;

pub use check::{Finding, Obstacle, check};
pub use data_type::{dtype_from_onnx, onnx_from_dtype};
pub use error::{OnnxError, Saturation, TensorFault};
pub use evaluate::{EvaluateError, Evaluator, NoEvaluator};
pub use external::ExternalData;
pub use file::{MAX_MODEL_BYTES, ModelFile};
pub use graph::{Graph, GraphFault, node_label};
pub use index::{Index, Source};
pub use operators::only_moves;
pub use passes::{
    DeadCode, FreeBatch, FusedSnake, Half, HalfType, Islands, Observe, Pass, PlainInstanceNorm,
    Recipe, RecipeStep, Report, Rewrite, RewrittenOnnx, RoundingTwin, Tabulate, passes_for,
};
pub use summary::{ConstantBytes, DataFile, Summary};
pub use types::{Types, Untyped};
