//! Work that is recorded once and done again and again, as one (a CUDA graph).
#![expect(unsafe_code, reason = "keeps the promises the driver's calls ask for")]

use super::driver::{CudaError, CudaErrorKind, RawReplay};
use super::gpu::{Kept, Stream};
use std::sync::Arc;

/// Recorded work of one stream. Dropping waits for it.
///
/// The memory that [`DeviceBuffer`](super::DeviceBuffer)s lent while it was recorded lives as long as it does.
#[derive(Debug)]
pub struct Replay {
    recorded: Arc<Recorded>,
}

/// Fields drop in order: the work goes before the memory it uses.
#[derive(Debug)]
struct Recorded {
    work: Work,
    _kept: Kept,
}

#[derive(Debug)]
struct Work {
    stream: Arc<Stream>,
    raw: RawReplay,
}

impl Stream {
    /// Records the work that `work` enqueues on this stream; nothing of it is done before [`Replay::launch`].
    ///
    /// The host cannot take part: inside, waiting and copies from or to the host are errors. Views of device memory are
    /// to be made inside. After a failure the stream is as before, and the same work can be enqueued plainly.
    ///
    /// # Errors
    /// What `work` gave; else [`CudaError`], of kind [`CudaErrorKind::Capture`] where something was enqueued that cannot
    /// be recorded.
    pub fn capture<E: From<CudaError>>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<Replay, E> {
        let recording = Recording::begin(self)?;
        work()?;
        Ok(recording.end()?)
    }
}

impl Replay {
    /// Enqueues the work once more.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn launch(&mut self) -> Result<(), CudaError> {
        let Work { stream, raw } = &self.recorded.work;
        // SAFETY: ours until `drop`; the memory it uses is kept.
        unsafe { stream.gpu().driver().launch_replay(stream.raw(), *raw) }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        // A recording cannot wait; it takes the work along instead.
        self.recorded.work.stream.keep(&self.recorded);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.stream.settle();
        // SAFETY: ours, and not under way.
        unsafe { self.stream.gpu().driver().destroy_replay(self.raw) };
    }
}

/// A recording under way, which ends in any case.
struct Recording<'a> {
    stream: &'a Arc<Stream>,
}

impl<'a> Recording<'a> {
    fn begin(stream: &'a Arc<Stream>) -> Result<Self, CudaError> {
        let mut recording = stream.recording();
        if recording.is_some() {
            return Err(CudaError {
                operation: "beginning to record work",
                kind: CudaErrorKind::Capture,
                reason: "the stream's work is being recorded already".to_owned(),
            });
        }
        // SAFETY: a live stream, which records nothing.
        unsafe { stream.gpu().driver().begin_capture(stream.raw()) }?;
        *recording = Some(Kept::new());
        Ok(Self { stream })
    }

    fn end(self) -> Result<Replay, CudaError> {
        let stream = Arc::clone(self.stream);
        std::mem::forget(self);
        let (raw, kept) = stop(&stream);
        let recorded = Recorded {
            work: Work { raw: raw?, stream },
            _kept: kept,
        };
        Ok(Replay {
            recorded: Arc::new(recorded),
        })
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let (raw, _kept) = stop(self.stream);
        if let Ok(raw) = raw {
            // SAFETY: just made, and never launched.
            unsafe { self.stream.gpu().driver().destroy_replay(raw) };
        }
    }
}

/// Ends a recording; what it kept may wait for the stream again when it goes.
fn stop(stream: &Stream) -> (Result<RawReplay, CudaError>, Kept) {
    // SAFETY: a live stream, which records.
    let raw = unsafe { stream.gpu().driver().end_capture(stream.raw()) };
    let kept = stream.recording().take();
    (raw, kept.expect("only a recording ends"))
}
