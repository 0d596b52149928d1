//! One utterance from prompt to audio, as a state machine without I/O.

use super::drawing::Drawing;
use super::error::SpeechError;
use super::llm::LlmPrompt;
use super::schedule::{Piece, Schedule};
use crate::ids::GraphId;
use std::ops::RangeInclusive;

/// One utterance: asks for work, is given results, and knows nothing of who does the work.
///
/// [`Self::demand`] names the next piece of work; whoever does it answers with [`Self::give_logits`],
/// [`Self::encoded`], [`Self::stepped`] or [`Self::vocoded`]. A synthesiser drives one utterance, a scheduler many, and
/// one-shot speech and streaming differ in the [`Schedule`] alone. Dropping an utterance cancels it.
#[derive(Debug)]
pub struct Utterance {
    tokens: Tokens,
    audio: Audio,
    schedule: Schedule,
    flow_steps: usize,
}

/// Work an utterance waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand<'a> {
    /// Read the prompt; answer with [`Utterance::give_logits`].
    Prefill(&'a LlmPrompt),
    /// Go on from this token; answer with [`Utterance::give_logits`].
    Decode(i32),
    /// Encode a piece's tokens; answer with [`Utterance::encoded`].
    Encode(Piece),
    /// Take the Euler step with this index; answer with [`Utterance::stepped`].
    FlowStep(usize),
    /// Make the piece's audio; answer with [`Utterance::vocoded`].
    Vocode(Piece),
}

/// Why no more tokens come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The model drew this stop id.
    Stop(i32),
    /// The limit was reached first.
    MaxTokens,
    /// The model went round in a loop and found no way out.
    Loop,
    /// The tokens were given, not generated.
    Given,
}

#[derive(Debug)]
struct Tokens {
    prompt: LlmPrompt,
    drawing: Option<Drawing>,
    /// Tokens the language model has given.
    drawn: Vec<i32>,
    /// Those of them, or of the tokens given, that are heard.
    heard: Vec<i32>,
    end: Option<End>,
}

#[derive(Debug)]
struct Audio {
    /// Tokens whose frames were given.
    offset: usize,
    piece: Option<(Piece, PieceState)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceState {
    Encoding,
    Solving(usize),
    Vocoding,
}

impl Utterance {
    /// An utterance whose tokens the language model is to find.
    pub fn new(prompt: LlmPrompt, drawing: Drawing, schedule: Schedule, flow_steps: usize) -> Self {
        let end = (drawing.lengths.max == 0).then_some(End::MaxTokens);
        Self {
            tokens: Tokens {
                prompt,
                drawn: Vec::with_capacity(drawing.lengths.max),
                heard: Vec::with_capacity(drawing.lengths.max),
                drawing: Some(drawing),
                end,
            },
            audio: Audio::new(),
            schedule,
            flow_steps,
        }
    }

    /// An utterance whose tokens are known, so that only its audio is to be made.
    pub fn of_tokens(tokens: Vec<i32>, schedule: Schedule, flow_steps: usize) -> Self {
        Self {
            tokens: Tokens {
                prompt: LlmPrompt {
                    text: Vec::new(),
                    speech: Vec::new(),
                },
                drawing: None,
                drawn: Vec::new(),
                heard: tokens,
                end: Some(End::Given),
            },
            audio: Audio::new(),
            schedule,
            flow_steps,
        }
    }

    /// The next piece of work: audio that can be made goes before tokens. `None` when all is done.
    pub fn demand(&self) -> Option<Demand<'_>> {
        self.audio_demand().or_else(|| self.token_demand())
    }

