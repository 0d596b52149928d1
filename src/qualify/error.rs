//! Why nothing could be measured; what was measured and found wanting is a verdict, not an error.

use crate::backend::{LoadError, RunError, Unavailable};
use crate::build::WeightsError;
use crate::bundle::BundleError;
use crate::cache::CacheError;
use crate::compare::CompareError;
use crate::hint::{Class, Hint};
use crate::ids::GraphId;
use crate::onnx::OnnxError;
use crate::pipeline::{OpenError, SpeechError};
use std::borrow::Cow;
use std::path::PathBuf;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QualifyError {
    /// ONNX Runtime is not here, which computes what everything is compared with.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A graph takes weights that nobody has checked.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A graph cannot be rewritten.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A graph does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The pipeline cannot drive the bundle's graphs.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The pipeline failed on an utterance.
    #[error(transparent)]
    Speech(#[from] SpeechError),
    /// A graph failed on inputs it was given before.
    #[error("`{graph}` does not run on recorded inputs")]
    Run {
        /// The graph.
        graph: GraphId,
        /// Why.
        #[source]
        source: Box<RunError>,
    },
    /// The plan cannot be kept.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The recorded ranges cannot be read.
    #[error("{} holds no ranges", path.display())]
    Ranges {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: super::RangesError,
    },
    /// The FP32 model itself gives a value that is no number.
    #[error("`{value}` of `{graph}` is not finite in FP32")]
    NotFinite {
        /// The graph.
        graph: GraphId,
        /// The value.
        value: String,
    },
    /// There is nothing to say, or nobody to say it.
    #[error("the bundle `{bundle}` has no utterance to record")]
    Silent {
        /// The bundle.
        bundle: String,
    },
    /// A graph gives other shapes than it gave before.
    #[error("`{graph}` gives other shapes than it gave in FP32")]
    Shapes {
        /// The graph.
        graph: GraphId,
        /// Which.
        #[source]
        source: Box<CompareError>,
    },
}

impl QualifyError {
    pub(super) fn run(graph: GraphId, source: impl Into<RunError>) -> Self {
        let source = Box::new(source.into());
        Self::Run { graph, source }
    }

    /// Whether this is no failure but the wish to stop.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Speech(SpeechError::Stopped))
    }
}

impl Hint for QualifyError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unavailable(error) => error.hint(),
            Self::Bundle(error) => error.hint(),
            Self::Weights(error) => error.hint(),
            Self::Onnx(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::Open(error) => error.hint(),
            Self::Speech(error) => error.hint(),
            Self::Cache(error) => error.hint(),
            Self::Ranges { .. } => Some("cvtrt calibrate --afresh records them anew".into()),
            Self::NotFinite { .. } => Some("export the model again with `cvtrt export`".into()),
            Self::Silent { .. } => {
                Some("add a voice with a prompt, or build with --fp32 or --no-verify".into())
            }
            Self::Run { .. } | Self::Shapes { .. } => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Unavailable(error) => error.class(),
            Self::Bundle(error) => error.class(),
            Self::Weights(error) => error.class(),
            Self::Onnx(error) => error.class(),
            Self::Load(error) => error.class(),
            Self::Open(error) => error.class(),
            Self::Speech(error) => error.class(),
            Self::Cache(error) => error.class(),
            Self::Ranges { .. } | Self::NotFinite { .. } | Self::Silent { .. } => Class::Input,
            Self::Run { .. } | Self::Shapes { .. } => Class::Failed,
        }
    }
}
