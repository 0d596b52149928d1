//! TensorRT and TensorRT-RTX through `dlopen`: loader, C++ shim, builder, engines.
//!
//! Three floors. `sys` is the shim's C header, generated. `handle` owns its pointers and returns `Result`; all unsafe
//! calls are there. Above it everything is safe but [`TrtContext::enqueue`], which takes addresses: [`TrtLibrary`] is a
//! library found by an explicit [`SearchPath`] and kept for the life of the process, [`TrtLibrary::build`] turns a
//! [`BuildRequest`] into a [`BuiltPlan`], and [`PlanHeader`] tells what a plan file is before any of its bytes reach a
//! library.
//!
//! A [`TrtEngine`] holds weights on one device; each lane runs it by a [`TrtContext`] of its own. All contexts of a lane
//! take turns with one [`Scratch`], as large as the largest of the profiles they use asks for: its stream is theirs, so no
//! two runs are in it at once. RTX's contexts compile kernels on the device as [`KernelOptions`] say.
//!
//! The shim (`shim/`) declares NVIDIA's classes itself, one namespace and translation unit per major, and needs none of
//! its headers. Rust speaks to it in the project's own enums only.

mod builder;
#[cfg(feature = "testkit")]
mod computing;
mod context;
mod engine;
mod handle;
mod kernels;
mod known;
mod library;
mod log;
mod network;
mod plan_header;
mod request;
mod search;
#[allow(
    unsafe_code,
    non_camel_case_types,
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::multiple_unsafe_ops_per_block,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    reason = "generated from the shim's C header"
)]
mod sys;
#[cfg(all(test, feature = "testkit"))]
mod tests;
mod timings;
mod version;

pub use builder::{BuildError, BuiltPlan, ParseError};
#[cfg(feature = "testkit")]
pub use computing::{
    Computation, Compute, ComputingLibrary, FakeCall, FakeFailure, FakeFault, FakeObject,
};
pub use context::{Scratch, TrtContext};
pub use engine::{Direction, EngineError, EnginePort, EngineRange, TrtEngine};
pub use handle::PlanBytes;
pub use kernels::KernelOptions;
pub use library::{NoLibrary, Surveyed, TrtLibrary};
pub use log::{LogLine, Severity};
pub use network::{LayerCount, LayerInfo, NetworkSummary, TensorInfo};
pub use plan_header::{PlanHeader, PlanHeaderError, rtx_targets};
pub use request::{BuildProgress, BuildRequest, HardwareCompatibility, ProgressEvent, TimingCache};
pub use search::{Candidate, Refusal, SearchPath};
pub use version::{Flavour, LibraryVersion, Release};
