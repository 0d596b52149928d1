//! One lane's context on an engine.

use super::graph::TrtGraph;
use crate::backend::{Bindings, OutputSlot, RunError, Session};
use crate::cuda::{CudaErrorKind, DeviceBuffer, Stream};
use crate::tensor::{
    Bytes, BytesMut, Placement, Shape, Signature, Tensor, TensorView, TensorViewMut,
};
use crate::trt::{EngineError, EngineRange, TrtContext};
use std::sync::Arc;

/// A context, and what it was told last.
#[derive(Debug)]
pub(super) struct TrtSession {
    context: TrtContext,
    stream: Arc<Stream>,
    graph: Arc<TrtGraph>,
    profile: Option<usize>,
    /// Shapes of the inputs; `None` where the context was told none since it took its profile.
    shapes: Vec<Option<Shape>>,
    /// Of the engine's ports, in their order.
    addresses: Vec<u64>,
}

impl TrtSession {
    pub(super) fn new(graph: Arc<TrtGraph>, context: TrtContext, stream: Arc<Stream>) -> Self {
        Self {
            profile: None,
            shapes: vec![None; graph.signature.inputs.len()],
            addresses: vec![0; graph.ports.len()],
            context,
            stream,
            graph,
        }
    }

    /// Takes the profile and the shapes of this run.
    fn prepare(&mut self, io: &Bindings<'_>) -> Result<(), RunError> {
        let known = self.shapes.iter().zip(&io.inputs);
        if self.profile.is_some()
            && known
                .clone()
                .all(|(known, view)| *known == Some(view.shape()))
        {
            return Ok(());
        }
        let profile = self.best_profile(&io.inputs)?;
        if self.profile != Some(profile) {
            self.profile = None;
            self.shapes.fill(None);
            self.context
                .set_profile(profile)
                .map_err(|error| self.failed(error))?;
            self.profile = Some(profile);
        }
        for (at, view) in io.inputs.iter().enumerate() {
            if self.shapes[at] == Some(view.shape()) {
                continue;
            }
            self.shapes[at] = None;
            self.context
                .set_input_shape(self.graph.ports[at], view.shape())
                .map_err(|error| self.failed(error))?;
            self.shapes[at] = Some(view.shape());
        }
        Ok(())
    }

    /// The profile that takes the shapes and was tuned for sizes nearest to them.
    fn best_profile(&self, inputs: &[TensorView<'_>]) -> Result<usize, RunError> {
        let engine = &self.graph.engine;
        let mut best: Option<(usize, f64)> = None;
        for profile in 0..engine.profiles() {
            let distances = inputs.iter().zip(&self.graph.ports).map(|(view, &port)| {
                engine
                    .range(profile, port)
                    .map_or(Some(0.0), |range| distance(&range, view.shape()))
            });
            let Some(distance) = distances.sum::<Option<f64>>() else {
                continue;
            };
            if best.is_none_or(|(_, nearest)| distance < nearest) {
                best = Some((profile, distance));
            }
        }
        let shapes = || {
            let ports = self.graph.signature.inputs.iter().zip(inputs);
            let shapes: Vec<String> = ports
                .map(|(port, view)| format!("{} {}", port.name, view.shape()))
                .collect();
            shapes.join(", ")
        };
        best.map(|(profile, _)| profile)
            .ok_or_else(|| RunError::OutsideProfiles { shapes: shapes() })
    }

    /// Device memory for the outputs that the session has to make.
    fn make_outputs(
        &self,
        io: &Bindings<'_>,
    ) -> Result<Vec<Option<(Shape, DeviceBuffer)>>, RunError> {
        let outputs = self.graph.signature.outputs.iter();
        let ports = &self.graph.ports[io.inputs.len()..];
        outputs
            .zip(ports)
            .zip(&io.outputs)
            .map(|((port, &at), slot)| {
                if matches!(slot, OutputSlot::Into(_)) {
                    return Ok(None);
                }
                let shape = self.context.shape(at).map_err(|error| self.failed(error))?;
                let shape = shape.ok_or_else(|| RunError::NoOutput {
                    output: port.name.clone(),
                })?;
                let buffer = self.stream.allocate(shape.elements() * port.dtype.size())?;
                Ok(Some((shape, buffer)))
            })
            .collect()
    }

    #[expect(
        unsafe_code,
        reason = "hands addresses of checked tensors to the library"
    )]
    fn enqueue(&mut self) -> Result<(), RunError> {
        // SAFETY: `Bindings::check` and `check_placement` saw that every tensor has its port's type and shape and is on
        // this device. Memory that a lane's sessions are given belongs to the lane's stream: it waits for it before it
        // goes, and whoever writes it next does so behind this run, on the same stream.
        let outcome = unsafe { self.context.enqueue(&self.addresses) };
        outcome.map_err(|error| self.failed(error))
    }

    /// What a failed call means: the library does not tell a lost device from anything else, the driver does.
    fn failed(&self, error: EngineError) -> RunError {
        let backend = self.graph.backend;
        match error {
            EngineError::OutOfMemory => RunError::OutOfMemory { backend },
            EngineError::Cuda(error) => error.into(),
            other => match self.stream.synchronize() {
                Err(lost) if lost.kind == CudaErrorKind::DeviceLost => lost.into(),
                _ => RunError::Failed {
                    backend,
                    reason: other.to_string(),
                },
            },
        }
    }
}

