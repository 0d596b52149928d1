//! A backend that misbehaves as told, and the worker that runs it.

use super::bundle_dir;
use crate::backend::{
    Artifact, Backend, Backends, Bindings, Capabilities, CompileError, CompileRequest,
    CompiledGraph, EngineReport, Fake, LoadError, LoadOptions, OutputSlot, Progress, Unavailable,
};
use crate::build::{WorkerCommand, worker};
use crate::ids::{BackendId, Fingerprint, Precision};
use crate::onnx::ModelFile;
use crate::profile::ComputeCapability;
use crate::tensor::{BytesMut, Signature};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

const BEHAVIOUR: &str = "CVTRT_TEST_WORKER";
/// Names the folder where workers meet.
pub(super) const MEETING: &str = "CVTRT_TEST_MEETING";

/// What the backend under test does, in parent and worker alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Behaviour {
    Works,
    AbortsInCompile,
    IsKilledInCompile,
    HangsInCompile,
    FloodsInCompile,
    FailsInCompile,
    FindsADiskFull,
    PanicsInCompile,
    /// Goes on when two graphs are being compiled.
    MeetsInCompile,
    AbortsInLoad,
    HangsInLoad,
    /// The first load finds too little memory.
    RunsOutOfMemoryOnce,
    ComputesOtherValues,
    ComputesOtherValuesInHalf,
    GivesNan,
    OnlyFp32,
    CannotRunHere,
    HasAnAmpere,
    IsNotInstalled,
}

pub(super) const AMPERE: ComputeCapability = ComputeCapability { major: 8, minor: 6 };

#[derive(Debug)]
struct Scripted {
    fake: Fake,
    exact: Fake,
    behaviour: Behaviour,
}

impl Backend for Scripted {
    fn id(&self) -> BackendId {
        self.fake.id()
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        let mut capabilities = self.fake.probe()?;
        match self.behaviour {
            Behaviour::OnlyFp32 => capabilities.precisions = vec![Precision::Fp32],
            Behaviour::HasAnAmpere => capabilities.device = Some(AMPERE),
            Behaviour::CannotRunHere => capabilities.run = Err("there is no GPU".to_owned()),
            Behaviour::IsNotInstalled => {
                return Err(Unavailable {
                    backend: self.id(),
                    reasons: vec!["no library".to_owned()],
                });
            }
            _ => {}
        }
        Ok(capabilities)
    }

    fn fingerprint(&self) -> Result<Fingerprint, Unavailable> {
        self.fake.fingerprint()
    }

