//! Speech tokens to mel: an encoder, then a differential equation solved in a few steps.

mod mersenne;
mod noise;
mod solve;
mod visibility;

pub use noise::FixedNoise;
pub use solve::FlowSolve;
pub use visibility::Attention;

use super::error::{OpenError, SpeechError};
use super::graph::{RunTime, StageGraph, port};
use crate::backend::{CompiledGraph, Lane, LaneTensor, Place, RunError};
use crate::bundle::{Manifest, solver_times};
use crate::ids::{Axis, GraphId};
use crate::tensor::{AxisSizes, DType, Placement, Shape, Signature};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Encoder and estimator of CosyVoice2 on one lane; tensors are kept where the estimator works.
#[derive(Debug)]
pub struct FlowStage {
    place: Place,
    encoder: StageGraph,
    estimator: StageGraph,
    /// Tells which widths there are engines for.
    estimator_graph: Arc<dyn CompiledGraph>,
    shape: FlowShape,
    vocabulary: Range<i32>,
    max_tokens: usize,
    guidance: f32,
    /// Solver times, one more than there are steps.
    times: Vec<f32>,
    noise: FixedNoise,
    tokens: EncoderTokens,
}

/// One call of the flow: what it hears, and how.
#[derive(Debug, Clone, Copy)]
pub struct FlowCall<'a> {
    /// Tokens of the prompt.
    pub prompt_tokens: &'a [i32],
    /// Tokens to make sound of, from the utterance's first on.
    pub tokens: &'a [i32],
    /// Mel of the prompt, `[frames_per_token * prompt_tokens, bins]` row-major.
    pub prompt_mel: &'a [f32],
    /// Speaker vector, as the speaker encoder gave it.
    pub embedding: &'a [f32],
    /// Whether `tokens` is all there will be; otherwise the last ones only serve as look-ahead.
    pub finalize: bool,
    /// How far frames see.
    pub attention: Attention,
}

#[derive(Debug, Clone, Copy)]
struct FlowShape {
    bins: usize,
    frames_per_token: usize,
    look_ahead: usize,
    chunk_tokens: usize,
}

/// Frames of the widest step that is recorded at warm-up: half a minute of speech.
const WARM_FRAMES: usize = 1536;

/// The encoder's inputs.
#[derive(Debug)]
struct EncoderTokens {
    token: LaneTensor,
    context: LaneTensor,
    context_valid: LaneTensor,
    qend: LaneTensor,
    kpos: LaneTensor,
    embedding: LaneTensor,
}

impl FlowStage {
    /// Opens both graphs.
    ///
    /// # Errors
    /// [`OpenError`] when a graph does not fit the bundle's figures, or opens no session.
    pub fn open(
        encoder: &Arc<dyn CompiledGraph>,
        estimator: &Arc<dyn CompiledGraph>,
        lane: &Lane,
        manifest: &Manifest,
        embedding: usize,
    ) -> Result<Self, OpenError> {
        let shape = FlowShape {
            bins: manifest.mel_bins,
            frames_per_token: whole_frames(manifest.frames_per_token)?,
            look_ahead: manifest.flow.look_ahead,
            chunk_tokens: manifest.flow.chunk_tokens.max(1),
        };
        let encoder_contract = encoder_contract(&shape, embedding);
        let estimator_contract = estimator_contract(&shape);
        let place = lane.place_for(estimator.as_ref());
        let open =
            |graph, compiled, contract| StageGraph::open(graph, compiled, lane, &place, contract);
        Ok(Self {
            encoder: open(GraphId::FlowEncoder, encoder, &encoder_contract)?,
            estimator: open(GraphId::FlowEstimator, estimator, &estimator_contract)?,
            estimator_graph: Arc::clone(estimator),
            shape,
            vocabulary: 0..i32::try_from(manifest.llm.speech_vocab).unwrap_or(i32::MAX),
            max_tokens: max_tokens(manifest, shape.frames_per_token),
            guidance: manifest.flow.guidance,
            times: solver_times(manifest.flow.steps),
            noise: FixedNoise::new(shape.bins),
            tokens: EncoderTokens::new(&place, shape.look_ahead, embedding)?,
            place,
        })
    }

    /// An empty state for this stage to solve.
    ///
    /// # Errors
    /// [`RunError`] where there is no memory for it.
    pub fn new_solve(&self) -> Result<FlowSolve, RunError> {
        FlowSolve::new(&self.place, self.shape.bins, &self.times)
    }

    /// Steps of a solution.
    pub fn steps(&self) -> usize {
        self.times.len() - 1
    }

    /// Solver times, one more than there are steps.
    pub fn times(&self) -> &[f32] {
        &self.times
    }

