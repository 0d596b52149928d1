//! The build half.

use super::TensorRt;
use super::phases::Phases;
use crate::backend::timings::TimingFile;
use crate::backend::{
    Backend, CompileError, CompileRequest, EngineReport, LayerSummary, Model, Progress, Refusal,
};
use crate::ids::GraphId;
use crate::profile::{CompileOptions, ComputeCapability};
use crate::trt::{
    BuildError, BuildRequest, Flavour, HardwareCompatibility, LayerInfo, ProgressEvent,
    TimingCache, rtx_targets,
};
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

pub(super) fn compile(
    on: &TensorRt,
    request: &CompileRequest<'_>,
    progress: &dyn Progress,
) -> Result<EngineReport, CompileError> {
    let library = on.library()?;
    if let Some(reason) = foreign_target(on.flavour, &request.options.targets) {
        return Err(CompileError::Option {
            backend: on.id(),
            option: "target",
            reason,
        });
    }
    if on.flavour == Flavour::TensorRtRtx && request.options.targets.is_empty() {
        return Err(on
            .unavailable("no target names a GPU to build for".to_owned())
            .into());
    }
    let (onnx, path) = read_model(request.model)?;
    // RTX takes no timings: it compiles for the device only when a plan is first loaded.
    let mut timings = request
        .timing_cache
        .filter(|_| on.flavour == Flavour::TensorRt)
        .map(TimingFile::read);
    let hardware = if request.options.hardware_compatible {
        HardwareCompatibility::AmperePlus
    } else {
        HardwareCompatibility::Exact
    };
    let wanted = BuildRequest {
        onnx: &onnx,
        onnx_path: Some(&path),
        profiles: request.shapes,
        targets: &request.options.targets,
        precision: request.precision,
        fp32_nodes: request.fp32_nodes,
        workspace_bytes: request.options.workspace_bytes,
        optimization_level: request.options.optimization_level,
        tf32: request.options.tf32,
        version_compatible: request.options.version_compatible,
        hardware,
        timing_cache: match &timings {
            Some(file) => file.bytes().map_or(TimingCache::Fresh, TimingCache::From),
            None => TimingCache::Off,
        },
    };
    let phases = Phases::default();
    let listen = |event: ProgressEvent<'_>| phases.hear(event, progress);
    let built = library
        .build(&wanted, &listen)
        .map_err(|error| explain(on, error, request))?;
    write(request.engine, &built.plan)?;
    if let (Some(file), Some(reason)) = (&mut timings, &built.timings_refused) {
        file.refuse(reason);
    }
    let timings = timings.zip(built.timing_cache).map(|(file, ours)| {
        file.keep(&ours, |ours, theirs| {
            let merged = library.merge_timings(ours, theirs);
            merged.map_err(|error| error.to_string())
        })
    });
    let layers = built.network.layers.into_iter().map(summarised).collect();
    Ok(EngineReport {
        layers,
        warnings: built.warnings,
        timings,
        ..EngineReport::default()
    })
}

/// What is not compiled for a library of this kind, as far as that is known without the model.
pub(super) fn refusal(
    flavour: Flavour,
    graph: GraphId,
    options: &CompileOptions,
) -> Option<Refusal> {
    if flavour == Flavour::TensorRtRtx && graph == GraphId::SpeechTokenizer {
        return Some(Refusal {
            reason:
                "the value of its length input decides shapes, and cvtrt gives a build ranges of sizes only"
                    .to_owned(),
            fix: format!(
                "the same command with --graphs {graph} --backend ort-cpu, or without --backend, as the profile builds it"
            ),
        });
    }
    foreign_target(flavour, &options.targets).map(|reason| Refusal {
        reason: format!("--target: {reason}"),
        fix: "name other generations with --target; for that GPU, build on a machine that has it, with --backend tensorrt".to_owned(),
    })
}

/// The first generation that the library has no code for: its own words on one name neither it nor the others.
fn foreign_target(flavour: Flavour, targets: &[ComputeCapability]) -> Option<String> {
    let is_known = |target: &ComputeCapability| rtx_targets().any(|known| known == *target);
    let foreign = targets.iter().find(|target| !is_known(target));
    let foreign = foreign.filter(|_| flavour == Flavour::TensorRtRtx)?;
    let known: Vec<String> = rtx_targets().map(|target| target.to_string()).collect();
    Some(format!("{foreign} is none of {}", known.join(", ")))
}

fn explain(on: &TensorRt, error: BuildError, request: &CompileRequest<'_>) -> CompileError {
    let (backend, graph) = (on.id(), request.graph);
    match error {
        BuildError::NoDevice(reason) => on.unavailable(reason.to_string()).into(),
        BuildError::Cancelled => CompileError::Cancelled(graph),
        BuildError::OutOfMemory { .. } => CompileError::OutOfMemory { backend, graph },
        BuildError::EmptyModel | BuildError::Parse(_) => CompileError::Model {
            backend,
            graph,
            reason: error.to_string(),
        },
        other => CompileError::Build {
            backend,
            graph,
            reason: other.to_string(),
        },
    }
}

fn summarised(layer: LayerInfo) -> LayerSummary {
    let precision = layer
        .dtype
        .map_or_else(|| "other".to_owned(), |dtype| dtype.to_string());
    LayerSummary {
        name: layer.name,
        kind: layer.kind,
        precision,
    }
}

/// The model's bytes, and the path its external weights are relative to.
fn read_model(model: Model<'_>) -> Result<(Cow<'_, [u8]>, PathBuf), CompileError> {
    match model {
        Model::Memory { bytes, folder } => Ok((Cow::Borrowed(bytes), folder.join("model.onnx"))),
        Model::File(path) => match fs::read(path) {
            Ok(bytes) => Ok((Cow::Owned(bytes), path.to_owned())),
            Err(source) => Err(CompileError::File {
                path: path.to_owned(),
                source,
            }),
        },
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CompileError> {
    fs::write(path, bytes).map_err(|source| CompileError::File {
        path: path.to_owned(),
        source,
    })
}