    /// Work for the language model; independent of [`Self::audio_demand`], so the two may be done side by side.
    pub fn token_demand(&self) -> Option<Demand<'_>> {
        let tokens = &self.tokens;
        if tokens.end.is_some() {
            return None;
        }
        Some(match tokens.drawn.last() {
            Some(&last) => Demand::Decode(last),
            None => Demand::Prefill(&tokens.prompt),
        })
    }

    /// Work for flow and vocoder.
    pub fn audio_demand(&self) -> Option<Demand<'_>> {
        let (piece, state) = self.audio.piece.or_else(|| {
            let ended = self.tokens.end.is_some();
            let heard = self.tokens.heard.len();
            let next = self.schedule.next_piece(heard, ended, self.audio.offset)?;
            Some((next, PieceState::Encoding))
        })?;
        Some(match state {
            PieceState::Encoding => Demand::Encode(piece),
            PieceState::Solving(step) => Demand::FlowStep(step),
            PieceState::Vocoding => Demand::Vocode(piece),
        })
    }

    /// Speech tokens to be heard, so far.
    pub fn tokens(&self) -> &[i32] {
        &self.tokens.heard
    }

    /// Silent tokens that are not heard, because they lengthen a pause that is long already.
    pub fn silence_held_back(&self) -> usize {
        let drawing = self.tokens.drawing.as_ref();
        drawing.map_or(0, |drawing| drawing.silence.held_back())
    }

    /// Loops of tokens that the model was led out of.
    pub fn loops_broken(&self) -> usize {
        let drawing = self.tokens.drawing.as_ref();
        drawing.map_or(0, |drawing| drawing.loops.broken())
    }

    /// Why no more tokens come; `None` while they do.
    pub fn end(&self) -> Option<End> {
        self.tokens.end
    }

    /// Draws the next token from the logits that a prefill or a decode step gave.
    ///
    /// # Errors
    /// [`SpeechError::Logits`] when one is not finite.
    ///
    /// # Panics
    /// If no logits were asked for.
    pub fn give_logits(&mut self, logits: &[f32]) -> Result<(), SpeechError> {
        assert!(self.token_demand().is_some(), "logits were asked for");
        self.tokens.draw(logits)
    }

    /// The piece's tokens are encoded.
    ///
    /// # Panics
    /// If that was not asked for.
    pub fn encoded(&mut self) {
        let Some(Demand::Encode(piece)) = self.audio_demand() else {
            panic!("an encoded piece was asked for");
        };
        self.audio.piece = Some((piece, PieceState::Solving(0)));
    }

    /// An Euler step was taken.
    ///
    /// # Panics
    /// If that was not asked for.
    pub fn stepped(&mut self) {
        let Some((piece, PieceState::Solving(step))) = self.audio.piece else {
            panic!("an Euler step was asked for");
        };
        let state = if step + 1 == self.flow_steps {
            PieceState::Vocoding
        } else {
            PieceState::Solving(step + 1)
        };
        self.audio.piece = Some((piece, state));
    }

    /// The piece's audio is made.
    ///
    /// # Panics
    /// If that was not asked for.
    pub fn vocoded(&mut self) {
        let Some((piece, PieceState::Vocoding)) = self.audio.piece.take() else {
            panic!("audio was asked for");
        };
        self.audio.offset = piece.tokens;
    }
}

impl Tokens {
    fn draw(&mut self, logits: &[f32]) -> Result<(), SpeechError> {
        let drawing = self.drawing.as_mut().expect("only drawn tokens ask");
        let drawn = self.drawn.len();
        let nothing = RangeInclusive::new(1, 0);
        let masked = if drawn < drawing.lengths.min {
            &drawing.masked_early
        } else {
            &nothing
        };
        let token = drawing
            .sampler
            .draw_without(
                drawing.loops.barred(&self.drawn),
                logits,
                masked,
                &self.drawn,
                &mut *drawing.uniforms,
            )
            .map_err(|source| SpeechError::Logits {
                graph: GraphId::Llm,
                tokens: drawn,
                source,
            })?;
        if drawing.stop.contains(&token) {
            self.end = Some(End::Stop(token));
            return Ok(());
        }
        drawing.loops.watch(token, &self.drawn);
        self.drawn.push(token);
        if drawing.silence.passes(token) {
            self.heard.push(token);
        }
        if self.drawn.len() == drawing.lengths.max {
            self.end = Some(End::MaxTokens);
        } else if drawing.loops.is_hopeless() {
            self.end = Some(End::Loop);
        }
        Ok(())
    }
}

