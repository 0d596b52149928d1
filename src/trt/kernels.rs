//! Kernels that TensorRT-RTX compiles on the device it runs on.

use super::engine::{EngineError, TrtEngine};
use super::handle::PlanBytes;

/// How contexts compile what a plan of TensorRT-RTX leaves to the device.
///
/// A kernel for a shape that is new is made on the side, while a slower one for all shapes runs. The library captures no
/// CUDA graphs of its own, since the caller does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KernelOptions<'a> {
    /// Kernels of an earlier process, as [`TrtEngine::kernels`] gave them; empty for none. They belong to the library, the
    /// device and its driver.
    pub cache: &'a [u8],
}

impl TrtEngine {
    /// Tells how contexts made from now on compile their kernels, and has them kept for [`Self::kernels`].
    ///
    /// Returns whether the cache was taken; it is not where another library, device or driver wrote it, and then begins
    /// empty.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::Unsupported`] but with TensorRT-RTX.
    pub fn configure(&mut self, options: &KernelOptions<'_>) -> Result<bool, EngineError> {
        self.handle
            .configure(options)
            .map_err(|error| self.library.explained(error))
    }

    /// The kernels compiled so far by contexts of a configured engine, to begin the next process with.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::Unsupported`] where [`Self::configure`] was not called.
    pub fn kernels(&self) -> Result<PlanBytes, EngineError> {
        self.handle
            .kernels()
            .map_err(|error| self.library.explained(error))
    }
}
