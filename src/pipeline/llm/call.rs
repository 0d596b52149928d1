//! The tensors of one call of the language model, but for the past.

use super::cache::FreshSides;
use crate::backend::{LaneMemory, LaneTensor, Place, RunError, Tokens};
use crate::bundle::LlmSpec;
use crate::tensor::{DType, Shape, TensorView, TensorViewMut};

/// A call's inputs and outputs, made once and sized anew for each.
///
/// The inputs share one memory, so that a step brings them to the device in one copy.
#[derive(Debug)]
pub(super) struct Call {
    layout: Layout,
    inputs: LaneMemory,
    logits: LaneTensor,
    head_rows: usize,
    fresh: FreshSides,
}

/// Where each input lies in their memory, in bytes; the embeddings come first.
#[derive(Debug, Clone, Copy)]
struct Layout {
    rows: usize,
    positions: usize,
    width: usize,
    position_ids: usize,
    new_valid: usize,
    last_index: usize,
    bytes: usize,
}

const WORD: usize = size_of::<f32>();

impl Call {
    pub(super) fn new(place: &Place, spec: &LlmSpec) -> Result<Self, RunError> {
        Ok(Self {
            layout: Layout::new(0, 0, spec.hidden),
            inputs: place.memory(),
            logits: place.tensor(DType::F32, Shape::new(&[0, spec.head_rows]))?,
            head_rows: spec.head_rows,
            fresh: FreshSides::new(place, spec),
        })
    }

    /// A call with room for one new position in each of so many rows.
    pub(super) fn with_room(place: &Place, spec: &LlmSpec, rows: usize) -> Result<Self, RunError> {
        let mut call = Self::new(place, spec)?;
        call.clear(rows, 1)?;
        Ok(call)
    }

    /// How often its tensors came to lie elsewhere, all together.
    pub(super) fn moves(&self) -> u64 {
        self.inputs.moves() + self.logits.memory().moves() + self.fresh.moves()
    }

    /// Sizes the tensors and fills the inputs with zeros: no new position counts.
    pub(super) fn clear(&mut self, rows: usize, positions: usize) -> Result<(), RunError> {
        self.layout = Layout::new(rows, positions, self.layout.width);
        self.inputs.resize(self.layout.bytes)?;
        self.logits.reshape(Shape::new(&[rows, self.head_rows]))?;
        self.fresh.resize(rows, positions)?;
        self.inputs.stage()?.fill(0);
        Ok(())
    }

    /// The embeddings of all new positions, `[rows, positions, H]`.
    pub(super) fn embeddings_mut(&mut self) -> Result<&mut [f32], RunError> {
        let Layout {
            rows,
            positions,
            width,
            ..
        } = self.layout;
        let bytes = &mut self.inputs.stage()?[..rows * positions * width * WORD];
        Ok(bytemuck::cast_slice_mut(bytes))
    }

    /// The embedding of a row's one new position.
    pub(super) fn embedding_mut(&mut self, row: usize) -> Result<&mut [f32], RunError> {
        let width = self.layout.width;
        Ok(&mut self.embeddings_mut()?[row * width..(row + 1) * width])
    }

    /// Puts a row's one new position behind its past.
    pub(super) fn place(&mut self, row: usize, position: usize) -> Result<(), RunError> {
        let layout = self.layout;
        let inputs = self.inputs.stage()?;
        layout.position_ids(inputs)[row] = index(position);
        layout.new_valid(inputs)[row] = 1.0;
        Ok(())
    }

    /// Counts a prompt's positions from zero and asks for the last one's logits.
    pub(super) fn place_prompt(&mut self, positions: usize) -> Result<(), RunError> {
        let layout = self.layout;
        let inputs = self.inputs.stage()?;
        for (id, position) in layout.position_ids(inputs).iter_mut().zip(0..) {
            *id = position;
        }
        layout.new_valid(inputs).fill(1.0);
        layout.last_index(inputs)[0] = index(positions - 1);
        Ok(())
    }

    /// Brings the inputs to where the graph works.
    pub(super) fn send(&mut self) -> Result<(), RunError> {
        self.inputs.send()
    }

    /// The graph's inputs in front of the past, whose validity is among them, and its outputs.
    pub(super) fn io<'a>(
        &'a mut self,
        past_valid: TensorView<'a>,
    ) -> ([TensorView<'a>; 5], impl Iterator<Item = TensorViewMut<'a>>) {
        let Layout {
            rows,
            positions,
            width,
            position_ids,
            new_valid,
            last_index,
            bytes: _,
        } = self.layout;
        let new = Shape::new(&[rows, positions]);
        let embeds = Shape::new(&[rows, positions, width]);
        let inputs = [
            self.inputs.view(0, DType::F32, embeds),
            self.inputs.view(position_ids, DType::I32, new),
            past_valid,
            self.inputs.view(new_valid, DType::F32, new),
            self.inputs
                .view(last_index, DType::I32, Shape::new(&[rows])),
        ];
        let logits = std::iter::once(self.logits.view_mut());
        (inputs, logits.chain(self.fresh.views_mut()))
    }

    /// The new keys and values.
    pub(super) fn fresh(&self) -> &FreshSides {
        &self.fresh
    }

    /// Where the new positions belong, and whether they count.
    pub(super) fn tokens(&self) -> Tokens<'_> {
        Tokens {
            memory: &self.inputs,
            positions: self.layout.position_ids,
            valid: self.layout.new_valid,
        }
    }

    /// The logits, `[rows, V]`; waits for the call.
    pub(super) fn logits(&mut self) -> Result<&[f32], RunError> {
        self.logits.read()
    }
}

impl Layout {
    fn new(rows: usize, positions: usize, width: usize) -> Self {
        let behind = |start: usize, words: usize| {
            (start + words * WORD).next_multiple_of(LaneMemory::ALIGNMENT)
        };
        let position_ids = behind(0, rows * positions * width);
        let new_valid = behind(position_ids, rows * positions);
        let last_index = behind(new_valid, rows * positions);
        Self {
            rows,
            positions,
            width,
            position_ids,
            new_valid,
            last_index,
            bytes: last_index + rows * WORD,
        }
    }

    fn position_ids<'a>(&self, inputs: &'a mut [u8]) -> &'a mut [i32] {
        words(inputs, self.position_ids, self.rows * self.positions)
    }

    fn new_valid<'a>(&self, inputs: &'a mut [u8]) -> &'a mut [f32] {
        words(inputs, self.new_valid, self.rows * self.positions)
    }

    fn last_index<'a>(&self, inputs: &'a mut [u8]) -> &'a mut [i32] {
        words(inputs, self.last_index, self.rows)
    }
}

fn words<T: bytemuck::Pod>(inputs: &mut [u8], start: usize, count: usize) -> &mut [T] {
    bytemuck::cast_slice_mut(&mut inputs[start..][..count * WORD])
}

fn index(position: usize) -> i32 {
    i32::try_from(position).expect("positions are bounded by the largest bucket")
}
