//! Keys and values of everything the language model has read, one row per utterance.

use crate::backend::{AppendShape, BlockCopy, LaneMemory, Place, RunError, Tokens};
use crate::bundle::LlmSpec;
use crate::tensor::{DType, Shape, TensorView, TensorViewMut};

/// Capacities a row can have; an engine is optimised for these sizes of the `past` axis.
pub const BUCKETS: [usize; 5] = [128, 256, 512, 1024, 2048];

/// The KV cache of a decode batch, where the language model works.
///
/// Per layer and side `[rows, Hkv, P, D]`, rows outermost, so that the rows in use are one contiguous prefix. `P` is
/// the smallest bucket that holds the longest row. A row's unused tail is zero or stale; the validity mask hides it.
/// Each bucket has memory of its own, which stays, so that the tensors of a bucket are always the same ones.
#[derive(Debug)]
pub(super) struct KvCache {
    place: Place,
    sides: Sides,
    /// Rows there is room for.
    capacity: usize,
    /// Index of the present bucket.
    bucket: usize,
    lengths: Vec<usize>,
    buckets: [Option<Bucket>; BUCKETS.len()],
}

/// The keys and values of every layer.
#[derive(Debug, Clone, Copy)]
struct Sides {
    count: usize,
    heads: usize,
    head_dim: usize,
    dtype: DType,
}

/// The memory of one bucket.
#[derive(Debug)]
struct Bucket {
    valid: LaneMemory,
    sides: LaneMemory,
}

/// The new keys and values that a call gives.
#[derive(Debug)]
pub(super) struct FreshSides {
    sides: Sides,
    shape: Shape,
    memory: LaneMemory,
}

const F32: usize = size_of::<f32>();

impl KvCache {
    /// An empty cache of up to `capacity` rows for the `k` and `v` of every layer.
    pub(super) fn new(place: &Place, spec: &LlmSpec, capacity: usize) -> Result<Self, RunError> {
        let mut cache = Self {
            place: place.clone(),
            sides: Sides::of(spec),
            capacity,
            bucket: 0,
            lengths: Vec::with_capacity(capacity),
            buckets: Default::default(),
        };
        cache.enter(0)?;
        Ok(cache)
    }

    /// The smallest bucket for `positions`, if there is one.
    fn bucket_for(positions: usize) -> Option<usize> {
        BUCKETS.into_iter().position(|bucket| bucket >= positions)
    }

    /// Rows in use.
    pub(super) fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Positions a row holds.
    pub(super) fn length(&self, row: usize) -> usize {
        self.lengths[row]
    }

    /// Index of the present bucket.
    pub(super) fn bucket(&self) -> usize {
        self.bucket
    }

    /// Adds an empty row behind the others.
    ///
    /// # Panics
    /// If there is no room for it.
    pub(super) fn push_row(&mut self) -> Result<(), RunError> {
        assert!(self.rows() < self.capacity, "rows are given out by slot");
        self.clear_rows(self.rows(), 1)?;
        self.lengths.push(0);
        Ok(())
    }

    /// Removes a row; the last row takes its place. Moves to a smaller bucket where the rows left fit one.
    pub(super) fn swap_remove_row(&mut self, row: usize) -> Result<(), RunError> {
        let last = self.rows() - 1;
        self.lengths.swap_remove(row);
        if row != last {
            let (row_bytes, positions) = (self.row_bytes(), BUCKETS[self.bucket]);
            let mark_bytes = positions * F32;
            let marks = BlockCopy::whole(last * mark_bytes, row * mark_bytes, mark_bytes);
            self.present().valid.copy_within(&marks)?;
            let (count, pitch) = (self.sides.count, self.side_bytes());
            let copy = BlockCopy {
                from: last * row_bytes,
                from_pitch: pitch,
                to: row * row_bytes,
                to_pitch: pitch,
                bytes: row_bytes,
                count,
            };
            self.present().sides.copy_within(&copy)?;
        }
        self.settle()
    }

    /// Moves to a larger bucket where `positions` do not fit the present one.
    ///
    /// # Panics
    /// If no bucket is large enough; the caller bounds an utterance by the largest.
    pub(super) fn reserve(&mut self, positions: usize) -> Result<(), RunError> {
        if positions <= BUCKETS[self.bucket] {
            return Ok(());
        }
        let wider = Self::bucket_for(positions).expect("utterances are bounded when admitted");
        self.move_to(wider)
    }

