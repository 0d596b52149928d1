//! TensorRT and TensorRT-RTX as backends: the build half.

use super::timings::TimingFile;
use super::{
    Artifact, Backend, Capabilities, CompileError, CompileRequest, CompiledGraph, EngineReport,
    LayerSummary, LoadError, LoadOptions, Model, Progress, Step, Unavailable,
};
use crate::cuda;
use crate::ids::{BackendId, Fingerprint, Precision};
use crate::profile::ComputeCapability;
use crate::trt::{
    BuildError, BuildRequest, Flavour, HardwareCompatibility, LayerInfo, ProgressEvent, SearchPath,
    TimingCache, TrtLibrary, rtx_targets,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// TensorRT or TensorRT-RTX. Nothing is loaded before the first call.
#[derive(Debug)]
pub struct TensorRt {
    flavour: Flavour,
    search: SearchPath,
    /// The device engines are built for; RTX engines are for their targets.
    device: u32,
}

/// What this version of cvtrt leaves out.
const NO_RUN_HALF: &str = "this version of cvtrt builds such engines and does not run them yet";

impl TensorRt {
    /// `tensorrt`, building for a device by its ordinal after `CUDA_VISIBLE_DEVICES`.
    pub fn proper(search: SearchPath, device: u32) -> Self {
        Self {
            flavour: Flavour::TensorRt,
            search,
            device,
        }
    }

    /// `tensorrt-rtx`.
    pub fn rtx(search: SearchPath) -> Self {
        Self {
            flavour: Flavour::TensorRtRtx,
            search,
            device: 0,
        }
    }

    fn library(&self) -> Result<&'static TrtLibrary, Unavailable> {
        TrtLibrary::load(self.flavour, &self.search)
            .map_err(|error| self.unavailable(error.to_string()))
    }

    fn device(&self) -> Result<cuda::Device, Unavailable> {
        cuda::probe()
            .and_then(|driver| driver.device(self.device).cloned())
            .map_err(|reason| self.unavailable(reason.to_string()))
    }

    fn unavailable(&self, reason: String) -> Unavailable {
        Unavailable {
            backend: self.id(),
            reasons: vec![reason],
        }
    }

    /// The library's own words on a generation it lacks name neither it nor the others.
    fn check_targets(&self, targets: &[ComputeCapability]) -> Result<(), CompileError> {
        let Some(foreign) = targets
            .iter()
            .find(|target| !rtx_targets().any(|known| known == **target))
        else {
            return Ok(());
        };
        let known: Vec<String> = rtx_targets().map(|target| target.to_string()).collect();
        Err(CompileError::Option {
            backend: self.id(),
            option: "target",
            reason: format!("{foreign} is none of {}", known.join(", ")),
        })
    }

    fn explain(&self, error: BuildError, request: &CompileRequest<'_>) -> CompileError {
        let (backend, graph) = (self.id(), request.graph);
        match error {
            BuildError::NoDevice(reason) => self.unavailable(reason.to_string()).into(),
            BuildError::Cancelled => CompileError::Cancelled(graph),
            BuildError::OutOfMemory { .. } => CompileError::OutOfMemory { backend, graph },
            BuildError::EmptyModel | BuildError::Parse(_) => CompileError::Model {
                backend,
                graph,
                reason: error.to_string(),
            },
            other => CompileError::Build {
                backend,
                graph,
                reason: other.to_string(),
            },
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
        if self.flavour == Flavour::TensorRt {
            // Building and running need the device, and its library must not be entered without one.
            self.device()?;
        }
        let library = self.library()?;
        Ok(Capabilities {
            library: library.version().to_string(),
            path: library.path().to_owned(),
            precisions: Precision::ALL.to_vec(),
            run: Err(NO_RUN_HALF.to_owned()),
        })
    }

    fn fingerprint(&self) -> Result<Fingerprint, Unavailable> {
        let facts = Fingerprint::default().with("library", self.library()?.version());
        if self.flavour == Flavour::TensorRtRtx {
            // Its plans carry their targets and run on any device of those generations.
            return Ok(facts);
        }
        let device = self.device()?;
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
        let library = self.library()?;
        if self.flavour == Flavour::TensorRtRtx {
            self.check_targets(&request.options.targets)?;
        }
        if self.flavour == Flavour::TensorRtRtx && request.options.targets.is_empty() {
            return Err(self
                .unavailable("no target names a GPU to build for".to_owned())
                .into());
        }
        let (onnx, path) = read_model(request.model)?;
        // RTX takes no timings: it compiles for the device only when a plan is first loaded.
        let mut timings = request
            .timing_cache
            .filter(|_| self.flavour == Flavour::TensorRt)
            .map(TimingFile::read);
        let hardware = if request.options.hardware_compatible {
            HardwareCompatibility::AmperePlus
        } else {
            HardwareCompatibility::Exact
        };
        let wanted = BuildRequest {
            onnx: &onnx,
            onnx_path: Some(&path),
            profiles: request.shapes,
            targets: &request.options.targets,
            precision: request.precision,
            fp32_nodes: request.fp32_nodes,
            workspace_bytes: request.options.workspace_bytes,
            optimization_level: request.options.optimization_level,
            tf32: request.options.tf32,
            version_compatible: request.options.version_compatible,
            hardware,
            timing_cache: match &timings {
                Some(file) => file.bytes().map_or(TimingCache::Fresh, TimingCache::From),
                None => TimingCache::Off,
            },
        };
        let phases = Phases::default();
        let listen = |event: ProgressEvent<'_>| phases.hear(event, progress);
        let built = library
            .build(&wanted, &listen)
            .map_err(|error| self.explain(error, request))?;
        write(request.engine, &built.plan)?;
        if let (Some(file), Some(reason)) = (&mut timings, &built.timings_refused) {
            file.refuse(reason);
        }
        let timings = timings.zip(built.timing_cache).map(|(file, ours)| {
            file.keep(&ours, |ours, theirs| {
                let merged = library.merge_timings(ours, theirs);
                merged.map_err(|error| error.to_string())
            })
        });
        let layers = built.network.layers.into_iter().map(summarised).collect();
        Ok(EngineReport {
            layers,
            warnings: built.warnings,
            timings,
            ..EngineReport::default()
        })
    }

    fn load(
        &self,
        artifact: Artifact<'_>,
        _options: &LoadOptions,
    ) -> Result<Arc<dyn CompiledGraph>, LoadError> {
        Err(LoadError::Unsupported {
            backend: self.id(),
            path: artifact.path().to_owned(),
            reason: NO_RUN_HALF.to_owned(),
        })
    }
}

/// The phases under way, each with the steps it announced.
#[derive(Debug, Default)]
struct Phases {
    totals: Mutex<BTreeMap<String, u32>>,
}

impl Phases {
    fn hear(&self, event: ProgressEvent<'_>, progress: &dyn Progress) -> ControlFlow<()> {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let step = match event {
            ProgressEvent::Started { phase, steps, .. } => {
                totals.insert(phase.to_owned(), steps);
                Step {
                    phase,
                    done: 0,
                    total: steps,
                }
            }
            ProgressEvent::Step { phase, step } => Step {
                phase,
                done: step + 1,
                total: totals.get(phase).copied().unwrap_or(0),
            },
            ProgressEvent::Finished { phase } => {
                let total = totals.remove(phase).unwrap_or(0);
                Step {
                    phase,
                    done: total,
                    total,
                }
            }
        };
        drop(totals);
        progress.step(&step)
    }
}

fn summarised(layer: LayerInfo) -> LayerSummary {
    let precision = layer
        .dtype
        .map_or_else(|| "other".to_owned(), |dtype| dtype.to_string());
    LayerSummary {
        name: layer.name,
        kind: layer.kind,
        precision,
    }
}

/// The model's bytes, and the path its external weights are relative to.
fn read_model(model: Model<'_>) -> Result<(Cow<'_, [u8]>, PathBuf), CompileError> {
    match model {
        Model::Memory { bytes, folder } => Ok((Cow::Borrowed(bytes), folder.join("model.onnx"))),
        Model::File(path) => match fs::read(path) {
            Ok(bytes) => Ok((Cow::Owned(bytes), path.to_owned())),
            Err(source) => Err(CompileError::File {
                path: path.to_owned(),
                source,
            }),
        },
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CompileError> {
    fs::write(path, bytes).map_err(|source| CompileError::File {
        path: path.to_owned(),
        source,
    })
}
