//! A loaded graph.

use super::fault::{self, Fault};
use super::library::OrtLibrary;
use super::options::{self, Provider};
use super::session::OrtSession;
use super::signature::signature_from_session;
use super::view::Runner;
use crate::backend::{Artifact, CompiledGraph, Footprint, Lane, LoadError, LoadOptions, Session};
use crate::ids::BackendId;
use crate::tensor::{Placement, Signature};
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
    /// How a further session is optimised; `None` where there is no file to open again.
    again: Option<GraphOptimizationLevel>,
    path: PathBuf,
    signature: Signature,
    weight_bytes: u64,
    first: Mutex<Option<ort::session::Session>>,
}

impl OrtGraph {
    pub(super) fn load(
        library: &'static OrtLibrary,
        provider: Provider,
        artifact: Artifact<'_>,
        options: &LoadOptions,
    ) -> Result<Self, LoadError> {
        let path = artifact.path();
        let level = match artifact {
            // Optimised already: doing it again would only cost time.
            Artifact::Engine(_) => GraphOptimizationLevel::Disable,
            Artifact::Onnx(_) | Artifact::Memory { .. } => provider.level().0,
        };
        let weight_bytes = match artifact {
            Artifact::Memory { bytes, .. } => Ok(bytes.len() as u64),
            Artifact::Engine(path) | Artifact::Onnx(path) => size_with_weights(path),
        };
        let weight_bytes = weight_bytes.map_err(|source| LoadError::File {
            path: path.to_owned(),
            source,
        })?;
        let session = open_session(library, provider, level, artifact, options)
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
            again: match artifact {
                Artifact::Engine(_) | Artifact::Onnx(_) => Some(level),
                Artifact::Memory { .. } => None,
            },
            path: path.to_owned(),
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
        let session = match (first, self.again) {
            (Some(session), _) => session,
            (None, Some(level)) => open_session(
                self.library,
                self.provider,
                level,
                Artifact::Onnx(&self.path),
                &self.options,
            )?,
            (None, None) => return Err(Fault::new("a model in memory is opened once")),
        };
        Runner::new(session, &self.signature)
    }
}

impl CompiledGraph for OrtGraph {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Always the host: the CUDA provider copies in and out by itself.
    fn placement(&self) -> Placement {
        Placement::Host
    }

    /// The weights of one lane; every further lane holds as much again.
    fn footprint(&self) -> Footprint {
        match self.provider {
            Provider::Cpu => Footprint {
                host_bytes: self.weight_bytes,
                device_bytes: 0,
            },
            Provider::Cuda => Footprint {
                host_bytes: 0,
                device_bytes: self.weight_bytes,
            },
        }
    }

    fn open(self: Arc<Self>, lane: &Lane) -> Result<Box<dyn Session>, LoadError> {
        let runner = self
            .open_runner()
            .map_err(|fault| fault.into_load_error(self.backend(), &self.path))?;
        let copies = (self.provider == Provider::Cuda).then(|| Arc::clone(lane.copies()));
        Ok(Box::new(OrtSession::new(runner, self, copies)))
    }
}

fn open_session(
    library: &OrtLibrary,
    provider: Provider,
    level: GraphOptimizationLevel,
    artifact: Artifact<'_>,
    options: &LoadOptions,
) -> Result<ort::session::Session, Fault> {
    fault::guard(|| {
        let mut builder =
            options::builder(library, provider, options)?.with_optimization_level(level)?;
        Ok(match artifact {
            Artifact::Engine(path) | Artifact::Onnx(path) => builder.commit_from_file(path)?,
            Artifact::Memory { bytes, origin } => {
                let folder = origin.parent().unwrap_or(Path::new("."));
                options::with_weights_in(builder, folder)?.commit_from_memory(bytes)?
            }
        })
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
