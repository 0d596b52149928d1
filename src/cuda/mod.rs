//! CUDA, as far as it is found at run time: no toolkit to build, no driver to start.
//!
//! [`probe()`] asks without disturbing anything. [`Gpu`] is a device in use, with [`Stream`]s of work and memory that
//! waits for its stream before it goes, so that nothing is freed under a running kernel. `driver` names the few calls
//! all this stands on; `nvidia` makes them, and under `testkit` host memory takes their place.

mod driver;
mod gpu;
#[cfg(feature = "testkit")]
mod host;
mod nvidia;
mod probe;

pub use driver::{CudaError, CudaErrorKind, Memory};
pub use gpu::{DeviceBuffer, Gpu, PinnedBuffer, Stream};
#[cfg(feature = "testkit")]
pub use host::{HostFault, HostGpu};
pub use probe::{Device, Driver, NoCuda, probe};
