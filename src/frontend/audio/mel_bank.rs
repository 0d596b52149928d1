//! Mel filter banks, computed in 64-bit floats.

/// Triangular filters over the bins of a spectrum.
pub(super) struct MelBank {
    filters: Vec<Filter>,
}

/// The part of a filter that is not zero.
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

impl MelBank {
    /// Filters on Slaney's mel scale from 0 to `max_hz`, triangles in hertz, each of unit area.
    ///
    /// Source: `librosa.filters.mel` with its defaults.
    pub(super) fn slaney(filters: usize, rate_hz: u32, fft_length: usize, max_hz: f64) -> Self {
        let edges = evenly_spaced(0.0, slaney_from_hz(max_hz), filters).map(hz_from_slaney);
        let bins = bin_frequencies(rate_hz, fft_length);
        Self::triangles(&edges.collect::<Vec<_>>(), &bins, |left, right| {
            2.0 / (right - left)
        })
    }

    /// Filters on the HTK mel scale from `min_hz` to the Nyquist frequency, triangles in mel, each of unit height.
    ///
    /// Source: `torchaudio.compliance.kaldi.get_mel_banks`; the bin at the Nyquist frequency lies on the last edge.
    pub(super) fn htk(filters: usize, rate_hz: u32, fft_length: usize, min_hz: f64) -> Self {
        let max_hz = f64::from(rate_hz) / 2.0;
        let edges = evenly_spaced(htk_from_hz(min_hz), htk_from_hz(max_hz), filters);
        let bins: Vec<f64> = bin_frequencies(rate_hz, fft_length)
            .into_iter()
            .map(htk_from_hz)
            .collect();
        Self::triangles(&edges.collect::<Vec<_>>(), &bins, |_, _| 1.0)
    }

    /// One value per filter.
    pub(super) fn apply<'a>(&'a self, spectrum: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        self.filters.iter().map(|filter| {
            let bins = &spectrum[filter.first..];
            filter.weights.iter().zip(bins).map(|(w, s)| w * s).sum()
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    fn triangles(edges: &[f64], bins: &[f64], height: impl Fn(f64, f64) -> f64) -> Self {
        let filters = edges.windows(3).map(|edges| {
            let [left, centre, right] = [edges[0], edges[1], edges[2]];
            let weight = |bin: &f64| {
                let up = (bin - left) / (centre - left);
                let down = (right - bin) / (right - centre);
                (up.min(down).max(0.0) * height(left, right)) as f32
            };
            let first = bins.partition_point(|bin| *bin <= left);
            let behind = bins.partition_point(|bin| *bin < right).max(first);
            Filter {
                first,
                weights: bins[first..behind].iter().map(weight).collect(),
            }
        });
        Self {
            filters: filters.collect(),
        }
    }
}

/// `count` filters have `count + 2` edges.
#[expect(
    clippy::cast_precision_loss,
    reason = "filter counts are far below 2^52"
)]
fn evenly_spaced(from: f64, to: f64, count: usize) -> impl Iterator<Item = f64> {
    let step = (to - from) / (count + 1) as f64;
    (0..count + 2).map(move |edge| from + step * edge as f64)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "transform lengths are far below 2^52"
)]
fn bin_frequencies(rate_hz: u32, fft_length: usize) -> Vec<f64> {
    (0..=fft_length / 2)
        .map(|bin| bin as f64 * f64::from(rate_hz) / fft_length as f64)
        .collect()
}

/// Slaney's scale is linear below this and logarithmic above.
const SLANEY_BREAK_HZ: f64 = 1000.0;
const SLANEY_HZ_PER_MEL: f64 = 200.0 / 3.0;
/// Mels above the break in which the frequency grows 6.4-fold.
const SLANEY_MELS: f64 = 27.0;
const SLANEY_GROWTH: f64 = 6.4;

fn slaney_from_hz(hz: f64) -> f64 {
    if hz < SLANEY_BREAK_HZ {
        return hz / SLANEY_HZ_PER_MEL;
    }
    let above = (hz / SLANEY_BREAK_HZ).ln() / SLANEY_GROWTH.ln() * SLANEY_MELS;
    SLANEY_BREAK_HZ / SLANEY_HZ_PER_MEL + above
}

fn hz_from_slaney(mel: f64) -> f64 {
    let above = mel - SLANEY_BREAK_HZ / SLANEY_HZ_PER_MEL;
    if above < 0.0 {
        return mel * SLANEY_HZ_PER_MEL;
    }
    SLANEY_BREAK_HZ * SLANEY_GROWTH.powf(above / SLANEY_MELS)
}

fn htk_from_hz(hz: f64) -> f64 {
    1127.0 * (1.0 + hz / 700.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit;

    impl MelBank {
        /// `[filters, bins]`, zeros included.
        fn dense(&self, bins: usize) -> Vec<f32> {
            let mut dense = vec![0.0; self.filters.len() * bins];
            for (row, filter) in dense.chunks_exact_mut(bins).zip(&self.filters) {
                row[filter.first..][..filter.weights.len()].copy_from_slice(&filter.weights);
            }
            dense
        }
    }

    #[test]
    fn slaney_banks_equal_the_recorded_ones() {
        let path = testkit::data_path("goldens/frontend/frontend_audio.npz");
        let goldens = crate::tensor::read_npz(&path).unwrap();
        for (name, filters, rate_hz, fft_length, max_hz) in [
            ("filters.whisper_128", 128, 16_000, 400, 8000.0),
            ("filters.mel_v1", 80, 22_050, 1024, 8000.0),
            ("filters.mel_v2", 80, 24_000, 1920, 8000.0),
            ("filters.mel_v3", 80, 24_000, 1920, 12_000.0),
        ] {
            let bank = MelBank::slaney(filters, rate_hz, fft_length, max_hz);
            let computed = bank.dense(fft_length / 2 + 1);
            let recorded = goldens[name].elements::<f32>().unwrap();
            assert_eq!(computed.len(), recorded.len(), "{name}");
            let error = computed
                .iter()
                .zip(recorded)
                .fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(error < 1e-8, "{name}: {error:e}");
        }
    }

    #[test]
    fn htk_filters_overlap_to_one_between_the_outer_centres() {
        let bins = 257;
        let dense = MelBank::htk(80, 16_000, 512, 20.0).dense(bins);
        for bin in 2..bins - 10 {
            let sum: f32 = dense.iter().skip(bin).step_by(bins).sum();
            assert!((sum - 1.0).abs() < 1e-5, "bin {bin}: {sum}");
        }
        let nyquist: f32 = dense.iter().skip(bins - 1).step_by(bins).sum();
        assert!(nyquist.abs() < 1e-6, "{nyquist}");
    }
}
