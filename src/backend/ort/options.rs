//! Session options of the two providers.

use super::library::OrtLibrary;
use super::operators;
use crate::backend::LoadOptions;
use crate::ids::{BackendId, Precision};
use ort::ep::CUDA;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use std::path::Path;

/// Where ONNX Runtime computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    Cpu,
    Cuda,
}

impl Provider {
    pub(super) fn id(self) -> BackendId {
        match self {
            Self::Cpu => BackendId::OrtCpu,
            Self::Cuda => BackendId::OrtCuda,
        }
    }

    /// Precisions worth an engine.
    ///
    /// On the processor a half-precision graph runs through casts around FP32 kernels: slower, and an overflow can go
    /// unseen.
    pub(super) fn precisions(self) -> &'static [Precision] {
        match self {
            Self::Cpu => &[Precision::Fp32],
            Self::Cuda => &[Precision::Fp32, Precision::Fp16],
        }
    }

    /// How far a model is optimised before it is saved, and the level's name in the fingerprint.
    ///
    /// The last level lays convolutions out for the processor, which the CUDA provider would have to undo.
    pub(super) fn level(self) -> (GraphOptimizationLevel, &'static str) {
        match self {
            Self::Cpu => (GraphOptimizationLevel::All, "all"),
            Self::Cuda => (GraphOptimizationLevel::Level2, "extended"),
        }
    }
}

/// Where a model in memory keeps its external weights.
pub(super) fn external_data_in(
    builder: SessionBuilder,
    folder: &Path,
) -> ort::Result<SessionBuilder> {
    let folder = folder.to_string_lossy();
    Ok(builder.with_config_entry(
        "session.model_external_initializers_file_folder_path",
        folder,
    )?)
}

/// A builder with everything both compiling and loading need; the optimisation level is the caller's.
pub(super) fn builder(
    library: &OrtLibrary,
    provider: Provider,
    options: &LoadOptions,
) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(library.environment())?
        .with_intra_threads(options.threads)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        // Lanes share the cores; a thread that spins takes one from another lane.
        .with_intra_op_spinning(false)?
        // A pattern is kept per combination of input shapes, without a bound.
        .with_memory_pattern(false)?;
    if provider == Provider::Cpu {
        // Engines compiled here may name our operators.
        return Ok(builder.with_operators(operators::domain()?)?);
    }
    let device = i32::try_from(options.device).map_err(|_| ort::Error::new("no such device"))?;
    // TF32 is a setting of the session, not of the engine, so an FP32 engine has to do without.
    let cuda = CUDA::default().with_device_id(device).with_tf32(false);
    Ok(builder.with_execution_providers([cuda.build().error_on_failure()])?)
}