    /// Appends a call's new positions, of which the call's own inputs tell where they belong and whether they count, to
    /// the rows from `first_row` on.
    pub(super) fn append(
        &mut self,
        first_row: usize,
        fresh: &FreshSides,
        tokens: &Tokens<'_>,
    ) -> Result<(), RunError> {
        let dims = fresh.shape.dims();
        let shape = AppendShape {
            sides: self.sides.count,
            past_side_bytes: self.side_bytes(),
            fresh_side_bytes: fresh.side_bytes(),
            rows: dims[0],
            heads: self.sides.heads,
            capacity: BUCKETS[self.bucket],
            count: dims[2],
            position_bytes: self.sides.position_bytes(),
        };
        let Bucket { valid, sides } = self.present();
        sides.append(valid, &fresh.memory, tokens, first_row, &shape)
    }

    /// Notes that a row has `count` positions more, which were appended.
    pub(super) fn grown(&mut self, row: usize, count: usize) {
        self.lengths[row] += count;
        debug_assert!(
            self.lengths[row] <= BUCKETS[self.bucket],
            "reserved before the run"
        );
    }

    /// Which positions are real: `[rows, P]`, 1 or 0.
    pub(super) fn valid(&self) -> TensorView<'_> {
        let shape = Shape::new(&[self.rows(), BUCKETS[self.bucket]]);
        self.entered().valid.view(0, DType::F32, shape)
    }

    /// `k_0 v_0 k_1 v_1 …`, each `[rows, Hkv, P, D]`.
    pub(super) fn sides(&self) -> impl Iterator<Item = TensorView<'_>> {
        let shape = self.sides.shape(self.rows(), BUCKETS[self.bucket]);
        let (memory, pitch) = (&self.entered().sides, self.side_bytes());
        (0..self.sides.count).map(move |side| memory.view(side * pitch, self.sides.dtype, shape))
    }

    /// Moves to a smaller bucket where the rows fit one.
    ///
    /// Every row keeps room for one position more, so that the next step does not undo it.
    pub(super) fn settle(&mut self) -> Result<(), RunError> {
        let longest = self.lengths.iter().max().map_or(0, |length| length + 1);
        match Self::bucket_for(longest) {
            Some(narrower) if narrower < self.bucket => self.move_to(narrower),
            _ => Ok(()),
        }
    }

    /// Moves what the rows hold to another bucket. All rows there may be are moved, as blocks at equal distances.
    fn move_to(&mut self, bucket: usize) -> Result<(), RunError> {
        let mut left = self.buckets[self.bucket].take().expect("the present one");
        let before = std::mem::replace(&mut self.bucket, bucket);
        let moved = self.take_over(&mut left, BUCKETS[before]);
        self.buckets[before] = Some(left);
        if moved.is_err() {
            self.bucket = before;
        }
        moved
    }

    fn take_over(&mut self, left: &mut Bucket, positions: usize) -> Result<(), RunError> {
        self.enter(self.bucket)?;
        if self.lengths.iter().all(|&length| length == 0) {
            return self.clear_rows(0, self.rows());
        }
        let present = BUCKETS[self.bucket];
        let blocks = self.sides.count * self.capacity * self.sides.heads;
        let (unit, rows) = (self.sides.position_bytes(), self.capacity);
        let Bucket { valid, sides } = self.present();
        move_blocks(
            sides,
            present * unit,
            &mut left.sides,
            positions * unit,
            blocks,
        )?;
        move_blocks(valid, present * F32, &mut left.valid, positions * F32, rows)
    }

    /// Makes a bucket's memory where it has none yet. All of it is zero then: what a mask hides must still be a number.
    fn enter(&mut self, bucket: usize) -> Result<(), RunError> {
        if self.buckets[bucket].is_some() {
            return Ok(());
        }
        let positions = BUCKETS[bucket];
        let side = self.sides.shape(self.capacity, positions).elements() * self.sides.dtype.size();
        let mut made = Bucket {
            valid: self.place.memory(),
            sides: self.place.memory(),
        };
        for (memory, bytes) in [
            (&mut made.valid, self.capacity * positions * F32),
            (&mut made.sides, self.sides.count * side),
        ] {
            memory.resize(bytes)?;
            memory.zero(0, bytes, bytes, 1)?;
        }
        self.buckets[bucket] = Some(made);
        Ok(())
    }

    fn clear_rows(&mut self, first: usize, count: usize) -> Result<(), RunError> {
        let (row_bytes, side_bytes) = (self.row_bytes(), self.side_bytes());
        let (sides, mark_bytes) = (self.sides.count, BUCKETS[self.bucket] * F32);
        let present = self.present();
        let marks = count * mark_bytes;
        present.valid.zero(first * mark_bytes, marks, marks, 1)?;
        let bytes = count * row_bytes;
        present
            .sides
            .zero(first * row_bytes, side_bytes, bytes, sides)
    }

    fn entered(&self) -> &Bucket {
        self.buckets[self.bucket].as_ref().expect("entered")
    }

    fn present(&mut self) -> &mut Bucket {
        self.buckets[self.bucket].as_mut().expect("entered")
    }

    /// Bytes of one row of one side in the present bucket.
    fn row_bytes(&self) -> usize {
        self.sides.heads * BUCKETS[self.bucket] * self.sides.position_bytes()
    }

    /// Bytes from one side to the next in the present bucket.
    fn side_bytes(&self) -> usize {
        self.capacity * self.row_bytes()
    }
}

