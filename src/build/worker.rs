//! The worker's side: one job, then the end.

use super::failure::{Failure, FailureKind};
use super::job::{CompileJob, Job, Message};
use super::rewrite;
use super::verify;
use super::weights::{WeightsError, refuse_unlisted};
use crate::backend::{
    Backends, CompileError, CompileRequest, LoadError, Model, Progress, Rewriting, RunError, Step,
    Unavailable,
};
use crate::cache::SignatureText;
use crate::cuda::{CudaError, CudaErrorKind};
use crate::hint::Hint;
use crate::ids::BackendId;
use crate::onnx::{ModelFile, OnnxError};
use crate::profile::OptProfile;
use crate::tensor::{Signature, SignatureError};
use std::borrow::Cow;
use std::io::{self, BufRead, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A job line holds shape ranges and paths only.
const MAX_JOB_BYTES: u64 = 16 << 20;
/// Steps that only say "still here" are told this often.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum JobError {
    #[error("the worker was given no job")]
    NoJob,
    #[error("the job cannot be read")]
    Job(#[source] serde_json::Error),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("{} does not fit the shape ranges", path.display())]
    Shapes {
        path: PathBuf,
        #[source]
        source: SignatureError,
    },
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the {which} does not run at {shapes}")]
    Run {
        which: &'static str,
        shapes: String,
        #[source]
        source: Box<RunError>,
    },
    #[error("the {which} gives no `{output}` at {shapes}")]
    NoOutput {
        which: &'static str,
        output: String,
        shapes: String,
    },
    #[error(transparent)]
    Differs(Box<verify::Differs>),
}

/// Does one job and ends: reads it from standard input, tells of it on standard output.
///
/// The process ends at once when its standard input is closed, that is, when the parent is gone.
pub fn run(backends: &Backends) -> ExitCode {
    let reporter = Reporter::new(io::stdout());
    let (message, code) = match read_job().and_then(|job| do_job(backends, &job, &reporter)) {
        Ok(message) => (message, ExitCode::SUCCESS),
        Err(error) => (
            Message::Failed {
                failure: Failure::of(&error, error.kind()),
            },
            ExitCode::FAILURE,
        ),
    };
    match reporter.say(&message) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn read_job() -> Result<Job, JobError> {
    let mut line = String::new();
    let mut input = io::stdin().lock().take(MAX_JOB_BYTES);
    match input.read_line(&mut line) {
        Ok(read) if read > 0 => {}
        _ => return Err(JobError::NoJob),
    }
    drop(input);
    thread::spawn(end_with_parent);
    serde_json::from_str(&line).map_err(JobError::Job)
}

/// A vendor's code cannot be asked to stop, so the process ends as it is: no exit handler runs beside its threads.
fn end_with_parent() {
    let mut rest = [0; 64];
    let mut input = io::stdin().lock();
    while input.read(&mut rest).is_ok_and(|read| read > 0) {}
    std::process::abort();
}

fn do_job(
    backends: &Backends,
    job: &Job,
    reporter: &Reporter<io::Stdout>,
) -> Result<Message, JobError> {
    match job {
        Job::Compile(job) => compile(backends, job, reporter),
        Job::Verify(job) => {
            refuse_unlisted(
                job.graph,
                &ModelFile::open(&job.model)?,
                &job.model,
                &job.data,
            )?;
            verify::verify(backends, job, reporter)
                .map(|verification| Message::Verified { verification })
        }
    }
}

fn compile(
    backends: &Backends,
    job: &CompileJob,
    progress: &dyn Progress,
) -> Result<Message, JobError> {
    let backend = backends.get(job.backend)?;
    let _ = progress.step(&Step {
        phase: "rewriting",
        done: 0,
        total: 0,
    });
    let file = ModelFile::open(&job.model)?;
    refuse_unlisted(job.graph, &file, &job.model, &job.data)?;
    let started = Instant::now();
    let model = rewrite::rewritten(job, &file, backends)?;
    let rewriting = Rewriting {
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        peak_host_bytes: peak_host_bytes(),
    };
    let folder = model.external_folder.as_deref();
    let request = CompileRequest {
        graph: job.graph,
        model: if model.recipe.steps.is_empty() {
            Model::File(&job.model)
        } else {
            Model::Memory {
                bytes: &model.bytes,
                folder: folder.or(job.model.parent()).unwrap_or(Path::new(".")),
            }
        },
        precision: job.precision,
        fp32_nodes: &model.report.fp32_nodes,
        shapes: &opt_profiles(job, &model.signature)?,
        options: &job.options,
        timing_cache: job.timing_cache.as_deref(),
        engine: &job.engine,
    };
    let mut report = backend.compile(&request, progress)?;
    report.peak_host_bytes = peak_host_bytes();
    report.rewriting = Some(rewriting);
    Ok(Message::Compiled {
        signature: text_of(&model.signature),
        report,
    })
}

/// Most memory this process ever held.
fn peak_host_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn opt_profiles(job: &CompileJob, signature: &Signature) -> Result<Vec<OptProfile>, JobError> {
    let resolved = job.shapes.iter().map(|set| set.resolve(signature));
    resolved
        .collect::<Result<_, _>>()
        .map_err(|source| JobError::Shapes {
            path: job.model.clone(),
            source,
        })
}

fn text_of(signature: &Signature) -> SignatureText {
    SignatureText {
        inputs: signature.inputs.iter().map(ToString::to_string).collect(),
        outputs: signature.outputs.iter().map(ToString::to_string).collect(),
    }
}

/// Writes messages, each on a line of its own whatever a library printed before it.
struct Reporter<W> {
    state: Mutex<ReporterState<W>>,
}

struct ReporterState<W> {
    output: W,
    last: Option<LastStep>,
}

struct LastStep {
    phase: String,
    done: u32,
    said: Instant,
}

impl<W: Write> Reporter<W> {
    fn new(output: W) -> Self {
        Self {
            state: Mutex::new(ReporterState { output, last: None }),
        }
    }

    fn say(&self, message: &Message) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        write_line(&mut state.output, message)
    }
}

impl<W: Write + Send> Progress for Reporter<W> {
    fn step(&self, step: &Step<'_>) -> ControlFlow<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = state.last.as_ref().is_none_or(|last| {
            last.phase != step.phase || last.done != step.done || last.said.elapsed() >= HEARTBEAT
        });
        if !is_new {
            return ControlFlow::Continue(());
        }
        state.last = Some(LastStep {
            phase: step.phase.to_owned(),
            done: step.done,
            said: Instant::now(),
        });
        let message = Message::Step {
            phase: step.phase.to_owned(),
            done: step.done,
            total: step.total,
        };
        match write_line(&mut state.output, &message) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

fn write_line(output: &mut impl Write, message: &Message) -> io::Result<()> {
    let text = serde_json::to_string(message).expect("string keys and plain values only");
    write!(output, "\n{text}\n")?;
    output.flush()
}

impl From<verify::Differs> for JobError {
    fn from(differs: verify::Differs) -> Self {
        Self::Differs(Box::new(differs))
    }
}

impl JobError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Unavailable(_)
            | Self::Compile(CompileError::Unavailable(_) | CompileError::Precision { .. })
            | Self::Load(LoadError::Unavailable(_)) => FailureKind::Unavailable,
            Self::Compile(CompileError::Option { .. }) | Self::Shapes { .. } => FailureKind::Input,
            Self::Onnx(_)
            | Self::Weights(_)
            | Self::Load(LoadError::Refused { .. } | LoadError::Signature { .. }) => {
                FailureKind::Input
            }
            Self::Differs(_) => FailureKind::Unverified,
            Self::Compile(CompileError::File { source, .. }) if is_full(source) => {
                FailureKind::Storage
            }
            Self::Compile(CompileError::OutOfMemory { .. })
            | Self::Load(
                LoadError::OutOfMemory { .. }
                | LoadError::Device(CudaError {
                    kind: CudaErrorKind::OutOfMemory,
                    ..
                }),
            ) => FailureKind::Memory,
            Self::Run { source, .. } if is_out_of_memory(source) => FailureKind::Memory,
            _ => FailureKind::Failed,
        }
    }

    /// A reference that is not there is no verdict on an engine.
    pub(super) fn missing_reference(error: &LoadError) -> Option<String> {
        match error {
            LoadError::Unavailable(unavailable) if unavailable.backend == BackendId::OrtCpu => {
                Some(unavailable.to_string())
            }
            _ => None,
        }
    }
}

/// Whether there is no room on the disk, or none that this user may take.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn is_out_of_memory(error: &RunError) -> bool {
    matches!(
        error,
        RunError::OutOfMemory { .. }
            | RunError::Cuda(CudaError {
                kind: CudaErrorKind::OutOfMemory,
                ..
            })
    )
}

impl Hint for JobError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoJob => Some("this command is started by `cvtrt build`".into()),
            Self::Unavailable(error) => error.hint(),
            Self::Onnx(error) => error.hint(),
            Self::Weights(error) => error.hint(),
            Self::Compile(CompileError::File { source, .. }) if is_full(source) => {
                Some("cvtrt engines gc --max-size 10GB frees space".into())
            }
            Self::Compile(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::Shapes { .. } => {
                Some("change the shape ranges of the profile, or export the model again".into())
            }
            Self::Differs(error) => error.hint(),
            Self::Job(_) | Self::Run { .. } | Self::NoOutput { .. } => None,
        }
    }
}
