//! The language model: a prompt in, one speech token's logits after another out.

mod cache;
mod prompt;
mod slots;

pub use cache::BUCKETS;
pub use prompt::LlmPrompt;
pub use slots::SlotId;

use super::error::{OpenError, SpeechError};
use super::graph::{RunTime, StageGraph, port};
use crate::backend::{CompiledGraph, Lane};
use crate::bundle::{LlmSpec, Tables};
use crate::ids::GraphId;
use crate::tensor::{DType, Shape, Signature, Tensor};
use cache::{EmptyPast, KvCache};
use slots::Slots;
use std::sync::Arc;

/// The language model on one lane, decoding up to a fixed number of utterances together.
///
/// An utterance is admitted by [`Self::prefill`], owns a [`SlotId`] while it decodes, and is let go by
/// [`Self::release`]. Rows in use are kept without gaps. Once warm, [`Self::decode`] allocates nothing unless the
/// cache moves to a larger bucket.
#[derive(Debug)]
pub struct LlmStage {
    graph: StageGraph,
    tables: Arc<Tables>,
    head_rows: usize,
    max_positions: usize,
    slots: Slots,
    cache: KvCache,
    empty_past: EmptyPast,
    call: Call,
    /// Logits of each row's latest call, `[capacity, V]`.
    logits: Vec<f32>,
}

/// One token an utterance goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feed {
    /// The utterance's place.
    pub slot: SlotId,
    /// The token drawn last.
    pub token: i32,
}

/// The tensors of one call, but for the past.
#[derive(Debug)]
struct Call {
    width: usize,
    inputs_embeds: Tensor,
    position_ids: Tensor,
    new_valid: Tensor,
    last_index: Tensor,
    logits: Tensor,
    new_sides: Vec<Tensor>,
}

impl LlmStage {
    /// Opens the stage for up to `rows` utterances at once.
    ///
    /// # Errors
    /// [`OpenError`] when the graph does not fit the bundle's figures, or opens no session.
    pub fn open(
        compiled: &Arc<dyn CompiledGraph>,
        lane: &Lane,
        spec: &LlmSpec,
        tables: Arc<Tables>,
        rows: usize,
    ) -> Result<Self, OpenError> {
        check_tables(spec, &tables)?;
        let graph = StageGraph::open(GraphId::Llm, compiled, lane, &contract(spec))?;
        Ok(Self {
            graph,
            tables,
            head_rows: spec.head_rows,
            max_positions: spec.max_positions.min(BUCKETS[BUCKETS.len() - 1]),
            slots: Slots::new(rows),
            cache: KvCache::new(spec),
            empty_past: EmptyPast::new(spec),
            call: Call::new(spec),
            logits: vec![0.0; rows * spec.head_rows],
        })
    }

