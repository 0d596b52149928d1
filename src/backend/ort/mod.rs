//! ONNX Runtime as a backend, on the processor and through its CUDA provider.
//!
//! An engine of it is an optimised ONNX model in one file, weights included. It is valid for one version of the library
//! and, on the processor, for one set of vector extensions; the fingerprint says so.

mod compile;
mod cuda;
mod fault;
mod graph;
mod library;
mod machine;
mod operators;
mod options;
mod session;
mod signature;
mod view;

pub use library::{LibraryError, OrtLibrary, Refused, SearchPath};

use super::{
    Artifact, Backend, Capabilities, CompileError, CompileRequest, CompiledGraph, EngineReport,
    LoadError, LoadOptions, Progress, Unavailable,
};
use crate::ids::{BackendId, Fingerprint};
use graph::OrtGraph;
use options::Provider;
use std::sync::Arc;

/// ONNX Runtime with one of its providers. Nothing is loaded before the first call.
#[derive(Debug)]
pub struct Ort {
    provider: Provider,
    search: SearchPath,
}

impl Ort {
    /// `ort-cpu`.
    pub fn cpu(search: SearchPath) -> Self {
        let provider = Provider::Cpu;
        Self { provider, search }
    }

    /// `ort-cuda`.
    pub fn cuda(search: SearchPath) -> Self {
        let provider = Provider::Cuda;
        Self { provider, search }
    }

    fn library(&self) -> Result<&'static OrtLibrary, Unavailable> {
        OrtLibrary::open(&self.search).map_err(|error| self.unavailable(error.reasons()))
    }

    /// The library, with the provider found to work.
    fn usable(&self, device: u32) -> Result<&'static OrtLibrary, Unavailable> {
        let library = self.library()?;
        if self.provider == Provider::Cuda {
            let options = LoadOptions { threads: 1, device };
            cuda::check(library, &options).map_err(|reasons| self.unavailable(reasons))?;
        }
        Ok(library)
    }

    fn unavailable(&self, reasons: Vec<String>) -> Unavailable {
        Unavailable {
            backend: self.id(),
            reasons,
        }
    }
}

impl Backend for Ort {
    fn id(&self) -> BackendId {
        self.provider.id()
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        let library = self.usable(0)?;
        Ok(Capabilities {
            library: format!("ONNX Runtime {}", library.version()),
            path: library.path().to_owned(),
            precisions: self.provider.precisions().to_vec(),
            device: None,
            run: Ok(()),
        })
    }

    fn fingerprint(&self) -> Result<Fingerprint, Unavailable> {
        let library = self.library()?;
        let (_, level) = self.provider.level();
        let fingerprint = Fingerprint::default()
            .with("backend", self.id())
            .with("onnxruntime", library.version())
            .with("level", level);
        Ok(match self.provider {
            Provider::Cpu => fingerprint.with("processor", machine::processor()),
            Provider::Cuda => fingerprint,
        })
    }

    fn compile(
        &self,
        request: &CompileRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<EngineReport, CompileError> {
        compile::compile(self.usable(0)?, self.provider, request, progress)
    }

    fn load(
        &self,
        artifact: Artifact<'_>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn CompiledGraph>, LoadError> {
        let library = self.usable(options.device)?;
        Ok(Arc::new(OrtGraph::load(
            library,
            self.provider,
            artifact,
            options,
        )?))
    }
}
