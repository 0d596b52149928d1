//! The compile half: a model optimised once, saved, and loaded as it is afterwards.

use super::fault::{self, Fault};
use super::library::OrtLibrary;
use super::options::{self, Provider};
use crate::backend::{
    CompileError, CompileRequest, EngineReport, LoadOptions, Model, Progress, Step,
};
use crate::ids::BackendId;
use crate::profile::CompileOptions;
use ort::logging::LogLevel;
use ort::session::builder::{LoadCanceler, SessionBuilder};
use std::ffi::OsString;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often [`Progress`] is asked whether to go on. The library itself looks up only between optimisation passes, so a
/// build may end seconds after it was stopped.
const HEARTBEAT: Duration = Duration::from_millis(20);

/// Said on every save at the level used on the processor; the fingerprint holds what it warns of.
const EXPECTED_WARNING: &str =
    "Serializing optimized model with Graph Optimization level greater than";

/// What the library says of a model over the limit of its file format.
const SERIALISATION_FAILED: &str = "Protobuf serialization failed";

/// Optimises a model and saves it as one file that carries its weights.
pub(super) fn compile(
    library: &OrtLibrary,
    provider: Provider,
    request: &CompileRequest<'_>,
    progress: &dyn Progress,
) -> Result<EngineReport, CompileError> {
    let (backend, graph) = (provider.id(), request.graph);
    if !provider.precisions().contains(&request.precision) {
        let precision = request.precision;
        return Err(CompileError::Precision { backend, precision });
    }
    refuse_foreign_options(backend, request.options)?;
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let prepared = fault::guard(|| Ok(saving_builder(library, provider, request, &warnings)?));
    let builder = prepared.map_err(|fault| build_error(fault, backend, request))?;
    match commit(builder, request.model, progress) {
        Ok(true) => {}
        Ok(false) => return Err(CompileError::Cancelled(graph)),
        Err(fault) => return Err(build_error(fault, backend, request)),
    }
    keep_one_file(backend, request)?;
    let warnings = std::mem::take(&mut *warnings.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(EngineReport {
        layers: Vec::new(),
        warnings,
        ..EngineReport::default()
    })
}

fn saving_builder(
    library: &OrtLibrary,
    provider: Provider,
    request: &CompileRequest<'_>,
    warnings: &Arc<Mutex<Vec<String>>>,
) -> ort::Result<SessionBuilder> {
    let load = LoadOptions {
        threads: thread::available_parallelism().map_or(1, usize::from),
        device: 0,
    };
    let kept = Arc::clone(warnings);
    let builder = options::builder(library, provider, &load)?
        .with_optimization_level(provider.level().0)?
        .with_optimized_model_path(request.engine)?
        .with_logger(Arc::new(
            move |level, _category, _id, _location, message| {
                if level >= LogLevel::Warning && !message.starts_with(EXPECTED_WARNING) {
                    kept.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(message.to_owned());
                }
            },
        ))?;
    // Weights the model keeps outside would stay outside, under a path relative to another folder. Naming a file for
    // tensors of two gigabytes and more puts all others into the engine.
    let weights = weights_name(request.engine);
    let builder = builder
        .with_config_entry(
            "session.optimized_model_external_initializers_file_name",
            weights.to_string_lossy(),
        )?
        .with_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes",
            (1u64 << 31).to_string(),
        )?;
    let Model::Memory { folder, .. } = request.model else {
        return Ok(builder);
    };
    options::external_data_in(builder, folder)
}

