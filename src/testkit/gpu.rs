//! A GPU for a test, where there is one.
#![expect(unsafe_code, reason = "asking for the driver library loads it")]

use super::skip::skip;
use cudarc::driver::{CudaContext, sys::is_culib_present};
use std::panic::catch_unwind;

/// A device a test may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gpu {
    /// Its ordinal.
    pub ordinal: u32,
}

/// The first GPU, or a skip; `CVTRT_REQUIRE_GPU=1` makes the skip a failure.
pub fn gpu_or_skip(test: &str) -> Option<Gpu> {
    match count_devices() {
        Ok(1..) => Some(Gpu { ordinal: 0 }),
        Ok(_) => {
            skip(test, "the CUDA driver knows no device", "CVTRT_REQUIRE_GPU");
            None
        }
        Err(reason) => {
            skip(test, &reason, "CVTRT_REQUIRE_GPU");
            None
        }
    }
}

fn count_devices() -> Result<i32, String> {
    // SAFETY: loads NVIDIA's driver library and nothing else; its initialisers run in any process that uses the device.
    if !unsafe { is_culib_present() } {
        return Err("no CUDA driver (libcuda not found)".to_owned());
    }
    // A driver older than the bindings lacks symbols, and cudarc panics on the first one it misses.
    catch_unwind(CudaContext::device_count)
        .map_err(|_| "the CUDA driver is older than cvtrt".to_owned())?
        .map_err(|error| format!("the CUDA driver reports {error:?}"))
}
