//! One lane's context on an engine.

use super::graph::TrtGraph;
use crate::backend::{Bindings, BindingsError, OutputSlot, RunError, Session};
use crate::cuda::{CudaErrorKind, DeviceBuffer, Stream};
use crate::ids::BackendId;
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
    /// Shapes of the outputs that follow from them; `None` where they depend on the data.
    out_shapes: Vec<Option<Shape>>,
    /// Of the engine's ports, in their order.
    addresses: Vec<u64>,
}

impl TrtSession {
    pub(super) fn new(graph: Arc<TrtGraph>, context: TrtContext, stream: Arc<Stream>) -> Self {
        Self {
            profile: None,
            shapes: vec![None; graph.signature.inputs.len()],
            out_shapes: vec![None; graph.signature.outputs.len()],
            addresses: vec![0; graph.ports.len()],
            context,
            stream,
            graph,
        }
    }

    /// Takes the profile and the shapes of this run, where they are not those of the last one.
    fn prepare(&mut self, inputs: &[TensorView<'_>]) -> Result<(), RunError> {
        let mut known = self.shapes.iter().zip(inputs);
        if self.profile.is_some() && known.all(|(known, view)| *known == Some(view.shape())) {
            return Ok(());
        }
        // The library looks at each input alone; that they contradict each other it only finds when it runs.
        let shapes: Vec<Shape> = inputs.iter().map(TensorView::shape).collect();
        let sizes = self.graph.signature.sizes_from_inputs(&shapes);
        sizes.map_err(BindingsError::from)?;
        let profile = self.best_profile(inputs)?;
        if self.profile != Some(profile) {
            self.profile = None;
            self.shapes.fill(None);
            self.context
                .set_profile(profile)
                .map_err(|error| self.failed(error))?;
            self.profile = Some(profile);
        }
        for (at, shape) in shapes.into_iter().enumerate() {
            if self.shapes[at] == Some(shape) {
                continue;
            }
            self.shapes[at] = None;
            self.context
                .set_input_shape(self.graph.ports[at], shape)
                .map_err(|error| self.failed(error))?;
            self.shapes[at] = Some(shape);
        }
        let ports = &self.graph.ports[inputs.len()..];
        for (shape, &port) in self.out_shapes.iter_mut().zip(ports) {
            match self.context.shape(port) {
                Ok(told) => *shape = told,
                Err(error) => {
                    // Else the next run would be held to the sizes of the one before.
                    self.shapes.fill(None);
                    return Err(failed(self.graph.backend, &self.stream, error));
                }
            }
        }
        Ok(())
    }

    /// The library writes as much as the inputs ask for, whatever room there is.
    fn check_outputs(&self, outputs: &[OutputSlot<'_>]) -> Result<(), BindingsError> {
        let ports = self.graph.signature.outputs.iter().zip(&self.out_shapes);
        for ((port, told), slot) in ports.zip(outputs) {
            let OutputSlot::Into(view) = slot else {
                continue;
            };
            let found = view.as_view().shape();
            if *told != Some(found) {
                let told = told.map_or("sized by its data".to_owned(), |told| told.to_string());
                return Err(BindingsError::Shape {
                    port: port.name.clone(),
                    expected: format!("{port}, here {told}"),
                    found,
                });
            }
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

    /// Device memory for the outputs that the session has to make; nothing is allocated where there are none.
    fn make_outputs(&self, outputs: &[OutputSlot<'_>]) -> Result<Vec<Made>, RunError> {
        let ports = self.graph.signature.outputs.iter().zip(&self.out_shapes);
        let ports = ports.zip(outputs).enumerate();
        ports
            .filter(|(_, (_, slot))| matches!(slot, OutputSlot::Alloc(_)))
            .map(|(at, ((port, shape), _))| {
                let shape = shape.ok_or_else(|| RunError::NoOutput {
                    output: port.name.clone(),
                })?;
                let buffer = self.stream.allocate(shape.elements() * port.dtype.size())?;
                Ok(Made { at, shape, buffer })
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

    fn failed(&self, error: EngineError) -> RunError {
        failed(self.graph.backend, &self.stream, error)
    }
}

/// An output that the session makes.
struct Made {
    /// Which output.
    at: usize,
    shape: Shape,
    buffer: DeviceBuffer,
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
        self.prepare(&io.inputs)?;
        self.check_outputs(&io.outputs)?;
        let mut made = self.make_outputs(&io.outputs)?;
        let (inputs, outputs) = self.graph.ports.split_at(io.inputs.len());
        for (&port, view) in inputs.iter().zip(&io.inputs) {
            self.addresses[port] = address_of(view);
        }
        for (&port, slot) in outputs.iter().zip(&mut io.outputs) {
            if let OutputSlot::Into(view) = slot {
                self.addresses[port] = address_of_mut(view);
            }
        }
        for Made { at, buffer, .. } in &mut made {
            let len = buffer.len();
            self.addresses[outputs[*at]] = buffer.bytes_mut(len).address();
        }
        self.enqueue()?;
        for Made { at, shape, buffer } in made {
            let mut tensor = Tensor::zeros(self.graph.signature.outputs[at].dtype, shape);
            self.stream
                .read(buffer.bytes(buffer.len()), tensor.bytes_mut())?;
            io.outputs[at] = OutputSlot::Alloc(Some(tensor));
        }
        Ok(())
    }
}

/// What a failed call means: the library does not tell a lost device from anything else, the driver does.
fn failed(backend: BackendId, stream: &Stream, error: EngineError) -> RunError {
    match error {
        EngineError::OutOfMemory => RunError::OutOfMemory { backend },
        EngineError::Cuda(error) => error.into(),
        other => match stream.synchronize() {
            Err(lost) if lost.kind == CudaErrorKind::DeviceLost => lost.into(),
            _ => RunError::Failed {
                backend,
                reason: other.to_string(),
            },
        },
    }
}

/// How far sizes are from those the profile was tuned for; `None` where it does not take them.
fn distance(range: &EngineRange, shape: Shape) -> Option<f64> {
    let log = |size: &usize| {
        f64::from(u32::try_from(*size).unwrap_or(u32::MAX))
            .max(1.0)
            .ln()
    };
    let sizes = shape.dims().iter().zip(range.opt.dims());
    range
        .contains(shape)
        .then(|| sizes.map(|(size, opt)| (log(size) - log(opt)).abs()).sum())
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
