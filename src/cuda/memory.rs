//! Memory that belongs to one stream's work, and the copies between pieces of it.
#![expect(unsafe_code, reason = "keeps the promises the driver's calls ask for")]

use super::driver::{Address, Blocks, CudaError};
use super::gpu::Stream;
use crate::tensor::{DeviceBytes, DeviceBytesMut};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Device memory that belongs to one stream's work. Dropping waits for the stream.
///
/// What a recording was given of it stays for as long as the recording does.
#[derive(Debug)]
pub struct DeviceBuffer {
    memory: Arc<DeviceMemory>,
}

/// Page-locked host memory that belongs to one stream's work. Dropping waits for the copies of it.
#[derive(Debug)]
pub struct PinnedBuffer {
    memory: Arc<PinnedMemory>,
}

/// Blocks of bytes, each at its distance from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockCopy {
    /// First byte of the first block to read.
    pub from: usize,
    /// Distance of the blocks to read.
    pub from_pitch: usize,
    /// First byte of the first block to write.
    pub to: usize,
    /// Distance of the blocks to write.
    pub to_pitch: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// Number of blocks.
    pub count: usize,
}

#[derive(Debug)]
struct DeviceMemory {
    stream: Arc<Stream>,
    address: Address,
    len: usize,
}

#[derive(Debug)]
struct PinnedMemory {
    stream: Arc<Stream>,
    start: *mut u8,
    len: usize,
    /// Number of the latest copy.
    used: AtomicU64,
}

// SAFETY: the memory is one buffer's alone, and the driver takes it back from any thread.
unsafe impl Send for PinnedMemory {}
// SAFETY: only the buffer reads and writes it, under the rules of its own borrows.
unsafe impl Sync for PinnedMemory {}

impl BlockCopy {
    /// One block.
    pub fn whole(from: usize, to: usize, bytes: usize) -> Self {
        Self {
            from,
            from_pitch: bytes,
            to,
            to_pitch: bytes,
            bytes,
            count: 1,
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes == 0 || self.count == 0
    }

    /// Whether no block to read shares a byte with one to write.
    fn is_disjoint(&self) -> bool {
        let extent = |pitch: usize| (self.count - 1) * pitch + self.bytes;
        let apart = self.from.abs_diff(self.to);
        let (first, pitch) = if self.from < self.to {
            (self.from, self.from_pitch)
        } else {
            (self.to, self.to_pitch)
        };
        if first + extent(pitch) <= self.from.max(self.to) {
            return true;
        }
        let between = apart % pitch;
        self.from_pitch == self.to_pitch && between >= self.bytes && pitch - between >= self.bytes
    }
}

impl Stream {
    /// Device memory for this stream's work. No bytes are one byte, which has an address.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn allocate(self: &Arc<Self>, len: usize) -> Result<DeviceBuffer, CudaError> {
        let memory = DeviceMemory {
            address: self.gpu().driver().allocate(len.max(1))?,
            len,
            stream: Arc::clone(self),
        };
        Ok(DeviceBuffer {
            memory: Arc::new(memory),
        })
    }

    /// Page-locked host memory for this stream's copies, zeroed.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn allocate_pinned(self: &Arc<Self>, len: usize) -> Result<PinnedBuffer, CudaError> {
        let start = self.gpu().driver().allocate_pinned(len.max(1))?;
        // SAFETY: just allocated with at least this size.
        unsafe { start.write_bytes(0, len) };
        let memory = PinnedMemory {
            start,
            len,
            used: AtomicU64::new(0),
            stream: Arc::clone(self),
        };
        Ok(PinnedBuffer {
            memory: Arc::new(memory),
        })
    }

    pub(super) fn check(&self, streams: &[&Arc<Stream>]) {
        for stream in streams {
            assert!(
                std::ptr::eq(self, Arc::as_ptr(stream)),
                "a buffer is used on the stream it was made for"
            );
        }
    }
}

