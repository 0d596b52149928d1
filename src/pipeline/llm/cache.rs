//! Keys and values of everything the language model has read, one row per utterance.

use crate::bundle::LlmSpec;
use crate::tensor::{DType, Shape, Tensor, TensorView};

/// Capacities a row can have; an engine is optimised for these sizes of the `past` axis.
pub const BUCKETS: [usize; 5] = [128, 256, 512, 1024, 2048];

/// The KV cache of a decode batch.
///
/// Per layer and side `[rows, Hkv, P, D]`, rows outermost, so that the rows in use are one contiguous prefix. `P` is
/// the smallest bucket that holds the longest row. A row's unused tail is zero or stale; the validity mask hides it.
#[derive(Debug)]
pub(super) struct KvCache {
    heads: usize,
    head_dim: usize,
    bucket: usize,
    lengths: Vec<usize>,
    valid: Tensor,
    sides: Vec<Tensor>,
}

impl KvCache {
    /// An empty cache for the `k` and `v` of every layer.
    pub(super) fn new(spec: &LlmSpec) -> Self {
        let bucket = BUCKETS[0];
        let none = Shape::new(&[0, spec.kv_heads, bucket, spec.head_dim]);
        Self {
            heads: spec.kv_heads,
            head_dim: spec.head_dim,
            bucket,
            lengths: Vec::new(),
            valid: Tensor::zeros(DType::F32, Shape::new(&[0, bucket])),
            sides: vec![Tensor::zeros(spec.kv_dtype, none); 2 * spec.layers],
        }
    }

    /// The smallest bucket for `positions`, if there is one.
    pub(super) fn bucket_for(positions: usize) -> Option<usize> {
        BUCKETS.into_iter().find(|&bucket| bucket >= positions)
    }

    /// Rows in use.
    pub(super) fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Positions a row holds.
    pub(super) fn length(&self, row: usize) -> usize {
        self.lengths[row]
    }

    /// Adds an empty row behind the others.
    pub(super) fn push_row(&mut self) {
        self.lengths.push(0);
        self.fit_rows();
    }

    /// Removes a row; the last row takes its place. Moves to a smaller bucket where the rows left fit one.
    pub(super) fn swap_remove_row(&mut self, row: usize) {
        let last = self.lengths.len() - 1;
        if row != last {
            for tensor in self.sides.iter_mut().chain([&mut self.valid]) {
                copy_row(tensor, last, row);
            }
        }
        self.lengths.swap_remove(row);
        self.shrink();
        self.fit_rows();
    }

    /// Moves to a larger bucket where `positions` do not fit the present one.
    ///
    /// # Panics
    /// If no bucket is large enough; the caller bounds an utterance by the largest.
    pub(super) fn reserve(&mut self, positions: usize) {
        if positions <= self.bucket {
            return;
        }
        let wider = Self::bucket_for(positions).expect("utterances are bounded when admitted");
        let rows = self.rows();
        for side in &mut self.sides {
            widen(side, rows * self.heads, self.bucket, wider, self.head_dim);
            side.reshape(Shape::new(&[rows, self.heads, wider, self.head_dim]));
        }
        widen(&mut self.valid, rows, self.bucket, wider, 1);
        self.valid.reshape(Shape::new(&[rows, wider]));
        self.bucket = wider;
        for (row, &length) in self.lengths.iter().enumerate() {
            mark_valid(&mut self.valid, row, wider, length);
        }
    }

    /// Appends positions to a row, from each side's new rows `[batch, Hkv, S, D]`, in the order of [`Self::sides`].
    ///
    /// `from` is the row inside the new rows; the first `count` of its `S` positions are taken.
    pub(super) fn append(&mut self, row: usize, new: &[Tensor], from: usize, count: usize) {
        let length = self.lengths[row];
        debug_assert!(length + count <= self.bucket, "reserved before the run");
        for (side, new) in self.sides.iter_mut().zip(new) {
            let position_bytes = self.head_dim * side.dtype().size();
            let positions = new.shape().dims()[2];
            for head in 0..self.heads {
                let source = (from * self.heads + head) * positions * position_bytes;
                let target = ((row * self.heads + head) * self.bucket + length) * position_bytes;
                let bytes = count * position_bytes;
                side.bytes_mut()[target..target + bytes]
                    .copy_from_slice(&new.bytes()[source..source + bytes]);
            }
        }
        self.lengths[row] += count;
        mark_valid(&mut self.valid, row, self.bucket, length + count);
    }

