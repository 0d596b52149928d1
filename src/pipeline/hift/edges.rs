//! What the vocoder's Fourier transforms need at the ends of a signal.

/// Samples of context on each side of the source: half a transform.
pub(super) const CONTEXT: usize = TRANSFORM / 2;

const TRANSFORM: usize = 16;
const HOP: usize = 4;

/// Copies a signal between [`CONTEXT`] reflected samples on each side; the end samples are not repeated.
///
/// # Panics
/// If the signal has no more than [`CONTEXT`] samples, or `padded` another length.
pub(super) fn reflect(signal: &[f32], padded: &mut [f32]) {
    let len = signal.len();
    assert!(len > CONTEXT, "a frame has more samples than the context");
    padded[CONTEXT..CONTEXT + len].copy_from_slice(signal);
    for distance in 1..=CONTEXT {
        padded[CONTEXT - distance] = signal[distance];
        padded[CONTEXT + len - 1 + distance] = signal[len - 1 - distance];
    }
}

/// Undoes the missing overlap of the inverse transform at both ends, then clamps to plus and minus `limit`.
///
/// The graph divides by the overlap of squared windows in mid-signal; the outermost samples lie under one window less.
pub(super) fn finish(audio: &mut [f32], limit: f32) {
    let (head, tail) = edge_gains();
    for (sample, gain) in audio.iter_mut().zip(head) {
        *sample *= gain;
    }
    for (sample, gain) in audio.iter_mut().rev().zip(tail) {
        *sample *= gain;
    }
    for sample in audio {
        *sample = sample.clamp(-limit, limit);
    }
}

/// Gains of the first samples and of the last, each from the end inwards.
fn edge_gains() -> ([f32; HOP], [f32; HOP]) {
    let overlap: f64 = (0..TRANSFORM / HOP).map(|k| squared_hann(k * HOP)).sum();
    let gain = |missing: f64| single(overlap / (overlap - missing));
    let head = std::array::from_fn(|index| gain(squared_hann(TRANSFORM - HOP + index)));
    let tail = std::array::from_fn(|index| gain(squared_hann(HOP - 1 - index)));
    (head, tail)
}

/// The periodic Hann window, squared.
#[expect(
    clippy::cast_precision_loss,
    reason = "positions in a window of sixteen"
)]
fn squared_hann(position: usize) -> f64 {
    let angle = std::f64::consts::TAU * position as f64 / TRANSFORM as f64;
    (0.5 - 0.5 * angle.cos()).powi(2)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "gains apply to single-precision audio"
)]
fn single(gain: f64) -> f32 {
    gain as f32
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values pass through or are set")]
mod tests {
    use super::*;

    #[test]
    fn reflection_leaves_the_ends_single() {
        let signal: Vec<f32> = (0u8..10).map(f32::from).collect();
        let mut padded = vec![0.0; signal.len() + 2 * CONTEXT];
        reflect(&signal, &mut padded);
        assert_eq!(padded[..9], [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
        assert_eq!(padded[17..], [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
    }

    #[test]
    fn edge_gains_are_the_published_ones() {
        let (head, tail) = edge_gains();
        let published = [1.25f32, 1.404_73, 1.478_553, 1.498_551].map(|overlap| 1.5 / overlap);
        let published_tail = [published[1], published[2], published[3], 1.0];
        for (gain, published) in head.into_iter().zip(published) {
            assert!((gain - published).abs() < 1e-6, "{gain} {published}");
        }
        for (gain, published) in tail.into_iter().zip(published_tail) {
            assert!((gain - published).abs() < 1e-6, "{gain} {published}");
        }
    }

    #[test]
    fn audio_is_clamped_after_the_gains() {
        let mut audio = [0.9f32; 12];
        finish(&mut audio, 0.99);
        assert_eq!(audio[0], 0.99);
        assert_eq!(audio[6], 0.9);
    }
}