impl DeviceBuffer {
    /// The stream whose work uses it.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.memory.stream
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.memory.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.memory.len == 0
    }

    /// The first `len` bytes, to read.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn bytes(&self, len: usize) -> DeviceBytes<'_> {
        self.bytes_at(0, len)
    }

    /// `len` bytes from `start` on, to read.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn bytes_at(&self, start: usize, len: usize) -> DeviceBytes<'_> {
        let address = self.span(start, len);
        // SAFETY: allocated until `drop`, which the borrow keeps away.
        unsafe { DeviceBytes::from_owner(self, address, len, self.ordinal()) }
    }

    /// The first `len` bytes, to write.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn bytes_mut(&mut self, len: usize) -> DeviceBytesMut<'_> {
        self.bytes_mut_at(0, len)
    }

    /// `len` bytes from `start` on, to write.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn bytes_mut_at(&mut self, start: usize, len: usize) -> DeviceBytesMut<'_> {
        let (address, ordinal) = (self.span(start, len), self.ordinal());
        // SAFETY: allocated until `drop`, which the borrow keeps away.
        unsafe { DeviceBytesMut::from_owner(self, address, len, ordinal) }
    }

    /// `count` spans of `len` bytes, `pitch` apart, to write.
    ///
    /// # Panics
    /// When there are fewer bytes, or the spans overlap.
    pub fn blocks_mut(
        &mut self,
        pitch: usize,
        len: usize,
        count: usize,
    ) -> impl Iterator<Item = DeviceBytesMut<'_>> {
        assert!(len <= pitch, "spans of {len} bytes, {pitch} apart");
        let extent = count.saturating_sub(1) * pitch + len;
        let (address, ordinal) = (self.span(0, extent), self.ordinal());
        (0..count).map(move |block| {
            let start = address + (block * pitch) as u64;
            // SAFETY: allocated until `drop`, which the iterator's borrow keeps away, and no two spans overlap.
            unsafe { DeviceBytesMut::from_owner::<[u8]>(&mut [], start, len, ordinal) }
        })
    }

    /// Copies blocks of `from` here, in the stream's order. Returns before it is done.
    ///
    /// # Errors
    /// [`CudaError`].
    ///
    /// # Panics
    /// When a block is outside its buffer, or the buffers belong to different streams.
    pub fn copy_from(&mut self, from: &Self, copy: &BlockCopy) -> Result<(), CudaError> {
        let stream = &self.memory.stream;
        stream.check(&[&from.memory.stream]);
        check_blocks(copy.from, copy.from_pitch, copy, from.len());
        self.copy(&from.memory, copy)
    }

    /// Copies blocks of this buffer to others of it, in the stream's order. Returns before it is done.
    ///
    /// # Errors
    /// [`CudaError`].
    ///
    /// # Panics
    /// When a block is outside the buffer, or one to read overlaps with one to write.
    pub fn copy_within(&mut self, copy: &BlockCopy) -> Result<(), CudaError> {
        if copy.is_empty() {
            return Ok(());
        }
        check_blocks(copy.from, copy.from_pitch, copy, self.len());
        assert!(copy.is_disjoint(), "{copy:?} overlaps with itself");
        self.copy(&self.memory, copy)
    }

    /// Zeroes `count` blocks of `bytes` each, `pitch` apart, from `start` on, in the stream's order.
    ///
    /// # Errors
    /// [`CudaError`].
    ///
    /// # Panics
    /// When a block is outside the buffer.
    pub fn zero(
        &mut self,
        start: usize,
        pitch: usize,
        bytes: usize,
        count: usize,
    ) -> Result<(), CudaError> {
        if bytes == 0 || count == 0 {
            return Ok(());
        }
        let extent = BlockCopy {
            from: start,
            from_pitch: pitch,
            to: start,
            to_pitch: pitch,
            bytes,
            count,
        };
        check_blocks(start, pitch, &extent, self.len());
        let stream = &self.memory.stream;
        stream.keep(&self.memory);
        let blocks = self.memory.blocks(start, pitch);
        // SAFETY: the blocks are inside this buffer, which waits for its stream before it goes.
        unsafe {
            stream
                .gpu()
                .driver()
                .zero(stream.raw(), blocks, bytes, count)
        }
    }

    fn copy(&self, from: &Arc<DeviceMemory>, copy: &BlockCopy) -> Result<(), CudaError> {
        check_blocks(copy.to, copy.to_pitch, copy, self.len());
        if copy.is_empty() {
            return Ok(());
        }
        let stream = &self.memory.stream;
        stream.keep(&self.memory);
        stream.keep(from);
        let to = self.memory.blocks(copy.to, copy.to_pitch);
        let from = from.blocks(copy.from, copy.from_pitch);
        // SAFETY: the blocks are inside buffers of this stream, which wait for it before they go, and do not overlap.
        unsafe {
            stream
                .gpu()
                .driver()
                .copy(stream.raw(), to, from, copy.bytes, copy.count)
        }
    }

    /// The address of a span that someone is about to use.
    pub(super) fn span(&self, start: usize, len: usize) -> Address {
        let end = start.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.len()),
            "the buffer holds {} bytes, not {start} and {len} more",
            self.len()
        );
        self.memory.stream.keep(&self.memory);
        self.memory.at(start)
    }

    /// # Panics
    /// When the buffer belongs to another stream.
    pub(super) fn check_stream(&self, stream: &Stream) {
        stream.check(&[&self.memory.stream]);
    }

    fn ordinal(&self) -> u32 {
        self.memory.stream.gpu().ordinal()
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        // A recording cannot wait; it takes the memory along instead.
        self.memory.stream.keep(&self.memory);
    }
}

