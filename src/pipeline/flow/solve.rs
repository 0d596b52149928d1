//! One utterance's way through the flow's differential equation.

use super::visibility::{self, Attention};
use crate::tensor::{DType, Shape, Tensor, TensorView, TensorViewMut};

/// The solver's state for one utterance: both rows of classifier-free guidance.
///
/// Row 0 is conditional; row 1 has zeros for `mu`, `spks` and `cond`. Serves one utterance after another on the same
/// memory.
#[derive(Debug)]
pub struct FlowSolve {
    bins: usize,
    prompt_frames: usize,
    x: Tensor,
    mask: Tensor,
    mu: Tensor,
    t: Tensor,
    spks: Tensor,
    cond: Tensor,
    qend: Tensor,
    kpos: Tensor,
    velocity: Tensor,
}

const ROWS: usize = 2;

impl FlowSolve {
    /// An empty state for `bins` mel bins.
    pub fn new(bins: usize) -> Self {
        let floats = |dims: &[usize]| Tensor::zeros(DType::F32, Shape::new(dims));
        let ids = |dims: &[usize]| Tensor::zeros(DType::I32, Shape::new(dims));
        Self {
            bins,
            prompt_frames: 0,
            x: floats(&[ROWS, bins, 0]),
            mask: floats(&[ROWS, 1, 0]),
            mu: floats(&[ROWS, bins, 0]),
            t: floats(&[ROWS]),
            spks: floats(&[ROWS, bins]),
            cond: floats(&[ROWS, bins, 0]),
            qend: ids(&[ROWS, 0]),
            kpos: ids(&[ROWS, 0]),
            velocity: floats(&[ROWS, bins, 0]),
        }
    }

    /// Frames of the solution, the prompt's included.
    pub fn frames(&self) -> usize {
        self.x.shape().dims()[2]
    }

    /// The sample as it stands, `[bins, frames]` row-major.
    pub fn sample(&self) -> &[f32] {
        conditional_row(&self.x)
    }

    /// The condition the encoder gave, `[bins, frames]` row-major.
    pub fn mu(&self) -> &[f32] {
        conditional_row(&self.mu)
    }

    /// The speaker as the encoder projected it, `[bins]`.
    pub fn spks(&self) -> &[f32] {
        conditional_row(&self.spks)
    }

    /// The sample in both rows of guidance, `[2, bins, frames]` row-major.
    pub fn samples(&self) -> &[f32] {
        self.x.elements().expect("samples are f32")
    }

    /// The prompt's mel in front of zeros, `[bins, frames]` row-major.
    pub fn cond(&self) -> &[f32] {
        conditional_row(&self.cond)
    }

    /// What the estimator gave last, `[2, bins, frames]` row-major.
    pub fn velocity(&self) -> &[f32] {
        self.velocity.elements().expect("velocities are f32")
    }

    /// Writes the solution's frames behind the prompt, from the `from`th on, `[1, bins, frames - prompt - from]`.
    ///
    /// # Panics
    /// If there are fewer frames.
    pub fn copy_mel(&self, from: usize, mel: &mut Tensor) {
        let frames = self.frames();
        let first = self.prompt_frames + from;
        let taken = frames - first;
        mel.reshape(Shape::new(&[1, self.bins, taken]));
        let mel = mel.elements_mut::<f32>().expect("mels are f32");
        if taken == 0 {
            return;
        }
        let rows = self.sample().chunks_exact(frames);
        for (row, source) in mel.chunks_exact_mut(taken).zip(rows) {
            row.copy_from_slice(&source[first..]);
        }
    }

