//! Copies between host and device.
#![expect(unsafe_code, reason = "keeps the promises the driver's calls ask for")]

use super::driver::CudaError;
use super::gpu::Stream;
use super::memory::{DeviceBuffer, PinnedBuffer};
use crate::tensor::{DeviceBytes, DeviceBytesMut};
use std::slice;

impl Stream {
    /// Copies the first `len` bytes of `from` to `to`, in order. Returns before it is done.
    ///
    /// # Errors
    /// [`CudaError`]; of kind [`CudaErrorKind::Capture`](super::CudaErrorKind::Capture) while work is recorded.
    ///
    /// # Panics
    /// When a buffer is shorter, or belongs to another stream.
    pub fn upload(
        &self,
        to: &mut DeviceBuffer,
        from: &PinnedBuffer,
        len: usize,
    ) -> Result<(), CudaError> {
        self.check_not_recording("copying to the device")?;
        self.check(&[to.stream(), from.stream()]);
        let (address, start) = (to.span(0, len), from.lend(len, self.count_host_copy()));
        // SAFETY: the buffer has as many bytes. Both buffers are this stream's and wait for it before they go; the pinned
        // one lends its bytes only after it has waited as well.
        let bytes = unsafe { slice::from_raw_parts(start, len) };
        // SAFETY: as above.
        unsafe { self.gpu().driver().upload(self.raw(), address, bytes) }
    }

    /// Copies the first `len` bytes of `from` to `to`, in order. Returns before it is done; reading waits.
    ///
    /// # Errors
    /// [`CudaError`]; of kind [`CudaErrorKind::Capture`](super::CudaErrorKind::Capture) while work is recorded.
    ///
    /// # Panics
    /// When a buffer is shorter, or belongs to another stream.
    pub fn download(
        &self,
        to: &mut PinnedBuffer,
        from: &DeviceBuffer,
        len: usize,
    ) -> Result<(), CudaError> {
        self.check_not_recording("copying from the device")?;
        self.check(&[to.stream(), from.stream()]);
        let (address, start) = (from.span(0, len), to.lend(len, self.count_host_copy()));
        // SAFETY: as in `upload`.
        let bytes = unsafe { slice::from_raw_parts_mut(start, len) };
        // SAFETY: as above.
        unsafe { self.gpu().driver().download(self.raw(), bytes, address) }
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
        self.check_not_recording("copying from the device")?;
        let driver = self.gpu().driver();
        // SAFETY: both spans are borrowed until the stream has come past the copy, below.
        unsafe { driver.download(self.raw(), to, from.address()) }?;
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
        self.check_not_recording("copying to the device")?;
        let driver = self.gpu().driver();
        // SAFETY: both spans are borrowed until the stream has come past the copy, below.
        unsafe { driver.upload(self.raw(), to.address(), from) }?;
        self.synchronize()
    }
}
