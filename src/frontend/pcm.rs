//! Float samples to 16-bit PCM.

/// One sample as 16-bit PCM: times 32 768, rounded to nearest with ties to even, clipped to -32 768 … 32 767.
///
/// A value read from 16-bit PCM (divided by 32 768) comes back as it was. Not a number becomes silence.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, which is the clipping meant here"
)]
pub fn i16_from_f32(sample: f32) -> i16 {
    (sample * 32_768.0).round_ties_even() as i16
}

/// Appends samples as little-endian 16-bit PCM.
pub fn append_le_bytes(samples: &[f32], out: &mut Vec<u8>) {
    out.extend(
        samples
            .iter()
            .flat_map(|&sample| i16_from_f32(sample).to_le_bytes()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_and_clipping() {
        let step = 1.0 / 32_768.0;
        for (sample, expected) in [
            (0.0, 0),
            (-0.0, 0),
            (1.0, i16::MAX),
            (-1.0, i16::MIN),
            (7.0, i16::MAX),
            (-7.0, i16::MIN),
            (f32::INFINITY, i16::MAX),
            (f32::NEG_INFINITY, i16::MIN),
            (f32::NAN, 0),
            (0.5 * step, 0),
            (1.5 * step, 2),
            (2.5 * step, 2),
            (-1.5 * step, -2),
            (1.49 * step, 1),
            (0.99, 32_440),
        ] {
            assert_eq!(i16_from_f32(sample), expected, "{sample}");
        }
    }

    #[test]
    fn every_pcm_value_comes_back() {
        for value in i16::MIN..=i16::MAX {
            assert_eq!(i16_from_f32(f32::from(value) / 32_768.0), value);
        }
    }
}
