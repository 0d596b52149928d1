//! A loaded graph.

use super::fault::{self, Fault};
use super::library::OrtLibrary;
use super::options::{self, Provider};
use super::session::OrtSession;
use super::signature::signature_from_session;
use super::view::Runner;
use crate::backend::{
    Artifact, CompiledGraph, EngineArtifact, Footprint, Lane, LoadError, LoadOptions, Session,
};
use crate::ids::BackendId;
use crate::tensor::Signature;
use ort::session::builder::GraphOptimizationLevel;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A model file and what every lane needs to open it.
///
/// Each lane has a session of its own with its own copy of the weights: the library shares weights between sessions
/// only where a caller hands it every initialiser. The session that read the signature goes to the first lane. The file
/// must stay in place for as long as lanes are opened.
#[derive(Debug)]
pub(super) struct OrtGraph {
    library: &'static OrtLibrary,
    provider: Provider,
    options: LoadOptions,
    level: GraphOptimizationLevel,
    source: Source,
    signature: Signature,
    weight_bytes: u64,
    first: Mutex<Option<ort::session::Session>>,
}

/// Where further sessions come from.
#[derive(Debug)]
enum Source {
    File(PathBuf),
    Memory { bytes: Vec<u8>, folder: PathBuf },
}

impl Source {
    fn of(artifact: Artifact<'_>) -> Self {
        match artifact {
            Artifact::Engine(EngineArtifact { path, .. }) | Artifact::Onnx(path) => {
                Self::File(path.to_owned())
            }
            Artifact::Memory { bytes, folder } => Self::Memory {
                bytes: bytes.to_owned(),
                folder: folder.to_owned(),
            },
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Memory { folder: path, .. } => path,
        }
    }

    /// Bytes of the model and, where they lie in `<file>.data` as in a bundle, of its weights.
    fn weight_bytes(&self) -> std::io::Result<u64> {
        match self {
            Self::File(path) => size_with_weights(path),
            Self::Memory { bytes, .. } => Ok(bytes.len() as u64),
        }
    }
}

impl OrtGraph {
    pub(super) fn load(
        library: &'static OrtLibrary,
        provider: Provider,
        artifact: Artifact<'_>,
        options: &LoadOptions,
    ) -> Result<Self, LoadError> {
        let level = match artifact {
            // Optimised already: doing it again would only cost time.
            Artifact::Engine(_) => GraphOptimizationLevel::Disable,
            Artifact::Onnx(_) | Artifact::Memory { .. } => provider.level().0,
        };
        let path = artifact.path();
        let source = Source::of(artifact);
        let weight_bytes = source.weight_bytes().map_err(|source| LoadError::File {
            path: path.to_owned(),
            source,
        })?;
        let session = open_session(library, provider, level, &source, options)
            .map_err(|fault| fault.into_load_error(provider.id(), path))?;
        let signature =
            signature_from_session(&session).map_err(|reason| LoadError::Signature {
                path: path.to_owned(),
                reason,
            })?;
        Ok(Self {
            library,
            provider,
            options: options.clone(),
            level,
            source,
            signature,
            weight_bytes,
            first: Mutex::new(Some(session)),
        })
    }

    pub(super) fn backend(&self) -> BackendId {
        self.provider.id()
    }

    fn open_runner(&self) -> Result<Runner, Fault> {
        let first = self
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let session = match first {
            Some(session) => session,
            None => open_session(
                self.library,
                self.provider,
                self.level,
                &self.source,
                &self.options,
            )?,
        };
        Runner::new(session, &self.signature)
    }
}

impl CompiledGraph for OrtGraph {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The weights of one lane; every further lane holds as much again.
    fn footprint(&self) -> Footprint {
        match self.provider {
            Provider::Cpu => Footprint {
                host_bytes: self.weight_bytes,
                device_bytes: 0,
                scratch_bytes: 0,
            },
            Provider::Cuda => Footprint {
                host_bytes: 0,
                device_bytes: self.weight_bytes,
                scratch_bytes: 0,
            },
        }
    }

    fn open(self: Arc<Self>, lane: &Lane) -> Result<Box<dyn Session>, LoadError> {
        let runner = self
            .open_runner()
            .map_err(|fault| fault.into_load_error(self.backend(), self.source.path()))?;
        let copies = (self.provider == Provider::Cuda).then(|| Arc::clone(lane.copies()));
        Ok(Box::new(OrtSession::new(runner, self, copies)))
    }
}

fn open_session(
    library: &OrtLibrary,
    provider: Provider,
    level: GraphOptimizationLevel,
    source: &Source,
    options: &LoadOptions,
) -> Result<ort::session::Session, Fault> {
    fault::guard(|| {
        let mut builder =
            options::builder(library, provider, options)?.with_optimization_level(level)?;
        match source {
            Source::File(path) => Ok(builder.commit_from_file(path)?),
            Source::Memory { bytes, folder } => {
                Ok(options::external_data_in(builder, folder)?.commit_from_memory(bytes)?)
            }
        }
    })
}

/// Size of a model file and of `<file>.data`, where a bundle keeps the weights of a large graph.
fn size_with_weights(path: &Path) -> std::io::Result<u64> {
    let model = path.metadata()?.len();
    let mut data = path.as_os_str().to_owned();
    data.push(".data");
    let weights = Path::new(&data).metadata().map_or(0, |data| data.len());
    Ok(model + weights)
}
