//! Memory that a stage keeps from call to call, where its graph works.

mod compute;
mod tensor;

pub use crate::cuda::kernels::AppendShape;
pub use crate::cuda::{BlockCopy, Replay};
pub use compute::Tokens;
pub use tensor::LaneTensor;

use super::{CompiledGraph, CopyCounter, Lane, RunError};
use crate::cuda::{CudaError, DeviceBuffer, Gpu, PinnedBuffer, Stream};
use crate::tensor::{Bytes, BytesMut, DType, Placement, Shape, Tensor, TensorView, TensorViewMut};
use std::sync::Arc;

/// Where a stage keeps its tensors: on the host, or on a lane's stream.
#[derive(Debug, Clone)]
pub struct Place {
    stream: Option<Arc<Stream>>,
    copies: Arc<CopyCounter>,
}

/// Bytes in one place. Work on them goes in the lane's order; nothing waits but [`Self::fetched`].
///
/// On a device, what the host gives and takes goes through page-locked memory of the same size, made when it is first
/// needed, and is counted. On the host, the two are one.
#[derive(Debug)]
pub struct LaneMemory {
    place: Place,
    len: usize,
    /// How often it came to lie elsewhere.
    moves: u64,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Host(Tensor),
    Device(Resident),
}

#[derive(Debug)]
struct Resident {
    stream: Arc<Stream>,
    /// `None` before it is first given a size.
    buffer: Option<DeviceBuffer>,
    /// As large as `buffer`.
    staging: Option<PinnedBuffer>,
}

impl Lane {
    /// Where the lane works.
    pub fn place(&self) -> Place {
        Place {
            stream: self.stream().cloned(),
            copies: Arc::clone(self.copies()),
        }
    }

    /// Where a stage keeps the tensors of this graph: on the lane's stream where the graph works on that device, else on
    /// the host.
    pub fn place_for(&self, graph: &dyn CompiledGraph) -> Place {
        let mut place = self.place();
        let device = graph.gpu().map(Gpu::ordinal);
        place.stream = place
            .stream
            .filter(|stream| Some(stream.gpu().ordinal()) == device);
        place
    }
}

impl Place {
    /// Host or device.
    pub fn placement(&self) -> Placement {
        match &self.stream {
            None => Placement::Host,
            Some(stream) => Placement::Device(stream.gpu().ordinal()),
        }
    }

    /// Records what `work` enqueues, without doing it. `None` on the host, and where it cannot be recorded: the same work
    /// can then be done as it is.
    pub fn record<E: std::fmt::Display>(
        &self,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Option<Replay> {
        let stream = self.stream.as_ref()?;
        let mut outcome = Ok(());
        let recorded = stream.capture(|| {
            outcome = work();
            Ok::<(), CudaError>(())
        });
        if let Err(error) = outcome {
            tracing::debug!(%error, "work is not recorded");
            return None;
        }
        recorded
            .inspect_err(|error| tracing::debug!(%error, "work is not recorded"))
            .ok()
    }

    /// Memory of no bytes, here.
    pub fn memory(&self) -> LaneMemory {
        let store = match &self.stream {
            None => Store::Host(Tensor::zeros(DType::U8, Shape::new(&[0]))),
            Some(stream) => Store::Device(Resident {
                stream: Arc::clone(stream),
                buffer: None,
                staging: None,
            }),
        };
        LaneMemory {
            place: self.clone(),
            len: 0,
            moves: 0,
            store,
        }
    }
}

impl LaneMemory {
    /// Where tensors in it begin, so that TensorRT takes them.
    pub const ALIGNMENT: usize = 256;

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How often it came to lie elsewhere on its device, which what was recorded does not know of.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// Where the bytes are.
    pub fn placement(&self) -> Placement {
        self.place.placement()
    }

