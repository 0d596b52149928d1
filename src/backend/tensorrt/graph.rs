//! A plan on a device, as a graph.

use super::kernels::KernelFile;
use super::session::TrtSession;
use crate::backend::{
    CompiledGraph, EngineArtifact, Footprint, Lane, LoadError, Session, Unavailable,
};
use crate::cuda::{CudaErrorKind, Gpu};
use crate::ids::{BackendId, Fingerprint};
use crate::tensor::{Dim, Port, Shape, Signature};
use crate::trt::{Direction, EngineError, EnginePort, TrtEngine, TrtLibrary};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A deserialised plan.
#[derive(Debug)]
pub(super) struct TrtGraph {
    pub(super) backend: BackendId,
    pub(super) engine: Arc<TrtEngine>,
    pub(super) signature: Signature,
    /// The engine's port of each input, then of each output, in the signature's order.
    pub(super) ports: Vec<usize>,
    path: PathBuf,
    plan_bytes: u64,
    /// Of TensorRT-RTX, which compiles for the device when it first runs.
    kernels: Option<KernelFile>,
}

impl TrtGraph {
    pub(super) fn load(
        backend: BackendId,
        library: &'static TrtLibrary,
        gpu: &Gpu,
        machine: &Fingerprint,
        artifact: EngineArtifact<'_>,
    ) -> Result<Self, LoadError> {
        let EngineArtifact {
            path,
            signature,
            host_code,
        } = artifact;
        let plan = std::fs::read(path).map_err(|source| LoadError::File {
            path: path.to_owned(),
            source,
        })?;
        let plan_bytes = plan.len() as u64;
        let refused = |error| load_error(backend, path, error);
        // The weights alone are nearly the plan: what does not fit is not begun.
        if gpu.memory()?.free_bytes < plan_bytes {
            return Err(refused(EngineError::OutOfMemory));
        }
        let mut engine = library
            .load_engine(gpu, &plan, host_code)
            .map_err(refused)?;
        let kernels =
            (backend == BackendId::TensorRtRtx).then(|| KernelFile::beside(path, machine));
        if let Some(kernels) = &kernels {
            kernels.configure(&mut engine).map_err(refused)?;
        }
        let ports = arrange(signature, engine.ports()).map_err(|reason| LoadError::Signature {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self {
            backend,
            engine: Arc::new(engine),
            signature: signature.clone(),
            ports,
            path: path.to_owned(),
            plan_bytes,
            kernels,
        })
    }
}

impl CompiledGraph for TrtGraph {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(self.engine.gpu())
    }

    fn takes(&self, inputs: &[Shape]) -> bool {
        (0..self.engine.profiles()).any(|profile| {
            inputs.iter().zip(&self.ports).all(|(shape, &port)| {
                let range = self.engine.range(profile, port);
                range.is_none_or(|range| range.contains(*shape))
            })
        })
    }

    /// The weights are nearly the plan.
    fn footprint(&self) -> Footprint {
        Footprint {
            host_bytes: 0,
            device_bytes: self.plan_bytes,
            scratch_bytes: self.engine.scratch_bytes(),
        }
    }

    fn keep_kernels(&self) {
        if let Some(kernels) = &self.kernels {
            kernels.save(&self.engine);
        }
    }

    fn open(self: Arc<Self>, lane: &Lane) -> Result<Box<dyn Session>, LoadError> {
        let stream = lane
            .stream()
            .filter(|stream| stream.gpu().ordinal() == self.engine.gpu().ordinal());
        let Some(stream) = stream else {
            return Err(Unavailable {
                backend: self.backend,
                reasons: vec!["the lane is not on the engine's device".to_owned()],
            }
            .into());
        };
        let context = match lane.scratch(self.engine.scratch_bytes()) {
            Some(scratch) => self.engine.context_with(scratch),
            None => self.engine.context(stream),
        };
        let context = context.map_err(|error| load_error(self.backend, &self.path, error))?;
        let stream = Arc::clone(stream);
        Ok(Box::new(TrtSession::new(self, context, stream)))
    }
}

/// The engine's port of every port of the signature, inputs first.
fn arrange(signature: &Signature, ports: &[EnginePort]) -> Result<Vec<usize>, String> {
    let inputs = signature.inputs.iter().map(|port| (port, Direction::Input));
    let outputs = signature
        .outputs
        .iter()
        .map(|port| (port, Direction::Output));
    let places = inputs
        .chain(outputs)
        .map(|(port, direction)| {
            let named = |found: &EnginePort| found.tensor.name == port.name;
            let at = ports.iter().position(named);
            let at = at.ok_or_else(|| format!("the plan has no `{}`", port.name))?;
            check(port, direction, &ports[at])?;
            Ok(at)
        })
        .collect::<Result<Vec<usize>, String>>()?;
    match ports
        .iter()
        .enumerate()
        .find(|(at, _)| !places.contains(at))
    {
        None => Ok(places),
        Some((_, left)) => Err(format!("the model has no `{}`", left.tensor.name)),
    }
}

fn check(port: &Port, direction: Direction, found: &EnginePort) -> Result<(), String> {
    let name = &port.name;
    if found.direction != direction {
        return Err(format!("`{name}` goes the other way in the plan"));
    }
    if found.on_host {
        return Err(format!("`{name}` holds a shape, which is read on the host"));
    }
    if found.tensor.dtype != Some(port.dtype) {
        let found = found
            .tensor
            .dtype
            .map_or("of another type", |dtype| dtype.as_str());
        return Err(format!(
            "`{name}` is {} in the model and {found} in the plan",
            port.dtype
        ));
    }
    let fits = found.tensor.dims.len() == port.dims.len()
        && port
            .dims
            .iter()
            .zip(&found.tensor.dims)
            .all(|(dim, found)| match (dim, found) {
                (Dim::Fixed(size), Some(found)) => size == found,
                _ => true,
            });
    if fits {
        Ok(())
    } else {
        let dims: Vec<String> = found
            .tensor
            .dims
            .iter()
            .map(|dim| dim.map_or_else(|| "?".to_owned(), |size| size.to_string()))
            .collect();
        Err(format!("`{port}` is [{}] in the plan", dims.join(", ")))
    }
}

fn load_error(backend: BackendId, path: &Path, error: EngineError) -> LoadError {
    let path = path.to_owned();
    match error {
        EngineError::OutOfMemory => LoadError::OutOfMemory { backend, path },
        EngineError::Cuda(error) if error.kind == CudaErrorKind::OutOfMemory => {
            LoadError::OutOfMemory { backend, path }
        }
        EngineError::Cuda(error) => error.into(),
        other => LoadError::Refused {
            backend,
            path,
            reason: other.to_string(),
        },
    }
}