    /// Positions an utterance can take: prompt, text and speech together.
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }

    /// Reads a prompt into a free row; its logits are then [`Self::logits`].
    ///
    /// # Errors
    /// [`SpeechError`] when every row is taken, the prompt is too long, an id has no embedding, or the graph fails; the
    /// row is then free again.
    pub fn prefill(&mut self, prompt: &LlmPrompt) -> Result<SlotId, SpeechError> {
        let positions = prompt.positions();
        if positions > self.max_positions {
            return Err(SpeechError::TextTooLong {
                needed: positions,
                limit: self.max_positions,
            });
        }
        let Some(slot) = self.slots.take() else {
            return Err(SpeechError::NoFreeRow(self.slots.capacity()));
        };
        self.cache.push_row();
        match self.read_prompt(prompt, positions) {
            Ok(()) => Ok(slot),
            Err(error) => {
                self.release(slot);
                Err(error)
            }
        }
    }

    /// Goes one token further in each of the given slots; rows without a feed stay as they are.
    ///
    /// # Errors
    /// [`SpeechError`] when a slot was given up, a token has no embedding, a row is full, or the graph fails; the cache
    /// is then as before.
    pub fn decode(&mut self, feeds: &[Feed]) -> Result<(), SpeechError> {
        if feeds.is_empty() {
            return Ok(());
        }
        let rows = self.cache.rows();
        let mut longest = 0;
        self.call.clear(rows, 1);
        for feed in feeds {
            let row = self.row(feed.slot)?;
            let position = self.cache.length(row);
            if position >= self.max_positions {
                return Err(SpeechError::TextTooLong {
                    needed: position + 1,
                    limit: self.max_positions,
                });
            }
            longest = longest.max(position + 1);
            let embedding = self.call.embedding_mut(row);
            self.tables
                .speech_embedding
                .copy_row(feed.token, embedding)?;
            self.call.place(row, position);
        }
        self.cache.reserve(longest);
        let Call {
            inputs_embeds,
            position_ids,
            new_valid,
            last_index,
            logits,
            new_sides,
            width: _,
        } = &mut self.call;
        let inputs = [
            inputs_embeds.view(),
            position_ids.view(),
            self.cache.valid(),
            new_valid.view(),
            last_index.view(),
        ];
        self.graph.run(
            inputs.into_iter().chain(self.cache.sides()),
            std::iter::once(logits.view_mut()).chain(new_sides.iter_mut().map(Tensor::view_mut)),
        )?;
        for feed in feeds {
            let row = self.row(feed.slot)?;
            self.cache.append(row, &self.call.new_sides, row, 1);
            self.keep_logits(row, row)?;
        }
        Ok(())
    }

    /// Logits of the utterance's latest call, `[V]`.
    ///
    /// # Errors
    /// [`SpeechError::StaleSlot`].
    pub fn logits(&self, slot: SlotId) -> Result<&[f32], SpeechError> {
        let row = self.row(slot)?;
        Ok(&self.logits[row * self.head_rows..(row + 1) * self.head_rows])
    }

    /// Lets an utterance go; does nothing for a slot given up before.
    pub fn release(&mut self, slot: SlotId) {
        let last = self.cache.rows().saturating_sub(1);
        let Some(row) = self.slots.give_up(slot) else {
            return;
        };
        self.cache.swap_remove_row(row);
        let head_rows = self.head_rows;
        self.logits
            .copy_within(last * head_rows..(last + 1) * head_rows, row * head_rows);
    }

    pub(super) fn graphs(&mut self) -> [&mut StageGraph; 1] {
        [&mut self.graph]
    }

    pub(super) fn take_time(&mut self) -> RunTime {
        self.graph.take_time()
    }

    fn read_prompt(&mut self, prompt: &LlmPrompt, positions: usize) -> Result<(), SpeechError> {
        let row = self.cache.rows() - 1;
        self.cache.reserve(positions);
        self.call.clear(1, positions);
        let embeds = self.call.inputs_embeds.elements_mut()?;
        prompt.embed(&self.tables, embeds)?;
        self.call.place_prompt(positions);
        let Call {
            inputs_embeds,
            position_ids,
            new_valid,
            last_index,
            logits,
            new_sides,
            width: _,
        } = &mut self.call;
        let inputs = [
            inputs_embeds.view(),
            position_ids.view(),
            EmptyPast::valid(),
            new_valid.view(),
            last_index.view(),
        ];
        self.graph.run(
            inputs.into_iter().chain(self.empty_past.sides()),
            std::iter::once(logits.view_mut()).chain(new_sides.iter_mut().map(Tensor::view_mut)),
        )?;
        self.cache.append(row, &self.call.new_sides, 0, positions);
        self.keep_logits(0, row)
    }

    fn keep_logits(&mut self, from: usize, row: usize) -> Result<(), SpeechError> {
        let given = self.call.logits.elements::<f32>()?;
        let size = self.head_rows;
        self.logits[row * size..(row + 1) * size]
            .copy_from_slice(&given[from * size..(from + 1) * size]);
        Ok(())
    }

    fn row(&self, slot: SlotId) -> Result<usize, SpeechError> {
        self.slots.row(slot).ok_or(SpeechError::StaleSlot)
    }
}

