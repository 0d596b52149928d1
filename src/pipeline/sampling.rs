//! Drawing one speech token from logits: nucleus sampling that avoids repetitions.

use super::random::Uniforms;
use crate::bundle::SamplingSpec;
use std::ops::RangeInclusive;

/// Repetition-aware sampling over one model's head.
///
/// A token is drawn from the nucleus; where it already occurs too often among the last `window` tokens, it is
/// excluded and the draw repeats once over the whole distribution. Owns its scratch, so a draw allocates nothing.
///
/// Source: CosyVoice `cosyvoice/utils/common.py`, `ras_sampling`, `nucleus_sampling`, `random_sampling`.
#[derive(Debug, Clone)]
pub struct Sampler {
    spec: SamplingSpec,
    probabilities: Vec<f32>,
    nucleus: Vec<(f32, i32)>,
}

/// A logit is NaN or infinite, or none is left to draw from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("logit {index} of {head_rows} is not finite")]
pub struct NotFinite {
    /// Position of the first such logit.
    pub index: usize,
    /// Number of logits.
    pub head_rows: usize,
}

impl Sampler {
    /// A sampler for distributions over `head_rows` ids.
    pub fn new(spec: SamplingSpec, head_rows: usize) -> Self {
        let nucleus = Vec::with_capacity(spec.top_k + 1);
        Self {
            spec,
            probabilities: Vec::with_capacity(head_rows),
            nucleus,
        }
    }

    /// Draws the next token.
    ///
    /// `logits`: one per id, before softmax. `masked`: ids that cannot be drawn. `history`: tokens so far, oldest
    /// first. Takes one uniform number, and one more where the repetition rule applies.
    ///
    /// # Errors
    /// [`NotFinite`] when any logit is NaN or infinite.
    pub fn draw(
        &mut self,
        logits: &[f32],
        masked: &RangeInclusive<i32>,
        history: &[i32],
        uniforms: &mut dyn Uniforms,
    ) -> Result<i32, NotFinite> {
        self.draw_without(&[], logits, masked, history, uniforms)
    }

    /// Draws the next token, and none of `barred` where there is another.
    ///
    /// # Errors
    /// [`NotFinite`] when any logit is NaN or infinite.
    pub fn draw_without(
        &mut self,
        barred: &[i32],
        logits: &[f32],
        masked: &RangeInclusive<i32>,
        history: &[i32],
        uniforms: &mut dyn Uniforms,
    ) -> Result<i32, NotFinite> {
        self.fill_probabilities(logits, masked, barred)?;
        self.fill_nucleus();
        let candidates = self.nucleus.iter().map(|&(weight, _)| weight);
        let (_, token) = self.nucleus[pick(candidates, uniforms.draw())];
        if !self.repeats(token, history) {
            return Ok(token);
        }
        self.probabilities[index_from_id(token)] = 0.0;
        if self.probabilities.iter().all(|&weight| weight == 0.0) {
            return Ok(token);
        }
        let all = self.probabilities.iter().copied();
        Ok(id_from_index(pick(all, uniforms.draw())))
    }

    /// Candidates of the last draw with their probabilities, most likely first.
    pub fn nucleus(&self) -> &[(f32, i32)] {
        &self.nucleus
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "shares are kept in single precision, as upstream accumulates them"
    )]
    fn fill_probabilities(
        &mut self,
        logits: &[f32],
        masked: &RangeInclusive<i32>,
        barred: &[i32],
    ) -> Result<(), NotFinite> {
        let excluded = |index| {
            let id = id_from_index(index);
            masked.contains(&id) || barred.contains(&id)
        };
        let mut largest = f32::NEG_INFINITY;
        for (index, &logit) in logits.iter().enumerate() {
            if !logit.is_finite() {
                let head_rows = logits.len();
                return Err(NotFinite { index, head_rows });
            }
            if !excluded(index) {
                largest = largest.max(logit);
            }
        }
        if largest == f32::NEG_INFINITY && !barred.is_empty() {
            return self.fill_probabilities(logits, masked, &[]);
        }
        self.probabilities.clear();
        let mut sum = 0f64;
        for (index, &logit) in logits.iter().enumerate() {
            let weight = if excluded(index) {
                0.0
            } else {
                (logit - largest).exp()
            };
            sum += f64::from(weight);
            self.probabilities.push(weight);
        }
        for probability in &mut self.probabilities {
            *probability = (f64::from(*probability) / sum) as f32;
        }
        Ok(())
    }

    /// Takes ids by falling probability, lower ids first among equals, until `top_p` is covered or `top_k` are taken.
    fn fill_nucleus(&mut self) {
        let top_k = self.spec.top_k.max(1);
        self.nucleus.clear();
        for (index, &probability) in self.probabilities.iter().enumerate() {
            let full = self.nucleus.len() == top_k;
            if full && self.nucleus[top_k - 1].0 >= probability {
                continue;
            }
            if full {
                self.nucleus.pop();
            }
            let place = self
                .nucleus
                .partition_point(|&(better, _)| better >= probability);
            self.nucleus
                .insert(place, (probability, id_from_index(index)));
        }
        let mut covered = 0f32;
        let mut taken = 0;
        for &(probability, _) in &self.nucleus {
            if covered >= self.spec.top_p && taken > 0 {
                break;
            }
            covered += probability;
            taken += 1;
        }
        self.nucleus.truncate(taken);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a window is a handful of tokens"
    )]
    fn repeats(&self, token: i32, history: &[i32]) -> bool {
        let window = &history[history.len().saturating_sub(self.spec.window)..];
        let count = window.iter().filter(|&&earlier| earlier == token).count();
        count as f32 >= self.spec.window as f32 * self.spec.tau
    }
}

/// The inverse of the cumulative distribution at `uniform`: the number of cumulated shares that are not above it.
fn pick(weights: impl Iterator<Item = f32> + Clone, uniform: f32) -> usize {
    let sum: f64 = weights.clone().map(f64::from).sum();
    let mut cumulated = 0f64;
    let mut last = 0;
    for (index, weight) in weights.enumerate() {
        cumulated += f64::from(weight);
        if cumulated / sum > f64::from(uniform) {
            return index;
        }
        if weight > 0.0 {
            last = index;
        }
    }
    last
}

fn id_from_index(index: usize) -> i32 {
    i32::try_from(index).expect("a head has fewer rows than i32::MAX")
}

fn index_from_id(id: i32) -> usize {
    usize::try_from(id).expect("ids were made from indices")
}
