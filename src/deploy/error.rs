//! Why graphs were not loaded.

use crate::backend::NoBackend;
use crate::build::{BuildError, WeightsError};
use crate::bundle::BundleError;
use crate::hint::{Class, Hint};
use crate::ids::{GraphId, Tier};
use crate::tensor::NoPort;
use std::borrow::Cow;

/// Why graphs were not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// No plan could be made.
    #[error(transparent)]
    Plan(#[from] BuildError),
    /// A tier was forced and its engine was never built.
    #[error("there is no engine of `{graph}` for the tier {tier}")]
    NoEngine {
        /// The graph.
        graph: GraphId,
        /// The tier.
        tier: Tier,
    },
    /// A model takes weights that its bundle does not list.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// An engine's manifest does not tell what the engine takes and gives.
    #[error("the manifest of {entry} does not describe `{graph}`")]
    EngineSignature {
        /// The graph.
        graph: GraphId,
        /// The engine.
        entry: String,
        /// What is wrong.
        #[source]
        source: NoPort,
    },
    /// No link of a graph's chain loads it.
    #[error("`{graph}` cannot be served")]
    Graph {
        /// The graph.
        graph: GraphId,
        /// Every link tried.
        #[source]
        source: NoBackend,
    },
}

impl Hint for DeployError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Bundle(error) => error.hint(),
            // A build's fix is a build's flag; what is to be loaded is chosen by tier.
            Self::Plan(BuildError::NothingBuilds { .. }) => Some(
                "cvtrt diagnose names the tier that runs here; leave out --tier to use it".into(),
            ),
            Self::Plan(error) => error.hint(),
            Self::NoEngine { tier, .. } => Some(
                format!(
                    "cvtrt build --backend {} --{}",
                    tier.backend, tier.precision
                )
                .into(),
            ),
            Self::Weights(error) => error.hint(),
            Self::EngineSignature { graph, .. } => {
                Some(format!("cvtrt build --graphs {graph} --force").into())
            }
            Self::Graph { source, .. } => source.hint(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Bundle(error) => error.class(),
            Self::Plan(error) => error.class(),
            Self::NoEngine { .. } => Class::Unavailable,
            Self::Weights(error) => error.class(),
            Self::EngineSignature { .. } => Class::Input,
            Self::Graph { source, .. } => source.class(),
        }
    }
}
