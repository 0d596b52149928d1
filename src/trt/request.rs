//! What a build is asked for, and who hears how it goes.

use crate::ids::Precision;
use crate::profile::{ComputeCapability, OptProfile};
use std::ops::ControlFlow;
use std::path::Path;

/// One engine to build.
#[derive(Debug, Clone, Copy)]
pub struct BuildRequest<'a> {
    /// The ONNX model.
    pub onnx: &'a [u8],
    /// Where the model lies or would lie: external weights are looked up beside it.
    pub onnx_path: Option<&'a Path>,
    /// Optimisation profiles; every dynamic input needs a range in each.
    pub profiles: &'a [OptProfile],
    /// GPU generations to compile for, TensorRT-RTX only; empty takes the library's default.
    pub targets: &'a [ComputeCapability],
    /// What the model computes in; tells TensorRT 8.6, which does not read it from the model.
    pub precision: Precision,
    /// Nodes that compute in FP32 although the rest is half; TensorRT 8.6 has to be told them by name.
    pub fp32_nodes: &'a [String],
    /// Scratch memory a layer may use, in bytes; `None` keeps the library's default.
    pub workspace_bytes: Option<u64>,
    /// 0 to 5; `None` keeps the library's default.
    pub optimization_level: Option<u8>,
    /// Whether FP32 products may be computed in TF32.
    pub tf32: bool,
    /// Whether newer libraries may load the plan. Not with TensorRT-RTX.
    pub version_compatible: bool,
    /// Which other devices may run the plan. Not with TensorRT-RTX.
    pub hardware: HardwareCompatibility,
    /// Timings of earlier builds. Not with TensorRT-RTX, which times nothing.
    pub timing_cache: TimingCache<'a>,
}

/// Which devices besides the building one may run a plan.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum HardwareCompatibility {
    /// None that differ.
    #[default]
    Exact,
    /// Ampere and later.
    AmperePlus,
}

/// Whether a build keeps the timings it takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TimingCache<'a> {
    /// No cache.
    #[default]
    Off,
    /// A new cache, handed out with the plan.
    Fresh,
    /// Goes on from the cache of an earlier build with the same library on the same device.
    From(&'a [u8]),
}

/// Something that happened in a build. Phases nest and run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressEvent<'a> {
    /// A phase begins.
    Started {
        /// Its name, unique among the running ones.
        phase: &'a str,
        /// The phase it is a part of.
        parent: Option<&'a str>,
        /// Steps it will take.
        steps: u32,
    },
    /// A step is done.
    Step {
        /// The phase.
        phase: &'a str,
        /// The step's number, from zero.
        step: u32,
    },
    /// A phase is over.
    Finished {
        /// The phase.
        phase: &'a str,
    },
}

/// Hears a build's progress. Called from the library's threads, possibly several at once.
pub trait BuildProgress: Sync {
    /// Takes note; `Break` stops the build at the next step of any phase.
    fn on(&self, event: ProgressEvent<'_>) -> ControlFlow<()>;
}

impl<F> BuildProgress for F
where
    F: Fn(ProgressEvent<'_>) -> ControlFlow<()> + Sync,
{
    fn on(&self, event: ProgressEvent<'_>) -> ControlFlow<()> {
        self(event)
    }
}