impl Session for TrtSession {
    fn signature(&self) -> &Signature {
        &self.graph.signature
    }

    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError> {
        let signature = &self.graph.signature;
        let device = Placement::Device(self.stream.gpu().ordinal());
        io.check(signature)?;
        io.check_placement(signature, device)?;
        self.prepare(io)?;
        let made = if io
            .outputs
            .iter()
            .all(|slot| matches!(slot, OutputSlot::Into(_)))
        {
            Vec::new()
        } else {
            self.make_outputs(io)?
        };
        let mut made = made;
        let inputs = io.inputs.iter().map(address_of);
        let outputs = io
            .outputs
            .iter_mut()
            .enumerate()
            .map(|(at, slot)| match slot {
                OutputSlot::Into(view) => address_of_mut(view),
                OutputSlot::Alloc(_) => {
                    let (_, buffer) = made[at].as_mut().expect("made for every such slot");
                    let len = buffer.len();
                    buffer.bytes_mut(len).address()
                }
            });
        for (&port, address) in self.graph.ports.iter().zip(inputs.chain(outputs)) {
            self.addresses[port] = address;
        }
        self.enqueue()?;
        for ((port, slot), made) in self
            .graph
            .signature
            .outputs
            .iter()
            .zip(&mut io.outputs)
            .zip(&made)
        {
            if let (OutputSlot::Alloc(tensor), Some((shape, buffer))) = (slot, made) {
                let mut read = Tensor::zeros(port.dtype, *shape);
                self.stream
                    .read(buffer.bytes(buffer.len()), read.bytes_mut())?;
                *tensor = Some(read);
            }
        }
        Ok(())
    }
}

/// How far sizes are from those the profile was tuned for; `None` where it does not take them.
fn distance(range: &EngineRange, shape: Shape) -> Option<f64> {
    let EngineRange { min, opt, max } = range;
    let within = shape.rank() == opt.rank()
        && shape
            .dims()
            .iter()
            .zip(min.dims().iter().zip(max.dims()))
            .all(|(size, (min, max))| (min..=max).contains(&size));
    let log = |size: &usize| {
        f64::from(u32::try_from(*size).unwrap_or(u32::MAX))
            .max(1.0)
            .ln()
    };
    let sizes = shape.dims().iter().zip(opt.dims());
    within.then(|| sizes.map(|(size, opt)| (log(size) - log(opt)).abs()).sum())
}

fn address_of(view: &TensorView<'_>) -> u64 {
    match view.bytes() {
        Bytes::Device(span) => span.address(),
        Bytes::Host(_) => unreachable!("the placement was checked"),
    }
}

fn address_of_mut(view: &mut TensorViewMut<'_>) -> u64 {
    match view.bytes_mut() {
        BytesMut::Device(span) => span.address(),
        BytesMut::Host(_) => unreachable!("the placement was checked"),
    }
}
