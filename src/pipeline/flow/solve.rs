//! One utterance's way through the flow's differential equation.

use super::visibility::{self, Attention};
use crate::backend::{BlockCopy, LaneTensor, Place, RunError};
use crate::ids::{BackendId, GraphId};
use crate::pipeline::error::SpeechError;
use crate::pipeline::recordings::{Condition, Recordings};
use crate::tensor::{DType, Shape, Tensor, TensorView, TensorViewMut};
use std::ops::Range;

/// The solver's state for one utterance: both rows of classifier-free guidance, where the estimator works.
///
/// Row 0 is conditional; row 1 has zeros for `mu`, `spks` and `cond`. The tensors may be wider than there are frames: what
/// is behind the last frame is masked, and seen by none. Serves one utterance after another on the same memory; between
/// [`FlowStage::encode`](super::FlowStage::encode) and reading a result nothing waits for the device.
#[derive(Debug)]
pub struct FlowSolve {
    bins: usize,
    prompt_frames: usize,
    frames: usize,
    width: usize,
    /// Of every step: the solver's time, for both rows, and its length.
    steps: LaneTensor,
    /// Of the present one.
    step: LaneTensor,
    x: LaneTensor,
    mask: LaneTensor,
    mu: LaneTensor,
    spks: LaneTensor,
    cond: LaneTensor,
    qend: LaneTensor,
    kpos: LaneTensor,
    velocity: LaneTensor,
    /// What the encoder gives where `mu` is wider.
    narrow_mu: LaneTensor,
    /// Values that are no numbers, in `mu` and at the end in `x`.
    not_finite: LaneTensor,
    /// Steps, by their width.
    recordings: Recordings<usize>,
}

const ROWS: usize = 2;
const F32: usize = size_of::<f32>();
/// Values of a step in `steps`: its time in each row, and its length.
const STEP: usize = ROWS + 1;
/// Places in `not_finite`, and the graph that is to blame.
const CHECKED: [GraphId; 2] = [GraphId::FlowEncoder, GraphId::FlowEstimator];

impl FlowSolve {
    /// An empty state for `bins` mel bins; `times`: when each step starts, and the last one ends.
    pub(super) fn new(place: &Place, bins: usize, times: &[f32]) -> Result<Self, RunError> {
        let floats = |dims: &[usize]| place.tensor(DType::F32, Shape::new(dims));
        let ids = |dims: &[usize]| place.tensor(DType::I32, Shape::new(dims));
        let mut steps = floats(&[times.len() - 1, STEP])?;
        for (step, times) in steps.stage()?.chunks_exact_mut(STEP).zip(times.windows(2)) {
            step[..ROWS].fill(times[0]);
            step[ROWS] = times[1] - times[0];
        }
        steps.send()?;
        Ok(Self {
            bins,
            prompt_frames: 0,
            frames: 0,
            width: 0,
            steps,
            step: floats(&[STEP])?,
            x: floats(&[ROWS, bins, 0])?,
            mask: floats(&[ROWS, 1, 0])?,
            mu: floats(&[ROWS, bins, 0])?,
            spks: floats(&[ROWS, bins])?,
            cond: floats(&[ROWS, bins, 0])?,
            qend: ids(&[ROWS, 0])?,
            kpos: ids(&[ROWS, 0])?,
            velocity: floats(&[ROWS, bins, 0])?,
            narrow_mu: floats(&[1, bins, 0])?,
            not_finite: ids(&[CHECKED.len()])?,
            recordings: Recordings::default(),
        })
    }

    /// Frames of the solution, the prompt's included.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The sample as it stands, `[bins, frames]` row-major.
    ///
    /// # Errors
    /// [`SpeechError::Memory`].
    pub fn sample(&mut self) -> Result<Vec<f32>, SpeechError> {
        self.read(|solve| &mut solve.x, 1)
    }

    /// The condition the encoder gave, `[bins, frames]` row-major.
    ///
    /// # Errors
    /// [`SpeechError::Memory`].
    pub fn mu(&mut self) -> Result<Vec<f32>, SpeechError> {
        self.read(|solve| &mut solve.mu, 1)
    }

    /// The speaker as the encoder projected it, `[bins]`.
    ///
    /// # Errors
    /// [`SpeechError::Memory`].
    pub fn spks(&mut self) -> Result<Vec<f32>, SpeechError> {
        Ok(self.spks.read::<f32>()?[..self.bins].to_vec())
    }

    /// The sample in both rows of guidance, `[2, bins, frames]` row-major.
    ///
    /// # Errors
    /// [`SpeechError::Memory`].
    pub fn samples(&mut self) -> Result<Vec<f32>, SpeechError> {
        self.read(|solve| &mut solve.x, ROWS)
    }

