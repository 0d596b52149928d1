//! The load half: artifacts, options, what a backend can do here, errors.

use crate::cuda::{CudaError, CudaErrorKind};
use crate::hint::{Class, Hint};
use crate::ids::{BackendId, Precision};
use crate::profile::ComputeCapability;
use crate::tensor::Signature;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// What a backend loads.
#[derive(Debug, Clone, Copy)]
pub enum Artifact<'a> {
    /// An engine this backend compiled, already verified against its digest.
    Engine(EngineArtifact<'a>),
    /// A model as exported.
    Onnx(&'a Path),
    /// A model in memory; external weights are looked up in `folder`.
    Memory {
        /// The serialised model.
        bytes: &'a [u8],
        /// Where external weights are.
        folder: &'a Path,
    },
}

/// An engine file, and what was known when it was compiled.
#[derive(Debug, Clone, Copy)]
pub struct EngineArtifact<'a> {
    /// The file.
    pub path: &'a Path,
    /// The model's inputs and outputs: a plan of TensorRT has their names and types, and no names of axes.
    pub signature: &'a Signature,
    /// Whether code inside the engine may run in this process, as that of version-compatible plans has to.
    pub host_code: bool,
}

/// An artifact that stays at hand, so that a graph can be loaded later.
#[derive(Debug, Clone)]
pub enum StoredArtifact {
    /// See [`EngineArtifact`].
    Engine {
        /// The file.
        path: PathBuf,
        /// The model's inputs and outputs.
        signature: Signature,
        /// Whether code inside the engine may run in this process.
        host_code: bool,
    },
    /// A model as exported.
    Onnx(PathBuf),
}

impl StoredArtifact {
    /// The artifact, to load.
    pub fn get(&self) -> Artifact<'_> {
        match self {
            Self::Engine {
                path,
                signature,
                host_code,
            } => Artifact::Engine(EngineArtifact {
                path,
                signature,
                host_code: *host_code,
            }),
            Self::Onnx(path) => Artifact::Onnx(path),
        }
    }
}

impl<'a> Artifact<'a> {
    /// Where it is, for messages: its file, or the folder of its weights.
    pub fn path(self) -> &'a Path {
        match self {
            Self::Engine(engine) => engine.path,
            Self::Onnx(path) => path,
            Self::Memory { folder, .. } => folder,
        }
    }
}

/// How to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// Processor threads a host backend may use inside one run; 0 leaves the choice to the library.
    ///
    /// Runs with the same number give the same bytes. Another number may divide a sum differently, and so change the
    /// last bits.
    pub threads: usize,
    /// Device ordinal for device backends.
    pub device: u32,
}

/// What a usable backend can do here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Capabilities {
    /// Library and its version, for people.
    pub library: String,
    /// The file it was loaded from.
    pub path: PathBuf,
    /// Precisions it builds.
    pub precisions: Vec<Precision>,
    /// The GPU that engines would run on; `None` for the processor, and where there is none.
    pub device: Option<ComputeCapability>,
    /// Whether it can run engines here, or why it can only build them.
    pub run: Result<(), String>,
}

/// Memory a loaded graph holds, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Footprint {
    /// In host memory.
    pub host_bytes: u64,
    /// In device memory.
    pub device_bytes: u64,
    /// In device memory besides, for every lane that runs it; lanes lend it to one run at a time.
    pub scratch_bytes: u64,
}

/// Why a backend cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{backend} is not available: {}", reasons.join("; "))]
pub struct Unavailable {
    /// The backend.
    pub backend: BackendId,
    /// Everything that was found and why it would not do.
    pub reasons: Vec<String>,
}

impl Hint for Unavailable {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self.backend {
            BackendId::OrtCpu => "cvtrt setup --cpu".into(),
            BackendId::TensorRtRtx => {
                "cvtrt setup; engines for other machines need --target sm_86 or the like".into()
            }
            BackendId::TensorRt | BackendId::OrtCuda => {
                "cvtrt setup --gpu on a machine with an NVIDIA GPU".into()
            }
        })
    }

    fn class(&self) -> Class {
        Class::Unavailable
    }
}

/// Why an artifact was not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The backend is not usable here.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The backend does not load artifacts of this kind.
    #[error("{backend} does not load {}: {reason}", path.display())]
    Unsupported {
        /// The backend.
        backend: BackendId,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The library refused the file.
    #[error("{backend} cannot load {}: {reason}", path.display())]
    Refused {
        /// The backend.
        backend: BackendId,
        /// The file.
        path: PathBuf,
        /// The library's words.
        reason: String,
    },
    /// Memory ran out.
    #[error("out of memory while {backend} loaded {}", path.display())]
    OutOfMemory {
        /// The backend.
        backend: BackendId,
        /// The file.
        path: PathBuf,
    },
    /// The artifact's interface is not one cvtrt can drive.
    #[error("{} has an interface cvtrt cannot drive: {reason}", path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The device gave no stream or no memory for a lane.
    #[error("the device gives a lane nothing to work with")]
    Device(#[from] CudaError),
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl LoadError {
    /// Whether the device is gone, so that nothing else in this process can use it.
    pub fn is_lost_device(&self) -> bool {
        matches!(
            self,
            Self::Device(CudaError {
                kind: CudaErrorKind::DeviceLost,
                ..
            })
        )
    }
}

impl Hint for LoadError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unavailable(unavailable) => unavailable.hint(),
            Self::Unsupported { .. } | Self::Refused { .. } => {
                Some("cvtrt build makes the engine anew".into())
            }
            Self::OutOfMemory { .. }
            | Self::Device(CudaError {
                kind: CudaErrorKind::OutOfMemory,
                ..
            }) => Some("lower the profile's lanes or its largest shapes".into()),
            Self::Device(_) => Some("cvtrt diagnose".into()),
            Self::Signature { .. } => Some("export the model again with `cvtrt export`".into()),
            Self::File { .. } => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Unavailable(unavailable) => unavailable.class(),
            Self::Unsupported { .. }
            | Self::Refused { .. }
            | Self::Signature { .. }
            | Self::File { .. } => Class::Input,
            Self::OutOfMemory { .. } | Self::Device(_) => Class::Failed,
        }
    }
}
