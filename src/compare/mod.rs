//! What tensors hold and how close two of them are: one path for tests and commands.
//!
//! [`compare`] measures, [`Metrics::check`] judges against a [`Tolerance`], and every judgement says which tolerance
//! would have passed.

mod metrics;
mod sides;
mod statistics;
mod tolerance;

pub use metrics::{CompareError, Metrics, compare};
pub use sides::{Closeness, Difference, compare_sides};
pub use statistics::Statistics;
pub use tolerance::{OutOfTolerance, Tolerance};
