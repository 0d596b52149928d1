//! What tests share: libraries that may be missing, recorded data, small graphs.

mod on_ort;
mod runtime;
mod skip;

pub use on_ort::tensorrt_on_ort_or_skip;
pub use runtime::{backend_or_skip, runtime_dir, test_backends};
pub use skip::skip;

use std::path::PathBuf;

/// A file under `tests/data`.
pub fn data_path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(relative)
}

/// A graph written by `scripts/make_test_graphs.py`.
pub fn graph_path(name: &str) -> PathBuf {
    data_path("graphs").join(format!("{name}.onnx"))
}
