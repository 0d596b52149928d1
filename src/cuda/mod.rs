//! CUDA, as far as it is found at run time: no toolkit to build, no driver to start.
//!
//! [`probe()`] asks without disturbing anything. [`Gpu`] is a device in use, with [`Stream`]s of work and memory that
//! waits for its stream before it goes, so that nothing is freed under a running kernel. [`Stream::capture`] records work
//! that is done again and again as one, and [`kernels`] are the few that are our own. `driver` names the few calls all this stands on; `nvidia` makes them, and under
//! `testkit` host memory takes their place.

mod driver;
mod event;
mod gpu;
#[cfg(feature = "testkit")]
mod host;
pub mod kernels;
mod memory;
mod nvidia;
mod probe;
mod replay;
mod transfer;

pub use driver::{CudaError, CudaErrorKind, Memory};
pub use event::Event;
pub use gpu::{Gpu, Stream};
#[cfg(feature = "testkit")]
pub use host::{HostCounts, HostFault, HostGpu};
pub use memory::{BlockCopy, DeviceBuffer, PinnedBuffer};
pub use probe::{Device, Driver, NoCuda, probe};
pub use replay::Replay;