    /// Tokens a call can have, the prompt's included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Encodes a call's tokens and puts `solve` at its start.
    ///
    /// # Errors
    /// [`SpeechError::TooManyTokens`] past [`Self::max_tokens`], [`SpeechError::Token`], [`SpeechError::Memory`], or
    /// [`SpeechError::Run`]. Whether the result is finite, [`FlowSolve::check`] tells after the last step.
    ///
    /// # Panics
    /// If the call has no tokens but for the look-ahead.
    pub fn encode(
        &mut self,
        call: &FlowCall<'_>,
        solve: &mut FlowSolve,
    ) -> Result<(), SpeechError> {
        let shape = self.shape;
        let tokens = call.prompt_tokens.len() + call.tokens.len();
        if tokens > self.max_tokens {
            let limit = self.max_tokens;
            return Err(SpeechError::TooManyTokens { tokens, limit });
        }
        let ids = call.prompt_tokens.iter().chain(call.tokens);
        if let Some(&id) = ids.into_iter().find(|&&id| !self.vocabulary.contains(&id)) {
            return Err(SpeechError::Token { id });
        }
        let heard = self.tokens.fill(call, &shape)?;
        let frames = heard * shape.frames_per_token;
        let width = self.width(frames);
        let chunk_frames = shape.chunk_tokens * shape.frames_per_token;
        solve.prepare(frames, width, call.prompt_mel, call.attention, chunk_frames)?;
        let tokens = &self.tokens;
        let inputs = [
            tokens.token.view(),
            tokens.context.view(),
            tokens.context_valid.view(),
            tokens.qend.view(),
            tokens.kpos.view(),
            tokens.embedding.view(),
        ];
        self.encoder.run(inputs, solve.encoder_outputs()?)?;
        solve.encoded()?;
        solve.start(|noise| self.noise.copy_columns(frames, noise))?;
        Ok(())
    }

    /// Takes the Euler step with this index, from 0 on.
    ///
    /// # Errors
    /// [`SpeechError::Run`], or [`SpeechError::Memory`].
    ///
    /// # Panics
    /// If there is no such step.
    pub fn step(&mut self, solve: &mut FlowSolve, index: usize) -> Result<(), SpeechError> {
        solve.set_step(index)?;
        let (condition, start) = (solve.condition(self.estimator.runs_on()), Instant::now());
        if solve.recordings().launch(&condition)? {
            self.estimator.count_launch(start);
        } else {
            self.take_step(solve)?;
        }
        if index + 1 == self.steps() {
            solve.finish()?;
        }
        Ok(())
    }

    /// Estimator and Euler step, at the time that was set.
    fn take_step(&mut self, solve: &mut FlowSolve) -> Result<(), SpeechError> {
        let (inputs, output) = solve.estimator_io();
        self.estimator.run(inputs, [output])?;
        Ok(solve.advance(self.guidance)?)
    }

    /// On a device, takes a step at every width of speech up to half a minute and records it for later ones; `cancelled`
    /// is asked before every one.
    ///
    /// # Errors
    /// [`SpeechError::Run`], or [`SpeechError::Memory`]; [`SpeechError::Stopped`] where it was cancelled.
    pub fn warm_up(
        &mut self,
        solve: &mut FlowSolve,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), SpeechError> {
        if self.place.placement() == Placement::Host {
            return Ok(());
        }
        let longest = (self.max_tokens * self.shape.frames_per_token).min(WARM_FRAMES);
        let next = |&width: &usize| Some(wider(width + 1)).filter(|&width| width <= longest);
        let mut widths: Vec<usize> = std::iter::successors(Some(wider(1)), next).collect();
        widths.retain(|&width| self.width(width) == width);
        // The largest first, so that no tensor has to grow afterwards.
        for width in widths.into_iter().rev() {
            if cancelled() {
                return Err(SpeechError::Stopped);
            }
            let chunk_frames = self.shape.chunk_tokens * self.shape.frames_per_token;
            solve.prepare(width, width, &[], Attention::Full, chunk_frames)?;
            solve.start(|noise| noise.fill(0.0))?;
            solve.set_step(0)?;
            self.take_step(solve)?;
            let condition = solve.condition(self.estimator.runs_on());
            let place = self.place.clone();
            let mut recordings = std::mem::take(solve.recordings());
            recordings.record(&place, condition, || self.take_step(solve));
            *solve.recordings() = recordings;
        }
        Ok(())
    }

    /// How wide the estimator's tensors are for so many frames.
    ///
    /// On a device, the next of a few widths, at most an eighth or 32 frames wider: so an engine is not told new shapes
    /// with every utterance, and its recorded runs serve many.
    fn width(&self, frames: usize) -> usize {
        if self.place.placement() == Placement::Host {
            return frames;
        }
        let width = wider(frames);
        let sizes = AxisSizes::from([(Axis::Batch, 2), (Axis::Frames, width)]);
        let inputs = self.estimator_graph.signature().inputs.iter();
        let shapes: Result<Vec<Shape>, _> = inputs.map(|port| port.shape(&sizes)).collect();
        match shapes {
            Ok(shapes) if self.estimator_graph.takes(&shapes) => width,
            _ => frames,
        }
    }

    pub(super) fn graphs(&mut self) -> [&mut StageGraph; 2] {
        [&mut self.encoder, &mut self.estimator]
    }

