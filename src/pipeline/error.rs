//! Why a voice does not speak.

use super::graph::ContractError;
use super::sampling::NotFinite;
use crate::backend::{LoadError, Recovery, RunError};
use crate::bundle::{BundleError, TableError};
use crate::hint::{Class, Hint};
use crate::ids::{Family, GraphId, Mode};
use crate::tensor::ViewError;
use std::borrow::Cow;

/// Why the stages of a bundle were not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The pipeline has no stages for this family.
    #[error("speaking with {0} bundles is not implemented")]
    Family(Family),
    /// A graph the family needs was not loaded.
    #[error("the graph `{0}` is not loaded")]
    MissingGraph(GraphId),
    /// A graph's inputs or outputs are not those its stage drives.
    #[error("the graph `{graph}` does not fit its stage")]
    Contract {
        /// The graph.
        graph: GraphId,
        /// What is wrong.
        #[source]
        source: ContractError,
    },
    /// A session could not be opened.
    #[error("cannot open `{graph}`")]
    Load {
        /// The graph.
        graph: GraphId,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// There is no memory for a stage's tensors.
    #[error("cannot make room for a stage's tensors")]
    Memory(#[from] RunError),
    /// A part of the bundle cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A table the family's stages gather from is not in the bundle.
    #[error("the bundle has no table `{0}`")]
    MissingTable(&'static str),
    /// Tokens do not become a whole number of mel frames each.
    #[error("{0} mel frames per token are not a whole number the flow can repeat")]
    FramesPerToken(f64),
    /// The bundle's own figures contradict each other.
    #[error("the bundle says {figure} = {found}, its tables say {expected}")]
    Figure {
        /// Name of the figure.
        figure: &'static str,
        /// What the manifest says.
        found: usize,
        /// What the tables imply.
        expected: usize,
    },
}

/// Why a request was not spoken, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpeechError {
    /// There is nothing to say.
    #[error("the text is empty")]
    EmptyText,
    /// The bundle, or the pipeline, does not have the mode.
    #[error("mode `{mode}` is not available: {reason}")]
    Mode {
        /// The mode.
        mode: Mode,
        /// Why.
        reason: String,
    },
    /// The mode needs a prompt and the voice has none.
    #[error("voice `{voice}` has no prompt, which mode `{mode}` needs")]
    NoPrompt {
        /// The voice.
        voice: String,
        /// The mode.
        mode: Mode,
    },
    /// The mode needs the prompt's words and none were given.
    #[error("the prompt of voice `{voice}` has no transcript")]
    NoTranscript {
        /// The voice.
        voice: String,
    },
    /// A part of the voice has another size than the graphs take.
    #[error("`{field}` of voice `{voice}` has {found} values, {expected} were expected")]
    VoiceSize {
        /// The voice.
        voice: String,
        /// The part.
        field: &'static str,
        /// Values the graphs take.
        expected: usize,
        /// Values there are.
        found: usize,
    },
    /// Prompt and text leave no room for the speech that belongs to them.
    #[error(
        "text and prompt take {needed} positions with the shortest speech, the model has {limit}"
    )]
    TextTooLong {
        /// Positions for prompt, text and the shortest speech.
        needed: usize,
        /// Positions of the model.
        limit: usize,
    },
    /// There are more tokens than the flow has positions and noise for.
    #[error("{tokens} speech tokens with the prompt, the flow takes at most {limit}")]
    TooManyTokens {
        /// Tokens with the prompt's.
        tokens: usize,
        /// The limit.
        limit: usize,
    },
    /// A token is no speech token.
    #[error("{id} is no speech token of the flow")]
    Token {
        /// The token.
        id: i32,
    },
    /// The model ended before any speech.
    #[error("the model gave no speech for this text")]
    NoSpeech,
    /// Whoever asked for the speech no longer wants it.
    #[error("stopped before the end")]
    Stopped,
    /// The speed is not one audio can be made at.
    #[error("speed {0} is outside {min} to {max}", min = SPEEDS.0, max = SPEEDS.1)]
    Speed(f64),
    /// An id has no row in its table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A graph gave a NaN or infinite logit.
    #[error("`{graph}` gave a result that is not finite after {tokens} tokens")]
    Logits {
        /// The graph.
        graph: GraphId,
        /// Tokens before it.
        tokens: usize,
        /// Which logit.
        #[source]
        source: NotFinite,
    },
    /// A graph gave a NaN or infinite value.
    #[error("`{graph}` gave a result that is not finite")]
    NotFinite {
        /// The graph.
        graph: GraphId,
    },
    /// A graph failed.
    #[error("`{graph}` failed")]
    Run {
        /// The graph.
        graph: GraphId,
        /// Why.
        #[source]
        source: RunError,
    },
    /// A stage's tensors could not be made, or moved.
    #[error("cannot move a stage's tensors")]
    Memory(#[from] RunError),
    /// Every row of the decode batch is taken.
    #[error("all {0} decode rows are taken")]
    NoFreeRow(usize),
    /// The row was given up, and perhaps given to someone else.
    #[error("the decode row is no longer this utterance's")]
    StaleSlot,
    /// A tensor does not have the shape or type its stage needs.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Slowest and fastest speed; beyond, linear interpolation of the mel no longer sounds like speech.
pub(crate) const SPEEDS: (f64, f64) = (0.25, 4.0);

impl SpeechError {
    /// Who must act, where a graph failed to run.
    pub fn recovery(&self) -> Option<Recovery> {
        match self {
            Self::Run { source, .. } | Self::Memory(source) => Some(source.recovery()),
            _ => None,
        }
    }

    /// The graph whose values cannot be used, where that is what failed.
    pub(super) fn of_values(&self) -> Option<GraphId> {
        match self {
            Self::Logits { graph, .. } | Self::NotFinite { graph } => Some(*graph),
            _ => None,
        }
    }
}

impl Hint for OpenError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::MissingGraph(graph) => Some(format!("cvtrt build --graphs {graph}").into()),
            Self::Contract { .. }
            | Self::Figure { .. }
            | Self::MissingTable(_)
            | Self::FramesPerToken(_) => Some("export the model again with `cvtrt export`".into()),
            Self::Load { source, .. } => source.hint(),
            Self::Memory(source) => source.hint(),
            Self::Bundle(source) => source.hint(),
            Self::Family(_) => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Load { source, .. } => source.class(),
            Self::Memory(source) => source.class(),
            Self::MissingGraph(_) => Class::Failed,
            _ => Class::Input,
        }
    }
}

impl Hint for SpeechError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoPrompt { .. } => Some("choose a voice with a prompt, or --mode sft".into()),
            Self::NoTranscript { .. } => {
                Some("choose a voice with a transcript, or --mode cross_lingual".into())
            }
            Self::TextTooLong { .. } => Some("split the text into shorter sentences".into()),
            Self::TooManyTokens { .. } => {
                Some("use a shorter recording, or a shorter prompt".into())
            }
            Self::NoSpeech => Some("another --seed may speak; otherwise say more words".into()),
            Self::Logits { graph, .. } | Self::NotFinite { graph } => {
                Some(format!("cvtrt build --graphs {graph} without --fp16 or --bf16").into())
            }
            _ => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::EmptyText
            | Self::Mode { .. }
            | Self::NoPrompt { .. }
            | Self::NoTranscript { .. }
            | Self::VoiceSize { .. }
            | Self::TextTooLong { .. }
            | Self::TooManyTokens { .. }
            | Self::Token { .. }
            | Self::Speed(_)
            | Self::Table(_) => Class::Input,
            _ => Class::Failed,
        }
    }
}
