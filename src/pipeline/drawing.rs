//! How an utterance's tokens are drawn, and how many.

use super::loops::LoopWatch;
use super::random::Uniforms;
use super::sampling::Sampler;
use super::silence::Silence;
use crate::bundle::{LlmSpec, SamplingSpec};
use std::ops::RangeInclusive;

/// How tokens are drawn and how many.
#[derive(Debug)]
pub struct Drawing {
    /// Draws from logits.
    pub sampler: Sampler,
    /// Drives the draws.
    pub uniforms: Box<dyn Uniforms>,
    /// Shortest and longest speech.
    pub lengths: Lengths,
    /// Ids that end the speech.
    pub stop: RangeInclusive<i32>,
    /// Ids that cannot be drawn before the shortest length.
    ///
    /// Upstream masks the single id `speech_vocab`: in v2 other stop ids stay reachable, in v3 even the real end does.
    /// [`Self::new`] masks the whole stop set.
    pub masked_early: RangeInclusive<i32>,
    /// Leads out of loops.
    pub loops: LoopWatch,
    /// Decides which silent tokens are heard.
    pub silence: Silence,
}

/// Shortest and longest speech, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// No stop before this many.
    pub min: usize,
    /// No more than this many.
    pub max: usize,
}

impl Drawing {
    /// Draws as the model's figures say, with the whole stop set masked before the shortest length.
    pub fn new(
        llm: &LlmSpec,
        sampling: &SamplingSpec,
        lengths: Lengths,
        uniforms: Box<dyn Uniforms>,
    ) -> Self {
        Self {
            sampler: Sampler::new(sampling.clone(), llm.head_rows),
            uniforms,
            lengths,
            stop: llm.stop.clone(),
            masked_early: llm.stop.clone(),
            loops: LoopWatch::default(),
            silence: Silence::new(llm.silent.clone()),
        }
    }
}

impl Lengths {
    /// The lengths that belong to `text` ids of text (the prompt's not counted), within `room` tokens.
    ///
    /// # Errors
    /// The shortest length, where `room` does not hold it.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ratios are small and positive, texts are short"
    )]
    pub fn of_text(text: usize, sampling: &SamplingSpec, room: usize) -> Result<Self, usize> {
        let min = (text as f32 * sampling.min_ratio) as usize;
        let max = (text as f32 * sampling.max_ratio) as usize;
        if min > room {
            return Err(min);
        }
        Ok(Self {
            min,
            max: max.min(room),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_follow_the_text_within_the_room() {
        let sampling = SamplingSpec {
            top_p: 0.8,
            top_k: 25,
            window: 10,
            tau: 0.1,
            min_ratio: 2.0,
            max_ratio: 20.0,
        };
        let of_text = |text, room| Lengths::of_text(text, &sampling, room);
        assert_eq!(of_text(11, 1000), Ok(Lengths { min: 22, max: 220 }));
        assert_eq!(of_text(11, 100), Ok(Lengths { min: 22, max: 100 }));
        assert_eq!(of_text(11, 21), Err(22));
    }
}