    pub(super) fn take_times(&mut self) -> [RunTime; 2] {
        [self.encoder.take_time(), self.estimator.take_time()]
    }
}

impl EncoderTokens {
    fn new(place: &Place, look_ahead: usize, embedding: usize) -> Result<Self, RunError> {
        let ids = |dims: &[usize]| place.tensor(DType::I32, Shape::new(dims));
        let floats = |dims: &[usize]| place.tensor(DType::F32, Shape::new(dims));
        Ok(Self {
            token: ids(&[1, 0])?,
            context: ids(&[1, look_ahead])?,
            context_valid: floats(&[1, look_ahead, 1])?,
            qend: ids(&[1, 0])?,
            kpos: ids(&[1, 0])?,
            embedding: floats(&[1, embedding])?,
        })
    }

    /// Lays out a call's tokens; returns how many are heard, the look-ahead not counted.
    fn fill(&mut self, call: &FlowCall<'_>, shape: &FlowShape) -> Result<usize, RunError> {
        let ahead = if call.finalize { 0 } else { shape.look_ahead };
        let split = call.tokens.len().checked_sub(ahead);
        let (heard, context) = call
            .tokens
            .split_at(split.expect("more tokens than look-ahead"));
        let count = call.prompt_tokens.len() + heard.len();
        assert!(count > 0, "a piece has tokens");
        for tensor in [&mut self.token, &mut self.qend, &mut self.kpos] {
            tensor.reshape(Shape::new(&[1, count]))?;
        }
        let (prompt, own) = self.token.stage()?.split_at_mut(call.prompt_tokens.len());
        prompt.copy_from_slice(call.prompt_tokens);
        own.copy_from_slice(heard);
        let slots = self.context.stage::<i32>()?;
        slots.fill(0);
        slots[..context.len()].copy_from_slice(context);
        let valid = if call.finalize { 0f32 } else { 1f32 };
        self.context_valid.stage()?.fill(valid);
        let (qend, kpos) = (self.qend.stage()?, self.kpos.stage()?);
        visibility::fill(call.attention, shape.chunk_tokens, count, qend, kpos);
        self.embedding.stage()?.copy_from_slice(call.embedding);
        for tensor in [
            &mut self.token,
            &mut self.context,
            &mut self.context_valid,
            &mut self.qend,
            &mut self.kpos,
            &mut self.embedding,
        ] {
            tensor.send()?;
        }
        Ok(count)
    }
}

/// The next of the widths that are used on a device.
fn wider(frames: usize) -> usize {
    let step = (frames.next_power_of_two() / 8).max(32);
    frames.next_multiple_of(step)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be a small whole number"
)]
fn whole_frames(frames_per_token: f64) -> Result<usize, OpenError> {
    if frames_per_token.fract() == 0.0 && (1.0..=16.0).contains(&frames_per_token) {
        return Ok(frames_per_token as usize);
    }
    Err(OpenError::FramesPerToken(frames_per_token))
}

/// The noise bounds the frames, the encoder's position table the tokens.
fn max_tokens(manifest: &Manifest, frames_per_token: usize) -> usize {
    let noise = FixedNoise::COLUMNS / frames_per_token;
    manifest
        .flow
        .max_tokens
        .map_or(noise, |positions| positions.min(noise))
}

fn encoder_contract(shape: &FlowShape, embedding: usize) -> Signature {
    let (ahead, embedding) = (shape.look_ahead.to_string(), embedding.to_string());
    let bins = shape.bins.to_string();
    let frames = format!("{}*tokens", shape.frames_per_token);
    Signature {
        inputs: vec![
            port("token", DType::I32, &["1", "tokens"]),
            port("context", DType::I32, &["1", &ahead]),
            port("context_valid", DType::F32, &["1", &ahead, "1"]),
            port("qend", DType::I32, &["1", "tokens"]),
            port("kpos", DType::I32, &["1", "tokens"]),
            port("embedding", DType::F32, &["1", &embedding]),
        ],
        outputs: vec![
            port("mu", DType::F32, &["1", &bins, &frames]),
            port("spks", DType::F32, &["1", &bins]),
        ],
    }
}

fn estimator_contract(shape: &FlowShape) -> Signature {
    let bins = shape.bins.to_string();
    let sequence = |name: &str| port(name, DType::F32, &["batch", &bins, "frames"]);
    Signature {
        inputs: vec![
            sequence("x"),
            port("mask", DType::F32, &["batch", "1", "frames"]),
            sequence("mu"),
            port("t", DType::F32, &["batch"]),
            port("spks", DType::F32, &["batch", &bins]),
            sequence("cond"),
            port("qend", DType::I32, &["batch", "frames"]),
            port("kpos", DType::I32, &["batch", "frames"]),
        ],
        outputs: vec![sequence("estimator_out")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_frames_are_repeated() {
        assert_eq!(whole_frames(2.0).ok(), Some(2));
        for frames in [0.0, 1.722_656_25, -2.0, f64::NAN, 1e9] {
            assert!(whole_frames(frames).is_err(), "{frames}");
        }
    }
}