impl Sides {
    fn of(spec: &LlmSpec) -> Self {
        Self {
            count: 2 * spec.layers,
            heads: spec.kv_heads,
            head_dim: spec.head_dim,
            dtype: spec.kv_dtype,
        }
    }

    fn shape(&self, rows: usize, positions: usize) -> Shape {
        Shape::new(&[rows, self.heads, positions, self.head_dim])
    }

    fn position_bytes(&self) -> usize {
        self.head_dim * self.dtype.size()
    }
}

impl FreshSides {
    pub(super) fn new(place: &Place, spec: &LlmSpec) -> Self {
        let sides = Sides::of(spec);
        Self {
            sides,
            shape: sides.shape(0, 0),
            memory: place.memory(),
        }
    }

    /// Makes room for a call of so many rows and new positions.
    pub(super) fn resize(&mut self, rows: usize, positions: usize) -> Result<(), RunError> {
        self.shape = self.sides.shape(rows, positions);
        self.memory.resize(self.sides.count * self.side_bytes())
    }

    /// `k_0 v_0 k_1 v_1 …`, each `[rows, Hkv, S, D]`, to write.
    pub(super) fn views_mut(&mut self) -> impl Iterator<Item = TensorViewMut<'_>> {
        let Sides { count, dtype, .. } = self.sides;
        let pitch = self.side_bytes();
        self.memory.views_mut(pitch, dtype, self.shape, count)
    }

    /// How often they came to lie elsewhere.
    pub(super) fn moves(&self) -> u64 {
        self.memory.moves()
    }

    fn side_bytes(&self) -> usize {
        let bytes = self.shape.elements() * self.sides.dtype.size();
        bytes.next_multiple_of(LaneMemory::ALIGNMENT)
    }
}

/// An empty past, which a prefill reads: one position that is not real.
#[derive(Debug)]
pub(super) struct EmptyPast {
    sides: Sides,
    valid: LaneMemory,
    side: LaneMemory,
}

impl EmptyPast {
    pub(super) fn new(place: &Place, spec: &LlmSpec) -> Result<Self, RunError> {
        let sides = Sides::of(spec);
        let zeros = |bytes: usize| {
            let mut memory = place.memory();
            memory.resize(bytes)?;
            memory.zero(0, bytes, bytes, 1)?;
            Ok::<LaneMemory, RunError>(memory)
        };
        Ok(Self {
            valid: zeros(F32)?,
            side: zeros(sides.heads * sides.position_bytes())?,
            sides,
        })
    }

    pub(super) fn valid(&self) -> TensorView<'_> {
        self.valid.view(0, DType::F32, Shape::new(&[1, 1]))
    }

    pub(super) fn sides(&self) -> impl Iterator<Item = TensorView<'_>> {
        let Sides { count, dtype, .. } = self.sides;
        let shape = self.sides.shape(1, 1);
        std::iter::repeat_with(move || self.side.view(0, dtype, shape)).take(count)
    }
}

/// Copies as much of each block as both have, and zeroes the rest of it.
fn move_blocks(
    to: &mut LaneMemory,
    to_bytes: usize,
    from: &mut LaneMemory,
    from_bytes: usize,
    count: usize,
) -> Result<(), RunError> {
    let bytes = to_bytes.min(from_bytes);
    let copy = BlockCopy {
        from: 0,
        from_pitch: from_bytes,
        to: 0,
        to_pitch: to_bytes,
        bytes,
        count,
    };
    to.copy_from(from, &copy)?;
    to.zero(bytes, to_bytes, to_bytes - bytes, count)
}

#[path = "cache_tests.rs"]
mod tests;
