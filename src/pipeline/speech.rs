//! What a request gave.

use super::times::StageTimes;
use super::utterance::End;
use crate::ids::{BackendId, GraphId};
use std::collections::BTreeMap;

/// Audio, and how it came about.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Speech {
    /// Samples, within plus and minus one.
    #[serde(skip)]
    pub pcm: Vec<f32>,
    /// Samples per second.
    pub sample_rate: u32,
    /// The speech tokens spoken.
    pub tokens: Vec<i32>,
    /// Why there are no more.
    pub end: End,
    /// Loops of tokens the model was led out of.
    pub loops_broken: usize,
    /// Silent tokens that are not heard, because they lengthen a pause that is long already.
    pub silence_held_back: usize,
    /// Where the time went.
    pub times: StageTimes,
    /// What ran each graph.
    pub backends: BTreeMap<GraphId, BackendId>,
}

impl Speech {
    /// Says in the log what a listener may miss or wonder at.
    pub(super) fn log(&self) {
        let (tokens, loops) = (self.tokens.len(), self.loops_broken);
        if loops > 0 {
            tracing::warn!(loops, "the model repeated itself and was led on");
        }
        match self.end {
            End::MaxTokens => tracing::warn!(tokens, "the speech stopped at its limit"),
            End::Loop => tracing::warn!(tokens, "the speech stopped in a loop"),
            End::Stop(_) | End::Given => {}
        }
    }

    /// Length of the audio, in seconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "sample counts are far below 2^53"
    )]
    pub fn seconds(&self) -> f64 {
        self.pcm.len() as f64 / f64::from(self.sample_rate)
    }

    /// Time taken per second of audio.
    pub fn real_time_factor(&self) -> f64 {
        self.times.total.as_secs_f64() / self.seconds()
    }
}
