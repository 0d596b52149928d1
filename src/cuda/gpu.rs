//! A device in use, and its streams of work.
#![expect(unsafe_code, reason = "keeps the promises the driver's calls ask for")]

use super::driver::{CudaError, CudaErrorKind, Driver, Memory, RawStream};
use super::nvidia::Nvidia;
use super::probe::NoCuda;
use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A device in use. Clones share it; the last one lets it go.
#[derive(Debug, Clone)]
pub struct Gpu {
    driver: Arc<dyn Driver>,
}

/// Work on a device, done in the order it was enqueued in. Dropping waits for it.
#[derive(Debug)]
pub struct Stream {
    gpu: Gpu,
    raw: RawStream,
    /// Host copies enqueued so far.
    enqueued: AtomicU64,
    /// Of them, those that are done for certain.
    done: AtomicU64,
    recording: Mutex<Option<Kept>>,
}

/// Memory that recorded work uses.
pub(super) type Kept = Vec<Arc<dyn Any + Send + Sync>>;

impl Gpu {
    /// Opens a device by its ordinal after `CUDA_VISIBLE_DEVICES`.
    ///
    /// # Errors
    /// [`NoCuda`].
    pub fn open(ordinal: u32) -> Result<Self, NoCuda> {
        Ok(Self {
            driver: Arc::new(Nvidia::open(ordinal)?),
        })
    }

    #[cfg(feature = "testkit")]
    pub(super) fn with_driver(driver: Arc<dyn Driver>) -> Self {
        Self { driver }
    }

    pub(super) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// The device's ordinal.
    pub fn ordinal(&self) -> u32 {
        self.driver.ordinal()
    }

    /// Makes the device the calling thread's, for libraries that take whichever it is.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn make_current(&self) -> Result<(), CudaError> {
        self.driver.make_current()
    }

    /// Free and total device memory.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn memory(&self) -> Result<Memory, CudaError> {
        self.driver.memory()
    }

    /// A new stream.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn stream(&self) -> Result<Arc<Stream>, CudaError> {
        Ok(Arc::new(Stream {
            raw: self.driver.create_stream()?,
            gpu: self.clone(),
            enqueued: AtomicU64::new(0),
            done: AtomicU64::new(0),
            recording: Mutex::new(None),
        }))
    }
}

impl Stream {
    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The driver's handle.
    pub(crate) fn raw(&self) -> u64 {
        self.raw
    }

    /// Waits until all work enqueued so far is done.
    ///
    /// # Errors
    /// [`CudaError`] of this or of earlier work; of kind [`CudaErrorKind::Capture`] while work is recorded, which is
    /// never done by itself.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.check_not_recording("waiting for the device")?;
        let enqueued = self.enqueued.load(Ordering::Acquire);
        // SAFETY: live until `drop`.
        unsafe { self.gpu.driver.synchronize(self.raw) }?;
        self.done.fetch_max(enqueued, Ordering::AcqRel);
        Ok(())
    }

    /// Whether its work is being recorded ([`Self::capture`]).
    pub fn is_recording(&self) -> bool {
        self.recording().is_some()
    }

    /// Counts one copy between host and device; the number it has.
    pub(super) fn count_host_copy(&self) -> u64 {
        self.enqueued.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Waits until the host copy of this number is done, where that is not known already.
    pub(super) fn wait_for_host_copy(&self, number: u64) -> Result<(), CudaError> {
        if number <= self.done.load(Ordering::Acquire) {
            return Ok(());
        }
        self.synchronize()
    }

    /// What recorded work uses so far; `None` while nothing is recorded.
    pub(super) fn recording(&self) -> MutexGuard<'_, Option<Kept>> {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// While work is recorded: lets `memory` live as long as the recording.
    pub(super) fn keep(&self, memory: &Arc<impl Any + Send + Sync>) {
        if let Some(kept) = &mut *self.recording() {
            kept.push(Arc::clone(memory) as Arc<dyn Any + Send + Sync>);
        }
    }

    /// # Errors
    /// [`CudaError`] of kind [`CudaErrorKind::Capture`] while work is recorded.
    pub(super) fn check_not_recording(&self, operation: &'static str) -> Result<(), CudaError> {
        if self.recording().is_none() {
            return Ok(());
        }
        Err(CudaError {
            operation,
            kind: CudaErrorKind::Capture,
            reason: "the host cannot take part in work that is being recorded".to_owned(),
        })
    }

    /// Lets the work end. On a lost device there is none left, and the driver takes memory back all the same.
    pub(super) fn settle(&self) {
        if let Err(error) = self.synchronize() {
            tracing::warn!(%error, "the stream's last work failed");
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.settle();
        // SAFETY: ours, and without work.
        unsafe { self.gpu.driver.destroy_stream(self.raw) };
    }
}