    /// Which positions are real: `[rows, P]`, 1 or 0.
    pub(super) fn valid(&self) -> TensorView<'_> {
        self.valid.view()
    }

    /// `k_0 v_0 k_1 v_1 …`, each `[rows, Hkv, P, D]`.
    pub(super) fn sides(&self) -> impl Iterator<Item = TensorView<'_>> {
        self.sides.iter().map(Tensor::view)
    }

    /// Every row keeps room for one position more, so that the next step does not undo it.
    fn shrink(&mut self) {
        let longest = self.lengths.iter().max().map_or(0, |length| length + 1);
        let Some(narrower) = Self::bucket_for(longest).filter(|&bucket| bucket < self.bucket)
        else {
            return;
        };
        let rows = self.rows();
        for side in &mut self.sides {
            narrow(
                side,
                rows * self.heads,
                self.bucket,
                narrower,
                self.head_dim,
            );
        }
        narrow(&mut self.valid, rows, self.bucket, narrower, 1);
        self.bucket = narrower;
    }

    fn fit_rows(&mut self) {
        let rows = self.rows();
        self.valid.reshape(Shape::new(&[rows, self.bucket]));
        let shape = Shape::new(&[rows, self.heads, self.bucket, self.head_dim]);
        for side in &mut self.sides {
            side.reshape(shape);
        }
    }
}

/// An empty past, which a prefill reads: one position that is not real.
#[derive(Debug)]
pub(super) struct EmptyPast {
    side: Tensor,
    sides: usize,
}

impl EmptyPast {
    pub(super) fn new(spec: &LlmSpec) -> Self {
        let shape = Shape::new(&[1, spec.kv_heads, 1, spec.head_dim]);
        Self {
            side: Tensor::zeros(spec.kv_dtype, shape),
            sides: 2 * spec.layers,
        }
    }

    pub(super) fn valid() -> TensorView<'static> {
        TensorView::of(Shape::new(&[1, 1]), &[0f32]).expect("one value")
    }

    pub(super) fn sides(&self) -> impl Iterator<Item = TensorView<'_>> {
        std::iter::repeat_n(self.side.view(), self.sides)
    }
}

fn copy_row(tensor: &mut Tensor, from: usize, to: usize) {
    let rows = tensor.shape().dims()[0];
    let bytes = tensor.bytes().len() / rows;
    tensor
        .bytes_mut()
        .copy_within(from * bytes..(from + 1) * bytes, to * bytes);
}

/// Moves blocks of `narrow` positions apart to `wide`, from the last to the first, within the tensor's own memory.
fn widen(tensor: &mut Tensor, blocks: usize, narrow: usize, wide: usize, width: usize) {
    tensor.reshape(Shape::new(&[blocks, wide, width]));
    let position_bytes = width * tensor.dtype().size();
    let bytes = tensor.bytes_mut();
    for block in (1..blocks).rev() {
        let source = block * narrow * position_bytes;
        bytes.copy_within(
            source..source + narrow * position_bytes,
            block * wide * position_bytes,
        );
    }
}

/// Moves blocks of `wide` positions together to their first `narrow`, from the first to the last.
fn narrow(tensor: &mut Tensor, blocks: usize, wide: usize, narrow: usize, width: usize) {
    let position_bytes = width * tensor.dtype().size();
    let bytes = tensor.bytes_mut();
    for block in 1..blocks {
        let source = block * wide * position_bytes;
        bytes.copy_within(
            source..source + narrow * position_bytes,
            block * narrow * position_bytes,
        );
    }
}

