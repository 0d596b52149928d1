//! A decorator that makes any backend fail on purpose.

use super::{
    Artifact, Backend, Bindings, Capabilities, CompileError, CompileRequest, CompiledGraph,
    EngineReport, Footprint, Lane, LoadError, LoadOptions, OutputSlot, Progress, Refusal, RunError,
    Session, Unavailable,
};
use crate::cuda::Gpu;
use crate::ids::{BackendId, Fingerprint, GraphId};
use crate::profile::CompileOptions;
use crate::tensor::{BytesMut, DType, Shape, Signature, Tensor, TensorViewMut};
use half::{bf16, f16};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The probe finds nothing.
    Missing,
    /// A load gives nothing, as a library does that returns null.
    RefusedLoad,
    /// A load runs out of memory.
    LoadOutOfMemory,
    /// A lane cannot be opened.
    RefusedLane,
    /// A run takes this much longer.
    Slow(Duration),
    /// A run fails in the library.
    FailedRun,
    /// A run runs out of memory.
    RunOutOfMemory,
    /// No optimisation profile takes a run's shapes.
    OutsideProfiles,
    /// A run succeeds and every float it gives is NaN.
    NotANumber,
    /// A run loses the device.
    DeviceLost,
}

/// Which calls a fault hits; each fault counts the calls it could hit, over all sessions, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Every call.
    Always,
    /// This call only.
    At(u64),
    /// This call and all later ones.
    From(u64),
}

/// A backend that does as another one does, except where a fault is due.
#[derive(Debug)]
pub struct Faulty {
    id: BackendId,
    inner: Arc<dyn Backend>,
    plan: Vec<Arc<Injection>>,
}

#[derive(Debug)]
struct Injection {
    fault: Fault,
    when: When,
    calls: AtomicU64,
}

#[derive(Debug)]
struct FaultyGraph {
    id: BackendId,
    inner: Arc<dyn CompiledGraph>,
    plan: Vec<Arc<Injection>>,
}

#[derive(Debug)]
struct FaultySession {
    id: BackendId,
    inner: Box<dyn Session>,
    plan: Vec<Arc<Injection>>,
}

impl Faulty {
    /// A decorator without faults.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self {
            id: inner.id(),
            inner,
            plan: Vec::new(),
        }
    }

    /// Goes by another name, so that it can stand in one chain with the backend it does as.
    #[must_use]
    pub fn named(self, id: BackendId) -> Self {
        Self { id, ..self }
    }

    /// Adds a fault.
    #[must_use]
    pub fn with(mut self, fault: Fault, when: When) -> Self {
        let calls = AtomicU64::new(0);
        self.plan.push(Arc::new(Injection { fault, when, calls }));
        self
    }
}

impl Injection {
    /// Whether this fault is `kind` and due; counts the call.
    fn strikes(&self, kind: Fault) -> bool {
        if self.fault != kind {
            return false;
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match self.when {
            When::Always => true,
            When::At(nth) => call == nth,
            When::From(nth) => call >= nth,
        }
    }
}

/// Whether any fault of this kind is due; all of them count the call.
fn due(plan: &[Arc<Injection>], kind: Fault) -> bool {
    let strikes = plan.iter().filter(|injection| injection.strikes(kind));
    strikes.count() > 0
}

fn delay(plan: &[Arc<Injection>]) -> Duration {
    let delays = plan.iter().filter_map(|injection| match injection.fault {
        Fault::Slow(time) if injection.strikes(injection.fault) => Some(time),
        _ => None,
    });
    delays.sum()
}

impl Backend for Faulty {
    fn id(&self) -> BackendId {
        self.id
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        if due(&self.plan, Fault::Missing) {
            return Err(Unavailable {
                backend: self.id(),
                reasons: vec!["injected: no library".to_owned()],
            });
        }
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
        let path = artifact.path();
        if due(&self.plan, Fault::RefusedLoad) {
            return Err(refused(self.id(), path));
        }
        if due(&self.plan, Fault::LoadOutOfMemory) {
            return Err(LoadError::OutOfMemory {
                backend: self.id(),
                path: path.to_owned(),
            });
        }
        Ok(Arc::new(FaultyGraph {
            id: self.id(),
            inner: self.inner.load(artifact, options)?,
            plan: self.plan.clone(),
        }))
    }
}

impl CompiledGraph for FaultyGraph {
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.inner.gpu()
    }

    fn takes(&self, inputs: &[Shape]) -> bool {
        self.inner.takes(inputs)
    }

    fn footprint(&self) -> Footprint {
        self.inner.footprint()
    }

