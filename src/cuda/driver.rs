//! The few calls of the driver that cvtrt makes, so that a test can put host memory in their place.

use super::kernels::Kernel;
use std::fmt;

/// An address in device memory.
pub(super) type Address = u64;

/// The driver's handle of a stream.
pub(super) type RawStream = u64;

/// The driver's handle of an event.
pub(super) type RawEvent = u64;

/// The driver's handle of a graph of recorded work.
pub(super) type RawReplay = u64;

/// Blocks of bytes at equal distances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocks {
    /// Of the first block.
    pub(super) address: Address,
    /// From one block's beginning to the next one's, at least a block's bytes.
    pub(super) pitch: usize,
}

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

    /// Copies `count` blocks of `bytes` each from device to device, in the stream's order. No block is empty.
    ///
    /// # Safety
    /// A live stream; every block is valid until the stream has come past the copy, and no two overlap.
    unsafe fn copy(
        &self,
        stream: RawStream,
        to: Blocks,
        from: Blocks,
        bytes: usize,
        count: usize,
    ) -> Result<(), CudaError>;

    /// Zeroes `count` blocks of `bytes` each, in the stream's order. No block is empty.
    ///
    /// # Safety
    /// As for [`Self::copy`].
    unsafe fn zero(
        &self,
        stream: RawStream,
        to: Blocks,
        bytes: usize,
        count: usize,
    ) -> Result<(), CudaError>;

    /// Launches one of our kernels in the stream's order.
    ///
    /// # Safety
    /// A live stream; the kernel's memory is valid, and untouched by others, until the stream has come past it.
    unsafe fn launch(&self, stream: RawStream, kernel: &Kernel) -> Result<(), CudaError>;

    /// An event that keeps the time.
    fn create_event(&self) -> Result<RawEvent, CudaError>;

    /// Gives an event back.
    ///
    /// # Safety
    /// From [`Self::create_event`], not given back before.
    unsafe fn destroy_event(&self, event: RawEvent);

    /// Lets the stream mark the event when it comes here.
    ///
    /// # Safety
    /// A live stream and a live event.
    unsafe fn record_event(&self, stream: RawStream, event: RawEvent) -> Result<(), CudaError>;

    /// Lets the stream wait here until the event's last mark.
    ///
    /// # Safety
    /// As for [`Self::record_event`].
    unsafe fn wait_for_event(&self, stream: RawStream, event: RawEvent) -> Result<(), CudaError>;

    /// Waits until an event's last mark.
    ///
    /// # Safety
    /// A live event.
    unsafe fn synchronize_event(&self, event: RawEvent) -> Result<(), CudaError>;

    /// Milliseconds from one event's mark to another's; both were reached.
    ///
    /// # Safety
    /// Live events.
    unsafe fn elapsed_ms(&self, from: RawEvent, to: RawEvent) -> Result<f32, CudaError>;

    /// From now on the stream's work is recorded and not done.
    ///
    /// # Safety
    /// A live stream that records nothing.
    unsafe fn begin_capture(&self, stream: RawStream) -> Result<(), CudaError>;

    /// Ends the recording and makes the work ready to be done again and again. After a failure the recording has ended
    /// as well, and nothing of it is left.
    ///
    /// # Safety
    /// A live stream that records.
    unsafe fn end_capture(&self, stream: RawStream) -> Result<RawReplay, CudaError>;

    /// Gives recorded work back.
    ///
    /// # Safety
    /// From [`Self::end_capture`], not given back before, and not under way.
    unsafe fn destroy_replay(&self, replay: RawReplay);

    /// Does recorded work in the stream's order.
    ///
    /// # Safety
    /// A live stream and live recorded work, whose memory is as valid as for its parts.
    unsafe fn launch_replay(&self, stream: RawStream, replay: RawReplay) -> Result<(), CudaError>;
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
    /// The work cannot be recorded; it can be enqueued all the same.
    Capture,
    /// Anything else.
    Other,
}
