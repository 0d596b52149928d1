//! The few calls of the driver that cvtrt makes, so that a test can put host memory in their place.

use std::fmt;

/// An address in device memory.
pub(super) type Address = u64;

/// The driver's handle of a stream.
pub(super) type RawStream = u64;

/// One device's driver. Every method may be called from any thread.
///
/// # Safety
/// An implementation hands out addresses and handles that stay valid until they are given back, and that overlap with
/// nothing else it handed out.
#[expect(unsafe_code, reason = "the methods take addresses and handles")]
pub(super) unsafe trait Driver: fmt::Debug + Send + Sync {
    /// The device's ordinal.
    fn ordinal(&self) -> u32;

    /// Makes the device the calling thread's, for libraries that take whichever it is.
    fn make_current(&self) -> Result<(), CudaError>;

    /// Free and total device memory, in bytes.
    fn memory(&self) -> Result<Memory, CudaError>;

    /// Device memory, aligned for any element type.
    fn allocate(&self, bytes: usize) -> Result<Address, CudaError>;

    /// Gives device memory back.
    ///
    /// # Safety
    /// From [`Self::allocate`], not given back before, and no work on it is under way.
    unsafe fn free(&self, address: Address);

    /// Page-locked host memory.
    fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, CudaError>;

    /// Gives page-locked memory back.
    ///
    /// # Safety
    /// From [`Self::allocate_pinned`] with the same size, not given back before, and no copy of it is under way.
    unsafe fn free_pinned(&self, memory: *mut u8, bytes: usize);

    /// A stream of its own order.
    fn create_stream(&self) -> Result<RawStream, CudaError>;

    /// Gives a stream back.
    ///
    /// # Safety
    /// From [`Self::create_stream`], not given back before, and no work on it is under way.
    unsafe fn destroy_stream(&self, stream: RawStream);

    /// Waits for all work of a stream.
    ///
    /// # Safety
    /// A live stream of this driver.
    unsafe fn synchronize(&self, stream: RawStream) -> Result<(), CudaError>;

    /// Copies host to device in the stream's order; may return before it is done.
    ///
    /// # Safety
    /// A live stream; both spans are valid, and untouched by others, until the stream has come past the copy.
    unsafe fn upload(&self, stream: RawStream, to: Address, from: &[u8]) -> Result<(), CudaError>;

    /// Copies device to host in the stream's order; may return before it is done.
    ///
    /// # Safety
    /// As for [`Self::upload`].
    unsafe fn download(
        &self,
        stream: RawStream,
        to: &mut [u8],
        from: Address,
    ) -> Result<(), CudaError>;
}

/// Device memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Not in use by anyone.
    pub free_bytes: u64,
    /// In all.
    pub total_bytes: u64,
}

/// A failed call of the driver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} failed: {reason}")]
pub struct CudaError {
    /// What was asked for.
    pub operation: &'static str,
    /// What it means for the caller.
    pub kind: CudaErrorKind,
    /// The driver's words.
    pub reason: String,
}

/// What a driver's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CudaErrorKind {
    /// Device or page-locked memory ran out; smaller work may pass.
    OutOfMemory,
    /// The context is of no more use to this process.
    DeviceLost,
    /// Anything else.
    Other,
}
