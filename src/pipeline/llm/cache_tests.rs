//! Rows of the cache on the host and on a device, told apart by values that name their utterance.
#![cfg(test)]
#![expect(clippy::float_cmp, reason = "values are copied, never computed")]

use super::*;
use crate::backend::Lane;
use crate::cuda::HostGpu;

const HEADS: usize = 2;
const DIM: usize = 4;
const ROWS: usize = 3;

fn places() -> [Place; 2] {
    let gpu = HostGpu::default().gpu();
    let on_gpu = Lane::on_gpu(0, &gpu).expect("a stream");
    [Lane::on_host(0), on_gpu].map(|lane| lane.place())
}

struct Row {
    place: Place,
    cache: KvCache,
}

impl Row {
    fn spec() -> LlmSpec {
        LlmSpec {
            layers: 1,
            hidden: 8,
            kv_heads: HEADS,
            head_dim: DIM,
            kv_dtype: DType::F32,
            head_rows: 10,
            speech_vocab: 8,
            eos: 8,
            fill: None,
            stop: 8..=9,
            silent: Vec::new(),
            max_positions: 2048,
        }
    }

    fn new(place: Place) -> Self {
        let cache = KvCache::new(&place, &Self::spec(), ROWS).expect("memory");
        Self { place, cache }
    }

    fn push(&mut self) {
        self.cache.push_row().expect("zeroed");
    }

    fn remove(&mut self, row: usize) {
        self.cache.swap_remove_row(row).expect("moved");
    }

    fn reserve(&mut self, positions: usize) {
        self.cache.reserve(positions).expect("memory");
    }

    /// Appends an utterance's positions to a row, as one call gave them.
    fn append(&mut self, row: usize, utterance: usize, first: usize, count: usize) {
        let mut fresh = FreshSides::new(&self.place, &Self::spec());
        fresh.resize(1, count).expect("memory");
        let pitch = fresh.side_bytes();
        for (side, bytes) in fresh
            .memory
            .stage()
            .expect("idle")
            .chunks_mut(pitch)
            .enumerate()
        {
            let elements: &mut [f32] =
                bytemuck::cast_slice_mut(&mut bytes[..HEADS * count * DIM * F32]);
            for (at, values) in elements.chunks_mut(DIM).enumerate() {
                values.fill(value(utterance, first + at % count, side, at / count));
            }
        }
        fresh.memory.send().expect("sent");
        let mut memory = self.place.memory();
        memory.resize(2 * count * F32).expect("memory");
        let (positions, valid) = memory.stage().expect("idle").split_at_mut(count * F32);
        let length = self.cache.length(row);
        let positions: &mut [i32] = bytemuck::cast_slice_mut(positions);
        for (position, at) in positions.iter_mut().zip(length..) {
            *position = i32::try_from(at).expect("small");
        }
        bytemuck::cast_slice_mut::<u8, f32>(valid).fill(1.0);
        memory.send().expect("sent");
        let tokens = Tokens {
            memory: &memory,
            positions: 0,
            valid: count * F32,
        };
        self.cache.append(row, &fresh, &tokens).expect("appended");
        self.cache.grown(row, count);
    }

    /// Every valid value of a row, and that exactly `length` positions are valid.
    fn is(&mut self, row: usize, utterance: usize, length: usize) {
        assert_eq!(self.cache.length(row), length);
        let positions = BUCKETS[self.cache.bucket];
        let valid = read(&mut self.cache.present().valid);
        let valid = &valid[row * positions..(row + 1) * positions];
        assert!(valid[..length].iter().all(|&v| v == 1.0));
        assert!(valid[length..].iter().all(|&v| v == 0.0));
        let pitch = self.cache.side_bytes() / F32;
        let values = read(&mut self.cache.present().sides);
        for side in 0..2 {
            for head in 0..HEADS {
                for position in 0..length {
                    let at = (row * HEADS + head) * positions + position;
                    let at = side * pitch + at * DIM;
                    let wanted = value(utterance, position, side, head);
                    assert_eq!(
                        values[at..at + DIM],
                        [wanted; DIM],
                        "row {row} position {position}"
                    );
                }
            }
        }
        assert!(values.iter().all(|value| value.is_finite()));
    }

