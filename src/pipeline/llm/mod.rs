//! The language model: a prompt in, one speech token's logits after another out.

mod cache;
mod call;
mod prompt;
mod slots;

pub use cache::BUCKETS;
pub use prompt::LlmPrompt;
pub use slots::SlotId;

use super::error::{OpenError, SpeechError};
use super::graph::{RunTime, StageGraph, port};
use super::recordings::{Condition, Recordings};
use crate::backend::{CompiledGraph, Lane, Place};
use crate::bundle::{LlmSpec, Tables};
use crate::ids::GraphId;
use crate::tensor::{DType, Placement, Signature};
use cache::{EmptyPast, KvCache};
use call::Call;
use slots::Slots;
use std::sync::Arc;
use std::time::Instant;

/// The language model on one lane, decoding up to a fixed number of utterances together.
///
/// An utterance is admitted by [`Self::prefill`], owns a [`SlotId`] while it decodes, and is let go by
/// [`Self::release`]. Rows in use are kept without gaps. The cache is where the graph works: a step gives it embeddings,
/// takes logits, and waits once. Once warm, [`Self::decode`] allocates nothing unless the cache enters a bucket for the
/// first time.
#[derive(Debug)]
pub struct LlmStage {
    graph: StageGraph,
    tables: Arc<Tables>,
    head_rows: usize,
    max_positions: usize,
    slots: Slots,
    cache: KvCache,
    empty_past: EmptyPast,
    place: Place,
    /// Reads prompts; grows with them.
    prompt_call: Call,
    /// Takes steps; as large from the first day as it will ever be, so that what was recorded stays true.
    call: Call,
    /// Steps, by their rows and bucket.
    recordings: Recordings<(usize, usize)>,
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
        let place = lane.place_for(compiled.as_ref());
        let graph = StageGraph::open(GraphId::Llm, compiled, lane, &place, &contract(spec))?;
        Ok(Self {
            graph,
            tables,
            head_rows: spec.head_rows,
            max_positions: spec.max_positions.min(BUCKETS[BUCKETS.len() - 1]),
            slots: Slots::new(rows),
            cache: KvCache::new(&place, spec, rows)?,
            empty_past: EmptyPast::new(&place, spec)?,
            prompt_call: Call::new(&place, spec)?,
            call: Call::with_room(&place, spec, rows)?,
            recordings: Recordings::default(),
            place,
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
        if let Err(error) = self.cache.push_row() {
            self.slots.give_up(slot);
            return Err(error.into());
        }
        match self.read_prompt(prompt, positions) {
            Ok(()) => Ok(slot),
            // What the first error broke may break the second call as well.
            Err(error) => self.release(slot).and(Err(error)),
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
        self.call.clear(rows, 1)?;
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
            let embedding = self.call.embedding_mut(row)?;
            self.tables
                .speech_embedding
                .copy_row(feed.token, embedding)?;
            self.call.place(row, position)?;
        }
        self.cache.reserve(longest)?;
        self.call.send()?;
        let (condition, start) = (self.condition(), Instant::now());
        if self.recordings.launch(&condition)? {
            self.graph.count_launch(start);
        } else {
            self.take_step()?;
        }
        let logits = self.call.logits()?;
        for feed in feeds {
            let row = self.slots.row(feed.slot).ok_or(SpeechError::StaleSlot)?;
            self.cache.grown(row, 1);
            keep(&mut self.logits, row, logits, row, self.head_rows);
        }
        Ok(())
    }

    /// On a device, takes a step with every number of rows in every bucket and records it for later ones; `cancelled` is
    /// asked before every one.
    ///
    /// # Errors
    /// [`SpeechError`] where a step fails, or an utterance is at work; [`SpeechError::Stopped`] where it was cancelled.
    pub fn warm_up(&mut self, cancelled: &dyn Fn() -> bool) -> Result<(), SpeechError> {
        if self.place.placement() == Placement::Host {
            return Ok(());
        }
        let prompt = LlmPrompt {
            text: vec![0],
            speech: Vec::new(),
        };
        let mut slots = Vec::new();
        let outcome = (0..self.slots.capacity()).try_for_each(|_| {
            slots.push(self.prefill(&prompt)?);
            self.record_steps(&slots, cancelled)
        });
        let released = slots.into_iter().map(|slot| self.release(slot));
        let released: Result<Vec<()>, SpeechError> = released.collect();
        outcome.and(released.map(drop))
    }

    /// One step of these utterances in every bucket, each recorded.
    fn record_steps(
        &mut self,
        slots: &[SlotId],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), SpeechError> {
        for positions in BUCKETS {
            if cancelled() {
                return Err(SpeechError::Stopped);
            }
            self.cache.reserve(positions.min(self.max_positions))?;
            let feeds = slots.iter().map(|&slot| Feed { slot, token: 0 });
            self.decode(&feeds.collect::<Vec<Feed>>())?;
            let (condition, place) = (self.condition(), self.place.clone());
            let mut recordings = std::mem::take(&mut self.recordings);
            recordings.record(&place, condition, || self.take_step());
            self.recordings = recordings;
        }
        self.cache.settle()?;
        Ok(())
    }

    /// The graph on a call's inputs and the past, and the past with what it gave.
    fn take_step(&mut self) -> Result<(), SpeechError> {
        let (inputs, outputs) = self.call.io(self.cache.valid());
        self.graph
            .run(inputs.into_iter().chain(self.cache.sides()), outputs)?;
        let (fresh, tokens) = (self.call.fresh(), self.call.tokens());
        Ok(self.cache.append(0, fresh, &tokens)?)
    }

    /// What the recorded work of a step depends on; the memory of a bucket never moves.
    fn condition(&self) -> Condition<(usize, usize)> {
        Condition {
            sizes: (self.cache.rows(), self.cache.bucket()),
            moves: self.call.moves(),
            runs_on: self.graph.runs_on(),
        }
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
    ///
    /// # Errors
    /// [`SpeechError::Memory`] where another utterance's row could not take its place.
    pub fn release(&mut self, slot: SlotId) -> Result<(), SpeechError> {
        let last = self.cache.rows().saturating_sub(1);
        let Some(row) = self.slots.give_up(slot) else {
            return Ok(());
        };
        let head_rows = self.head_rows;
        self.logits
            .copy_within(last * head_rows..(last + 1) * head_rows, row * head_rows);
        Ok(self.cache.swap_remove_row(row)?)
    }

    pub(super) fn graphs(&mut self) -> [&mut StageGraph; 1] {
        [&mut self.graph]
    }

    pub(super) fn take_time(&mut self) -> RunTime {
        self.graph.take_time()
    }

    fn read_prompt(&mut self, prompt: &LlmPrompt, positions: usize) -> Result<(), SpeechError> {
        let row = self.cache.rows() - 1;
        self.cache.reserve(positions)?;
        let call = &mut self.prompt_call;
        call.clear(1, positions)?;
        prompt.embed(&self.tables, call.embeddings_mut()?)?;
        call.place_prompt(positions)?;
        call.send()?;
        let (inputs, outputs) = call.io(self.empty_past.valid());
        self.graph
            .run(inputs.into_iter().chain(self.empty_past.sides()), outputs)?;
        self.cache.append(row, call.fresh(), &call.tokens())?;
        self.cache.grown(row, positions);
        keep(&mut self.logits, row, call.logits()?, 0, self.head_rows);
        Ok(())
    }

    fn row(&self, slot: SlotId) -> Result<usize, SpeechError> {
        self.slots.row(slot).ok_or(SpeechError::StaleSlot)
    }
}

/// Keeps one row's logits of a call.
fn keep(kept: &mut [f32], row: usize, given: &[f32], from: usize, size: usize) {
    kept[row * size..(row + 1) * size].copy_from_slice(&given[from * size..(from + 1) * size]);
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
