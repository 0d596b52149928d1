//! How graphs are compiled and served: shape ranges, precision, fallback chain, limits.
//!
//! A [`Profile`] is one YAML file under `profiles/`. It speaks of axes; [`OptProfile`] is the same range spelled out for
//! one graph's inputs, as an engine builder wants it.

mod chain;
mod compile;
mod opt;

pub use chain::{Chain, Fallback};
pub use compile::{CompileOptions, ComputeCapability, ParseCapabilityError};
pub use opt::{Extent, InputRange, OptProfile, ShapeSet};