    /// The prompt's mel in front of zeros, `[bins, frames]` row-major.
    ///
    /// # Errors
    /// [`SpeechError::Memory`].
    pub fn cond(&mut self) -> Result<Vec<f32>, SpeechError> {
        self.read(|solve| &mut solve.cond, 1)
    }

    /// What the estimator gave last, `[2, bins, frames]` row-major.
    ///
    /// # Errors
    /// [`SpeechError::Memory`].
    pub fn velocity(&mut self) -> Result<Vec<f32>, SpeechError> {
        self.read(|solve| &mut solve.velocity, ROWS)
    }

    /// Copies the solution's frames behind the prompt, from the `from`th on, `[1, bins, frames - prompt - from]`; where
    /// they stay in one place, nothing waits.
    ///
    /// # Errors
    /// [`SpeechError::Memory`].
    ///
    /// # Panics
    /// If there are fewer frames.
    pub fn copy_mel(&mut self, from: usize, mel: &mut LaneTensor) -> Result<(), SpeechError> {
        let wanted = self.mel_frames(from);
        mel.reshape(Shape::new(&[1, self.bins, wanted.len()]))?;
        let copy = BlockCopy {
            from: wanted.start * F32,
            from_pitch: self.width * F32,
            to: 0,
            to_pitch: wanted.len() * F32,
            bytes: wanted.len() * F32,
            count: self.bins,
        };
        let solution = self.x.memory_mut();
        Ok(mel.memory_mut().copy_from(solution, &copy)?)
    }

    /// Reads the solution's frames behind the prompt, from the `from`th on, `[1, bins, frames - prompt - from]`.
    ///
    /// # Errors
    /// [`SpeechError::Memory`].
    ///
    /// # Panics
    /// If there are fewer frames.
    pub fn read_mel(&mut self, from: usize, mel: &mut Tensor) -> Result<(), SpeechError> {
        let wanted = self.mel_frames(from);
        mel.reshape(Shape::new(&[1, self.bins, wanted.len()]));
        let (frames, width) = (wanted.len().max(1), self.width.max(1));
        let rows = mel.elements_mut::<f32>()?.chunks_exact_mut(frames);
        for (row, source) in rows.zip(self.x.read::<f32>()?.chunks_exact(width)) {
            row.copy_from_slice(&source[wanted.clone()]);
        }
        Ok(())
    }

    /// Whether encoder and estimator gave numbers; waits for the last step where nothing has since.
    ///
    /// # Errors
    /// [`SpeechError::NotFinite`], or [`SpeechError::Memory`].
    pub fn check(&mut self) -> Result<(), SpeechError> {
        let counts = self.not_finite.fetched::<i32>()?;
        match CHECKED
            .into_iter()
            .zip(counts.iter())
            .find(|(_, count)| **count != 0)
        {
            None => Ok(()),
            Some((graph, _)) => Err(SpeechError::NotFinite { graph }),
        }
    }

    /// Sizes the state for a new utterance and fills what stays as it is; the encoder and [`Self::start`] fill the rest.
    pub(super) fn prepare(
        &mut self,
        frames: usize,
        width: usize,
        prompt_mel: &[f32],
        attention: Attention,
        chunk_frames: usize,
    ) -> Result<(), RunError> {
        let bins = self.bins;
        (self.frames, self.width) = (frames, width);
        for tensor in [
            &mut self.x,
            &mut self.mu,
            &mut self.cond,
            &mut self.velocity,
        ] {
            tensor.reshape(Shape::new(&[ROWS, bins, width]))?;
        }
        for tensor in [&mut self.mu, &mut self.spks, &mut self.not_finite] {
            tensor.clear()?;
        }
        self.mask.reshape(Shape::new(&[ROWS, 1, width]))?;
        for row in self.mask.stage::<f32>()?.chunks_exact_mut(width) {
            row[..frames].fill(1.0);
            row[frames..].fill(0.0);
        }
        self.mask.send()?;

        self.prompt_frames = prompt_mel.len() / bins;
        let cond = self.cond.stage::<f32>()?;
        cond.fill(0.0);
        for (frame, values) in prompt_mel.chunks_exact(bins).enumerate() {
            for (bin, &value) in values.iter().enumerate() {
                cond[bin * width + frame] = value;
            }
        }
        self.cond.send()?;

        for tensor in [&mut self.qend, &mut self.kpos] {
            tensor.reshape(Shape::new(&[ROWS, width]))?;
        }
        let qend = self.qend.stage()?.chunks_mut(width);
        for (qend, kpos) in qend.zip(self.kpos.stage()?.chunks_mut(width)) {
            visibility::fill(attention, chunk_frames, frames, qend, kpos);
        }
        self.qend.send()?;
        self.kpos.send()
    }

