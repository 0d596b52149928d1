//! The twins against what the pipeline computed before there were kernels, and the way to them through a device.
#![cfg(test)]

use super::*;
use crate::cuda::{Gpu, HostGpu};
use crate::testkit::skip;
use std::sync::Arc;

/// A stream on host memory and, where there is one, on a GPU.
fn streams(test: &str) -> Vec<Arc<Stream>> {
    let mut gpus = vec![HostGpu::default().gpu()];
    match Gpu::open(0) {
        Ok(gpu) => gpus.push(gpu),
        Err(reason) => skip(test, &reason.to_string(), "CVTRT_REQUIRE_GPU"),
    }
    gpus.iter()
        .map(|gpu| gpu.stream().expect("a stream"))
        .collect()
}

/// Values without a pattern that arithmetic could hide.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f32::from(u16::try_from(state >> 48).expect("16 bits")) / 9000.0 - 3.5
    };
    (0..count).map(|_| next()).collect()
}

fn bytes_of<T: bytemuck::Pod>(elements: &[T]) -> &[u8] {
    bytemuck::cast_slice(elements)
}

fn on_device(stream: &Arc<Stream>, bytes: &[u8]) -> DeviceBuffer {
    let mut buffer = stream.allocate(bytes.len()).expect("device memory");
    stream
        .write(&mut buffer.bytes_mut(bytes.len()), bytes)
        .expect("written");
    buffer
}

fn read(stream: &Stream, buffer: &DeviceBuffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.len()];
    stream
        .read(buffer.bytes(bytes.len()), &mut bytes)
        .expect("read");
    bytes
}

#[test]
fn an_euler_step_is_guidance_and_then_the_step_to_the_bit() {
    let (row, dt, guidance) = (80 * 13, 0.024_471_742, 0.7);
    let half = values(row, 1);
    let velocity = values(2 * row, 2);
    let expected: Vec<f32> = half
        .iter()
        .zip(velocity.iter().zip(&velocity[row..]))
        .map(|(x, (with, without))| {
            let scaled = (1.0 + guidance) * with;
            let guided = scaled - guidance * without;
            x + dt * guided
        })
        .collect();
    let expected = [expected.as_slice(), &expected].concat();
    for stream in streams("an Euler step on a GPU") {
        let mut x = on_device(&stream, bytes_of(&[half.as_slice(), &half].concat()));
        let velocity = on_device(&stream, bytes_of(&velocity));
        let length = on_device(&stream, bytes_of(&[0.0, dt]));
        stream
            .euler_step(&mut x, &velocity, row, (&length, F32), guidance)
            .expect("launched");
        assert!(read(&stream, &x) == bytes_of(&expected), "{stream:?}");
    }
}

/// Each row's new position goes behind its past, in every head of every side, and nowhere else.
#[test]
fn new_positions_go_to_their_rows_cursors_whatever_the_size() {
    for stream in streams("a KV append on a GPU") {
        for position_bytes in [1, 6, 16, 128] {
            for (cursors, fresh_valid, count) in [
                (&[3, 0, 7][..], &[1.0, 0.0, 1.0][..], 1),
                (&[2, 3, 4, 5, 6, 7], &[1.0, 1.0, 1.0, 1.0, 0.0, 0.0], 2),
                (&[8, -1, 0], &[1.0, 1.0, 1.0], 1),
            ] {
                check_append(&stream, position_bytes, cursors, fresh_valid, count);
            }
        }
    }
}