    /// Makes it `len` bytes long. What it held is lost where it has to grow, and then the lane's work is waited for.
    ///
    /// # Errors
    /// [`RunError`] where there is no memory.
    pub fn resize(&mut self, len: usize) -> Result<(), RunError> {
        match &mut self.store {
            Store::Host(tensor) => tensor.reshape(Shape::new(&[len])),
            Store::Device(resident) => self.moves += u64::from(resident.reserve(len)?),
        }
        self.len = len;
        Ok(())
    }

    /// A tensor in it, `at` bytes from the start.
    ///
    /// # Panics
    /// If it does not lie inside.
    pub fn view(&self, at: usize, dtype: DType, shape: Shape) -> TensorView<'_> {
        let len = shape.elements() * dtype.size();
        let bytes = match &self.store {
            Store::Host(tensor) => Bytes::Host(&tensor.bytes()[at..at + len]),
            Store::Device(resident) => Bytes::Device(resident.buffer().bytes_at(at, len)),
        };
        TensorView::new(dtype, shape, bytes).expect("as many bytes")
    }

    /// A tensor in it to write, `at` bytes from the start.
    ///
    /// # Panics
    /// If it does not lie inside.
    pub fn view_mut(&mut self, at: usize, dtype: DType, shape: Shape) -> TensorViewMut<'_> {
        let len = shape.elements() * dtype.size();
        let bytes = match &mut self.store {
            Store::Host(tensor) => BytesMut::Host(&mut tensor.bytes_mut()[at..at + len]),
            Store::Device(resident) => {
                BytesMut::Device(resident.buffer_mut().bytes_mut_at(at, len))
            }
        };
        TensorViewMut::new(dtype, shape, bytes).expect("as many bytes")
    }

    /// `count` tensors in it to write, `pitch` bytes from one to the next.
    ///
    /// # Panics
    /// If they do not lie inside, or overlap.
    pub fn views_mut(
        &mut self,
        pitch: usize,
        dtype: DType,
        shape: Shape,
        count: usize,
    ) -> impl Iterator<Item = TensorViewMut<'_>> {
        let len = shape.elements() * dtype.size();
        assert!(len <= pitch, "tensors of {len} bytes, {pitch} apart");
        let (host, device) = match &mut self.store {
            Store::Host(tensor) => (Some(tensor.bytes_mut().chunks_mut(pitch.max(1))), None),
            Store::Device(resident) => {
                let blocks = resident.buffer_mut().blocks_mut(pitch, len, count);
                (None, Some(blocks))
            }
        };
        let host = host.into_iter().flatten().take(count);
        let host = host.map(move |bytes| BytesMut::Host(&mut bytes[..len]));
        let device = device.into_iter().flatten().map(BytesMut::Device);
        host.chain(device)
            .map(move |bytes| TensorViewMut::new(dtype, shape, bytes).expect("as many bytes"))
    }

    /// The bytes as the host last had them, to fill; [`Self::send`] brings them to their place.
    ///
    /// Waits where bytes that were sent are still on their way.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn stage(&mut self) -> Result<&mut [u8], RunError> {
        let len = self.len;
        match &mut self.store {
            Store::Host(tensor) => Ok(tensor.bytes_mut()),
            Store::Device(resident) => Ok(&mut resident.both()?.2.bytes_mut()?[..len]),
        }
    }

    /// Brings the staged bytes to their place. Returns before they are there.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn send(&mut self) -> Result<(), RunError> {
        if let Store::Device(resident) = &mut self.store {
            let (stream, buffer, staging) = resident.both()?;
            stream.upload(buffer, staging, self.len)?;
            self.place.copies.add(self.len);
        }
        Ok(())
    }

    /// Has the bytes brought to the host, behind the work enqueued so far. Returns before they are there.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn fetch(&mut self) -> Result<(), RunError> {
        if let Store::Device(resident) = &mut self.store {
            let (stream, buffer, staging) = resident.both()?;
            stream.download(staging, buffer, self.len)?;
            self.place.copies.add(self.len);
        }
        Ok(())
    }

    /// The bytes that were fetched; waits for them.
    ///
    /// # Errors
    /// [`RunError`] of this or of earlier work.
    pub fn fetched(&mut self) -> Result<&mut [u8], RunError> {
        self.stage()
    }

    /// Zeroes `count` blocks of `bytes` each, `pitch` apart, from `start` on.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Panics
    /// If a block does not lie inside.
    pub fn zero(
        &mut self,
        start: usize,
        pitch: usize,
        bytes: usize,
        count: usize,
    ) -> Result<(), RunError> {
        match &mut self.store {
            Store::Host(tensor) => {
                let all = tensor.bytes_mut();
                for block in 0..count {
                    all[start + block * pitch..][..bytes].fill(0);
                }
            }
            Store::Device(resident) => {
                resident.buffer_mut().zero(start, pitch, bytes, count)?;
            }
        }
        Ok(())
    }

    /// Copies blocks of `from` here. From another place they come by way of the host, counted and waited for, and what
    /// no block covers is then what the host last had.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Panics
    /// If a block does not lie inside its memory.
    pub fn copy_from(&mut self, from: &mut Self, copy: &BlockCopy) -> Result<(), RunError> {
        match (&mut self.store, &mut from.store) {
            (Store::Host(to), Store::Host(from)) => {
                copy_blocks(to.bytes_mut(), from.bytes(), copy);
            }
            (Store::Device(to), Store::Device(from)) if Arc::ptr_eq(&to.stream, &from.stream) => {
                to.buffer_mut().copy_from(from.buffer(), copy)?;
            }
            _ => {
                from.fetch()?;
                let given = from.fetched()?;
                copy_blocks(self.stage()?, given, copy);
                self.send()?;
            }
        }
        Ok(())
    }

    /// Copies blocks to other blocks of the same memory.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Panics
    /// If a block does not lie inside, or one to read overlaps with one to write.
    pub fn copy_within(&mut self, copy: &BlockCopy) -> Result<(), RunError> {
        match &mut self.store {
            Store::Host(tensor) => {
                for block in 0..copy.count {
                    let from = copy.from + block * copy.from_pitch;
                    let to = copy.to + block * copy.to_pitch;
                    tensor.bytes_mut().copy_within(from..from + copy.bytes, to);
                }
            }
            Store::Device(resident) => resident.buffer_mut().copy_within(copy)?,
        }
        Ok(())
    }
}