/// Optimises and saves while `progress` is asked whether to go on; `false` when it was not.
fn commit(
    mut builder: SessionBuilder,
    model: Model<'_>,
    progress: &dyn Progress,
) -> Result<bool, Fault> {
    let (finished, wait) = channel();
    let canceler = builder.canceler();
    thread::scope(|scope| {
        let watcher = scope.spawn(move || watch(&wait, &canceler, progress));
        let made = fault::guard(|| {
            match model {
                Model::File(path) => builder.commit_from_file(path)?,
                Model::Memory { bytes, .. } => builder.commit_from_memory(bytes)?,
            };
            Ok(())
        });
        drop(finished);
        let stopped = watcher
            .join()
            .map_err(|_| Fault::new("the listener to the build panicked"))?;
        match made {
            Err(fault) if fault.is_cancelled() => Ok(false),
            Err(fault) => Err(fault),
            Ok(()) => Ok(!stopped),
        }
    })
}

/// Reports that the build goes on until it ends or is asked to stop; says whether it was.
fn watch(wait: &Receiver<()>, canceler: &LoadCanceler, progress: &dyn Progress) -> bool {
    let step = Step {
        phase: "optimising",
        done: 0,
        total: 0,
    };
    loop {
        if progress.step(&step).is_break() {
            // A failure to cancel only means that the build runs to its end first.
            let _ = canceler.cancel();
            return true;
        }
        if wait.recv_timeout(HEARTBEAT) != Err(RecvTimeoutError::Timeout) {
            return false;
        }
    }
}

fn refuse_foreign_options(
    backend: BackendId,
    options: &CompileOptions,
) -> Result<(), CompileError> {
    let CompileOptions {
        tf32: _, // never used here, which is always allowed
        workspace_bytes,
        optimization_level,
        version_compatible,
        hardware_compatible,
        targets,
    } = options;
    let foreign = [
        (
            "max-workspace",
            workspace_bytes.is_some(),
            "ONNX Runtime has no such limit",
        ),
        (
            "optimization-level",
            optimization_level.is_some(),
            "the level follows from the provider",
        ),
        (
            "version-compatible",
            *version_compatible,
            "an optimised model is valid for one version",
        ),
        (
            "hardware-compatible",
            *hardware_compatible,
            "an optimised model is valid for one kind of processor",
        ),
        (
            "target",
            !targets.is_empty(),
            "an optimised model holds no code for a GPU",
        ),
    ];
    match foreign.into_iter().find(|(_, given, _)| *given) {
        None => Ok(()),
        Some((option, _, reason)) => Err(CompileError::Option {
            backend,
            option,
            reason: reason.to_owned(),
        }),
    }
}

fn build_error(fault: Fault, backend: BackendId, request: &CompileRequest<'_>) -> CompileError {
    use ort::ErrorCode::{InvalidGraph, InvalidProtobuf, NoSuchFile, NotImplemented};
    let graph = request.graph;
    if fault.is_out_of_memory() {
        return CompileError::OutOfMemory { backend, graph };
    }
    let reason = if fault.message.starts_with(SERIALISATION_FAILED) {
        "its weights do not fit into one engine file, which holds at most two gigabytes".to_owned()
    } else {
        fault.message
    };
    match fault.code {
        InvalidGraph | InvalidProtobuf | NoSuchFile | NotImplemented => CompileError::Model {
            backend,
            graph,
            reason,
        },
        _ => CompileError::Build {
            backend,
            graph,
            reason,
        },
    }
}

/// Puts the engine on the disk before anyone is told that it exists, and refuses one that came in two files.
fn keep_one_file(backend: BackendId, request: &CompileRequest<'_>) -> Result<(), CompileError> {
    let weights = request.engine.with_file_name(weights_name(request.engine));
    if weights.exists() {
        // The caller removes the engine; it does not know of this file.
        let _ = std::fs::remove_file(weights);
        return Err(build_error(
            Fault::new(SERIALISATION_FAILED),
            backend,
            request,
        ));
    }
    std::fs::File::open(request.engine)
        .and_then(|file| file.sync_all())
        .map_err(|source| CompileError::File {
            path: request.engine.to_owned(),
            source,
        })
}

/// Name of the file for weights that do not fit into the engine.
fn weights_name(engine: &Path) -> OsString {
    let mut name = engine.file_name().unwrap_or_default().to_owned();
    name.push(".data");
    name
}
