//! The libraries of the test run.

use super::skip::skip;
use crate::backend::{Backend, BackendSettings, Backends};
use crate::ids::BackendId;
use std::env;
use std::path::PathBuf;
use std::sync::Arc;

/// The folder libraries are looked for in: `CVTRT_RUNTIME_DIR`, or `third_party` of the checkout.
pub fn runtime_dir() -> PathBuf {
    env::var_os("CVTRT_RUNTIME_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("third_party"),
        PathBuf::from,
    )
}

/// Every backend, on the libraries of [`runtime_dir`].
pub fn test_backends() -> Backends {
    Backends::open(&BackendSettings::with_roots(vec![runtime_dir()]))
}

/// A backend that works here, or a skip. `CVTRT_REQUIRE_ORT=1` makes a skip of `ort-cpu` a failure,
/// `CVTRT_REQUIRE_GPU=1` one of any other.
pub fn backend_or_skip(id: BackendId, test: &str) -> Option<Arc<dyn Backend>> {
    let backends = test_backends();
    let probed = backends
        .get(id)
        .and_then(|backend| backend.probe().map(|_| Arc::clone(backend)));
    match probed {
        Ok(backend) => Some(backend),
        Err(unavailable) => {
            let require = match id {
                BackendId::OrtCpu => "CVTRT_REQUIRE_ORT",
                BackendId::OrtCuda | BackendId::TensorRt | BackendId::TensorRtRtx => {
                    "CVTRT_REQUIRE_GPU"
                }
            };
            skip(test, &unavailable.to_string(), require);
            None
        }
    }
}
