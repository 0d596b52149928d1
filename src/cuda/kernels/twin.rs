//! What each kernel does, on host memory: in the same order of operations, and so to the same bits.

use super::AppendShape;

/// One Euler step under classifier-free guidance, both rows of `x` kept equal.
///
/// `x`: two equal rows. `velocity`: the conditional row, then the unconditional one, each as long as a row of `x`.
pub fn euler_step(x: &mut [f32], velocity: &[f32], dt: f32, guidance: f32) {
    let (conditional, unconditional) = x.split_at_mut(x.len() / 2);
    let (with, without) = velocity.split_at(velocity.len() / 2);
    let rows = conditional.iter_mut().zip(unconditional);
    for ((x, twin), (with, without)) in rows.zip(with.iter().zip(without)) {
        *x += dt * ((1.0 + guidance) * with - guidance * without);
        *twin = *x;
    }
}

/// Puts each new position that counts where it belongs in the past, and marks it there.
///
/// `past`: every side, its rows, heads and positions, from the first row to append to on. `past_valid`: `[rows, capacity]`
/// from there on. `fresh`: the new positions of every side. `positions` and `fresh_valid`: `[rows, count]`, where a new
/// position belongs, and whether it counts. A position outside the capacity is left out.
pub fn append(
    past: &mut [u8],
    past_valid: &mut [f32],
    fresh: &[u8],
    positions: &[i32],
    fresh_valid: &[f32],
    shape: &AppendShape,
) {
    let bytes = shape.position_bytes;
    for row in 0..shape.rows {
        for step in 0..shape.count {
            let token = row * shape.count + step;
            let position = usize::try_from(positions[token]);
            let Some(position) = position.ok().filter(|&at| at < shape.capacity) else {
                continue;
            };
            if fresh_valid[token] == 0.0 {
                continue;
            }
            for side in 0..shape.sides {
                for head in row * shape.heads..(row + 1) * shape.heads {
                    let from = side * shape.fresh_side_bytes + (head * shape.count + step) * bytes;
                    let to =
                        side * shape.past_side_bytes + (head * shape.capacity + position) * bytes;
                    past[to..to + bytes].copy_from_slice(&fresh[from..from + bytes]);
                }
            }
            past_valid[row * shape.capacity + position] = 1.0;
        }
    }
}

/// Number of values that are NaN or infinite.
pub fn count_not_finite(values: &[f32]) -> u32 {
    let count = values.iter().filter(|value| !value.is_finite()).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}