    fn open(self: Arc<Self>, lane: &Lane) -> Result<Box<dyn Session>, LoadError> {
        if due(&self.plan, Fault::RefusedLane) {
            return Err(refused(self.id, Path::new("lane")));
        }
        Ok(Box::new(FaultySession {
            id: self.id,
            inner: Arc::clone(&self.inner).open(lane)?,
            plan: self.plan.clone(),
        }))
    }
}

impl Session for FaultySession {
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn run(&mut self, io: &mut Bindings<'_>) -> Result<(), RunError> {
        thread::sleep(delay(&self.plan));
        let (backend, reason) = (self.id, "injected".to_owned());
        if due(&self.plan, Fault::FailedRun) {
            return Err(RunError::Failed { backend, reason });
        }
        if due(&self.plan, Fault::RunOutOfMemory) {
            return Err(RunError::OutOfMemory { backend });
        }
        if due(&self.plan, Fault::OutsideProfiles) {
            let shapes = "injected".to_owned();
            return Err(RunError::OutsideProfiles { shapes });
        }
        if due(&self.plan, Fault::DeviceLost) {
            return Err(RunError::DeviceLost { reason });
        }
        self.inner.run(io)?;
        if due(&self.plan, Fault::NotANumber) {
            poison(io);
        }
        Ok(())
    }
}

fn refused(backend: BackendId, path: &Path) -> LoadError {
    LoadError::Refused {
        backend,
        path: path.to_owned(),
        reason: "injected: the library gave null".to_owned(),
    }
}

fn poison(io: &mut Bindings<'_>) {
    for slot in &mut io.outputs {
        match slot {
            OutputSlot::Into(view) => poison_view(view),
            OutputSlot::Alloc(tensor) => {
                if let Some(tensor) = tensor.as_mut().map(Tensor::view_mut).as_mut() {
                    poison_view(tensor);
                }
            }
        }
    }
}

fn poison_view(view: &mut TensorViewMut<'_>) {
    let pattern: &[u8] = match view.dtype() {
        DType::F32 => &f32::NAN.to_ne_bytes(),
        DType::F16 => &f16::NAN.to_ne_bytes(),
        DType::Bf16 => &bf16::NAN.to_ne_bytes(),
        DType::I32 | DType::I64 | DType::Bool | DType::U8 => return,
    };
    // Device memory is out of reach here; a device backend has its own way to make NaN.
    if let BytesMut::Host(bytes) = view.bytes_mut() {
        for element in bytes.chunks_exact_mut(pattern.len()) {
            element.copy_from_slice(pattern);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Fake, Recovery};
    use crate::tensor::{Dim, Port};

    fn session(fault: Fault, when: When) -> Box<dyn Session> {
        let signature = Signature {
            inputs: Vec::new(),
            outputs: vec![Port {
                name: "y".to_owned(),
                dtype: DType::F32,
                dims: vec![Dim::Fixed(2)],
            }],
        };
        let fake = Fake::new(BackendId::OrtCpu, signature, |_| {});
        let options = LoadOptions {
            threads: 1,
            device: 0,
        };
        let graph = Faulty::new(Arc::new(fake))
            .with(fault, when)
            .load(Artifact::Onnx(Path::new("none.onnx")), &options)
            .expect("loads");
        graph.open(&Lane::on_host(0)).expect("opens")
    }

    fn run(session: &mut dyn Session) -> Result<[f32; 2], RunError> {
        let mut out = [0f32; 2];
        let view = TensorViewMut::of(Shape::new(&[2]), &mut out).expect("two elements");
        let mut io = Bindings {
            inputs: Vec::new(),
            outputs: vec![OutputSlot::Into(view)],
        };
        session.run(&mut io)?;
        Ok(out)
    }

    #[test]
    fn a_fault_strikes_when_it_is_due() {
        for (when, expected) in [
            (When::Always, [false, false, false]),
            (When::At(2), [true, false, true]),
            (When::From(2), [true, false, false]),
        ] {
            let mut session = session(Fault::RunOutOfMemory, when);
            let worked = [(); 3].map(|()| run(&mut *session).is_ok());
            assert_eq!(worked, expected, "{when:?}");
        }
    }

    #[test]
    fn outputs_turn_into_nan_and_a_lost_device_ends_the_process() {
        let out = run(&mut *session(Fault::NotANumber, When::Always)).expect("succeeds");
        assert!(out.iter().all(|value| value.is_nan()), "{out:?}");
        let error = run(&mut *session(Fault::DeviceLost, When::Always)).expect_err("lost");
        assert_eq!(error.recovery(), Recovery::Process);
    }
}
