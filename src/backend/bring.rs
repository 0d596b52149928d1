//! Sessions for callers whose tensors are elsewhere than the graph wants them: copies, counted, in the lane's order.

use super::{
    Bindings, CompiledGraph, CopyCounter, Lane, LoadError, OutputSlot, Recycled, RunError, Session,
};
use crate::cuda::{CudaError, DeviceBuffer, PinnedBuffer, Stream};
use crate::ids::BackendId;
use crate::tensor::{Bytes, BytesMut, Placement, Signature, Tensor, TensorView, TensorViewMut};
use std::sync::Arc;

/// Opens a session that takes tensors at `placement`, wherever the graph works.
///
/// On the host, `lane` may be without a stream; on a device, it is the one whose stream the tensors belong to.
///
/// # Errors
/// [`LoadError`].
pub fn open_at(
    placement: Placement,
    compiled: &Arc<dyn CompiledGraph>,
    lane: &Lane,
) -> Result<Box<dyn Session>, LoadError> {
    let graph = Arc::clone(compiled);
    if let Some(opened) = Arc::clone(&graph).open_links(placement, lane) {
        return opened;
    }
    match (placement, compiled.gpu()) {
        (Placement::Host, None) | (Placement::Device(_), Some(_)) => graph.open(lane),
        (Placement::Host, Some(gpu)) => {
            let lane = lane.joined_to(gpu)?;
            let stream = lane.stream().expect("just joined to a device");
            let copies = Arc::clone(lane.copies());
            let stream = Arc::clone(stream);
            Ok(Box::new(Staged::new(graph.open(&lane)?, stream, copies)?))
        }
        (Placement::Device(_), None) => {
            let stream = lane
                .stream()
                .expect("tensors on a device have a lane there");
            let copies = Arc::clone(lane.copies());
            let stream = Arc::clone(stream);
            Ok(Box::new(Landed::new(graph.open(lane)?, stream, copies)))
        }
    }
}

/// A graph on a device, for tensors on the host.
#[derive(Debug)]
struct Staged {
    inner: Box<dyn Session>,
    stream: Arc<Stream>,
    copies: Arc<CopyCounter>,
    inputs: Vec<Staging>,
    outputs: Vec<Staging>,
    recycled: Recycled,
}

/// One tensor's memory on both sides.
#[derive(Debug)]
struct Staging {
    pinned: PinnedBuffer,
    device: DeviceBuffer,
}

impl Staged {
    fn new(
        inner: Box<dyn Session>,
        stream: Arc<Stream>,
        copies: Arc<CopyCounter>,
    ) -> Result<Self, CudaError> {
        let room = |count: usize| -> Result<Vec<Staging>, CudaError> {
            (0..count).map(|_| Staging::new(&stream, 0)).collect()
        };
        Ok(Self {
            inputs: room(inner.signature().inputs.len())?,
            outputs: room(inner.signature().outputs.len())?,
            recycled: Recycled::default(),
            inner,
            stream,
            copies,
        })
    }
}

impl Staging {
    fn new(stream: &Arc<Stream>, len: usize) -> Result<Self, CudaError> {
        Ok(Self {
            pinned: stream.allocate_pinned(len)?,
            device: stream.allocate(len)?,
        })
    }

    /// Makes room for `len` bytes; what was there is lost where it has to grow.
    fn reserve(&mut self, stream: &Arc<Stream>, len: usize) -> Result<(), CudaError> {
        if self.device.len() < len {
            *self = Self::new(stream, len)?;
        }
        Ok(())
    }
}

impl Session for Staged {
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn runs_on(&self) -> Option<BackendId> {
        self.inner.runs_on()
    }

