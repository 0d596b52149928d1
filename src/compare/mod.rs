//! How close two tensors are: one path for tests and `cvtrt compare`.
//!
//! [`compare`] measures, [`Metrics::check`] judges against a [`Tolerance`], and every judgement says which tolerance
//! would have passed.

mod metrics;
mod tolerance;

pub use metrics::{CompareError, Metrics, compare};
pub use tolerance::{OutOfTolerance, Tolerance};
