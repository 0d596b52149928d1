//! Mel to waveform: F0 from a graph, the source on the host, the waveform from a second graph.

mod edges;
mod source;

use super::error::{OpenError, SpeechError};
use super::graph::{RunTime, StageGraph, port};
use super::random::SourceNoise;
use crate::backend::{CompiledGraph, Lane, LaneTensor};
use crate::bundle::{Manifest, Tables};
use crate::ids::GraphId;
use crate::tensor::{DType, Shape, Signature, Tensor};
use source::HarmonicSource;
use std::sync::Arc;

/// The `HiFT` vocoder of CosyVoice2 on one lane; tensors are kept where its decoder works.
///
/// A waveform takes a mel ([`Self::mel_mut`] or [`Self::set_mel`]) and three calls, in order: [`Self::pitch`],
/// [`Self::excite`], [`Self::decode`]; each reads what the one before left behind.
#[derive(Debug)]
pub struct HiftStage {
    pitch_graph: StageGraph,
    decode_graph: StageGraph,
    harmonics: HarmonicSource,
    samples_per_frame: usize,
    audio_limit: f32,
    mel: LaneTensor,
    f0: LaneTensor,
    source: Vec<f32>,
    source_pad: LaneTensor,
    audio: LaneTensor,
}

impl HiftStage {
    /// Opens both graphs.
    ///
    /// # Errors
    /// [`OpenError`] when a graph does not fit the bundle's figures, or opens no session.
    pub fn open(
        pitch: &Arc<dyn CompiledGraph>,
        decode: &Arc<dyn CompiledGraph>,
        lane: &Lane,
        manifest: &Manifest,
        tables: &Tables,
    ) -> Result<Self, OpenError> {
        let spec = &manifest.hift;
        if spec.harmonics != tables.source_weight.len() {
            return Err(OpenError::Figure {
                figure: "hift.harmonics",
                found: spec.harmonics,
                expected: tables.source_weight.len(),
            });
        }
        let samples_per_frame = manifest.samples_per_frame;
        let pitch_contract = pitch_contract(manifest.mel_bins);
        let decode_contract = decode_contract(manifest.mel_bins, samples_per_frame);
        let place = lane.place_for(decode.as_ref());
        let floats = |dims: &[usize]| place.tensor(DType::F32, Shape::new(dims));
        let open =
            |graph, compiled, contract| StageGraph::open(graph, compiled, lane, &place, contract);
        Ok(Self {
            pitch_graph: open(GraphId::HiftF0, pitch, &pitch_contract)?,
            decode_graph: open(GraphId::HiftDecode, decode, &decode_contract)?,
            harmonics: HarmonicSource::new(
                spec,
                manifest.sample_rate,
                samples_per_frame,
                &tables.source_weight,
                tables.source_bias,
            ),
            samples_per_frame,
            audio_limit: spec.audio_limit,
            mel: floats(&[1, manifest.mel_bins, 0])?,
            f0: floats(&[1, 0])?,
            source: Vec::new(),
            source_pad: floats(&[1, 1, 2 * edges::CONTEXT])?,
            audio: floats(&[1, 0])?,
        })
    }

    /// The mel to make audio of, `[1, bins, frames]`, to be filled where it is.
    pub fn mel_mut(&mut self) -> &mut LaneTensor {
        &mut self.mel
    }

    /// Takes a mel from the host, `[1, bins, frames]`.
    ///
    /// # Errors
    /// [`SpeechError::Memory`], or [`SpeechError::View`] when it is not f32.
    pub fn set_mel(&mut self, mel: &Tensor) -> Result<(), SpeechError> {
        self.mel.reshape(mel.shape())?;
        self.mel.stage()?.copy_from_slice(mel.elements::<f32>()?);
        Ok(self.mel.send()?)
    }