impl Audio {
    fn new() -> Self {
        Self {
            offset: 0,
            piece: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::drawing::Lengths;
    use super::super::loops::LoopWatch;
    use super::super::random::SplitMix64;
    use super::super::sampling::Sampler;
    use super::super::silence::Silence;
    use super::*;
    use crate::bundle::SamplingSpec;

    const STEPS: usize = 3;
    const STOP: usize = 4;

    fn utterance(lengths: Lengths) -> Utterance {
        let prompt = LlmPrompt {
            text: vec![1],
            speech: vec![],
        };
        let drawing = Drawing {
            sampler: Sampler::new(sampling(), 5),
            uniforms: Box::new(SplitMix64::new(0)),
            lengths,
            stop: 4..=4,
            masked_early: 4..=4,
            loops: LoopWatch::default(),
            silence: Silence::new(vec![3]),
        };
        Utterance::new(prompt, drawing, Schedule::OneShot, STEPS)
    }

    fn sampling() -> SamplingSpec {
        SamplingSpec {
            top_p: 0.8,
            top_k: 25,
            window: 10,
            tau: 0.1,
            min_ratio: 2.0,
            max_ratio: 20.0,
        }
    }

    /// Sampling that draws the likeliest token however often it came before.
    fn free() -> SamplingSpec {
        SamplingSpec {
            top_k: 1,
            window: 10_000,
            tau: 1.0,
            ..sampling()
        }
    }

    /// Logits under which `id` is all but certain.
    fn favour(id: usize) -> [f32; 5] {
        std::array::from_fn(|index| if index == id { 50.0 } else { 0.0 })
    }

    #[test]
    fn work_is_asked_for_in_order() {
        let mut utterance = utterance(Lengths { min: 1, max: 10 });
        assert!(matches!(utterance.demand(), Some(Demand::Prefill(_))));
        utterance.give_logits(&favour(2)).expect("finite");
        assert_eq!(utterance.demand(), Some(Demand::Decode(2)));
        utterance.give_logits(&favour(3)).expect("finite");
        assert_eq!(utterance.demand(), Some(Demand::Decode(3)));
        utterance.give_logits(&favour(STOP)).expect("finite");
        assert_eq!(utterance.end(), Some(End::Stop(4)));
        assert_eq!(utterance.token_demand(), None);

        let Some(Demand::Encode(piece)) = utterance.demand() else {
            panic!("{:?}", utterance.demand());
        };
        assert_eq!((piece.tokens, piece.finalize), (2, true));
        utterance.encoded();
        for step in 0..STEPS {
            assert_eq!(utterance.demand(), Some(Demand::FlowStep(step)));
            utterance.stepped();
        }
        assert_eq!(utterance.demand(), Some(Demand::Vocode(piece)));
        utterance.vocoded();
        assert_eq!(utterance.demand(), None);
    }

    #[test]
    fn no_stop_before_the_shortest_length_and_no_token_after_the_longest() {
        let mut utterance = utterance(Lengths { min: 3, max: 3 });
        while utterance.token_demand().is_some() {
            utterance.give_logits(&favour(STOP)).expect("finite");
        }
        assert_eq!(utterance.tokens().len(), 3);
        assert_eq!(utterance.end(), Some(End::MaxTokens));
        assert!(!utterance.tokens().contains(&4));
    }

    #[test]
    fn a_stop_at_once_leaves_nothing_to_say() {
        let mut utterance = utterance(Lengths { min: 0, max: 3 });
        utterance.give_logits(&favour(STOP)).expect("finite");
        assert_eq!(utterance.demand(), None);
        assert!(utterance.tokens().is_empty());
    }

    #[test]
    fn a_pause_is_heard_for_a_while_and_counted_in_full() {
        let mut utterance = utterance(Lengths { min: 1, max: 9 });
        utterance.tokens.drawing.as_mut().expect("draws").sampler = Sampler::new(free(), 5);
        while utterance.token_demand().is_some() {
            utterance.give_logits(&favour(3)).expect("finite");
        }
        assert_eq!(utterance.tokens(), [3; 5]);
        assert_eq!(utterance.silence_held_back(), 4);
        let Some(Demand::Encode(piece)) = utterance.demand() else {
            panic!("{:?}", utterance.demand());
        };
        assert_eq!((piece.tokens, piece.finalize), (5, true));
    }

    #[test]
    fn a_loop_is_left_twice_and_then_ends_the_speech() {
        let mut utterance = utterance(Lengths {
            min: 1000,
            max: 1000,
        });
        utterance.tokens.drawing.as_mut().expect("draws").sampler = Sampler::new(free(), 5);
        let mut steps = 0;
        while utterance.token_demand().is_some() {
            let favoured = [1, 2][steps % 2];
            utterance.give_logits(&favour(favoured)).expect("finite");
            steps += 1;
        }
        assert_eq!(utterance.end(), Some(End::Loop));
        assert_eq!(utterance.loops_broken(), 2);
        let outside = |token: &&i32| ![1, 2].contains(*token);
        let ways_out = utterance.tokens.drawn.iter().filter(outside).count();
        assert_eq!((ways_out, steps), (2, 3 * 96 + 2));
    }

    #[test]
    fn a_loop_of_the_only_id_there_is_ends_the_speech() {
        let mut utterance = utterance(Lengths { min: 500, max: 500 });
        let drawing = utterance.tokens.drawing.as_mut().expect("draws");
        drawing.sampler = Sampler::new(free(), 5);
        drawing.masked_early = 1..=4;
        while utterance.token_demand().is_some() {
            utterance.give_logits(&favour(0)).expect("finite");
        }
        assert_eq!(utterance.end(), Some(End::Loop));
        assert!(utterance.tokens.drawn.iter().all(|&token| token == 0));
    }

    #[test]
    fn a_logit_that_is_not_finite_names_its_step() {
        let mut utterance = utterance(Lengths { min: 1, max: 3 });
        utterance.give_logits(&favour(1)).expect("finite");
        let error = utterance
            .give_logits(&[0.0, f32::NAN, 0.0, 0.0, 0.0])
            .expect_err("NaN");
        assert!(
            matches!(error, SpeechError::Logits { tokens: 1, ref source, .. } if source.index == 1),
            "{error}"
        );
    }
}