fn check_append(
    stream: &Arc<Stream>,
    position_bytes: usize,
    cursors: &[i32],
    fresh_valid: &[f32],
    count: usize,
) {
    let (sides, rows, first_row, heads, capacity) = (4, 3, 1, 2, 8);
    let side_rows = first_row + rows + 1;
    let shape = AppendShape {
        sides,
        past_side_bytes: side_rows * heads * capacity * position_bytes,
        fresh_side_bytes: rows * heads * count * position_bytes,
        rows,
        heads,
        capacity,
        count,
        position_bytes,
    };
    let byte = |index: usize| u8::try_from(index * 7 % 251).expect("small");
    let fresh: Vec<u8> = (0..sides * shape.fresh_side_bytes).map(byte).collect();
    let mut past = vec![0xEE; sides * shape.past_side_bytes];
    let mut past_valid = vec![0f32; side_rows * capacity];

    let mut there = on_device(stream, &past);
    let mut valid_there = on_device(stream, bytes_of(&past_valid));
    let append = Append {
        past: (&mut there, first_row * shape.past_row_bytes()),
        past_valid: (&mut valid_there, first_row * capacity * F32),
        fresh: &on_device(stream, &fresh),
        positions: (&on_device(stream, bytes_of(cursors)), 0),
        fresh_valid: (&on_device(stream, bytes_of(fresh_valid)), 0),
    };
    stream.append(append, &shape).expect("launched");

    for row in 0..rows {
        for step in 0..count {
            let token = row * count + step;
            let cursor = usize::try_from(cursors[token]).unwrap_or(capacity);
            if fresh_valid[token] == 0.0 || cursor >= capacity {
                continue;
            }
            past_valid[(first_row + row) * capacity + cursor] = 1.0;
            for side in 0..sides {
                for head in 0..heads {
                    let from = ((side * rows + row) * heads + head) * count + step;
                    let to = ((side * side_rows + first_row + row) * heads + head) * capacity;
                    let (from, to) = (from * position_bytes, (to + cursor) * position_bytes);
                    past[to..to + position_bytes]
                        .copy_from_slice(&fresh[from..from + position_bytes]);
                }
            }
        }
    }
    assert!(read(stream, &there) == past, "{position_bytes} {cursors:?}");
    assert!(read(stream, &valid_there) == bytes_of(&past_valid));
}

#[test]
fn values_that_are_no_numbers_are_counted_on_top() {
    let mut values = values(100, 3);
    (values[7], values[50], values[99]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
    values[3] = f32::MAX;
    for stream in streams("counting what is no number on a GPU") {
        let there = on_device(&stream, bytes_of(&values));
        let mut counts = on_device(&stream, bytes_of(&[5u32, 0]));
        for (length, index) in [(100, 0), (99, 1), (0, 1)] {
            stream
                .count_not_finite(&there, length, &mut counts, index)
                .expect("launched");
        }
        assert_eq!(read(&stream, &counts), bytes_of(&[8u32, 2]), "{stream:?}");
    }
}

/// Recorded once, launched twice: each launch does the step anew.
#[test]
fn recorded_kernels_run_at_each_launch() {
    for stream in streams("recorded kernels on a GPU") {
        let mut x = on_device(&stream, bytes_of(&[1f32, 1.0]));
        let velocity = on_device(&stream, bytes_of(&[2f32, 1.0]));
        let length = on_device(&stream, bytes_of(&[0.5f32]));
        // Modules that load lazily must not do so for the first time in a recording.
        stream
            .euler_step(&mut x, &velocity, 1, (&length, 0), 0.0)
            .expect("launched");
        let mut replay = stream
            .capture(|| stream.euler_step(&mut x, &velocity, 1, (&length, 0), 0.0))
            .expect("recorded");
        assert_eq!(read(&stream, &x), bytes_of(&[2f32, 2.0]), "{stream:?}");
        for expected in [3f32, 4.0] {
            replay.launch().expect("launched");
            assert_eq!(read(&stream, &x), bytes_of(&[expected; 2]), "{stream:?}");
        }
    }
}

/// What a driver would see: the entry points that are launched, and their arguments.
#[test]
fn the_committed_text_has_every_kernel() {
    let ptx = include_str!("kernels.ptx");
    for name in [
        "euler_step",
        "append_bytes",
        "append_words",
        "count_not_finite",
    ] {
        assert!(ptx.contains(&format!(".visible .entry {name}(")), "{name}");
    }
    assert!(!ptx.contains("fma."), "a fused step is not the host's");
}