impl DeviceMemory {
    fn at(&self, offset: usize) -> Address {
        self.address + offset as u64
    }

    fn blocks(&self, start: usize, pitch: usize) -> Blocks {
        Blocks {
            address: self.at(start),
            pitch,
        }
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        self.stream.settle();
        // SAFETY: ours, and its stream has done all its work.
        unsafe { self.stream.gpu().driver().free(self.address) };
    }
}

impl PinnedBuffer {
    /// The stream whose copies use it.
    pub(super) fn stream(&self) -> &Arc<Stream> {
        &self.memory.stream
    }

    /// The first `len` bytes for the copy of this number, which reading them then waits for.
    ///
    /// # Panics
    /// When there are fewer.
    pub(super) fn lend(&self, len: usize, number: u64) -> *mut u8 {
        let room = self.memory.len;
        assert!(len <= room, "the buffer holds {room} bytes, not {len}");
        self.memory.used.store(number, Ordering::Release);
        self.memory.start
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.memory.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.memory.len == 0
    }

    /// The bytes; waits for the stream where a copy of them may be under way.
    ///
    /// # Errors
    /// [`CudaError`] of this or of earlier work.
    pub fn bytes(&self) -> Result<&[u8], CudaError> {
        self.memory.wait()?;
        // SAFETY: allocated with this size, initialised at the start, and no copy is under way.
        Ok(unsafe { slice::from_raw_parts(self.memory.start, self.memory.len) })
    }

    /// The bytes, to write; waits for the stream where a copy of them may be under way.
    ///
    /// # Errors
    /// [`CudaError`] of this or of earlier work.
    pub fn bytes_mut(&mut self) -> Result<&mut [u8], CudaError> {
        self.memory.wait()?;
        // SAFETY: as in `bytes`, and borrowed exclusively.
        Ok(unsafe { slice::from_raw_parts_mut(self.memory.start, self.memory.len) })
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        self.memory.stream.keep(&self.memory);
    }
}

impl PinnedMemory {
    fn wait(&self) -> Result<(), CudaError> {
        self.stream
            .wait_for_host_copy(self.used.load(Ordering::Acquire))
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        if let Err(error) = self.wait() {
            tracing::warn!(%error, "the stream's last work failed");
        }
        let driver = self.stream.gpu().driver();
        // SAFETY: ours, and no copy of it is under way.
        unsafe { driver.free_pinned(self.start, self.len.max(1)) };
    }
}

fn check_blocks(start: usize, pitch: usize, copy: &BlockCopy, len: usize) {
    if copy.is_empty() {
        return;
    }
    let end = (copy.count - 1)
        .checked_mul(pitch)
        .and_then(|last| last.checked_add(start))
        .and_then(|last| last.checked_add(copy.bytes));
    assert!(
        end.is_some_and(|end| end <= len) && (copy.count == 1 || pitch >= copy.bytes),
        "{copy:?} does not fit a buffer of {len} bytes"
    );
}
