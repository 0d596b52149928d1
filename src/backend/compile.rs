//! The compile half: request, report, progress, errors.

use super::Timings;
use crate::hint::Hint;
use crate::ids::{BackendId, GraphId, Precision};
use crate::profile::{CompileOptions, OptProfile};
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// An ONNX model to compile.
#[derive(Debug, Clone, Copy)]
pub enum Model<'a> {
    /// A file, with its external weights beside it.
    File(&'a Path),
    /// A rewritten model in memory; external weights are looked up in `folder`.
    Memory {
        /// The serialised model.
        bytes: &'a [u8],
        /// Where external weights are.
        folder: &'a Path,
    },
}

/// Everything a backend needs to compile one graph.
#[derive(Debug, Clone, Copy)]
pub struct CompileRequest<'a> {
    /// Which graph it is, for messages.
    pub graph: GraphId,
    /// The model.
    pub model: Model<'a>,
    /// The precision the model was rewritten to.
    pub precision: Precision,
    /// Nodes of the model that compute in FP32 although the rest is half, for a library that does not read it from them.
    pub fp32_nodes: &'a [String],
    /// Shape ranges; at least one where any input is dynamic.
    pub shapes: &'a [OptProfile],
    /// Settings that change the engine.
    pub options: &'a CompileOptions,
    /// Timings of earlier builds, read and updated where the library keeps any.
    pub timing_cache: Option<&'a Path>,
    /// The file to write.
    pub engine: &'a Path,
}

/// Why a backend compiles no model of a graph, or none with some options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
}

/// What a build found out about the engine it made.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EngineReport {
    /// The layers, in execution order where the library tells.
    pub layers: Vec<LayerSummary>,
    /// The library's own warnings.
    pub warnings: Vec<String>,
    /// Most host memory the building process ever held, in bytes; `None` where the system does not tell.
    #[serde(default)]
    pub peak_host_bytes: Option<u64>,
    /// How the model was rewritten before this library saw it; `None` in reports of older versions.
    #[serde(default)]
    pub rewriting: Option<Rewriting>,
    /// What became of the timings of earlier builds; `None` where the library keeps none, or none were wanted.
    #[serde(default)]
    pub timings: Option<Timings>,
}

/// What rewriting a model took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rewriting {
    /// How long.
    pub ms: u64,
    /// Most host memory the process had held when it was done, in bytes, mapped files included.
    pub peak_host_bytes: Option<u64>,
}

/// One layer of an engine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerSummary {
    /// Name.
    pub name: String,
    /// Operator or layer kind.
    pub kind: String,
    /// Element type it computes or gives, in the library's words.
    pub precision: String,
}

/// Hears how a build goes on; a closure will do.
pub trait Progress: Sync {
    /// Called at each step; [`ControlFlow::Break`] asks the build to stop.
    fn step(&self, step: &Step<'_>) -> ControlFlow<()>;
}

impl<F: Fn(&Step<'_>) -> ControlFlow<()> + Sync> Progress for F {
    fn step(&self, step: &Step<'_>) -> ControlFlow<()> {
        self(step)
    }
}

/// One step of a build.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What is being done.
    pub phase: &'a str,
    /// Steps done in this phase.
    pub done: u32,
    /// Steps in this phase; 0 where unknown.
    pub total: u32,
}

/// Why a graph was not compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The backend is not usable here.
    #[error(transparent)]
    Unavailable(#[from] super::Unavailable),
    /// The backend does not build this precision.
    #[error("{backend} does not build {precision} engines")]
    Precision {
        /// The backend.
        backend: BackendId,
        /// The precision asked for.
        precision: Precision,
    },
    /// A setting has no meaning for this backend.
    #[error("{backend} does not take `{option}`: {reason}")]
    Option {
        /// The backend.
        backend: BackendId,
        /// The setting, as its flag is spelled.
        option: &'static str,
        /// Why.
        reason: String,
    },
    /// The library could not read the model.
    #[error("{backend} cannot take the graph `{graph}`: {reason}")]
    Model {
        /// The backend.
        backend: BackendId,
        /// The graph.
        graph: GraphId,
        /// The library's words, with the node where it names one.
        reason: String,
    },
    /// The library gave up.
    #[error("{backend} could not build `{graph}`: {reason}")]
    Build {
        /// The backend.
        backend: BackendId,
        /// The graph.
        graph: GraphId,
        /// The library's words, the last lines of its log.
        reason: String,
    },
    /// Memory ran out.
    #[error("out of memory while {backend} built `{graph}`")]
    OutOfMemory {
        /// The backend.
        backend: BackendId,
        /// The graph.
        graph: GraphId,
    },
    /// The build was asked to stop.
    #[error("the build of `{0}` was stopped")]
    Cancelled(GraphId),
    /// A file could not be read or written.
    #[error("cannot access {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Hint for CompileError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unavailable(unavailable) => unavailable.hint(),
            Self::Precision { .. } => {
                Some("choose another --backend, or a precision it builds".into())
            }
            Self::Option { option, .. } => {
                Some(format!("leave out --{option}, or choose another --backend").into())
            }
            Self::Model { graph, .. } => Some(
                format!(
                    "cvtrt inspect the ONNX file of `{graph}` lists operators a backend cannot take"
                )
                .into(),
            ),
            Self::Build { .. } => Some("run again with -v for the library's whole log".into()),
            Self::OutOfMemory { .. } => {
                Some("lower --max-workspace or the profile's largest shapes".into())
            }
            Self::Cancelled(_) | Self::File { .. } => None,
        }
    }
}
