//! One utterance at a time, from ids to audio.

use super::drawing::{Drawing, Lengths};
use super::error::{OpenError, SpeechError};
use super::flow::{FlowSolve, FlowStage};
use super::graph::StageGraph;
use super::hift::HiftStage;
use super::llm::{Feed, LlmPrompt, LlmStage, SlotId};
use super::mel::stretch;
use super::random::{SeededNoise, SourceNoise, SplitMix64};
use super::request::{ConversionRequest, FlowVoice, SpeechRequest, check_mode, check_speed};
use super::schedule::{Piece, Schedule};
use super::speech::Speech;
use super::times::StageTimes;
use super::utterance::{Demand, Utterance};
use crate::backend::{CompiledGraph, Lane};
use crate::bundle::{Bundle, EMBEDDING_WIDTH, Manifest, Voice};
use crate::ids::{BackendId, Family, GraphId, Mode};
use crate::tensor::{DType, Shape, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Loaded graphs of one bundle.
pub type Graphs = BTreeMap<GraphId, LoadedGraph>;

/// A loaded graph, and what runs it.
#[derive(Debug, Clone)]
pub struct LoadedGraph {
    /// What loaded it.
    pub backend: BackendId,
    /// The graph.
    pub compiled: Arc<dyn CompiledGraph>,
}

/// Speaks one utterance at a time on one lane.
#[derive(Debug)]
pub struct Synthesizer {
    manifest: Manifest,
    backends: BTreeMap<GraphId, BackendId>,
    llm: LlmStage,
    flow: FlowStage,
    hift: HiftStage,
    solve: FlowSolve,
    mel: Tensor,
    stretched: Tensor,
}

/// What an utterance needs beside itself, and what it gave so far.
struct Sound<'a> {
    voice: FlowVoice<'a>,
    speed: f64,
    noise: &'a mut dyn SourceNoise,
    start: Instant,
    times: StageTimes,
    slot: Option<SlotId>,
    pcm: Vec<f32>,
}

/// The graphs an utterance needs.
pub const NEEDED: [GraphId; 5] = [
    GraphId::Llm,
    GraphId::FlowEncoder,
    GraphId::FlowEstimator,
    GraphId::HiftF0,
    GraphId::HiftDecode,
];

/// Noise and tokens draw from different sequences of the same seed.
const NOISE_STREAM: u64 = 0x6E6F_6973_6500_0000;

/// Whether there are stages for a family.
///
/// # Errors
/// [`OpenError::Family`] where there are none.
pub fn check_family(family: Family) -> Result<(), OpenError> {
    match family {
        Family::CosyVoice2 => Ok(()),
        Family::CosyVoice | Family::CosyVoice3 => Err(OpenError::Family(family)),
    }
}

impl Synthesizer {
    /// Opens every stage of a bundle.
    ///
    /// # Errors
    /// [`OpenError`] for a family without stages, a graph that is missing or does not fit, or a session that does not
    /// open.
    pub fn open(bundle: &Bundle, graphs: &Graphs, lane: &Lane) -> Result<Self, OpenError> {
        let manifest = bundle.manifest().clone();
        check_family(manifest.family)?;
        let tables = Arc::new(bundle.tables()?);
        let [llm, encoder, estimator, pitch, decode] = {
            let mut loaded = Vec::with_capacity(NEEDED.len());
            for graph in NEEDED {
                loaded.push(
                    &graphs
                        .get(&graph)
                        .ok_or(OpenError::MissingGraph(graph))?
                        .compiled,
                );
            }
            <[_; 5]>::try_from(loaded).expect("one each")
        };
        let mel = Tensor::zeros(DType::F32, Shape::new(&[1, manifest.mel_bins, 0]));
        let flow = FlowStage::open(encoder, estimator, lane, &manifest, EMBEDDING_WIDTH)?;
        Ok(Self {
            backends: NEEDED.map(|graph| (graph, graphs[&graph].backend)).into(),
            llm: LlmStage::open(llm, lane, &manifest.llm, Arc::clone(&tables), 1)?,
            hift: HiftStage::open(pitch, decode, lane, &manifest, &tables)?,
            solve: flow.new_solve()?,
            flow,
            stretched: mel.clone(),
            mel,
            manifest,
        })
    }

    /// On a device, takes the steps of every size that requests are likely to ask for and records them: later ones are
    /// launched as one. `cancelled` is asked before every one.
    ///
    /// # Errors
    /// [`SpeechError`] of the first step that fails, [`SpeechError::Stopped`] where it was cancelled; the synthesiser can
    /// go on.
    pub fn warm_up(&mut self, cancelled: &dyn Fn() -> bool) -> Result<(), SpeechError> {
        self.llm.warm_up(cancelled)?;
        self.flow.warm_up(&mut self.solve, cancelled)
    }

