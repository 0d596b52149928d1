//! What compiles graphs to engines and runs them: one trait, several adapters.
//!
//! A backend has two halves. [`Backend::fingerprint`] and [`Backend::compile`] make an engine file; [`Backend::load`]
//! gives a [`CompiledGraph`] (weights, shared by all lanes) which opens one [`Session`] (scratch, owned by one lane)
//! per [`Lane`].

mod bindings;
mod bring;
mod compile;
#[cfg(feature = "testkit")]
mod fake;
mod fallback;
#[cfg(all(test, feature = "testkit"))]
mod fallback_tests;
#[cfg(feature = "testkit")]
mod faulty;
mod lane;
mod load;
mod memory;
#[cfg(feature = "testkit")]
mod on_host_gpu;
mod once;
mod ort;
mod registry;
mod run;
mod select;
mod tensorrt;
mod timings;

pub use self::ort::{LibraryError, Ort, OrtLibrary, Refused, SearchPath};
pub use bindings::{Bindings, BindingsError, OutputSlot, Recycled};
pub use bring::open_at;
pub use compile::{
    CompileError, CompileRequest, EngineReport, LayerSummary, Model, Progress, Refusal, Rewriting,
    Step,
};
#[cfg(feature = "testkit")]
pub use fake::{Compute, Fake};
pub use fallback::{Fall, Falls};
#[cfg(feature = "testkit")]
pub use faulty::{Fault, Faulty, When};
pub use lane::{CopyCount, CopyCounter, Lane};
pub use load::{
    Artifact, Capabilities, EngineArtifact, Footprint, LoadError, LoadOptions, StoredArtifact,
    Unavailable,
};
pub use memory::{AppendShape, BlockCopy, LaneMemory, LaneTensor, Place, Replay, Tokens};
#[cfg(feature = "testkit")]
pub use on_host_gpu::OnHostGpu;
pub use once::run_once;
pub use registry::{BackendSettings, Backends};
pub use run::{Recovery, RunError};
pub use select::{Artifacts, LinkError, NoBackend, PassedOver, Selected, select};
pub use tensorrt::TensorRt;
pub use timings::Timings;

use crate::cuda::Gpu;
use crate::ids::{BackendId, Fingerprint, GraphId};
use crate::profile::CompileOptions;
use crate::tensor::{Placement, Shape, Signature};
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

    /// Why no model of this graph, or none with these options, can be compiled here, as far as that is known without one;
    /// `None` where it may be.
    fn refuses(&self, graph: GraphId, options: &CompileOptions) -> Option<Refusal> {
        let _ = (graph, options);
        None
    }

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

    /// The device that inputs and outputs are expected on; `None` for the host.
    fn gpu(&self) -> Option<&Gpu> {
        None
    }

    /// Where inputs and outputs are expected.
    fn placement(&self) -> Placement {
        self.gpu()
            .map_or(Placement::Host, |gpu| Placement::Device(gpu.ordinal()))
    }

    /// Whether there is an engine for inputs of these shapes, in the signature's order; `true` where that is not known
    /// beforehand.
    fn takes(&self, inputs: &[Shape]) -> bool {
        let _ = inputs;
        true
    }

    /// Memory the loaded graph holds.
    fn footprint(&self) -> Footprint;

    /// Keeps on disk what the device compiled for the graph so far, so that the next process need not.
    ///
    /// Most backends compile nothing then. What cannot be kept is only logged.
    fn keep_kernels(&self) {}

    /// As [`Self::open`], for tensors at `placement`, where the graph is a chain of links: each of them copies for itself, so
    /// that a failed copy, too, is for the next link. `None` for any other graph; [`open_at`] copies for those.
    fn open_links(
        self: Arc<Self>,
        placement: Placement,
        lane: &Lane,
    ) -> Option<Result<Box<dyn Session>, LoadError>> {
        let _ = (placement, lane);
        None
    }

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

    /// The backend that runs the graph now; `None` where that is the one that was loaded, as without a chain.
    fn runs_on(&self) -> Option<BackendId> {
        None
    }

    /// Has another backend run the graph from now on, because what this one gives cannot be used.
    ///
    /// False where there is none to go on with; the session then stays as it is.
    fn give_up(&mut self, reason: &str) -> bool {
        let _ = reason;
        false
    }
}
