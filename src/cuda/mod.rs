//! CUDA, as far as it is found at run time: no toolkit to build, no driver to start.

mod probe;

pub use probe::{Device, Driver, NoCuda, probe};
