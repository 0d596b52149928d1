//! What compiles graphs to engines and runs them: one trait, several adapters.
//!
//! A backend has two halves. [`Backend::fingerprint`] and [`Backend::compile`] make an engine file; [`Backend::load`]
//! gives a [`CompiledGraph`] (weights, shared by all lanes) which opens one [`Session`] (scratch, owned by one lane)
//! per [`Lane`].

mod bindings;
mod compile;
#[cfg(feature = "testkit")]
mod fake;
#[cfg(feature = "testkit")]
mod faulty;
mod lane;
mod load;
mod once;
mod ort;
mod registry;
mod run;
mod select;
mod tensorrt;
mod timings;

pub use self::ort::{LibraryError, Ort, OrtLibrary, Refused, SearchPath};
pub use bindings::{Bindings, BindingsError, OutputSlot, Recycled};
pub use compile::{
    CompileError, CompileRequest, EngineReport, LayerSummary, Model, Progress, Rewriting, Step,
};
#[cfg(feature = "testkit")]
pub use fake::{Compute, Fake};
#[cfg(feature = "testkit")]
pub use faulty::{Fault, Faulty, When};
pub use lane::{CopyCount, CopyCounter, Lane};
pub use load::{Artifact, Capabilities, Footprint, LoadError, LoadOptions, Unavailable};
pub use once::run_once;
pub use registry::{BackendSettings, Backends};
pub use run::{Recovery, RunError};
pub use select::{Artifacts, LinkError, NoBackend, PassedOver, Selected, select};
pub use tensorrt::TensorRt;
pub use timings::Timings;

use crate::ids::{BackendId, Fingerprint};
use crate::tensor::{Placement, Signature};
use std::fmt;
use std::sync::Arc;

/// Something that compiles graphs and runs them.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Which backend this is.
    fn id(&self) -> BackendId;

    /// Looks whether this backend can work here. Cheap, and never panics.
    ///
    /// # Errors
    /// [`Unavailable`] with every reason found.
    fn probe(&self) -> Result<Capabilities, Unavailable>;

    /// What of this machine and library makes an engine valid; enters the engine's key.
    ///
    /// # Errors
    /// [`Unavailable`] where the library is not here, so that nothing is known of it.
    fn fingerprint(&self) -> Result<Fingerprint, Unavailable>;

    /// Compiles a model into the engine file the request names.
    ///
    /// # Errors
    /// [`CompileError`]; the engine file may then be missing or half written, the caller removes it.
    fn compile(
        &self,
        request: &CompileRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<EngineReport, CompileError>;

    /// Loads an engine or, where the backend takes one, a model that was not compiled beforehand.
    ///
    /// # Errors
    /// [`LoadError`].
    fn load(
        &self,
        artifact: Artifact<'_>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn CompiledGraph>, LoadError>;
}

/// A loaded graph: weights, shared by all lanes.
pub trait CompiledGraph: fmt::Debug + Send + Sync {
    /// Names, types and dimensions of inputs and outputs.
    fn signature(&self) -> &Signature;

    /// Where inputs and outputs are expected.
    fn placement(&self) -> Placement;

    /// Memory the loaded graph holds.
    fn footprint(&self) -> Footprint;

    /// Opens a session for one lane.
    ///
    /// # Errors
    /// [`LoadError`] when scratch memory is short or the lane is on another device.
    fn open(self: Arc<Self>, lane: &Lane) -> Result<Box<dyn Session>, LoadError>;
}

/// One lane's right to run a graph.
pub trait Session: fmt::Debug + Send {
    /// Names, types and dimensions of inputs and outputs.
    fn signature(&self) -> &Signature;

    /// Runs the graph once, ordered on the lane's stream.
    ///
    /// Bindings are positional, in the signature's order, and were checked by their maker ([`Bindings::check`]). Does
    /// no name look-up and allocates nothing on the Rust side once warm.
    ///
    /// # Errors
    /// [`RunError`]; [`RunError::recovery`] says who must act.
    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError>;
}
