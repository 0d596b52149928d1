//! How graphs are compiled and served: shape ranges, precision, fallback chain, limits.
//!
//! A [`Profile`] is one YAML file under `profiles/`. It speaks of axes; [`OptProfile`] is the same range spelled out for
//! one graph's inputs, as an engine builder wants it.

mod chain;
mod checked;
mod compile;
mod error;
mod file;
mod fit;
mod opt;
mod recommend;
mod shelf;

#[cfg(test)]
mod file_tests;

pub use chain::{Chain, Fallback};
pub use compile::{CompileOptions, ComputeCapability, ParseCapabilityError};
pub use error::ProfileError;
pub use file::{GraphProfile, Memory, Profile, ProfileMemory};
pub use fit::{AxisLimits, Lowered};
pub use opt::{Extent, InputRange, OptProfile, ShapeSet};
pub use recommend::{Fit, Machine, Misfit, recommended};
pub use shelf::{Origin, Shelf, ShelvedProfile};
