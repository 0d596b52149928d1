//! What runs an engine: contexts, and the scratch memory they take turns with.
#![expect(unsafe_code, reason = "keeps the promises an enqueued run asks for")]

use super::engine::{EngineError, TrtEngine};
use super::handle::ContextHandle;
use crate::cuda::{CudaError, DeviceBuffer, Stream};
use crate::tensor::Shape;
use std::sync::{Arc, Mutex, PoisonError};

/// Scratch memory of one stream, for all contexts whose runs go on it.
///
/// Runs on a stream follow each other, so its contexts may share the memory, and it need only be as large as the largest
/// of them asks for ([`TrtEngine::profile_scratch_bytes`]).
#[derive(Debug)]
pub struct Scratch {
    stream: Arc<Stream>,
    memory: DeviceBuffer,
    /// Held while a run is enqueued: the kernels of two runs must not alternate on the stream.
    turn: Mutex<()>,
}

/// One lane's right to run an engine.
///
/// Fields drop in order: waiting for the stream first, then the context, then its share of the memory and of the engine.
#[derive(Debug)]
pub struct TrtContext {
    idle: WaitOnDrop,
    handle: ContextHandle,
    /// The handle holds its address.
    scratch: Arc<Scratch>,
    profile: Option<usize>,
    engine: Arc<TrtEngine>,
}

impl Scratch {
    /// Allocates `bytes` for the contexts of `stream`.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn new(stream: &Arc<Stream>, bytes: u64) -> Result<Arc<Self>, CudaError> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(Arc::new(Self {
            stream: Arc::clone(stream),
            memory: stream.allocate(bytes)?,
            turn: Mutex::default(),
        }))
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.memory.len() as u64
    }

    /// The stream.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    fn address(&self) -> u64 {
        self.memory.bytes(self.memory.len()).address()
    }
}

impl TrtEngine {
    /// Makes a context whose runs go on `stream`, with scratch memory of its own for any profile.
    ///
    /// # Errors
    /// [`EngineError`].
    ///
    /// # Panics
    /// When the stream is of another device.
    pub fn context(self: &Arc<Self>, stream: &Arc<Stream>) -> Result<TrtContext, EngineError> {
        self.context_with(&Scratch::new(stream, self.scratch_bytes())?)
    }

    /// Makes a context whose runs go on the stream of `scratch` and use that memory, as others do in turn.
    ///
    /// # Errors
    /// [`EngineError`].
    ///
    /// # Panics
    /// When the stream is of another device.
    pub fn context_with(
        self: &Arc<Self>,
        scratch: &Arc<Scratch>,
    ) -> Result<TrtContext, EngineError> {
        let (ours, theirs) = (self.gpu().ordinal(), scratch.stream.gpu().ordinal());
        assert_eq!(
            ours, theirs,
            "an engine runs on the device it was loaded on"
        );
        self.gpu().make_current()?;
        let handle = self
            .handle
            .create_context()
            .map_err(|error| self.library.explained(error))?;
        Ok(TrtContext {
            idle: WaitOnDrop(Arc::clone(&scratch.stream)),
            handle,
            scratch: Arc::clone(scratch),
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

    /// Takes an optimisation profile for the runs to come, and forgets the input shapes. Does nothing where it is taken
    /// already.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::Scratch`] where it needs more scratch memory than the context has.
    pub fn set_profile(&mut self, profile: usize) -> Result<(), EngineError> {
        if self.profile == Some(profile) {
            return Ok(());
        }
        let given = self.scratch.bytes();
        let needed = self.engine.profile_scratch_bytes(profile).unwrap_or(0);
        if needed > given {
            return Err(EngineError::Scratch {
                profile,
                needed,
                given,
            });
        }
        self.profile = None;
        self.engine.gpu().make_current()?;
        let stream = self.idle.0.raw();
        // SAFETY: the stream is live as long as `self`.
        unsafe { self.handle.set_profile(profile, stream) }
            .map_err(|error| self.engine.library.explained(error))?;
        self.give_scratch()?;
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
    /// `addresses` names the memory of every port, in their order, each aligned to 256 bytes as NVIDIA asks for.
    ///
    /// # Safety
    /// Each address is memory of the shape the port has now: on the host for ports that say so, else on the device, in
    /// buffers of the context's stream. It stays valid, and written by nobody else, until the stream has come past the run.
    /// A recorded run is launched only while the context lives and keeps the profile and the shapes it had: the library
    /// does not promise more. After a change of either, one run goes plainly before any is recorded.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was enqueued.
    pub unsafe fn enqueue(&mut self, addresses: &[u64]) -> Result<(), EngineError> {
        if self.profile.is_none() {
            return Err(EngineError::NoProfile);
        }
        self.engine.gpu().make_current()?;
        for (port, &address) in addresses.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { self.handle.set_address(port, address) }
                .map_err(|error| self.engine.library.explained(error))?;
        }
        // A recording keeps the memory that is lent while it lasts.
        self.scratch.address();
        // It guards the order on the stream, not data that a panic could leave half done.
        let _turn = self
            .scratch
            .turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the stream is live as long as `self`; scratch memory was set with the profile and suffices for it.
        unsafe { self.handle.enqueue(self.idle.0.raw()) }
            .map_err(|error| self.engine.library.explained(error))
    }

    fn give_scratch(&mut self) -> Result<(), EngineError> {
        let (address, bytes) = (self.scratch.address(), self.scratch.bytes());
        // SAFETY: the memory outlives the context, which is an earlier field. Only contexts of the one stream have it, and
        // their runs follow each other there.
        unsafe { self.handle.set_scratch(address, bytes) }
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
