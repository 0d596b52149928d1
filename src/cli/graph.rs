//! The graph that `run` and `compare` are given: one of a bundle, or a file.

use super::context::Context;
use super::failure::Failure;
use super::model::{self, LoadFlags, MachineFlags};
use crate::backend::{Artifact, Lane, Session, open_at};
use crate::build::{Vocabulary, axis_limits};
use crate::bundle::Bundle;
use crate::deploy::Deployment;
use crate::ids::{BackendId, GraphId, Precision, Tier};
use crate::onnx::ModelFile;
use crate::profile::ShapeSet;
use crate::tensor::{Placement, Signature};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Flags that name a graph.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct GraphFlags {
    /// A graph of the bundle (`llm`, `flow_estimator`, …), or an ONNX file
    #[arg(value_name = "GRAPH")]
    graph: String,
    /// Bundle: a folder, or a name under onnx/
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    machine: MachineFlags,
}

/// What runs a graph: a backend, in FP32 unless a tier says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target(Tier);

/// A graph and where it is.
#[derive(Debug)]
pub(super) struct GraphSource {
    /// Its id; of a file, what its name says.
    pub(super) id: Option<GraphId>,
    /// Its inputs and outputs, which no backend changes.
    pub(super) signature: Signature,
    place: Place,
    machine: MachineFlags,
}

#[derive(Debug)]
enum Place {
    Bundle(Box<Bundle>, GraphId),
    File(PathBuf),
}

/// An open graph.
#[derive(Debug)]
pub(super) struct Opened {
    /// What runs it, as a tier.
    pub(super) tier: Tier,
    /// What was loaded: an engine, or the model.
    pub(super) file: PathBuf,
    /// Runs it.
    pub(super) session: Box<dyn Session>,
    /// Keeps the engines that the session may read again, of a graph of a bundle.
    _deployment: Option<Deployment>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if let Ok(backend) = word.parse::<BackendId>() {
            let precision = Precision::Fp32;
            return Ok(Self(Tier { backend, precision }));
        }
        word.parse().map(Self).map_err(|error| {
            let backends = BackendId::ALL.iter().map(|backend| backend.as_str());
            let backends: Vec<&str> = backends.collect();
            format!("{error}; backends are {}", backends.join(", "))
        })
    }
}

impl GraphFlags {
    /// The graph that the flags name.
    pub(super) fn source(&self, context: &Context) -> Result<GraphSource, Failure> {
        let path = Path::new(&self.graph);
        let is_file = path.extension().is_some_and(|end| end == "onnx");
        let (id, place, model) = if is_file {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            (
                stem.parse().ok(),
                Place::File(path.to_owned()),
                path.to_owned(),
            )
        } else {
            let graph: GraphId = self.graph.parse().map_err(|error| {
                Failure::usage(anyhow::Error::from(error))
                    .with_hint("name a graph of the bundle, or a file that ends with .onnx")
            })?;
            let bundle = model::bundle(self.bundle.as_deref(), context)?;
            let model = bundle.graph_file(graph)?.path.clone();
            (Some(graph), Place::Bundle(Box::new(bundle), graph), model)
        };
        Ok(GraphSource {
            id,
            // Whatever is wrong with the file is said before a library sees it.
            signature: ModelFile::open(&model)?.signature()?,
            place,
            machine: self.machine.clone(),
        })
    }
}

impl GraphSource {
    /// Loads the graph: of a bundle, an engine where the cache has one; of a file, the model.
    pub(super) fn open(
        &self,
        target: Option<Target>,
        context: &Context,
    ) -> Result<Opened, Failure> {
        let lane = Lane::on_host(0);
        let tier = target.map(|target| target.0);
        let (tier, file, compiled, deployment) = match &self.place {
            Place::Bundle(bundle, graph) => {
                let flags = LoadFlags {
                    tier,
                    machine: self.machine.clone(),
                };
                let mut deployment = model::deployment(bundle, &[*graph], &flags, context)?;
                let served = deployment.served.remove(0);
                let tier = Tier {
                    backend: served.backend,
                    precision: served.precision,
                };
                let compiled = Arc::clone(&deployment.graphs[graph].compiled);
                (tier, served.file, compiled, Some(deployment))
            }
            Place::File(path) => {
                let tier = tier.unwrap_or(Tier {
                    backend: BackendId::OrtCpu,
                    precision: Precision::Fp32,
                });
                if tier.precision != Precision::Fp32 {
                    let what = format!("{} has no engine in {}", path.display(), tier.precision);
                    return Err(Failure::usage(anyhow::anyhow!(what)).with_hint(
                        "name a graph of a bundle, which `cvtrt build` makes engines of",
                    ));
                }
                (
                    tier,
                    path.clone(),
                    self.load_file(path, tier.backend, context)?,
                    None,
                )
            }
        };
        Ok(Opened {
            tier,
            file,
            session: open_at(Placement::Host, &compiled, &lane)?,
            _deployment: deployment,
        })
    }

    fn load_file(
        &self,
        path: &Path,
        backend: BackendId,
        context: &Context,
    ) -> Result<Arc<dyn crate::backend::CompiledGraph>, Failure> {
        let backends = model::backends(context);
        let backend = backends.get(backend)?;
        Ok(backend.load(Artifact::Onnx(path), &self.machine.options()?)?)
    }

    /// The profile's shape sets for the graph, within the bundle's limits; none for a graph no profile knows.
    pub(super) fn shape_sets(&self, context: &Context) -> Result<Vec<ShapeSet>, Failure> {
        let Some(id) = self.id else {
            return Ok(Vec::new());
        };
        let profile = self.machine.profile(None, context)?;
        let mut profile = match &self.place {
            Place::Bundle(bundle, _) => profile.within(&axis_limits(bundle)).0,
            Place::File(_) => profile,
        };
        Ok(profile
            .graphs
            .remove(&id)
            .map_or(Vec::new(), |own| own.shapes))
    }

    /// Ranges of the ids and positions that the graph takes.
    pub(super) fn vocabulary(&self) -> Vocabulary {
        match &self.place {
            Place::Bundle(bundle, _) => Vocabulary::of(bundle),
            // Nothing says what a file takes; the first id is one everywhere.
            Place::File(_) => Vocabulary {
                speech: 1,
                text: 1,
                positions: 1,
                steps: 1,
            },
        }
    }
}
