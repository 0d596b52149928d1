//! Memory that a stage keeps from call to call, where its graph works.

mod compute;
mod tensor;

pub use compute::Tokens;
pub use tensor::LaneTensor;

use super::{CompiledGraph, CopyCounter, Lane, RunError};
use crate::cuda::{BlockCopy, DeviceBuffer, PinnedBuffer, Stream};
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
    buffer: DeviceBuffer,
    staging: Option<PinnedBuffer>,
}

impl Lane {
    /// Where a stage keeps the tensors of this graph: on the lane's stream where the graph works on that device.
    pub fn place(&self, graph: &dyn CompiledGraph) -> Place {
        let stream = self.stream().filter(|stream| {
            graph
                .gpu()
                .is_some_and(|gpu| gpu.ordinal() == stream.gpu().ordinal())
        });
        Place {
            stream: stream.cloned(),
            copies: Arc::clone(self.copies()),
        }
    }
}

impl Place {
    /// The host.
    pub fn host() -> Self {
        Self {
            stream: None,
            copies: Arc::default(),
        }
    }

    /// Host or device.
    pub fn placement(&self) -> Placement {
        match &self.stream {
            None => Placement::Host,
            Some(stream) => Placement::Device(stream.gpu().ordinal()),
        }
    }

    /// Memory of no bytes, here.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn memory(&self) -> Result<LaneMemory, RunError> {
        let store = match &self.stream {
            None => Store::Host(Tensor::zeros(DType::U8, Shape::new(&[0]))),
            Some(stream) => Store::Device(Resident {
                stream: Arc::clone(stream),
                buffer: stream.allocate(0)?,
                staging: None,
            }),
        };
        Ok(LaneMemory {
            place: self.clone(),
            len: 0,
            store,
        })
    }
}

impl LaneMemory {
    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the bytes are.
    pub fn placement(&self) -> Placement {
        self.place.placement()
    }

    /// Makes it `len` bytes long. What it held is lost where it has to grow.
    ///
    /// # Errors
    /// [`RunError`] where there is no memory.
    pub fn resize(&mut self, len: usize) -> Result<(), RunError> {
        match &mut self.store {
            Store::Host(tensor) => tensor.reshape(Shape::new(&[len])),
            Store::Device(resident) if resident.buffer.len() < len => {
                let stream = &resident.stream;
                resident.staging = None;
                resident.buffer = stream.allocate(0)?;
                resident.buffer = stream.allocate(len)?;
            }
            Store::Device(_) => {}
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
            Store::Device(resident) => Bytes::Device(resident.buffer.bytes_at(at, len)),
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
            Store::Device(resident) => BytesMut::Device(resident.buffer.bytes_mut_at(at, len)),
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
            Store::Device(resident) => (None, Some(resident.buffer.blocks_mut(pitch, len, count))),
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
            Store::Device(resident) => Ok(&mut resident.staging()?.bytes_mut()?[..len]),
        }
    }

    /// Brings the staged bytes to their place. Returns before they are there.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn send(&mut self) -> Result<(), RunError> {
        if let Store::Device(resident) = &mut self.store {
            resident.staging()?;
            let Resident {
                stream,
                buffer,
                staging,
            } = resident;
            let staging = staging.as_ref().expect("made above");
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
            resident.staging()?;
            let Resident {
                stream,
                buffer,
                staging,
            } = resident;
            let staging = staging.as_mut().expect("made above");
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
            Store::Device(resident) => resident.buffer.zero(start, pitch, bytes, count)?,
        }
        Ok(())
    }

    /// Copies blocks of `from` here. From another place they come by way of the host, counted, and waited for.
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
                to.buffer.copy_from(&from.buffer, copy)?;
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
            Store::Device(resident) => resident.buffer.copy_within(copy)?,
        }
        Ok(())
    }
}

impl Resident {
    fn staging(&mut self) -> Result<&mut PinnedBuffer, RunError> {
        let staging = match self.staging.take() {
            Some(staging) => staging,
            None => self.stream.allocate_pinned(self.buffer.len())?,
        };
        Ok(self.staging.insert(staging))
    }
}

fn copy_blocks(to: &mut [u8], from: &[u8], copy: &BlockCopy) {
    for block in 0..copy.count {
        let source = &from[copy.from + block * copy.from_pitch..][..copy.bytes];
        to[copy.to + block * copy.to_pitch..][..copy.bytes].copy_from_slice(source);
    }
}
