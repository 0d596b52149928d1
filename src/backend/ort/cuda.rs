//! Whether the CUDA provider can be used here.

use super::fault;
use super::library::{OrtLibrary, probe_loadable};
use super::options::{self, Provider};
use crate::backend::LoadOptions;

const PROVIDERS: [&str; 2] = [
    "libonnxruntime_providers_shared.so",
    "libonnxruntime_providers_cuda.so",
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
    // The library names the first of its own needs that is missing: cuBLAS, cuDNN, the CUDA run time.
    fault::guard(|| Ok(options::builder(library, Provider::Cuda, options).map(drop)?))
        .map_err(|fault| vec![fault.message])
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
