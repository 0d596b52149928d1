//! Deserialised engines.

use super::handle::{EngineHandle, ShimError, Status};
use super::library::TrtLibrary;
use super::log::LogLine;
use super::network::TensorInfo;
use super::plan_header::{PlanHeader, PlanHeaderError};
use crate::cuda::Gpu;
use crate::tensor::Shape;
use std::sync::PoisonError;

/// A deserialised engine: weights on one device, shared by all contexts on it.
#[derive(Debug)]
pub struct TrtEngine {
    pub(super) handle: EngineHandle,
    gpu: Gpu,
    pub(super) library: &'static TrtLibrary,
    ports: Vec<EnginePort>,
    /// Per profile and port; `None` for outputs.
    ranges: Vec<Vec<Option<EngineRange>>>,
    scratch_bytes: u64,
    /// Per profile.
    profile_scratch_bytes: Vec<u64>,
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
    /// The library has no such feature.
    #[error("not possible: {0}")]
    Unsupported(String),
    /// A run was to be enqueued before a profile was taken.
    #[error("no optimisation profile was taken")]
    NoProfile,
    /// The scratch memory is too small for a profile.
    #[error("profile {profile} needs {needed} bytes of scratch memory, {given} were given")]
    Scratch {
        /// The profile.
        profile: usize,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are.
        given: u64,
    },
    /// The library gave up.
    #[error("{message}{}", last_words(log))]
    Failed {
        /// What was being done.
        message: String,
        /// The last lines of the library's log.
        log: Vec<LogLine>,
    },
}

impl EngineRange {
    /// Whether a shape is within it.
    pub fn contains(&self, shape: Shape) -> bool {
        let Self { min, opt: _, max } = self;
        shape.rank() == min.rank()
            && shape
                .dims()
                .iter()
                .zip(min.dims().iter().zip(max.dims()))
                .all(|(size, (min, max))| (min..=max).contains(&size))
    }
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
        let profile_scratch_bytes = (0..facts.profiles)
            .map(|profile| handle.scratch_bytes(profile))
            .collect::<Result<Vec<_>, _>>()
            .map_err(explained)?;
        Ok(TrtEngine {
            handle,
            gpu: gpu.clone(),
            library: self,
            ports,
            ranges,
            scratch_bytes: facts.scratch_bytes,
            profile_scratch_bytes,
        })
    }

    /// A failed call with what the library's log tells of it.
    pub(super) fn explained(&self, error: ShimError) -> EngineError {
        if error.status == Status::Unsupported {
            return EngineError::Unsupported(error.message);
        }
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

    /// Device memory a context needs while it runs, the most over all profiles.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch_bytes
    }

    /// Device memory a context needs while it runs with one profile; of TensorRT 8.6, which does not tell, the most over
    /// all. `None` where there is no such profile.
    pub fn profile_scratch_bytes(&self, profile: usize) -> Option<u64> {
        self.profile_scratch_bytes.get(profile).copied()
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }
}

impl Drop for TrtEngine {
    fn drop(&mut self) {
        // What the library frees lies on the engine's device, whichever thread lets it go.
        if let Err(error) = self.gpu.make_current() {
            tracing::warn!(%error, "an engine is deleted without its device");
        }
    }
}

fn last_words(log: &[LogLine]) -> String {
    LogLine::last_error(log).map_or_else(String::new, |line| format!(": {line}"))
}
