//! A device in use, its streams and its memory.
#![expect(unsafe_code, reason = "keeps the promises the driver's calls ask for")]

use super::driver::{CudaError, Driver, Memory, RawStream};
use super::nvidia::Nvidia;
use super::probe::NoCuda;
use crate::tensor::{DeviceBytes, DeviceBytesMut};
use std::slice;
use std::sync::Arc;

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
}

/// Device memory that belongs to one stream's work. Dropping waits for the stream.
#[derive(Debug)]
pub struct DeviceBuffer {
    stream: Arc<Stream>,
    address: u64,
    len: usize,
}

/// Page-locked host memory that belongs to one stream's work. Dropping waits for the stream.
#[derive(Debug)]
pub struct PinnedBuffer {
    stream: Arc<Stream>,
    memory: *mut u8,
    len: usize,
}

// SAFETY: the memory is this buffer's alone, and the driver takes it back from any thread.
unsafe impl Send for PinnedBuffer {}

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
    /// [`CudaError`] of this or of earlier work.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: live until `drop`.
        unsafe { self.gpu.driver.synchronize(self.raw) }
    }

    /// Device memory for this stream's work. No bytes are one byte, which has an address.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn allocate(self: &Arc<Self>, len: usize) -> Result<DeviceBuffer, CudaError> {
        Ok(DeviceBuffer {
            address: self.gpu.driver.allocate(len.max(1))?,
            len,
            stream: Arc::clone(self),
        })
    }

    /// Page-locked host memory for this stream's copies, zeroed.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn allocate_pinned(self: &Arc<Self>, len: usize) -> Result<PinnedBuffer, CudaError> {
        let memory = self.gpu.driver.allocate_pinned(len.max(1))?;
        // SAFETY: just allocated with at least this size.
        unsafe { memory.write_bytes(0, len) };
        Ok(PinnedBuffer {
            memory,
            len,
            stream: Arc::clone(self),
        })
    }

    /// Copies the first `len` bytes of `from` to `to`, in order. Returns before it is done.
    ///
    /// # Errors
    /// [`CudaError`].
    ///
    /// # Panics
    /// When a buffer is shorter, or belongs to another stream.
    pub fn upload(
        &self,
        to: &mut DeviceBuffer,
        from: &PinnedBuffer,
        len: usize,
    ) -> Result<(), CudaError> {
        self.check(&[&to.stream, &from.stream]);
        let room = to.len.min(from.len);
        assert!(len <= room, "the buffers hold {room} bytes, not {len}");
        // SAFETY: both buffers are this stream's and wait for it before they go; the pinned one lends its bytes only after
        // it has waited as well.
        let from = unsafe { slice::from_raw_parts(from.memory, len) };
        // SAFETY: as above.
        unsafe { self.gpu.driver.upload(self.raw, to.address, from) }
    }

    /// Copies the first `len` bytes of `from` to `to`, in order. Returns before it is done; reading waits.
    ///
    /// # Errors
    /// [`CudaError`].
    ///
    /// # Panics
    /// When a buffer is shorter, or belongs to another stream.
    pub fn download(
        &self,
        to: &mut PinnedBuffer,
        from: &DeviceBuffer,
        len: usize,
    ) -> Result<(), CudaError> {
        self.check(&[&to.stream, &from.stream]);
        let room = to.len.min(from.len);
        assert!(len <= room, "the buffers hold {room} bytes, not {len}");
        // SAFETY: as in `upload`.
        let to = unsafe { slice::from_raw_parts_mut(to.memory, len) };
        // SAFETY: as above.
        unsafe { self.gpu.driver.download(self.raw, to, from.address) }
    }

    /// Copies device memory to the host, behind the work enqueued so far, and waits for it.
    ///
    /// # Errors
    /// [`CudaError`] of this or of earlier work.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn read(&self, from: DeviceBytes<'_>, to: &mut [u8]) -> Result<(), CudaError> {
        assert_eq!(from.len(), to.len(), "a copy has one length");
        // SAFETY: both spans are borrowed until the stream has come past the copy, below.
        unsafe { self.gpu.driver.download(self.raw, to, from.address()) }?;
        self.synchronize()
    }

    /// Copies host memory to the device, behind the work enqueued so far, and waits for it.
    ///
    /// # Errors
    /// [`CudaError`] of this or of earlier work.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn write(&self, to: &mut DeviceBytesMut<'_>, from: &[u8]) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "a copy has one length");
        // SAFETY: both spans are borrowed until the stream has come past the copy, below.
        unsafe { self.gpu.driver.upload(self.raw, to.address(), from) }?;
        self.synchronize()
    }

    fn check(&self, streams: &[&Arc<Stream>]) {
        for stream in streams {
            assert!(
                std::ptr::eq(self, Arc::as_ptr(stream)),
                "a buffer is used on the stream it was made for"
            );
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        wait(self);
        // SAFETY: ours, and without work.
        unsafe { self.gpu.driver.destroy_stream(self.raw) };
    }
}

impl DeviceBuffer {
    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first `len` bytes, to read.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn bytes(&self, len: usize) -> DeviceBytes<'_> {
        assert!(len <= self.len, "the buffer holds {} bytes", self.len);
        // SAFETY: allocated until `drop`, which the borrow keeps away.
        unsafe { DeviceBytes::from_owner(self, self.address, len, self.stream.gpu.ordinal()) }
    }

    /// The first `len` bytes, to write.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn bytes_mut(&mut self, len: usize) -> DeviceBytesMut<'_> {
        assert!(len <= self.len, "the buffer holds {} bytes", self.len);
        let (address, ordinal) = (self.address, self.stream.gpu.ordinal());
        // SAFETY: allocated until `drop`, which the borrow keeps away.
        unsafe { DeviceBytesMut::from_owner(self, address, len, ordinal) }
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        wait(&self.stream);
        // SAFETY: ours, and its stream has done all its work.
        unsafe { self.stream.gpu.driver.free(self.address) };
    }
}

impl PinnedBuffer {
    /// The bytes; waits for the stream's copies.
    ///
    /// # Errors
    /// [`CudaError`] of this or of earlier work.
    pub fn bytes(&self) -> Result<&[u8], CudaError> {
        self.stream.synchronize()?;
        // SAFETY: allocated with this size, initialised at the start, and no copy is under way.
        Ok(unsafe { slice::from_raw_parts(self.memory, self.len) })
    }

    /// The bytes, to write; waits for the stream's copies.
    ///
    /// # Errors
    /// [`CudaError`] of this or of earlier work.
    pub fn bytes_mut(&mut self) -> Result<&mut [u8], CudaError> {
        self.stream.synchronize()?;
        // SAFETY: as in `bytes`, and borrowed exclusively.
        Ok(unsafe { slice::from_raw_parts_mut(self.memory, self.len) })
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        wait(&self.stream);
        // SAFETY: ours, and its stream has done all its copies.
        unsafe {
            self.stream
                .gpu
                .driver
                .free_pinned(self.memory, self.len.max(1));
        }
    }
}

/// Lets a stream's work end. On a lost device there is none left, and the driver takes memory back all the same.
fn wait(stream: &Stream) {
    if let Err(error) = stream.synchronize() {
        tracing::warn!(%error, "the stream's last work failed");
    }
}
