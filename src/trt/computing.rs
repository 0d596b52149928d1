//! A TensorRT that computes on the host, for tests: the real shim over a fake library whose models the test runs.
//!
//! It keeps the real library's rules (profiles, shapes, addresses, scratch memory, versions of plans), counts every
//! object, and fails where it is told to.

use super::handle::open_computing;
use super::library::TrtLibrary;
use super::version::LibraryVersion;
use crate::cuda::HostGpu;
use crate::tensor::{Shape, Signature, TensorView, TensorViewMut};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Understands models in the place of a parser.
pub trait Compute: fmt::Debug + Send + Sync {
    /// Opens a model; called when it is parsed, and again when its plan is loaded.
    ///
    /// # Errors
    /// The parser's words on what is no model.
    fn open(&self, onnx: &[u8]) -> Result<Arc<dyn Computation>, String>;
}

/// A model that a test can run.
pub trait Computation: fmt::Debug + Send + Sync {
    /// Inputs and outputs.
    fn signature(&self) -> &Signature;

    /// The outputs' shapes for given shapes of all inputs, or `None` where they do not follow from them.
    fn output_shapes(&self, inputs: &[Shape]) -> Option<Vec<Shape>> {
        let signature = self.signature();
        let sizes = signature.sizes_from_inputs(inputs).ok()?;
        let outputs = signature.outputs.iter();
        outputs.map(|port| port.shape(&sizes).ok()).collect()
    }

    /// Computes the outputs. All views are host memory, in the signature's order.
    ///
    /// # Errors
    /// Why it cannot; the run then fails to be enqueued, or panics where the stream deferred it.
    fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<(), String>;
}

/// A fake library of any version, whose device is host memory.
#[derive(Debug, Clone, Copy)]
pub struct ComputingLibrary {
    library: &'static TrtLibrary,
    world: &'static World,
}

/// One call of the fake library that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeFault {
    /// The call.
    pub call: FakeCall,
    /// Calls of that kind that pass before it, counted from when it was asked for.
    pub after: u64,
    /// What becomes of it.
    pub how: FakeFailure,
}

/// What a fake library can be told to fail at; the numbers are those of `shim/testkit/compute.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum FakeCall {
    /// `createInferBuilder` returns null.
    CreateBuilder = 0,
    /// The parser refuses the model without a reason.
    Parse = 1,
    /// `buildSerializedNetwork` returns null.
    Build = 2,
    /// `createInferRuntime` returns null.
    CreateRuntime = 3,
    /// `deserializeCudaEngine` returns null.
    Load = 4,
    /// `createExecutionContext` returns null.
    CreateContext = 5,
    /// `setOptimizationProfileAsync` returns false.
    SetProfile = 6,
    /// `setInputShape` returns false.
    SetInputShape = 7,
    /// `setTensorAddress` returns false.
    SetAddress = 8,
    /// `enqueueV3` returns false.
    Enqueue = 9,
    /// `createRuntimeConfig` returns null; of TensorRT-RTX.
    CreateConfig = 10,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FakeFailure {
    /// It gives nothing, and the log says so.
    Refused,
    /// The same, and the log says that memory ran out.
    OutOfMemory,
    /// It passes, and every float output of the run is NaN; of [`FakeCall::Enqueue`] only.
    Nan,
}

/// What a fake library counts; the numbers are those of `shim/testkit/compute.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
#[expect(missing_docs, reason = "TensorRT's objects by their names")]
pub enum FakeObject {
    Builder = 0,
    Config = 1,
    Network = 2,
    Profile = 3,
    Parser = 4,
    TimingCache = 5,
    Blob = 6,
    Runtime = 7,
    Engine = 8,
    Context = 9,
    RuntimeConfig = 10,
    RuntimeCache = 11,
}

/// What stands behind one fake library.
#[derive(Debug)]
pub(super) struct World {
    pub(super) compute: Arc<dyn Compute>,
    host: HostGpu,
    alive: [AtomicI64; FakeObject::ALL.len()],
    runs: AtomicU64,
    compiled: AtomicU64,
    /// Each with the calls of its kind since.
    faults: Mutex<Vec<(FakeFault, u64)>>,
    misuses: Mutex<Vec<String>>,
}

