//! TensorRT and TensorRT-RTX as backends.

mod compile;
mod graph;
mod kernels;
mod phases;
mod session;

use super::{
    Artifact, Backend, Capabilities, CompileError, CompileRequest, CompiledGraph, EngineReport,
    LoadError, LoadOptions, Progress, Refusal, Unavailable,
};
use crate::cuda::{self, Gpu};
use crate::ids::{BackendId, Fingerprint, GraphId, Precision};
use crate::profile::CompileOptions;
use crate::trt::{Flavour, SearchPath, TrtLibrary, rtx_targets};
use graph::TrtGraph;
use std::sync::Arc;

/// TensorRT or TensorRT-RTX. Nothing is loaded before the first call.
#[derive(Debug)]
pub struct TensorRt {
    flavour: Flavour,
    source: Source,
}

/// Where library and device come from.
#[derive(Debug)]
enum Source {
    /// What this machine has: libraries, and a device by its ordinal after `CUDA_VISIBLE_DEVICES`.
    Search { path: SearchPath, device: u32 },
    /// Given ones.
    #[cfg(feature = "testkit")]
    Given {
        library: &'static TrtLibrary,
        gpu: Gpu,
    },
}

impl TensorRt {
    /// `tensorrt`, building for a device by its ordinal after `CUDA_VISIBLE_DEVICES`.
    pub fn proper(path: SearchPath, device: u32) -> Self {
        Self {
            flavour: Flavour::TensorRt,
            source: Source::Search { path, device },
        }
    }

    /// `tensorrt-rtx`, as [`TensorRt::proper`].
    pub fn rtx(path: SearchPath, device: u32) -> Self {
        Self {
            flavour: Flavour::TensorRtRtx,
            source: Source::Search { path, device },
        }
    }

    /// A given library on a given device, whichever the machine has.
    #[cfg(feature = "testkit")]
    pub fn given(library: &'static TrtLibrary, gpu: Gpu) -> Self {
        Self {
            flavour: library.version().flavour,
            source: Source::Given { library, gpu },
        }
    }

    fn library(&self) -> Result<&'static TrtLibrary, Unavailable> {
        match &self.source {
            Source::Search { path, .. } => TrtLibrary::load(self.flavour, path)
                .map_err(|error| self.unavailable(error.to_string())),
            #[cfg(feature = "testkit")]
            Source::Given { library, .. } => Ok(library),
        }
    }

    fn gpu(&self, ordinal: u32) -> Result<Gpu, Unavailable> {
        match &self.source {
            Source::Search { .. } => {
                Gpu::open(ordinal).map_err(|error| self.unavailable(error.to_string()))
            }
            #[cfg(feature = "testkit")]
            Source::Given { gpu, .. } => Ok(gpu.clone()),
        }
    }

    /// The device, with what tells it from others; `None` where it is a given one.
    fn device(&self) -> Result<Option<cuda::Device>, Unavailable> {
        match &self.source {
            Source::Search { device, .. } => cuda::probe()
                .and_then(|driver| driver.device(*device).cloned())
                .map(Some)
                .map_err(|reason| self.unavailable(reason.to_string())),
            #[cfg(feature = "testkit")]
            Source::Given { .. } => Ok(None),
        }
    }

    /// Whether the library has code for the device.
    fn check_generation(&self, device: Option<&cuda::Device>) -> Result<(), String> {
        match device {
            Some(device)
                if self.flavour == Flavour::TensorRtRtx
                    && !rtx_targets().any(|known| known == device.capability) =>
            {
                let cuda::Device {
                    name, capability, ..
                } = device;
                Err(format!("it has no code for {name} ({capability})"))
            }
            _ => Ok(()),
        }
    }

    /// What tells kernels compiled on this machine from those of others.
    fn machine(&self) -> Result<Fingerprint, Unavailable> {
        let facts = Fingerprint::default().with("library", self.library()?.version());
        let Some(device) = self.device()? else {
            return Ok(facts.with("device", "given"));
        };
        let driver = cuda::probe().map_err(|reason| self.unavailable(reason.to_string()))?;
        Ok(facts
            .with("driver", driver.cuda_version)
            .with("device", device.name)
            .with("capability", device.capability))
    }

    fn unavailable(&self, reason: String) -> Unavailable {
        Unavailable {
            backend: self.id(),
            reasons: vec![reason],
        }
    }
}

impl Backend for TensorRt {
    fn id(&self) -> BackendId {
        match self.flavour {
            Flavour::TensorRt => BackendId::TensorRt,
            Flavour::TensorRtRtx => BackendId::TensorRtRtx,
        }
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        let device = self.device();
        if self.flavour == Flavour::TensorRt {
            // Building and running need the device, and its library must not be entered without one.
            device.clone()?;
        }
        let library = self.library()?;
        let run = match &device {
            Ok(device) => self.check_generation(device.as_ref()),
            Err(unavailable) => Err(unavailable.reasons.join("; ")),
        };
        Ok(Capabilities {
            library: library.version().to_string(),
            path: library.path().to_owned(),
            precisions: precisions(library),
            device: device.ok().flatten().map(|device| device.capability),
            run,
        })
    }

    fn refuses(&self, graph: GraphId, options: &CompileOptions) -> Option<Refusal> {
        compile::refusal(self.flavour, graph, options)
    }

    fn fingerprint(&self) -> Result<Fingerprint, Unavailable> {
        let facts = Fingerprint::default().with("library", self.library()?.version());
        if self.flavour == Flavour::TensorRtRtx {
            // Its plans carry their targets and run on any device of those generations.
            return Ok(facts);
        }
        let Some(device) = self.device()? else {
            return Ok(facts.with("device", "given"));
        };
        Ok(facts
            .with("device", &device.name)
            .with("capability", device.capability)
            .with("memory_bytes", device.memory_bytes)
            .with("multiprocessors", device.multiprocessors))
    }

    fn compile(
        &self,
        request: &CompileRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<EngineReport, CompileError> {
        compile::compile(self, request, progress)
    }

    fn load(
        &self,
        artifact: Artifact<'_>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn CompiledGraph>, LoadError> {
        let Artifact::Engine(engine) = artifact else {
            return Err(LoadError::Unsupported {
                backend: self.id(),
                path: artifact.path().to_owned(),
                reason: "it runs engines, not models".to_owned(),
            });
        };
        let library = self.library()?;
        let gpu = self.gpu(options.device)?;
        let machine = self.machine()?;
        let graph = TrtGraph::load(self.id(), library, &gpu, &machine, engine)?;
        Ok(Arc::new(graph))
    }
}

/// The precisions a library builds: none where it only runs engines, and no BF16 before TensorRT 10.
fn precisions(library: &TrtLibrary) -> Vec<Precision> {
    if library.cannot_build().is_some() {
        return Vec::new();
    }
    let has_bf16 =
        library.version().flavour == Flavour::TensorRtRtx || library.version().release.major >= 10;
    let precisions = Precision::ALL.iter().copied();
    precisions
        .filter(|precision| has_bf16 || *precision != Precision::Bf16)
        .collect()
}