impl Call {
    fn new(spec: &LlmSpec) -> Self {
        let floats = |dims: &[usize]| Tensor::zeros(DType::F32, Shape::new(dims));
        let ids = |dims: &[usize]| Tensor::zeros(DType::I32, Shape::new(dims));
        let side = Shape::new(&[1, spec.kv_heads, 1, spec.head_dim]);
        Self {
            width: spec.hidden,
            inputs_embeds: floats(&[1, 1, spec.hidden]),
            position_ids: ids(&[1, 1]),
            new_valid: floats(&[1, 1]),
            last_index: ids(&[1]),
            logits: floats(&[1, spec.head_rows]),
            new_sides: vec![Tensor::zeros(spec.kv_dtype, side); 2 * spec.layers],
        }
    }

    /// Sizes the tensors and fills the inputs with zeros: no new row is valid.
    fn clear(&mut self, rows: usize, positions: usize) {
        let head_rows = self.logits.shape().dims()[1];
        self.inputs_embeds
            .reshape(Shape::new(&[rows, positions, self.width]));
        self.position_ids.reshape(Shape::new(&[rows, positions]));
        self.new_valid.reshape(Shape::new(&[rows, positions]));
        self.last_index.reshape(Shape::new(&[rows]));
        self.logits.reshape(Shape::new(&[rows, head_rows]));
        for side in &mut self.new_sides {
            let shape = side.shape();
            let dims = shape.dims();
            side.reshape(Shape::new(&[rows, dims[1], positions, dims[3]]));
        }
        for input in [
            &mut self.inputs_embeds,
            &mut self.position_ids,
            &mut self.new_valid,
            &mut self.last_index,
        ] {
            input.bytes_mut().fill(0);
        }
    }

    /// The embedding of a row's one new position.
    fn embedding_mut(&mut self, row: usize) -> &mut [f32] {
        let width = self.width;
        let embeds = self
            .inputs_embeds
            .elements_mut()
            .expect("embeddings are f32");
        &mut embeds[row * width..(row + 1) * width]
    }

    /// Puts a row's one new position behind its past.
    fn place(&mut self, row: usize, position: usize) {
        self.position_ids.elements_mut().expect("positions are i32")[row] = index(position);
        self.new_valid.elements_mut().expect("masks are f32")[row] = 1f32;
    }

    /// Counts a prompt's positions from zero and asks for the last one's logits.
    fn place_prompt(&mut self, positions: usize) {
        let ids = self.position_ids.elements_mut().expect("positions are i32");
        for (id, position) in ids.iter_mut().zip(0..) {
            *id = position;
        }
        let valid = self.new_valid.elements_mut().expect("masks are f32");
        valid.fill(1f32);
        self.last_index.elements_mut().expect("indices are i32")[0] = index(positions - 1);
    }
}

fn index(position: usize) -> i32 {
    i32::try_from(position).expect("positions are bounded by the largest bucket")
}

fn check_tables(spec: &LlmSpec, tables: &Tables) -> Result<(), OpenError> {
    let Some(text) = &tables.text_embedding else {
        return Err(OpenError::MissingTable("text_embedding"));
    };
    for table in [text, &tables.speech_embedding, &tables.marks] {
        if table.width() != spec.hidden {
            return Err(OpenError::Figure {
                figure: "llm.hidden",
                found: spec.hidden,
                expected: table.width(),
            });
        }
    }
    Ok(())
}

fn contract(spec: &LlmSpec) -> Signature {
    let hidden = spec.hidden.to_string();
    let (heads, dim) = (spec.kv_heads.to_string(), spec.head_dim.to_string());
    let sides = |prefix: &str, axis: &str| {
        (0..spec.layers)
            .flat_map(|layer| ["k", "v"].map(|side| format!("{prefix}_{side}_{layer}")))
            .map(|name| port(name, spec.kv_dtype, &["batch", &heads, axis, &dim]))
            .collect::<Vec<_>>()
    };
    let mut inputs = vec![
        port("inputs_embeds", DType::F32, &["batch", "new", &hidden]),
        port("position_ids", DType::I32, &["batch", "new"]),
        port("past_valid", DType::F32, &["batch", "past"]),
        port("new_valid", DType::F32, &["batch", "new"]),
        port("last_index", DType::I32, &["batch"]),
    ];
    inputs.extend(sides("past", "past"));
    let head_rows = spec.head_rows.to_string();
    let mut outputs = vec![port("logits", DType::F32, &["batch", &head_rows])];
    outputs.extend(sides("new", "new"));
    Signature { inputs, outputs }
}