impl ComputingLibrary {
    /// A library that answers `raw_version` for its version and computes in `host`'s memory. Lives as long as the process.
    ///
    /// # Panics
    /// If no supported library has that version.
    pub fn new(raw_version: i32, compute: Arc<dyn Compute>, host: &HostGpu) -> Self {
        let world: &'static World = Box::leak(Box::new(World {
            compute,
            host: host.clone(),
            alive: Default::default(),
            runs: AtomicU64::default(),
            compiled: AtomicU64::default(),
            faults: Mutex::default(),
            misuses: Mutex::default(),
        }));
        let version = LibraryVersion::decode(raw_version).expect("a known scheme");
        let handle = open_computing(raw_version, version, world);
        let library = TrtLibrary::from_handle(handle, version, PathBuf::from("computing"));
        Self {
            library: Box::leak(Box::new(library.without_driver())),
            world,
        }
    }

    /// The library.
    pub fn library(&self) -> &'static TrtLibrary {
        self.library
    }

    /// The device in whose memory it computes.
    pub fn host(&self) -> &HostGpu {
        &self.world.host
    }

    /// Makes one call fail, besides those asked for before.
    ///
    /// # Panics
    /// If another call than [`FakeCall::Enqueue`] is to give NaN.
    pub fn fail(&self, fault: FakeFault) {
        let fits = fault.how != FakeFailure::Nan || fault.call == FakeCall::Enqueue;
        assert!(fits, "only a run gives NaN");
        self.world.faults().push((fault, 0));
    }

    /// Objects that were made and not deleted.
    pub fn outstanding(&self) -> BTreeMap<FakeObject, i64> {
        let alive = |&object: &FakeObject| (object, self.world.alive(object));
        let all = FakeObject::ALL.iter().map(alive);
        all.filter(|(_, count)| *count != 0).collect()
    }

    /// Runs that were done, those of replayed graphs included.
    pub fn runs(&self) -> u64 {
        self.world.runs.load(Ordering::SeqCst)
    }

    /// Kernels that were compiled at run time: one per context, or per cache, and combination of input shapes. Of
    /// TensorRT-RTX.
    pub fn compiled(&self) -> u64 {
        self.world.compiled.load(Ordering::SeqCst)
    }

    /// Rules of the real library that were broken where a call returns nothing.
    pub fn misuses(&self) -> Vec<String> {
        self.world.misuses().clone()
    }
}

impl World {
    /// Does a run's work when the stream comes to it.
    pub(super) fn submit(&self, stream: u64, work: Box<dyn Fn() + Send>) {
        self.host.submit(stream, work);
    }

    pub(super) fn ran(&self) {
        self.runs.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn compiled(&self) {
        self.compiled.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn count(&self, object: i32, change: i32) {
        let index = usize::try_from(object).expect("an object's number");
        self.alive[index].fetch_add(change.into(), Ordering::SeqCst);
    }

    pub(super) fn misused(&self, how: &str) {
        self.misuses().push(how.to_owned());
    }

    /// What becomes of a call that happens now, as far as it fails outright.
    pub(super) fn failure(&self, call: i32) -> Option<FakeFailure> {
        self.due(|fault| fault.call as i32 == call && fault.how != FakeFailure::Nan)
    }

    /// Whether the run that is enqueued now gives NaN.
    pub(super) fn gives_nan(&self) -> bool {
        self.due(|fault| fault.how == FakeFailure::Nan).is_some()
    }

    fn due(&self, concerns: impl Fn(&FakeFault) -> bool) -> Option<FakeFailure> {
        let mut failure = None;
        self.faults().retain_mut(|(fault, seen)| {
            if !concerns(fault) {
                return true;
            }
            *seen += 1;
            if *seen <= fault.after {
                return true;
            }
            failure = Some(fault.how);
            false
        });
        failure
    }

    fn alive(&self, object: FakeObject) -> i64 {
        self.alive[object as usize].load(Ordering::SeqCst)
    }

    fn faults(&self) -> MutexGuard<'_, Vec<(FakeFault, u64)>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn misuses(&self) -> MutexGuard<'_, Vec<String>> {
        self.misuses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeObject {
    const ALL: [Self; 12] = [
        Self::Builder,
        Self::Config,
        Self::Network,
        Self::Profile,
        Self::Parser,
        Self::TimingCache,
        Self::Blob,
        Self::Runtime,
        Self::Engine,
        Self::Context,
        Self::RuntimeConfig,
        Self::RuntimeCache,
    ];
}
