//! Deserialised engines and the contexts that run them.
#![expect(unsafe_code, reason = "keeps the promises an enqueued run asks for")]

use super::handle::{ContextHandle, EngineHandle, ShimError, Status};
use super::library::TrtLibrary;
use super::log::LogLine;
use super::network::TensorInfo;
use super::plan_header::{PlanHeader, PlanHeaderError};
use crate::cuda::{DeviceBuffer, Gpu, Stream};
use crate::tensor::Shape;
use std::sync::{Arc, PoisonError};

/// A deserialised engine: weights on one device, shared by all contexts on it.
#[derive(Debug)]
pub struct TrtEngine {
    handle: EngineHandle,
    gpu: Gpu,
    library: &'static TrtLibrary,
    ports: Vec<EnginePort>,
    /// Per profile and port; `None` for outputs.
    ranges: Vec<Vec<Option<EngineRange>>>,
    scratch_bytes: u64,
}

/// One input or output of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnginePort {
    /// Name, type and dimensions.
    pub tensor: TensorInfo,
    /// Which way it goes.
    pub direction: Direction,
    /// Whether it holds a shape, which the library reads on the host.
    pub on_host: bool,
}

/// Which way a tensor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Into the engine.
    Input,
    /// Out of it.
    Output,
}

/// Shapes an optimisation profile takes for one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineRange {
    /// Smallest sizes.
    pub min: Shape,
    /// Sizes it was tuned for.
    pub opt: Shape,
    /// Largest sizes.
    pub max: Shape,
}

/// One lane's right to run an engine.
///
/// Fields drop in order: waiting for the stream first, then the context, then its memory and our share of the engine.
#[derive(Debug)]
pub struct TrtContext {
    idle: WaitOnDrop,
    handle: ContextHandle,
    /// The addresses the handle holds point into it.
    _scratch: DeviceBuffer,
    profile: Option<usize>,
    engine: Arc<TrtEngine>,
}

