//! Whether the CUDA provider can be used here.

use super::fault;
use super::library::{OrtLibrary, keep_open, probe_loadable};
use super::options::{self, Provider};
use crate::backend::LoadOptions;
use std::path::{Path, PathBuf};

const PROVIDERS: [&str; 2] = [
    "libonnxruntime_providers_shared.so",
    "libonnxruntime_providers_cuda.so",
];

/// What the CUDA provider needs, in the order they need each other.
const CUDA_LIBRARIES: [&str; 7] = [
    "libcudart.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcurand.so.10",
    "libcufft.so.12",
    "libcudnn_graph.so.9",
    "libcudnn.so.9",
];

/// Asks, in this order, for the driver, the provider's files and a registration; gives every reason found.
pub(super) fn check(library: &OrtLibrary, options: &LoadOptions) -> Result<(), Vec<String>> {
    let mut reasons = Vec::new();
    if let Err(reason) = probe_loadable("libcuda.so.1") {
        reasons.push(format!("no NVIDIA driver: {reason}"));
    }
    reasons.extend(missing_providers(library));
    if !reasons.is_empty() {
        return Err(reasons);
    }
    for file in cuda_libraries(library) {
        if let Err(reason) = keep_open(&file) {
            tracing::warn!(path = %file.display(), reason, "not loaded");
        }
    }
    // The library names the first of its own needs that is missing: cuBLAS, cuDNN, the CUDA run time.
    fault::guard(|| Ok(options::builder(library, Provider::Cuda, options).map(drop)?))
        .map_err(|fault| vec![fault.message])
}

/// The CUDA libraries that set-up put beside ONNX Runtime's folder, those others need first.
fn cuda_libraries(library: &OrtLibrary) -> Vec<PathBuf> {
    let Some(root) = library.path().parent().and_then(Path::parent) else {
        return Vec::new();
    };
    CUDA_LIBRARIES
        .iter()
        .map(|name| root.join("cuda").join(name))
        .filter(|file| file.is_file())
        .collect()
}

/// The library looks for its providers beside itself and nowhere else.
fn missing_providers(library: &OrtLibrary) -> Vec<String> {
    let Some(folder) = library
        .path()
        .parent()
        .filter(|folder| folder.is_absolute())
    else {
        return Vec::new();
    };
    PROVIDERS
        .iter()
        .filter(|name| !folder.join(name).is_file())
        .map(|name| {
            format!(
                "{name} is not in {}; the CPU package does not have it",
                folder.display()
            )
        })
        .collect()
}