    fn give_up(&mut self, reason: &str) -> bool {
        self.inner.give_up(reason)
    }

    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError> {
        io.check(self.inner.signature())?;
        io.check_placement(self.inner.signature(), Placement::Host)?;
        for (view, staging) in io.inputs.iter().zip(&mut self.inputs) {
            let bytes = host_bytes(view);
            staging.reserve(&self.stream, bytes.len())?;
            staging.pinned.bytes_mut()?[..bytes.len()].copy_from_slice(bytes);
        }
        for (view, staging) in io.inputs.iter().zip(&mut self.inputs) {
            let len = host_bytes(view).len();
            let Staging { pinned, device } = staging;
            self.stream.upload(device, pinned, len)?;
            self.copies.add(len);
        }
        for (slot, staging) in io.outputs.iter().zip(&mut self.outputs) {
            if let OutputSlot::Into(view) = slot {
                staging.reserve(&self.stream, byte_len(&view.as_view()))?;
            }
        }

        let mut there = Bindings::reuse(&mut self.recycled);
        let inputs = io.inputs.iter().zip(&self.inputs);
        there.inputs.extend(inputs.map(|(view, staging)| {
            let bytes = Bytes::Device(staging.device.bytes(host_bytes(view).len()));
            TensorView::new(view.dtype(), view.shape(), bytes).expect("as many bytes")
        }));
        let outputs = io.outputs.iter().zip(&mut self.outputs);
        there
            .outputs
            .extend(outputs.map(|(slot, staging)| match slot {
                OutputSlot::Into(view) => {
                    let view = view.as_view();
                    let bytes = BytesMut::Device(staging.device.bytes_mut(byte_len(&view)));
                    let view = TensorViewMut::new(view.dtype(), view.shape(), bytes);
                    OutputSlot::Into(view.expect("as many bytes"))
                }
                OutputSlot::Alloc(_) => OutputSlot::Alloc(None),
            }));
        let outcome = self.inner.run(&mut there);
        for (slot, made) in io.outputs.iter_mut().zip(&mut there.outputs) {
            if let (OutputSlot::Alloc(made_for), OutputSlot::Alloc(made)) = (slot, made) {
                *made_for = made.take();
            }
        }
        there.recycle(&mut self.recycled);
        outcome?;

        for (slot, staging) in io.outputs.iter().zip(&mut self.outputs) {
            if let OutputSlot::Into(view) = slot {
                let len = byte_len(&view.as_view());
                let Staging { pinned, device } = staging;
                self.stream.download(pinned, device, len)?;
                self.copies.add(len);
            }
        }
        for (slot, staging) in io.outputs.iter_mut().zip(&self.outputs) {
            if let OutputSlot::Into(view) = slot
                && let BytesMut::Host(bytes) = view.bytes_mut()
            {
                let given = staging.pinned.bytes()?;
                bytes.copy_from_slice(&given[..bytes.len()]);
            }
        }
        Ok(())
    }
}

/// A graph on the host, for tensors on a device: what a lane falls back to.
#[derive(Debug)]
struct Landed {
    inner: Box<dyn Session>,
    stream: Arc<Stream>,
    copies: Arc<CopyCounter>,
}

impl Landed {
    fn new(inner: Box<dyn Session>, stream: Arc<Stream>, copies: Arc<CopyCounter>) -> Self {
        Self {
            inner,
            stream,
            copies,
        }
    }

    fn down(&self, view: &TensorView<'_>) -> Result<Tensor, CudaError> {
        let mut tensor = Tensor::zeros(view.dtype(), view.shape());
        match view.bytes() {
            Bytes::Host(bytes) => tensor.bytes_mut().copy_from_slice(bytes),
            Bytes::Device(span) => {
                self.stream.read(span, tensor.bytes_mut())?;
                self.copies.add(tensor.bytes().len());
            }
        }
        Ok(tensor)
    }

    fn up(&self, tensor: &Tensor, to: &mut TensorViewMut<'_>) -> Result<(), CudaError> {
        match to.bytes_mut() {
            BytesMut::Host(bytes) => bytes.copy_from_slice(tensor.bytes()),
            BytesMut::Device(span) => {
                self.stream.write(span, tensor.bytes())?;
                self.copies.add(tensor.bytes().len());
            }
        }
        Ok(())
    }
}

impl Session for Landed {
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn runs_on(&self) -> Option<BackendId> {
        self.inner.runs_on()
    }

    fn give_up(&mut self, reason: &str) -> bool {
        self.inner.give_up(reason)
    }

    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError> {
        io.check(self.inner.signature())?;
        let inputs = io.inputs.iter().map(|view| self.down(view));
        let inputs: Vec<Tensor> = inputs.collect::<Result<_, _>>()?;
        let outputs = io.outputs.iter().map(|slot| match slot {
            OutputSlot::Into(view) => {
                let view = view.as_view();
                Some(Tensor::zeros(view.dtype(), view.shape()))
            }
            OutputSlot::Alloc(_) => None,
        });
        let mut outputs: Vec<Option<Tensor>> = outputs.collect();
        let mut here = Bindings {
            inputs: inputs.iter().map(Tensor::view).collect(),
            outputs: outputs
                .iter_mut()
                .map(|known| match known {
                    Some(tensor) => OutputSlot::Into(tensor.view_mut()),
                    None => OutputSlot::Alloc(None),
                })
                .collect(),
        };
        self.inner.run(&mut here)?;
        for (slot, made) in io.outputs.iter_mut().zip(here.outputs) {
            if let (OutputSlot::Alloc(made_for), OutputSlot::Alloc(made)) = (slot, made) {
                *made_for = made;
            }
        }
        for (slot, known) in io.outputs.iter_mut().zip(&outputs) {
            if let (OutputSlot::Into(view), Some(tensor)) = (slot, known) {
                self.up(tensor, view)?;
            }
        }
        Ok(())
    }
}

fn host_bytes<'a>(view: &TensorView<'a>) -> &'a [u8] {
    match view.bytes() {
        Bytes::Host(bytes) => bytes,
        Bytes::Device(_) => unreachable!("the placement was checked"),
    }
}

fn byte_len(view: &TensorView<'_>) -> usize {
    view.shape().elements() * view.dtype().size()
}
