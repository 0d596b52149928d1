//! Why a bundle was not built.

use super::{PassedOver, WorkerError};
use crate::bundle::BundleError;
use crate::cache::CacheError;
use crate::hint::{Class, Hint};
use crate::ids::{BackendId, GraphId, Precision};
use std::borrow::Cow;
use std::path::PathBuf;

/// Why a bundle was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The profile says nothing of a graph.
    #[error("profile `{profile}` has no shape ranges for `{graph}` that the bundle can take")]
    NoShapes {
        /// The profile.
        profile: String,
        /// The graph.
        graph: GraphId,
    },
    /// No backend of the chain builds the graph here.
    #[error("nothing here builds `{graph}` in {precision}: {}", said(passed_over))]
    NothingBuilds {
        /// The graph.
        graph: GraphId,
        /// The precision asked for.
        precision: Precision,
        /// Every backend asked, and why not.
        passed_over: Vec<PassedOver>,
        /// What to do about the first of them.
        fix: Option<String>,
    },
    /// The precision asked for is not good enough for the graph, and the chain allows no other.
    #[error("`{graph}` does not compute what it should in {precision}: {reason}")]
    Unqualified {
        /// The graph.
        graph: GraphId,
        /// The precision asked for.
        precision: Precision,
        /// What went wrong.
        reason: String,
    },
    /// The engine that would be built was built before and found unfit, and the chain allows no other.
    #[error("the {precision} engine of `{graph}` for {backend} is in quarantine: {reason}")]
    Quarantined {
        /// The graph.
        graph: GraphId,
        /// What it was built with.
        backend: BackendId,
        /// In which precision.
        precision: Precision,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine was built where it could not run, and the chain allows no other.
    #[error(
        "the {precision} engine of `{graph}` for {backend} was built elsewhere and never compared with the reference"
    )]
    NeverRan {
        /// The graph.
        graph: GraphId,
        /// What it was built with.
        backend: BackendId,
        /// In which precision.
        precision: Precision,
    },
    /// A graph's files were replaced while it was built; the engine is of neither the old ones nor the new.
    #[error("the model of `{graph}` changed while it was built: {}", path.display())]
    ModelChanged {
        /// The graph.
        graph: GraphId,
        /// Its ONNX file.
        path: PathBuf,
    },
    /// A worker failed on a graph.
    #[error("cannot {task} `{graph}`: {source}")]
    Worker {
        /// The graph.
        graph: GraphId,
        /// What it was doing: `build` or `verify`.
        task: &'static str,
        /// How it failed.
        source: WorkerError,
    },
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The build was asked to stop.
    #[error("the build was stopped")]
    Cancelled,
}

impl Hint for BuildError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Bundle(error) => error.hint(),
            Self::NoShapes { graph, .. } => {
                Some(format!("add `{graph}` to the profile, or choose graphs with --graphs").into())
            }
            Self::NothingBuilds { fix, .. } => fix.clone().map(Cow::from),
            Self::Unqualified { graph, .. } => Some(
                format!(
                    "keep it wide: the same command with --graphs {graph} --fp32 in place of its graphs and precision; --force measures it again"
                )
                .into(),
            ),
            Self::Quarantined { graph, .. } => Some(
                format!(
                    "cvtrt build --graphs {graph} --force builds it again; without --backend, the chain's next link serves"
                )
                .into(),
            ),
            Self::NeverRan {
                graph,
                backend,
                precision,
            } => Some(
                format!("cvtrt build --graphs {graph} --backend {backend} --{precision}").into(),
            ),
            Self::ModelChanged { .. } => Some("run cvtrt build again".into()),
            Self::Worker { source, .. } => source.hint(),
            Self::Cache(error) => error.hint(),
            Self::Cancelled => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Bundle(error) => error.class(),
            Self::NoShapes { .. } => Class::Input,
            Self::NothingBuilds { .. } => Class::Unavailable,
            Self::Unqualified { .. } | Self::Quarantined { .. } | Self::NeverRan { .. } => {
                Class::Unverified
            }
            Self::Worker { source, .. } => source.class(),
            Self::Cache(error) => error.class(),
            Self::ModelChanged { .. } | Self::Cancelled => Class::Failed,
        }
    }
}

fn said(passed_over: &[PassedOver]) -> String {
    let reasons: Vec<String> = passed_over.iter().map(PassedOver::to_string).collect();
    reasons.join("; ")
}
