//! Timings of several builds made one.

use super::builder::BuildError;
use super::handle::{BuilderHandle, Status};
use super::library::TrtLibrary;
use super::request::{BuildRequest, HardwareCompatibility, ProgressEvent, TimingCache};
use super::version::Flavour;
use crate::cuda;
use crate::ids::Precision;
use std::ops::ControlFlow;
use std::sync::PoisonError;

impl TrtLibrary {
    /// Timing caches of two builds with this library on this device as one; where both have a timing, `ours` stays.
    ///
    /// # Errors
    /// [`BuildError::NoDevice`]; [`BuildError::Failed`] where the library does not take one of them.
    pub fn merge_timings(&self, ours: &[u8], theirs: &[u8]) -> Result<Vec<u8>, BuildError> {
        if self.version().flavour == Flavour::TensorRt {
            cuda::probe().map_err(BuildError::NoDevice)?;
        }
        self.merge_timings_where_safe(ours, theirs)
    }

    /// [`Self::merge_timings`] behind the look for a device.
    pub(super) fn merge_timings_where_safe(
        &self,
        ours: &[u8],
        theirs: &[u8],
    ) -> Result<Vec<u8>, BuildError> {
        let _alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        // A cache is made by a builder's configuration; nothing is built with this one.
        let request = BuildRequest {
            onnx: &[],
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
            timing_cache: TimingCache::From(ours),
        };
        let unheard = |_: ProgressEvent<'_>| ControlFlow::Continue(());
        let merged =
            BuilderHandle::new(&self.handle, &request, &unheard).and_then(|mut builder| {
                builder.add_timings(theirs)?;
                Ok(builder.timing_cache()?.to_vec())
            });
        merged.map_err(|error| match error.status {
            Status::Unsupported => BuildError::Unsupported(error.message),
            _ => BuildError::Failed {
                message: error.message,
                log: Vec::new(),
            },
        })
    }
}