impl Resident {
    /// Makes room; whether it came to lie elsewhere.
    fn reserve(&mut self, len: usize) -> Result<bool, RunError> {
        let grows = self.buffer.as_ref().map_or(0, DeviceBuffer::len) < len;
        if grows {
            // What was there goes first, so that there is room for what comes.
            (self.buffer, self.staging) = (None, None);
            self.buffer = Some(self.stream.allocate(len)?);
        }
        Ok(grows)
    }

    fn buffer(&self) -> &DeviceBuffer {
        self.buffer.as_ref().expect("sized before it is used")
    }

    fn buffer_mut(&mut self) -> &mut DeviceBuffer {
        self.buffer.as_mut().expect("sized before it is used")
    }

    /// The memory on either side.
    fn both(&mut self) -> Result<(&Stream, &mut DeviceBuffer, &mut PinnedBuffer), RunError> {
        let buffer = self.buffer.as_mut().expect("sized before it is used");
        let staging = match self.staging.take() {
            Some(staging) => staging,
            None => self.stream.allocate_pinned(buffer.len())?,
        };
        Ok((&self.stream, buffer, self.staging.insert(staging)))
    }
}

fn copy_blocks(to: &mut [u8], from: &[u8], copy: &BlockCopy) {
    for block in 0..copy.count {
        let source = &from[copy.from + block * copy.from_pitch..][..copy.bytes];
        to[copy.to + block * copy.to_pitch..][..copy.bytes].copy_from_slice(source);
    }
}