/// Why an engine does not load or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The file is no plan of this library.
    #[error(transparent)]
    Plan(#[from] PlanHeaderError),
    /// Host or device memory ran out.
    #[error("out of memory")]
    OutOfMemory,
    /// CUDA failed.
    #[error(transparent)]
    Cuda(#[from] crate::cuda::CudaError),
    /// The library gave up.
    #[error("{message}{}", last_words(log))]
    Failed {
        /// What was being done.
        message: String,
        /// The last lines of the library's log.
        log: Vec<LogLine>,
    },
}

impl TrtLibrary {
    /// Deserialises a plan onto a device.
    ///
    /// `trusted` lets a version-compatible plan run the lean runtime that lies inside it as host code, so it is for
    /// plans of one's own only.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn load_engine(
        &'static self,
        gpu: &Gpu,
        plan: &[u8],
        trusted: bool,
    ) -> Result<TrtEngine, EngineError> {
        // A broken plan must not reach the library: TensorRT proper was seen to crash on less.
        PlanHeader::read(plan, plan.len() as u64)?.check_product(self.version().flavour)?;
        gpu.make_current()?;
        let explained = |error: ShimError| self.explained(error);
        // The log is the library's, not the call's.
        let alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle.log().take();
        let handle = EngineHandle::load(&self.handle, plan, trusted).map_err(explained)?;
        drop(alone);
        let facts = handle.facts().map_err(explained)?;
        let ports = (0..facts.ports)
            .map(|index| handle.port(index))
            .collect::<Result<Vec<_>, _>>()
            .map_err(explained)?;
        let ranges = (0..facts.profiles)
            .map(|profile| {
                let ranges = ports.iter().enumerate().map(|(index, port)| {
                    if port.direction == Direction::Output {
                        return Ok(None);
                    }
                    handle.range(index, profile)
                });
                ranges.collect::<Result<Vec<_>, _>>()
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(explained)?;
        Ok(TrtEngine {
            handle,
            gpu: gpu.clone(),
            library: self,
            ports,
            ranges,
            scratch_bytes: facts.scratch_bytes,
        })
    }

    /// A failed call with what the library's log tells of it.
    fn explained(&self, error: ShimError) -> EngineError {
        let log: Vec<LogLine> = self.handle.log().take().last.into();
        if error.status == Status::OutOfMemory || log.iter().any(LogLine::tells_out_of_memory) {
            return EngineError::OutOfMemory;
        }
        EngineError::Failed {
            message: error.message,
            log,
        }
    }
}

impl TrtEngine {
    /// Inputs and outputs, in the engine's order.
    pub fn ports(&self) -> &[EnginePort] {
        &self.ports
    }

    /// Number of optimisation profiles.
    pub fn profiles(&self) -> usize {
        self.ranges.len()
    }

    /// What a profile takes for a port; `None` for outputs and for inputs without dimensions.
    pub fn range(&self, profile: usize, port: usize) -> Option<EngineRange> {
        *self.ranges.get(profile)?.get(port)?
    }

    /// Device memory each context needs.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch_bytes
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Makes a context whose runs go on `stream`.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn context(self: &Arc<Self>, stream: &Arc<Stream>) -> Result<TrtContext, EngineError> {
        let scratch_bytes = usize::try_from(self.scratch_bytes).unwrap_or(usize::MAX);
        self.gpu.make_current()?;
        let mut scratch = stream.allocate(scratch_bytes)?;
        let mut handle = self
            .handle
            .create_context()
            .map_err(|error| self.library.explained(error))?;
        let address = scratch.bytes_mut(scratch_bytes).address();
        // SAFETY: the buffer is the context's alone, and a later field of it.
        unsafe { handle.set_scratch(address, self.scratch_bytes) }
            .map_err(|error| self.library.explained(error))?;
        Ok(TrtContext {
            idle: WaitOnDrop(Arc::clone(stream)),
            handle,
            _scratch: scratch,
            profile: None,
            engine: Arc::clone(self),
        })
    }
}

impl TrtContext {
    /// The engine.
    pub fn engine(&self) -> &Arc<TrtEngine> {
        &self.engine
    }

    /// Takes an optimisation profile for the runs to come. Does nothing where it is taken already.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn set_profile(&mut self, profile: usize) -> Result<(), EngineError> {
        if self.profile == Some(profile) {
            return Ok(());
        }
        self.profile = None;
        let stream = self.idle.0.raw();
        // SAFETY: the stream is live as long as `self`.
        unsafe { self.handle.set_profile(profile, stream) }
            .map_err(|error| self.engine.library.explained(error))?;
        self.profile = Some(profile);
        Ok(())
    }

    /// Tells the shape of an input, by its index among the ports.
    ///
    /// # Errors
    /// [`EngineError`] where the profile does not take it.
    pub fn set_input_shape(&mut self, port: usize, shape: Shape) -> Result<(), EngineError> {
        self.handle
            .set_input_shape(port, shape)
            .map_err(|error| self.engine.library.explained(error))
    }

    /// The shape of a port that follows from the input shapes; `None` where it depends on the data.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn shape(&self, port: usize) -> Result<Option<Shape>, EngineError> {
        self.handle
            .shape(port)
            .map_err(|error| self.engine.library.explained(error))
    }

    /// Enqueues one run on the context's stream.
    ///
    /// `addresses` names the memory of every port, in their order.
    ///
    /// # Safety
    /// Each address is memory of the shape the port has now: on the host for ports that say so, else on the device, in
    /// buffers of the context's stream. It stays valid, and written by nobody else, until the stream has come past the run.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was enqueued.
    pub unsafe fn enqueue(&mut self, addresses: &[u64]) -> Result<(), EngineError> {
        self.engine.gpu.make_current()?;
        for (port, &address) in addresses.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { self.handle.set_address(port, address) }
                .map_err(|error| self.engine.library.explained(error))?;
        }
        // SAFETY: the stream is live as long as `self`, scratch memory was set when it was made.
        unsafe { self.handle.enqueue(self.idle.0.raw()) }
            .map_err(|error| self.engine.library.explained(error))
    }
}

/// Waits for its stream when dropped, so that no run is under way when what stands behind it goes.
#[derive(Debug)]
struct WaitOnDrop(Arc<Stream>);

impl Drop for WaitOnDrop {
    fn drop(&mut self) {
        if let Err(error) = self.0.synchronize() {
            tracing::warn!(%error, "the last run failed");
        }
    }
}

fn last_words(log: &[LogLine]) -> String {
    LogLine::last_error(log).map_or_else(String::new, |line| format!(": {line}"))
}