    /// F0 of each frame of the mel, in Hz.
    ///
    /// # Errors
    /// [`SpeechError::Run`], [`SpeechError::Memory`], or [`SpeechError::NotFinite`].
    pub fn pitch(&mut self) -> Result<&[f32], SpeechError> {
        self.f0.reshape(Shape::new(&[1, frames(&self.mel)]))?;
        self.pitch_graph
            .run([self.mel.view()], [self.f0.view_mut()])?;
        self.f0.fetch()?;
        let f0 = self.f0.fetched()?;
        finite(GraphId::HiftF0, f0)?;
        Ok(f0)
    }

    /// Makes the source for the F0 found last, one value per audio sample.
    ///
    /// `known`: samples of an earlier call that this one's first samples repeat; empty at a signal's beginning.
    ///
    /// # Errors
    /// [`SpeechError::Memory`].
    ///
    /// # Panics
    /// If `known` is longer than the signal.
    pub fn excite(
        &mut self,
        noise: &mut dyn SourceNoise,
        known: &[f32],
    ) -> Result<&[f32], SpeechError> {
        let f0 = self.f0.fetched()?;
        self.source.resize(f0.len() * self.samples_per_frame, 0.0);
        self.harmonics.fill(f0, noise, &mut self.source);
        self.source[..known.len()].copy_from_slice(known);
        Ok(&self.source)
    }

    /// Takes a source made elsewhere, in place of [`Self::excite`].
    pub fn set_source(&mut self, source: &[f32]) {
        self.source.clear();
        self.source.extend_from_slice(source);
    }

    /// The waveform of the mel under the source at hand, within plus and minus the audio limit.
    ///
    /// # Errors
    /// [`SpeechError::Run`], [`SpeechError::Memory`], or [`SpeechError::NotFinite`].
    ///
    /// # Panics
    /// If the source is not as long as the mel.
    pub fn decode(&mut self) -> Result<&[f32], SpeechError> {
        let samples = frames(&self.mel) * self.samples_per_frame;
        assert_eq!(self.source.len(), samples, "one source value per sample");
        let padded = Shape::new(&[1, 1, samples + 2 * edges::CONTEXT]);
        self.source_pad.reshape(padded)?;
        edges::reflect(&self.source, self.source_pad.stage()?);
        self.source_pad.send()?;
        self.audio.reshape(Shape::new(&[1, samples]))?;
        let inputs = [self.mel.view(), self.source_pad.view()];
        self.decode_graph.run(inputs, [self.audio.view_mut()])?;
        self.audio.fetch()?;
        let audio = self.audio.fetched()?;
        finite(GraphId::HiftDecode, audio)?;
        edges::finish(audio, self.audio_limit);
        Ok(audio)
    }

    pub(super) fn graphs(&mut self) -> [&mut StageGraph; 2] {
        [&mut self.pitch_graph, &mut self.decode_graph]
    }

    pub(super) fn take_times(&mut self) -> [RunTime; 2] {
        [self.pitch_graph.take_time(), self.decode_graph.take_time()]
    }
}

fn frames(mel: &LaneTensor) -> usize {
    mel.shape().dims()[2]
}

fn finite(graph: GraphId, values: &[f32]) -> Result<(), SpeechError> {
    if values.iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(SpeechError::NotFinite { graph })
    }
}

fn pitch_contract(bins: usize) -> Signature {
    Signature {
        inputs: vec![port("mel", DType::F32, &["1", &bins.to_string(), "frames"])],
        outputs: vec![port("f0", DType::F32, &["1", "frames"])],
    }
}

fn decode_contract(bins: usize, samples_per_frame: usize) -> Signature {
    let source = format!("{samples_per_frame}*frames+{}", 2 * edges::CONTEXT);
    let audio = format!("{samples_per_frame}*frames");
    Signature {
        inputs: vec![
            port("mel", DType::F32, &["1", &bins.to_string(), "frames"]),
            port("source_pad", DType::F32, &["1", "1", &source]),
        ],
        outputs: vec![port("wav_raw", DType::F32, &["1", &audio])],
    }
}