    /// Starts from the noise that `fill` writes, `[bins, width]` row-major.
    pub(super) fn start(&mut self, fill: impl FnOnce(&mut [f32])) -> Result<(), RunError> {
        let x = self.x.stage::<f32>()?;
        let (conditional, unconditional) = x.split_at_mut(x.len() / ROWS);
        fill(conditional);
        unconditional.copy_from_slice(conditional);
        self.x.send()
    }

    /// Where the encoder writes: `mu` `[1, bins, frames]` and `spks` `[1, bins]`.
    pub(super) fn encoder_outputs(&mut self) -> Result<[TensorViewMut<'_>; 2], RunError> {
        let shape = Shape::new(&[1, self.bins, self.frames]);
        let mu = if self.width == self.frames {
            self.mu.head_mut(shape)
        } else {
            self.narrow_mu.reshape(shape)?;
            self.narrow_mu.view_mut()
        };
        Ok([mu, self.spks.head_mut(Shape::new(&[1, self.bins]))])
    }

    /// Takes over what the encoder wrote.
    pub(super) fn encoded(&mut self) -> Result<(), RunError> {
        if self.width != self.frames {
            let copy = BlockCopy {
                from: 0,
                from_pitch: self.frames * F32,
                to: 0,
                to_pitch: self.width * F32,
                bytes: self.frames * F32,
                count: self.bins,
            };
            let given = self.narrow_mu.memory_mut();
            self.mu.memory_mut().copy_from(given, &copy)?;
        }
        let counts = self.not_finite.memory_mut();
        self.mu.memory().count_not_finite(counts, 0)
    }

    /// Takes the time and the length of the step with this index.
    pub(super) fn set_step(&mut self, index: usize) -> Result<(), RunError> {
        let bytes = STEP * F32;
        let copy = BlockCopy::whole(index * bytes, 0, bytes);
        let steps = self.steps.memory_mut();
        self.step.memory_mut().copy_from(steps, &copy)
    }

    /// The estimator's inputs, in upstream's order, and its output.
    pub(super) fn estimator_io(&mut self) -> ([TensorView<'_>; 8], TensorViewMut<'_>) {
        let inputs = [
            self.x.view(),
            self.mask.view(),
            self.mu.view(),
            self.step.head(Shape::new(&[ROWS])),
            self.spks.view(),
            self.cond.view(),
            self.qend.view(),
            self.kpos.view(),
        ];
        (inputs, self.velocity.view_mut())
    }

    /// One Euler step of the flow-matching ODE under classifier-free guidance; both rows of `x` stay equal.
    ///
    /// `guidance`: weight of the difference between the rows.
    ///
    /// Source: CosyVoice `cosyvoice/flow/flow_matching.py`, `ConditionalCFM.solve_euler`.
    pub(super) fn advance(&mut self, guidance: f32) -> Result<(), RunError> {
        let length = (self.step.memory(), ROWS * F32);
        let x = self.x.memory_mut();
        x.euler_step(self.velocity.memory(), length, guidance)
    }

    /// What the recorded work of a step depends on.
    pub(super) fn condition(&self, runs_on: Option<BackendId>) -> Condition<usize> {
        let tensors = [
            &self.step,
            &self.x,
            &self.mask,
            &self.mu,
            &self.spks,
            &self.cond,
            &self.qend,
            &self.kpos,
            &self.velocity,
        ];
        let moves = tensors.map(|tensor| tensor.memory().moves());
        Condition {
            sizes: self.width,
            moves: moves.iter().sum(),
            runs_on,
        }
    }

    /// Steps that were recorded.
    pub(super) fn recordings(&mut self) -> &mut Recordings<usize> {
        &mut self.recordings
    }

    /// Begins to find out what [`Self::check`] tells.
    pub(super) fn finish(&mut self) -> Result<(), RunError> {
        let counts = self.not_finite.memory_mut();
        self.x.memory().count_not_finite(counts, 1)?;
        self.not_finite.fetch()
    }

    fn mel_frames(&self, from: usize) -> Range<usize> {
        let first = self.prompt_frames + from;
        assert!(
            first <= self.frames,
            "the solution has {} frames",
            self.frames
        );
        first..self.frames
    }

    /// The real frames of the first rows of a tensor.
    fn read(
        &mut self,
        tensor: impl FnOnce(&mut Self) -> &mut LaneTensor,
        rows: usize,
    ) -> Result<Vec<f32>, SpeechError> {
        let (frames, width, lines) = (self.frames, self.width.max(1), rows * self.bins);
        let values = tensor(self).read::<f32>()?;
        let lines = values.chunks_exact(width).take(lines);
        Ok(lines.flat_map(|line| &line[..frames]).copied().collect())
    }
}