    /// Speaks a text.
    ///
    /// # Errors
    /// [`SpeechError`]; the synthesiser can go on with the next request.
    pub fn speak(&mut self, request: &SpeechRequest) -> Result<Speech, SpeechError> {
        self.speak_until(request, &|| false)
    }

    /// Speaks a text unless it is cancelled first; `cancelled` is asked before every piece of work, each decode step among them.
    ///
    /// Where a graph gives what is no number, the text is spoken again with the next backend of its chain.
    ///
    /// # Errors
    /// [`SpeechError::Stopped`] where it was, and any other [`SpeechError`]; the synthesiser can go on with the next
    /// request.
    pub fn speak_until(
        &mut self,
        request: &SpeechRequest,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Speech, SpeechError> {
        self.with_other_backends(|this| this.speak_once(request, cancelled))
    }

    fn speak_once(
        &mut self,
        request: &SpeechRequest,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Speech, SpeechError> {
        check_speed(request.speed)?;
        let voice = FlowVoice::new(request.mode, &request.voice, &self.manifest)?;
        let mut noise = SeededNoise::new(request.seed ^ NOISE_STREAM);
        let sound = Sound::new(voice, request.speed, &mut noise);
        let prompt = request.llm_prompt(&self.manifest)?;
        let lengths = self.lengths(request, &prompt, &voice)?;
        let uniforms = Box::new(SplitMix64::new(request.seed));
        let Manifest { llm, sampling, .. } = &self.manifest;
        let drawing = Drawing::new(llm, sampling, lengths, uniforms);
        let steps = self.flow.steps();
        let utterance = Utterance::new(prompt, drawing, Schedule::OneShot, steps);
        self.drive(utterance, sound, cancelled)
    }

    /// Says the speech tokens of a recording in another voice.
    ///
    /// # Errors
    /// [`SpeechError`]; the synthesiser can go on with the next request.
    pub fn convert(&mut self, request: &ConversionRequest) -> Result<Speech, SpeechError> {
        check_mode(Mode::Vc, &self.manifest)?;
        let ConversionRequest {
            tokens,
            voice,
            seed,
            speed,
        } = request;
        self.with_other_backends(|this| {
            let mut noise = SeededNoise::new(seed ^ NOISE_STREAM);
            this.speak_tokens(tokens.clone(), voice, *speed, &mut noise)
        })
    }

    /// Does work again with the next backend of a graph that gave what is no number, as long as there is one.
    fn with_other_backends(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<Speech, SpeechError>,
    ) -> Result<Speech, SpeechError> {
        loop {
            let outcome = work(self);
            let Err(error) = &outcome else {
                return outcome;
            };
            let Some(graph) = error.of_values() else {
                return outcome;
            };
            let reason = error.to_string();
            let given_up = self
                .graphs()
                .into_iter()
                .any(|stage| stage.id() == graph && stage.give_up(&reason));
            if !given_up {
                return outcome;
            }
        }
    }

    fn graphs(&mut self) -> Vec<&mut StageGraph> {
        let Self {
            llm, flow, hift, ..
        } = self;
        let speaking = llm.graphs().into_iter();
        speaking.chain(flow.graphs()).chain(hift.graphs()).collect()
    }

    /// What runs each graph now.
    fn backends_now(&mut self) -> BTreeMap<GraphId, BackendId> {
        let mut backends = self.backends.clone();
        for stage in self.graphs() {
            if let Some(now) = stage.runs_on() {
                backends.insert(stage.id(), now);
            }
        }
        backends
    }

    /// Makes audio of speech tokens with the prompt of a voice; the language model does not run.
    ///
    /// # Errors
    /// [`SpeechError`]; the synthesiser can go on with the next request.
    pub fn speak_tokens(
        &mut self,
        tokens: Vec<i32>,
        voice: &Voice,
        speed: f64,
        noise: &mut dyn SourceNoise,
    ) -> Result<Speech, SpeechError> {
        check_speed(speed)?;
        let voice = FlowVoice::new(Mode::Vc, voice, &self.manifest)?;
        let utterance = Utterance::of_tokens(tokens, Schedule::OneShot, self.flow.steps());
        self.drive(utterance, Sound::new(voice, speed, noise), &|| false)
    }

    fn lengths(
        &self,
        request: &SpeechRequest,
        prompt: &LlmPrompt,
        voice: &FlowVoice<'_>,
    ) -> Result<Lengths, SpeechError> {
        let positions = prompt.positions();
        let limit = self.llm.max_positions();
        let room = limit.saturating_sub(positions);
        let flow_room = self
            .flow
            .max_tokens()
            .saturating_sub(voice.prompt_tokens.len());
        let text = request.text_ids.len();
        let lengths = Lengths::of_text(text, &self.manifest.sampling, room.min(flow_room))
            .map_err(|min| SpeechError::TextTooLong {
                needed: positions + min,
                limit: limit.min(positions.saturating_add(flow_room)),
            })?;
        let max = request.max_tokens.unwrap_or(lengths.max).min(lengths.max);
        Ok(Lengths { max, ..lengths })
    }

    fn drive(
        &mut self,
        mut utterance: Utterance,
        mut sound: Sound<'_>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Speech, SpeechError> {
        let outcome = self.satisfy(&mut utterance, &mut sound, cancelled);
        let released = sound.slot.map_or(Ok(()), |slot| self.llm.release(slot));
        outcome.and(released)?;
        if sound.pcm.is_empty() {
            return Err(SpeechError::NoSpeech);
        }
        sound.times.total = sound.start.elapsed();
        let speech = Speech {
            pcm: sound.pcm,
            sample_rate: self.manifest.sample_rate,
            tokens: utterance.tokens().to_vec(),
            end: utterance
                .end()
                .expect("an utterance without demands has ended"),
            loops_broken: utterance.loops_broken(),
            silence_held_back: utterance.silence_held_back(),
            times: sound.times,
            backends: self.backends_now(),
        };
        speech.log();
        Ok(speech)
    }

    /// Does what the utterance asks for until it asks no more, or is stopped.
    fn satisfy(
        &mut self,
        utterance: &mut Utterance,
        sound: &mut Sound<'_>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), SpeechError> {
        while let Some(demand) = utterance.demand() {
            if cancelled() {
                return Err(SpeechError::Stopped);
            }
            let start = Instant::now();
            match demand {
                Demand::Prefill(prompt) => {
                    let slot = self.llm.prefill(prompt)?;
                    sound.slot = Some(slot);
                    utterance.give_logits(self.llm.logits(slot)?)?;
                    sound
                        .times
                        .prefill
                        .add(start.elapsed(), self.llm.take_time());
                }
                Demand::Decode(token) => {
                    let slot = sound.slot.expect("a prompt is read before a token");
                    self.llm.decode(&[Feed { slot, token }])?;
                    utterance.give_logits(self.llm.logits(slot)?)?;
                    sound
                        .times
                        .decode
                        .add(start.elapsed(), self.llm.take_time());
                }
                Demand::Encode(piece) => {
                    let call = sound.voice.call(piece, utterance.tokens());
                    self.flow.encode(&call, &mut self.solve)?;
                    utterance.encoded();
                    let [encoder, _] = self.flow.take_times();
                    sound.times.encode.add(start.elapsed(), encoder);
                }
                Demand::FlowStep(step) => {
                    self.flow.step(&mut self.solve, step)?;
                    utterance.stepped();
                    let [_, estimator] = self.flow.take_times();
                    sound.times.flow.add(start.elapsed(), estimator);
                }
                Demand::Vocode(piece) => {
                    self.vocode(piece, sound)?;
                    utterance.vocoded();
                }
            }
        }
        Ok(())
    }

    fn vocode(&mut self, piece: Piece, sound: &mut Sound<'_>) -> Result<(), SpeechError> {
        let start = Instant::now();
        let first = self.manifest.frames_of_tokens(piece.offset);
        if (sound.speed - 1.0).abs() > f64::EPSILON {
            self.solve.read_mel(first, &mut self.mel)?;
            stretch(&self.mel, sound.speed, &mut self.stretched);
            self.hift.set_mel(&self.stretched)?;
        } else {
            self.solve.copy_mel(first, self.hift.mel_mut())?;
        }
        let pitched = self.hift.pitch().map(drop);
        // Reading F0 has waited for the flow as well; where that gave no numbers, F0 is none either.
        self.solve.check()?;
        pitched?;
        let [pitch, _] = self.hift.take_times();
        sound.times.pitch.add(start.elapsed(), pitch);

        let start = Instant::now();
        self.hift.excite(sound.noise, &[])?;
        sound.times.source += start.elapsed();

        let start = Instant::now();
        let audio = self.hift.decode()?;
        sound.pcm.extend_from_slice(audio);
        let [_, decode] = self.hift.take_times();
        sound.times.vocode.add(start.elapsed(), decode);
        Ok(())
    }
}

impl<'a> Sound<'a> {
    fn new(voice: FlowVoice<'a>, speed: f64, noise: &'a mut dyn SourceNoise) -> Self {
        Self {
            voice,
            speed,
            noise,
            start: Instant::now(),
            times: StageTimes::default(),
            slot: None,
            pcm: Vec::new(),
        }
    }
}
