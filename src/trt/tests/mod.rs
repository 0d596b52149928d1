//! The room against tables of NVIDIA's headers, recording fakes, small fake libraries, and the real TensorRT-RTX.

mod abi;
mod computing;
mod fakes;
mod loader;
mod model;
mod real;
mod runs;

use super::{BuildRequest, HardwareCompatibility, ProgressEvent, TimingCache};
use crate::ids::Precision;
use crate::profile::{InputRange, OptProfile};
use crate::tensor::Shape;
use std::ops::ControlFlow;

/// A request with nothing chosen.
fn plain(onnx: &[u8]) -> BuildRequest<'_> {
    BuildRequest {
        onnx,
        onnx_path: None,
        profiles: &[],
        targets: &[],
        precision: Precision::Fp32,
        fp32_nodes: &[],
        workspace_bytes: None,
        optimization_level: None,
        tf32: true,
        version_compatible: false,
        hardware: HardwareCompatibility::Exact,
        timing_cache: TimingCache::Off,
    }
}

fn opt_profile(name: &str, input: &str, [min, opt, max]: [&[usize]; 3]) -> OptProfile {
    OptProfile {
        name: name.to_owned(),
        inputs: vec![InputRange {
            name: input.to_owned(),
            min: Shape::new(min),
            opt: Shape::new(opt),
            max: Shape::new(max),
        }],
    }
}

fn unheard(_: ProgressEvent<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
