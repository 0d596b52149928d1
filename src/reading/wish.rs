//! What someone wants said.

use crate::bundle::Voice;
use crate::frontend::text::Splitting;
use crate::ids::Mode;
use std::sync::Arc;

/// What someone wants said, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The text.
    pub text: String,
    /// Who is to say it.
    pub voice: WishedVoice,
    /// `None`: what fits the voice and the instruction.
    pub mode: Option<Mode>,
    /// How to speak, for mode `instruct2`.
    pub instruction: Option<String>,
    /// The prompt's words, where they are not the voice's own.
    pub transcript: Option<String>,
    /// How the text is cut into segments.
    pub splitting: Splitting,
    /// Decides every random number.
    pub seed: u64,
    /// Ends each segment after this many speech tokens.
    pub max_tokens: Option<usize>,
    /// 2 is twice as fast.
    pub speed: f64,
}

/// Who is to speak.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum WishedVoice {
    /// The first one that the mode can use.
    #[default]
    First,
    /// A voice of the bundle.
    Named(String),
    /// A voice that comes with the wish.
    Given(Arc<Voice>),
}

/// What clients call the first voice, where a voice does not have that very name.
pub const DEFAULT_VOICE: &str = "default";

impl Wish {
    /// A text in the first voice, as the model would say it.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            voice: WishedVoice::First,
            mode: None,
            instruction: None,
            transcript: None,
            splitting: Splitting::default(),
            seed: 0,
            max_tokens: None,
            speed: 1.0,
        }
    }
}

impl From<Option<String>> for WishedVoice {
    fn from(name: Option<String>) -> Self {
        name.map_or(Self::First, Self::Named)
    }
}