    /// Sizes the state for a new utterance; `x` is filled by the caller through [`Self::start`].
    pub(super) fn prepare(
        &mut self,
        frames: usize,
        prompt_mel: &[f32],
        attention: Attention,
        chunk_frames: usize,
    ) {
        let bins = self.bins;
        for tensor in [
            &mut self.x,
            &mut self.mu,
            &mut self.cond,
            &mut self.velocity,
        ] {
            tensor.reshape(Shape::new(&[ROWS, bins, frames]));
        }
        self.mask.reshape(Shape::new(&[ROWS, 1, frames]));
        self.mask.elements_mut().expect("masks are f32").fill(1f32);
        for tensor in [&mut self.mu, &mut self.spks, &mut self.cond] {
            tensor.bytes_mut().fill(0);
        }
        self.prompt_frames = prompt_mel.len() / bins;
        let cond = self.cond.elements_mut::<f32>().expect("conditions are f32");
        for (frame, values) in prompt_mel.chunks_exact(bins).enumerate() {
            for (bin, &value) in values.iter().enumerate() {
                cond[bin * frames + frame] = value;
            }
        }
        for tensor in [&mut self.qend, &mut self.kpos] {
            tensor.reshape(Shape::new(&[ROWS, frames]));
        }
        let qend = self.qend.elements_mut().expect("positions are i32");
        let kpos = self.kpos.elements_mut().expect("positions are i32");
        for (qend, kpos) in qend.chunks_mut(frames).zip(kpos.chunks_mut(frames)) {
            visibility::fill(attention, chunk_frames, qend, kpos);
        }
    }

    /// Starts from the noise that `fill` writes, `[bins, frames]` row-major.
    pub(super) fn start(&mut self, fill: impl FnOnce(&mut [f32])) {
        let x = self.x.elements_mut::<f32>().expect("samples are f32");
        let (conditional, unconditional) = x.split_at_mut(x.len() / ROWS);
        fill(conditional);
        unconditional.copy_from_slice(conditional);
    }

    /// Where the encoder writes: `mu` `[1, bins, frames]` and `spks` `[1, bins]`, both of the conditional row.
    pub(super) fn encoder_outputs(&mut self) -> [TensorViewMut<'_>; 2] {
        let frames = self.frames();
        let shape = Shape::new(&[1, self.bins, frames]);
        let mu = first_half(self.mu.elements_mut().expect("conditions are f32"));
        let spks = first_half(self.spks.elements_mut().expect("speakers are f32"));
        [
            TensorViewMut::of(shape, mu).expect("one row"),
            TensorViewMut::of(Shape::new(&[1, self.bins]), spks).expect("one row"),
        ]
    }

    /// The estimator's inputs at solver time `t`, in upstream's order, and its output.
    pub(super) fn estimator_io(&mut self, t: f32) -> ([TensorView<'_>; 8], TensorViewMut<'_>) {
        self.t.elements_mut().expect("times are f32").fill(t);
        let inputs = [
            self.x.view(),
            self.mask.view(),
            self.mu.view(),
            self.t.view(),
            self.spks.view(),
            self.cond.view(),
            self.qend.view(),
            self.kpos.view(),
        ];
        (inputs, self.velocity.view_mut())
    }

    /// One Euler step of the flow-matching ODE under classifier-free guidance; both rows of `x` stay equal.
    ///
    /// `dt`: step length in solver time. `guidance`: weight of the difference between the rows.
    ///
    /// Source: CosyVoice `cosyvoice/flow/flow_matching.py`, `ConditionalCFM.solve_euler`.
    pub(super) fn advance(&mut self, dt: f32, guidance: f32) {
        let x = self.x.elements_mut::<f32>().expect("samples are f32");
        let velocity = self.velocity.elements::<f32>().expect("velocities are f32");
        let (conditional, unconditional) = x.split_at_mut(x.len() / ROWS);
        let (with, without) = velocity.split_at(velocity.len() / ROWS);
        let rows = conditional.iter_mut().zip(unconditional);
        for ((x, twin), (with, without)) in rows.zip(with.iter().zip(without)) {
            *x += dt * ((1.0 + guidance) * with - guidance * without);
            *twin = *x;
        }
    }
}

fn conditional_row(tensor: &Tensor) -> &[f32] {
    let values = tensor.elements::<f32>().expect("solver tensors are f32");
    &values[..values.len() / ROWS]
}

fn first_half(values: &mut [f32]) -> &mut [f32] {
    let half = values.len() / ROWS;
    &mut values[..half]
}