fn mark_valid(valid: &mut Tensor, row: usize, bucket: usize, length: usize) {
    let valid = valid.elements_mut::<f32>().expect("the mask is f32");
    let row = &mut valid[row * bucket..(row + 1) * bucket];
    row[..length].fill(1.0);
    row[length..].fill(0.0);
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values are copied, never computed")]
mod tests {
    use super::*;

    const HEADS: usize = 2;
    const DIM: usize = 4;

    fn cache() -> KvCache {
        KvCache {
            heads: HEADS,
            head_dim: DIM,
            bucket: BUCKETS[0],
            lengths: Vec::new(),
            valid: Tensor::zeros(DType::F32, Shape::new(&[0, BUCKETS[0]])),
            sides: vec![Tensor::zeros(DType::F32, Shape::new(&[0, HEADS, BUCKETS[0], DIM])); 2],
        }
    }

    /// A value that names its utterance, position, side and head.
    fn value(utterance: usize, position: usize, side: usize, head: usize) -> f32 {
        let value = utterance * 10_000 + position * 10 + side * 2 + head;
        f32::from(u16::try_from(value).expect("small"))
    }

    fn new_rows(utterance: usize, first: usize, count: usize) -> Vec<Tensor> {
        let shape = Shape::new(&[1, HEADS, count, DIM]);
        (0..2)
            .map(|side| {
                let mut elements = Vec::new();
                for head in 0..HEADS {
                    for position in first..first + count {
                        elements.extend([value(utterance, position, side, head); DIM]);
                    }
                }
                Tensor::from_elements(shape, &elements).expect("fills")
            })
            .collect()
    }

    /// Every valid value of a row, and that exactly `length` positions are valid.
    fn row_is(cache: &KvCache, row: usize, utterance: usize, length: usize) {
        let valid = cache.valid().elements::<f32>().expect("f32");
        let valid = &valid[row * cache.bucket..(row + 1) * cache.bucket];
        assert_eq!(valid.iter().filter(|&&v| v == 1.0).count(), length);
        assert!(valid[..length].iter().all(|&v| v == 1.0));
        for (index, side) in cache.sides().enumerate() {
            let values = side.elements::<f32>().expect("f32");
            for head in 0..HEADS {
                for position in 0..length {
                    let at = ((row * HEADS + head) * cache.bucket + position) * DIM;
                    let wanted = value(utterance, position, index, head);
                    assert_eq!(
                        values[at..at + DIM],
                        [wanted; DIM],
                        "row {row} position {position}"
                    );
                }
            }
        }
    }

    #[test]
    fn rows_survive_growth_and_compaction() {
        let mut cache = cache();
        for utterance in 0..3 {
            cache.push_row();
            cache.append(utterance, &new_rows(utterance, 0, 100), 0, 100);
        }
        cache.reserve(129);
        assert_eq!(cache.bucket, 256);
        for position in 100..140 {
            cache.append(1, &new_rows(1, position, 1), 0, 1);
        }
        for (row, length) in [(0, 100), (1, 140), (2, 100)] {
            row_is(&cache, row, row, length);
        }
        cache.swap_remove_row(0);
        row_is(&cache, 0, 2, 100);
        row_is(&cache, 1, 1, 140);
    }

    #[test]
    fn a_reused_row_starts_clean() {
        let mut cache = cache();
        cache.push_row();
        cache.append(0, &new_rows(1, 0, 5), 0, 5);
        cache.swap_remove_row(0);
        cache.push_row();
        row_is(&cache, 0, 0, 0);
        for side in cache.sides() {
            assert!(
                side.elements::<f32>()
                    .expect("f32")
                    .iter()
                    .all(|&v| v == 0.0)
            );
        }
    }

    #[test]
    fn the_bucket_narrows_when_the_longest_row_goes() {
        let mut cache = cache();
        for utterance in 0..3 {
            cache.push_row();
            cache.append(utterance, &new_rows(utterance, 0, 100), 0, 100);
        }
        cache.reserve(300);
        cache.append(1, &new_rows(1, 100, 200), 0, 200);
        cache.swap_remove_row(0);
        assert_eq!(cache.bucket, 512, "the longest row is still there");
        cache.swap_remove_row(1);
        assert_eq!(cache.bucket, BUCKETS[0]);
        row_is(&cache, 0, 2, 100);
        for position in 100..127 {
            cache.append(0, &new_rows(2, position, 1), 0, 1);
        }
        row_is(&cache, 0, 2, 127);
    }

    #[test]
    fn a_row_that_fills_its_bucket_keeps_it() {
        let mut cache = cache();
        for utterance in 0..2 {
            cache.push_row();
            cache.reserve(256);
            cache.append(utterance, &new_rows(utterance, 0, 128), 0, 128);
        }
        cache.swap_remove_row(0);
        assert_eq!(cache.bucket, 256, "the next position would widen it again");
        row_is(&cache, 0, 1, 128);
    }

    #[test]
    fn an_emptied_cache_returns_to_the_smallest_bucket() {
        let mut cache = cache();
        cache.push_row();
        cache.reserve(300);
        assert_eq!(cache.bucket, 512);
        cache.swap_remove_row(0);
        cache.push_row();
        assert_eq!(cache.bucket, BUCKETS[0]);
        row_is(&cache, 0, 0, 0);
    }
}
