//! The noise the flow of v2 and v3 always starts from.

use super::mersenne::MersenneTwister;

/// The first columns of a fixed buffer of standard normal noise, `[bins, 15000]`.
///
/// Upstream draws the buffer as `torch.manual_seed(0)`, `randn(1, 80, 15000)` and takes its first `T` columns in every
/// call. Its values follow from the generator: 24-bit uniforms, turned into normals in blocks of 16 by Box and Muller.
/// Only the columns in use are computed.
///
/// Source: `PyTorch`, `aten/src/ATen/native/cpu/DistributionTemplates.h`, `normal_fill`; checked against torch's own
/// buffer to 5e-7.
#[derive(Debug)]
pub struct FixedNoise {
    bins: usize,
    columns: usize,
    values: Vec<f32>,
}

const SEED: u32 = 0;
const BLOCK: usize = 16;

impl FixedNoise {
    /// Columns of the whole buffer, which bounds the frames of an utterance.
    pub const COLUMNS: usize = 15_000;
    /// Columns are computed in steps of this many.
    const STEP: usize = 512;

    /// Noise for `bins` mel bins; computes nothing yet.
    pub fn new(bins: usize) -> Self {
        Self {
            bins,
            columns: 0,
            values: Vec::new(),
        }
    }

    /// Copies the first `columns` columns to the first of `noise`, `[bins, at least columns]` row-major; the others are
    /// zero.
    ///
    /// # Panics
    /// If `columns` is more than [`Self::COLUMNS`], or `noise` is narrower or has another number of rows.
    pub fn copy_columns(&mut self, columns: usize, noise: &mut [f32]) {
        assert!(columns <= Self::COLUMNS, "bounded by the caller");
        let width = noise.len() / self.bins;
        assert_eq!(noise.len(), self.bins * width, "rows of equal length");
        assert!(columns <= width, "rows of {columns} columns at least");
        if columns > self.columns {
            self.columns = columns.next_multiple_of(Self::STEP).min(Self::COLUMNS);
            self.values = generate(self.bins, self.columns);
        }
        let known = self.values.chunks_exact(self.columns.max(1));
        for (row, known) in noise.chunks_exact_mut(width.max(1)).zip(known) {
            row[..columns].copy_from_slice(&known[..columns]);
            row[columns..].fill(0.0);
        }
    }
}

fn generate(bins: usize, columns: usize) -> Vec<f32> {
    let mut generator = MersenneTwister::new(SEED);
    let mut values = vec![0.0; bins * columns];
    for block in 0..(bins * FixedNoise::COLUMNS).div_ceil(BLOCK) {
        let first = block * BLOCK;
        let column = first % FixedNoise::COLUMNS;
        let reaches_next_row = column + BLOCK > FixedNoise::COLUMNS;
        if column >= columns && !reaches_next_row {
            generator.skip(BLOCK);
            continue;
        }
        for (element, value) in (first..).zip(normal_block(&mut generator)) {
            let (row, column) = (element / FixedNoise::COLUMNS, element % FixedNoise::COLUMNS);
            if column < columns && row < bins {
                values[row * columns + column] = value;
            }
        }
    }
    values
}

fn normal_block(generator: &mut MersenneTwister) -> [f32; BLOCK] {
    let uniforms: [f32; BLOCK] = std::array::from_fn(|_| uniform(generator.next_u32()));
    let mut normals = [0.0; BLOCK];
    for index in 0..BLOCK / 2 {
        let radius = (-2.0 * (1.0 - uniforms[index]).ln()).sqrt();
        let angle = std::f32::consts::TAU * uniforms[index + BLOCK / 2];
        let (sine, cosine) = angle.sin_cos();
        normals[index] = radius * cosine;
        normals[index + BLOCK / 2] = radius * sine;
    }
    normals
}

#[expect(clippy::cast_precision_loss, reason = "24 bits are what an f32 holds")]
fn uniform(word: u32) -> f32 {
    (word & 0x00FF_FFFF) as f32 * 2f32.powi(-24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_columns_are_the_head_of_more() {
        let mut narrow = vec![0.0; 80 * 20];
        FixedNoise::new(80).copy_columns(20, &mut narrow);
        let mut wide = vec![0.0; 80 * 700];
        let mut noise = FixedNoise::new(80);
        noise.copy_columns(700, &mut wide);
        for row in 0..80 {
            assert_eq!(
                narrow[row * 20..][..20],
                wide[row * 700..][..20],
                "row {row}"
            );
        }
        let mut again = vec![0.0; 80 * 20];
        noise.copy_columns(20, &mut again);
        assert_eq!(again, narrow);
        let mut padded = vec![1.0; 80 * 32];
        noise.copy_columns(20, &mut padded);
        for row in 0..80 {
            let padded = &padded[row * 32..][..32];
            assert_eq!(padded[..20], narrow[row * 20..][..20], "row {row}");
            assert_eq!(padded[20..], [0.0; 12], "row {row}");
        }
    }

    #[test]
    fn the_whole_buffer_is_standard_normal() {
        let mut values = vec![0.0; 80 * FixedNoise::COLUMNS];
        FixedNoise::new(80).copy_columns(FixedNoise::COLUMNS, &mut values);
        let count = 1_200_000.0;
        let mean = values.iter().copied().map(f64::from).sum::<f64>() / count;
        let square = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 5e-3, "{mean}");
        assert!((square - 1.0).abs() < 5e-3, "{square}");
    }
}
