//! What parent and worker say to each other: one job in, messages out, each a line of JSON.

use super::failure::Failure;
use super::inputs::Vocabulary;
use crate::backend::EngineReport;
use crate::cache::{SignatureText, Verification};
use crate::ids::{BackendId, GraphId, Precision};
use crate::onnx::Islands;
use crate::profile::{CompileOptions, ShapeSet};
use std::path::PathBuf;

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "job", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Job {
    Compile(CompileJob),
    Verify(VerifyJob),
}

/// Rewrite a model and compile it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct CompileJob {
    pub(super) graph: GraphId,
    pub(super) model: PathBuf,
    /// The external weights that the bundle lists; the model may name no others.
    pub(super) data: Vec<PathBuf>,
    pub(super) backend: BackendId,
    pub(super) precision: Precision,
    /// Steps of the flow's solver.
    pub(super) steps: usize,
    /// Whether instance normalisations become primitives.
    pub(super) plain_instance_norm: bool,
    /// What stays in FP32.
    pub(super) islands: Islands,
    /// Ranges the engine is built for; empty where the backend takes any shape.
    pub(super) shapes: Vec<ShapeSet>,
    pub(super) options: CompileOptions,
    pub(super) timing_cache: Option<PathBuf>,
    pub(super) engine: PathBuf,
}

/// Load an engine for the first time and compare it with the model.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct VerifyJob {
    pub(super) graph: GraphId,
    pub(super) model: PathBuf,
    /// The external weights that the bundle lists; the model may name no others.
    pub(super) data: Vec<PathBuf>,
    pub(super) backend: BackendId,
    pub(super) precision: Precision,
    pub(super) tf32: bool,
    /// Ranges whose ends are run.
    pub(super) shapes: Vec<ShapeSet>,
    pub(super) vocabulary: Vocabulary,
    /// Whether code inside the engine may run in the worker.
    pub(super) host_code: bool,
    pub(super) engine: PathBuf,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "cvtrt", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Message {
    Step {
        phase: String,
        done: u32,
        total: u32,
    },
    Compiled {
        signature: SignatureText,
        report: EngineReport,
    },
    Verified {
        verification: Verification,
    },
    Failed {
        failure: Failure,
    },
}

impl Job {
    pub(super) fn graph(&self) -> GraphId {
        match self {
            Self::Compile(job) => job.graph,
            Self::Verify(job) => job.graph,
        }
    }

    /// What it does, as a verb.
    pub(super) fn task(&self) -> &'static str {
        match self {
            Self::Compile(_) => "build",
            Self::Verify(_) => "verify",
        }
    }
}
