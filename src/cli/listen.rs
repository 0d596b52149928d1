//! Recordings that commands hear.

use super::context::Context;
use super::failure::Failure;
use super::model::{self, LoadFlags};
use crate::bundle::Bundle;
use crate::deploy::{Deployment, Served};
use crate::frontend::audio::{AudioError, Clip, DecodeLimits, check_prompt, check_source};
use crate::ids::GraphId;
use crate::pipeline::PromptStage;
use crate::reading::Listener;
use std::path::Path;

/// A bundle's prompt encoders, loaded for as long as recordings are heard.
pub(super) struct Ear {
    pub(super) listener: Listener,
    deployment: Deployment,
}

impl Ear {
    /// Loads the encoders as their chains say; a forced tier is for the graphs that speak.
    pub(super) fn open(
        bundle: &Bundle,
        flags: &LoadFlags,
        context: &Context,
    ) -> Result<Self, Failure> {
        let flags = flags.without_tier();
        let deployment = model::deployment(bundle, &PromptStage::GRAPHS, &flags, context)?;
        let lane = deployment.lane(0)?;
        Ok(Self {
            listener: Listener::open(bundle, &deployment.graphs, &lane)?,
            deployment,
        })
    }

    /// How each encoder was served; the encoders themselves are let go.
    pub(super) fn into_served(self) -> Vec<Served> {
        self.deployment.served
    }
}

/// A recording whose voice is to speak, checked before anything is loaded for it.
pub(super) fn prompt(path: &Path) -> Result<Clip, Failure> {
    recording(path, check_prompt)
}

/// A recording that is to be said again, checked before anything is loaded for it.
pub(super) fn source(path: &Path) -> Result<Clip, Failure> {
    recording(path, check_source)
}

fn recording(path: &Path, check: fn(&Clip) -> Result<(), AudioError>) -> Result<Clip, Failure> {
    let clip = Clip::open(path, DecodeLimits::default());
    clip.and_then(|clip| check(&clip).map(|()| clip))
        .map_err(|error| {
            Failure::from(error).about(format!("cannot use the recording {}", path.display()))
        })
}

/// Graphs that took part and have random weights.
pub(super) fn stand_ins(bundle: &Bundle, served: &[Served]) -> Vec<GraphId> {
    let fakes = &bundle.manifest().stand_ins;
    let graphs = served.iter().map(|one| one.graph);
    graphs.filter(|graph| fakes.contains(graph)).collect()
}

/// What that means for who listens.
pub(super) fn stand_ins_line(stand_ins: &[GraphId]) -> String {
    let names: Vec<&str> = stand_ins.iter().map(|graph| graph.as_str()).collect();
    format!(
        "stand-ins with random weights: {}; what they hear is not what was recorded\n",
        names.join(", ")
    )
}