    fn compile(
        &self,
        request: &CompileRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<EngineReport, CompileError> {
        print_without_newline("a library prints this");
        writeln!(std::io::stderr(), "last words of the library").expect("piped");
        match self.behaviour {
            Behaviour::AbortsInCompile => std::process::abort(),
            Behaviour::PanicsInCompile => panic!("a bug"),
            Behaviour::IsKilledInCompile => kill_this_process(),
            Behaviour::HangsInCompile => loop {
                std::thread::park();
            },
            Behaviour::FloodsInCompile => loop {
                writeln!(std::io::stderr(), "last words of the library").expect("piped");
            },
            Behaviour::FailsInCompile => Err(CompileError::Build {
                backend: self.id(),
                graph: request.graph,
                reason: "no tactic".to_owned(),
            }),
            Behaviour::FindsADiskFull => Err(CompileError::File {
                path: request.engine.to_owned(),
                source: std::io::ErrorKind::StorageFull.into(),
            }),
            Behaviour::MeetsInCompile => {
                meet(&request.graph.to_string());
                self.fake.compile(request, progress)
            }
            _ => self.fake.compile(request, progress),
        }
    }

    fn load(
        &self,
        artifact: Artifact<'_>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn CompiledGraph>, LoadError> {
        match self.behaviour {
            Behaviour::AbortsInLoad => std::process::abort(),
            Behaviour::HangsInLoad => loop {
                std::thread::park();
            },
            Behaviour::RunsOutOfMemoryOnce if is_first() => Err(LoadError::OutOfMemory {
                backend: self.id(),
                path: artifact.path().to_owned(),
            }),
            Behaviour::ComputesOtherValuesInHalf if is_the_model(artifact) => {
                self.exact.load(artifact, options)
            }
            _ => self.fake.load(artifact, options),
        }
    }
}

/// The harness captures what the print macros write; a library's output goes past it.
fn print_without_newline(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("piped");
}

/// Whether no other process was here before.
fn is_first() -> bool {
    let place = PathBuf::from(std::env::var_os(MEETING).expect("named by the test"));
    std::fs::File::create_new(place.join("first")).is_ok()
}

/// Waits until another process is here too.
fn meet(name: &str) {
    let place = std::env::var_os(MEETING).expect("named by the test");
    let place = std::path::PathBuf::from(place);
    std::fs::write(place.join(name), b"").expect("own folder");
    while std::fs::read_dir(&place).map_or(0, Iterator::count) < 2 {
        std::thread::yield_now();
    }
}

fn kill_this_process() -> ! {
    let id = std::process::id().to_string();
    std::process::Command::new("kill")
        .args(["-9", &id])
        .status()
        .expect("a system with kill");
    loop {
        std::thread::park();
    }
}

fn filled_with(value: f32) -> impl Fn(&mut Bindings<'_>) + Send + Sync {
    move |io| {
        for slot in &mut io.outputs {
            if let OutputSlot::Into(tensor) = slot
                && let BytesMut::Host(bytes) = tensor.bytes_mut()
            {
                bytemuck::cast_slice_mut::<u8, f32>(bytes).fill(value);
            }
        }
    }
}

fn model() -> PathBuf {
    bundle_dir().join("hift_f0.onnx")
}

/// Whether an engine is a copy of the FP32 model.
fn is_the_model(artifact: Artifact<'_>) -> bool {
    let engine = std::fs::read(artifact.path()).expect("built");
    engine == std::fs::read(model()).expect("shipped")
}

fn signature() -> Signature {
    ModelFile::open(&model())
        .and_then(|model| model.signature())
        .expect("shipped with the source")
}

/// TensorRT-RTX as scripted, in front of an ONNX Runtime that computes ones.
pub(super) fn backends(behaviour: Behaviour) -> Backends {
    let value = match behaviour {
        Behaviour::ComputesOtherValues | Behaviour::ComputesOtherValuesInHalf => 1.5,
        Behaviour::GivesNan => f32::NAN,
        _ => 1.0,
    };
    let mut backends = Backends::default();
    backends.insert(Arc::new(Scripted {
        fake: Fake::new(BackendId::TensorRtRtx, signature(), filled_with(value)),
        exact: Fake::new(BackendId::TensorRtRtx, signature(), filled_with(1.0)),
        behaviour,
    }));
    backends.insert(Arc::new(Fake::new(
        BackendId::OrtCpu,
        signature(),
        filled_with(1.0),
    )));
    backends
}

/// The worker: this test, started by itself. Passes at once where no behaviour is asked for.
#[test]
fn worker_process() {
    let Ok(behaviour) = std::env::var(BEHAVIOUR) else {
        return;
    };
    let behaviour = serde_json::from_str(&behaviour).expect("own words");
    let code = worker::run(&backends(behaviour));
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

pub(super) fn worker_command(behaviour: Behaviour) -> WorkerCommand {
    let test = concat!(module_path!(), "::worker_process");
    let test = test.split_once("::").expect("crate::…").1;
    WorkerCommand::this_program([test, "--exact", "--nocapture"])
        .expect("this test")
        .with_variable(
            BEHAVIOUR,
            serde_json::to_string(&behaviour).expect("a word"),
        )
        .with_variable("RUST_BACKTRACE", "0")
}
