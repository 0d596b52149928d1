//! Marks in a stream's work: for another stream to wait for, and to take the time.
#![expect(unsafe_code, reason = "keeps the promises the driver's calls ask for")]

use super::driver::{CudaError, RawEvent};
use super::gpu::{Gpu, Stream};

/// A mark that a stream sets when its work has come so far.
#[derive(Debug)]
pub struct Event {
    gpu: Gpu,
    raw: RawEvent,
}

impl Gpu {
    /// A new event, which nothing has marked.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn event(&self) -> Result<Event, CudaError> {
        Ok(Event {
            raw: self.driver().create_event()?,
            gpu: self.clone(),
        })
    }
}

impl Stream {
    /// Marks the event once all work enqueued so far is done; an earlier mark is forgotten.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn record(&self, event: &Event) -> Result<(), CudaError> {
        // SAFETY: both live as long as their owners.
        unsafe { self.gpu().driver().record_event(self.raw(), event.raw) }
    }

    /// Lets the work to come wait for the event's latest mark; the host does not wait.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn wait_for(&self, event: &Event) -> Result<(), CudaError> {
        // SAFETY: both live as long as their owners.
        unsafe { self.gpu().driver().wait_for_event(self.raw(), event.raw) }
    }
}

impl Event {
    /// Waits until the event is marked.
    ///
    /// # Errors
    /// [`CudaError`] of this or of earlier work.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: live until `drop`.
        unsafe { self.gpu.driver().synchronize_event(self.raw) }
    }

    /// Milliseconds from an earlier event's mark to this one's.
    ///
    /// # Errors
    /// [`CudaError`] where one is not marked yet.
    pub fn elapsed_ms_since(&self, earlier: &Self) -> Result<f32, CudaError> {
        // SAFETY: both live as long as their owners.
        unsafe { self.gpu.driver().elapsed_ms(earlier.raw, self.raw) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours; the driver keeps what a stream has yet to mark.
        unsafe { self.gpu.driver().destroy_event(self.raw) };
    }
}
