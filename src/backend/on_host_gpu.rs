//! Any backend as one on a device, whose memory is the host's.

use super::{
    Artifact, Backend, Bindings, Capabilities, CompileError, CompileRequest, CompiledGraph,
    EngineReport, Footprint, Lane, LoadError, LoadOptions, OutputSlot, Progress, Refusal, RunError,
    Session, Unavailable,
};
use crate::cuda::{Gpu, HostGpu, Stream};
use crate::ids::{BackendId, Fingerprint, GraphId};
use crate::profile::CompileOptions;
use crate::tensor::{Bytes, BytesMut, DType, Placement, Shape, Signature, Tensor};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A backend whose graphs take their tensors on a device; another backend computes them, on the host.
///
/// A run is work on the lane's stream: done when it is enqueued, and recorded where the stream records.
#[derive(Debug, Clone)]
pub struct OnHostGpu {
    inner: Arc<dyn Backend>,
    host: HostGpu,
}

#[derive(Debug)]
struct DeviceGraph {
    inner: Arc<dyn CompiledGraph>,
    host: HostGpu,
    gpu: Gpu,
}

struct DeviceSession {
    inner: Arc<Mutex<Box<dyn Session>>>,
    graph: Arc<DeviceGraph>,
    stream: Arc<Stream>,
}

/// A tensor by its address.
#[derive(Debug, Clone, Copy)]
struct Bound {
    dtype: DType,
    shape: Shape,
    address: u64,
}

impl OnHostGpu {
    /// `inner`, as one on this device.
    pub fn new(inner: Arc<dyn Backend>, host: &HostGpu) -> Self {
        let host = host.clone();
        Self { inner, host }
    }
}

impl Backend for OnHostGpu {
    fn id(&self) -> BackendId {
        self.inner.id()
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        self.inner.probe()
    }

    fn refuses(&self, graph: GraphId, options: &CompileOptions) -> Option<Refusal> {
        self.inner.refuses(graph, options)
    }

    fn fingerprint(&self) -> Result<Fingerprint, Unavailable> {
        self.inner.fingerprint()
    }

    fn compile(
        &self,
        request: &CompileRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<EngineReport, CompileError> {
        self.inner.compile(request, progress)
    }

    fn load(
        &self,
        artifact: Artifact<'_>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn CompiledGraph>, LoadError> {
        Ok(Arc::new(DeviceGraph {
            inner: self.inner.load(artifact, options)?,
            gpu: self.host.gpu(),
            host: self.host.clone(),
        }))
    }
}

impl CompiledGraph for DeviceGraph {
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(&self.gpu)
    }

    fn takes(&self, inputs: &[Shape]) -> bool {
        self.inner.takes(inputs)
    }

    fn footprint(&self) -> Footprint {
        self.inner.footprint()
    }

    fn open(self: Arc<Self>, lane: &Lane) -> Result<Box<dyn Session>, LoadError> {
        let stream = lane.stream().expect("a lane on the graph's device");
        let inner = Arc::clone(&self.inner).open(&Lane::on_host(lane.index()))?;
        Ok(Box::new(DeviceSession {
            inner: Arc::new(Mutex::new(inner)),
            stream: Arc::clone(stream),
            graph: self,
        }))
    }
}

impl Session for DeviceSession {
    fn signature(&self) -> &Signature {
        self.graph.signature()
    }

    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError> {
        let signature = self.graph.signature();
        io.check(signature)?;
        io.check_placement(signature, Placement::Device(self.graph.gpu.ordinal()))?;
        let inputs: Vec<Bound> = io
            .inputs
            .iter()
            .map(|view| Bound {
                dtype: view.dtype(),
                shape: view.shape(),
                address: match view.bytes() {
                    Bytes::Device(span) => span.address(),
                    Bytes::Host(_) => unreachable!("the placement was checked"),
                },
            })
            .collect();
        let outputs: Vec<Option<Bound>> = io.outputs.iter_mut().map(place_of).collect();
        let (inner, host) = (Arc::clone(&self.inner), self.graph.host.clone());
        let outcome = Arc::new(Mutex::new(Ok(Vec::new())));
        let told = Arc::clone(&outcome);
        let work = move || {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            let made = compute(&mut **inner, &host, &inputs, &outputs);
            *told.lock().unwrap_or_else(PoisonError::into_inner) = made;
        };
        self.graph.host.submit(self.stream.raw(), Box::new(work));
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let made = std::mem::replace(&mut *outcome, Ok(Vec::new()))?;
        for (slot, made) in io.outputs.iter_mut().zip(made) {
            if let OutputSlot::Alloc(tensor) = slot {
                *tensor = made;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceSession")
            .field("graph", &self.graph)
            .finish_non_exhaustive()
    }
}

fn place_of(slot: &mut OutputSlot<'_>) -> Option<Bound> {
    let OutputSlot::Into(view) = slot else {
        return None;
    };
    let (dtype, shape) = (view.dtype(), view.shape());
    match view.bytes_mut() {
        BytesMut::Device(span) => Some(Bound {
            dtype,
            shape,
            address: span.address(),
        }),
        BytesMut::Host(_) => unreachable!("the placement was checked"),
    }
}

/// Runs the graph on copies; gives what the session made itself.
fn compute(
    session: &mut dyn Session,
    host: &HostGpu,
    inputs: &[Bound],
    outputs: &[Option<Bound>],
) -> Result<Vec<Option<Tensor>>, RunError> {
    let inputs: Vec<Tensor> = inputs
        .iter()
        .map(|place| {
            let mut tensor = Tensor::zeros(place.dtype, place.shape);
            host.peek(place.address, tensor.bytes_mut());
            tensor
        })
        .collect();
    let mut tensors: Vec<Option<Tensor>> = outputs
        .iter()
        .map(|place| place.map(|place| Tensor::zeros(place.dtype, place.shape)))
        .collect();
    let mut io = Bindings {
        inputs: inputs.iter().map(Tensor::view).collect(),
        outputs: tensors
            .iter_mut()
            .map(|tensor| match tensor {
                Some(tensor) => OutputSlot::Into(tensor.view_mut()),
                None => OutputSlot::Alloc(None),
            })
            .collect(),
    };
    session.run(&mut io)?;
    let made = io.outputs.into_iter().map(|slot| match slot {
        OutputSlot::Into(_) => None,
        OutputSlot::Alloc(made) => made,
    });
    let made: Vec<Option<Tensor>> = made.collect();
    for (place, tensor) in outputs.iter().zip(&tensors) {
        if let (Some(place), Some(tensor)) = (place, tensor) {
            host.poke(place.address, tensor.bytes());
        }
    }
    Ok(made)
}
