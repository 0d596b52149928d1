//! What TensorRT-RTX compiles on the device, kept beside the plan it belongs to.

use crate::ids::{DigestHasher, Fingerprint};
use crate::trt::{EngineError, KernelOptions, TrtEngine};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file of one plan's kernels on one device and driver.
#[derive(Debug)]
pub(super) struct KernelFile {
    path: PathBuf,
}

/// More than the kernels of any graph; a larger file is none of ours.
const MAX_BYTES: u64 = 1 << 30;

impl KernelFile {
    /// The file beside `plan`; `machine` tells devices, drivers and libraries apart.
    pub(super) fn beside(plan: &Path, machine: &Fingerprint) -> Self {
        let mut hasher = DigestHasher::default();
        for (name, value) in machine.facts() {
            hasher.update(format!("{name}={value}\n").as_bytes());
        }
        let key = hasher.finish().short();
        Self {
            path: plan.with_file_name(format!("kernels-{key}")),
        }
    }

    /// Has an engine begin with the kernels of earlier processes, and keep those it compiles.
    ///
    /// Shapes are not all known beforehand, so a new one runs on a kernel for all shapes until its own is compiled. CUDA
    /// graphs are the pipeline's.
    pub(super) fn configure(&self, engine: &mut TrtEngine) -> Result<(), EngineError> {
        let cache = self.read().unwrap_or_else(|error| {
            let path = self.path.display();
            tracing::warn!(%path, %error, "kernels of earlier processes are not read");
            Vec::new()
        });
        let taken = engine.configure(&KernelOptions { cache: &cache })?;
        if !taken && !cache.is_empty() {
            let path = self.path.display();
            tracing::info!(%path, "the library begins with no kernels: these are another's");
        }
        Ok(())
    }

    /// Writes down the kernels that an engine has by now.
    pub(super) fn save(&self, engine: &TrtEngine) {
        let saved = engine
            .kernels()
            .map_err(|error| error.to_string())
            .and_then(|kernels| self.write(&kernels).map_err(|error| error.to_string()));
        if let Err(error) = saved {
            let path = self.path.display();
            tracing::warn!(%path, error, "compiled kernels are not kept");
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        match fs::metadata(&self.path) {
            Ok(data) if data.len() > MAX_BYTES => Err(io::Error::other(format!(
                "{} bytes are too many",
                data.len()
            ))),
            Ok(_) => fs::read(&self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The whole file or none of it.
    fn write(&self, kernels: &[u8]) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        // As readable as the plan beside it.
        let mut file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        file.write_all(kernels)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}