    fn bucket(&self) -> usize {
        BUCKETS[self.cache.bucket]
    }
}

fn read(memory: &mut LaneMemory) -> Vec<f32> {
    memory.fetch().expect("idle");
    bytemuck::cast_slice(memory.fetched().expect("idle")).to_vec()
}

/// A value that names its utterance, position, side and head.
fn value(utterance: usize, position: usize, side: usize, head: usize) -> f32 {
    let value = utterance * 10_000 + position * 10 + side * 2 + head;
    f32::from(u16::try_from(value).expect("small"))
}

#[test]
fn rows_survive_growth_and_compaction() {
    for mut rows in places().map(Row::new) {
        for utterance in 0..3 {
            rows.push();
            rows.append(utterance, utterance, 0, 100);
        }
        rows.reserve(129);
        assert_eq!(rows.bucket(), 256);
        for position in 100..140 {
            rows.append(1, 1, position, 1);
        }
        for (row, length) in [(0, 100), (1, 140), (2, 100)] {
            rows.is(row, row, length);
        }
        rows.remove(0);
        rows.is(0, 2, 100);
        rows.is(1, 1, 140);
    }
}

#[test]
fn a_reused_row_starts_clean() {
    for mut rows in places().map(Row::new) {
        rows.push();
        rows.append(0, 1, 0, 5);
        rows.remove(0);
        rows.push();
        rows.is(0, 0, 0);
        assert!(
            read(&mut rows.cache.present().sides)
                .iter()
                .all(|&v| v == 0.0)
        );
    }
}

#[test]
fn the_bucket_narrows_when_the_longest_row_goes() {
    for mut rows in places().map(Row::new) {
        for utterance in 0..3 {
            rows.push();
            rows.append(utterance, utterance, 0, 100);
        }
        rows.reserve(300);
        rows.append(1, 1, 100, 200);
        rows.remove(0);
        assert_eq!(rows.bucket(), 512, "the longest row is still there");
        rows.remove(1);
        assert_eq!(rows.bucket(), BUCKETS[0]);
        rows.is(0, 2, 100);
        for position in 100..127 {
            rows.append(0, 2, position, 1);
        }
        rows.is(0, 2, 127);
    }
}

#[test]
fn a_row_that_fills_its_bucket_keeps_it() {
    for mut rows in places().map(Row::new) {
        for utterance in 0..2 {
            rows.push();
            rows.reserve(256);
            rows.append(utterance, utterance, 0, 128);
        }
        rows.remove(0);
        assert_eq!(rows.bucket(), 256, "the next position would widen it again");
        rows.is(0, 1, 128);
    }
}

#[test]
fn an_emptied_cache_returns_to_the_smallest_bucket() {
    for mut rows in places().map(Row::new) {
        rows.push();
        rows.reserve(300);
        assert_eq!(rows.bucket(), 512);
        rows.append(0, 3, 0, 300);
        rows.remove(0);
        rows.push();
        assert_eq!(rows.bucket(), BUCKETS[0]);
        rows.is(0, 0, 0);
        rows.append(0, 1, 0, 7);
        rows.reserve(300);
        rows.is(0, 1, 7);
    }
}

/// A value that is no number stays in the row it was given to, whichever bucket that row was in.
#[test]
fn what_a_row_held_never_reaches_the_next_one() {
    for mut rows in places().map(Row::new) {
        rows.push();
        rows.reserve(300);
        let sides = &mut rows.cache.present().sides;
        bytemuck::cast_slice_mut::<u8, f32>(sides.stage().expect("idle")).fill(f32::NAN);
        sides.send().expect("sent");
        rows.cache.grown(0, 300);
        rows.remove(0);
        rows.push();
        rows.append(0, 1, 0, 100);
        rows.reserve(300);
        rows.push();
        rows.append(1, 2, 0, 100);
        let used = rows
            .cache
            .sides()
            .map(|side| side.shape().elements())
            .sum::<usize>();
        assert!(used > 0);
        let pitch = rows.cache.side_bytes() / F32;
        let row = rows.cache.row_bytes() / F32;
        let values = read(&mut rows.cache.present().sides);
        for side in values.chunks(pitch) {
            assert!(side[..2 * row].iter().all(|value| value.is_finite()));
        }
    }
}
