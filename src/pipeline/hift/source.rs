//! The signal a vocoder excites its filters with: harmonics of F0, and noise.

use super::super::random::SourceNoise;
use crate::bundle::HiftSpec;

/// Makes the harmonic source of v2, whose phase is summed per frame and interpolated in between.
///
/// Phases are kept in double precision and modulo one cycle, so an error does not grow with the utterance.
#[derive(Debug, Clone)]
pub(super) struct HarmonicSource {
    spec: HiftSpec,
    sample_rate: f64,
    samples_per_frame: usize,
    weights: Vec<f32>,
    bias: f32,
}

/// One harmonic's phase around a frame, in cycles.
#[derive(Debug, Clone, Copy, Default)]
struct Turn {
    /// At the frame's centre, below one.
    here: f64,
    /// From the centre before to this one; zero at the first frame.
    since_before: f64,
    /// From this centre to the one after; zero at the last frame.
    to_next: f64,
}

/// Noise in unvoiced frames, relative to a sine's amplitude.
const UNVOICED_SHARE: f32 = 1.0 / 3.0;

impl HarmonicSource {
    pub(super) fn new(
        spec: &HiftSpec,
        sample_rate: u32,
        samples_per_frame: usize,
        weights: &[f32],
        bias: f32,
    ) -> Self {
        Self {
            spec: spec.clone(),
            sample_rate: f64::from(sample_rate),
            samples_per_frame,
            weights: weights.to_vec(),
            bias,
        }
    }

    /// Fills `source`, `samples_per_frame` samples for each frame of `f0` (Hz).
    ///
    /// At frame `i`, harmonic `h` has turned `c_h(i) = spf · Σ_{k≤i} (f0_k · h / rate mod 1)` cycles; the phase of a
    /// sample between two frames' centres lies linearly between theirs. Upstream adds a random phase at sample 0,
    /// which its resampling never reads: the harmonics follow from F0 alone.
    ///
    /// Source: CosyVoice `cosyvoice/hifigan/generator.py`, `SineGen2` and `SourceModuleHnNSF`.
    pub(super) fn fill(&self, f0: &[f32], noise: &mut dyn SourceNoise, source: &mut [f32]) {
        noise.fill_merged(&self.weights, source);
        let mut turns = vec![Turn::default(); self.weights.len()];
        let frames = source.chunks_exact_mut(self.samples_per_frame);
        for (index, (frame, &hz)) in frames.zip(f0).enumerate() {
            let before = index.checked_sub(1).map(|before| f0[before]);
            let next = f0.get(index + 1).copied();
            for (turn, harmonic) in turns.iter_mut().zip(1u32..) {
                let cycles = |hz: f32| self.cycles_per_frame(hz, harmonic);
                turn.here = (turn.here + cycles(hz)).fract();
                turn.since_before = before.map_or(0.0, |_| cycles(hz));
                turn.to_next = next.map_or(0.0, cycles);
            }
            if hz > self.spec.voiced_threshold_hz {
                let wrapped = hz.max(next.unwrap_or(0.0)) >= self.wrapping_hz();
                self.add_sines(&turns, wrapped, frame);
            } else {
                let amplitude = self.spec.sine_amplitude * UNVOICED_SHARE;
                for sample in frame.iter_mut() {
                    *sample *= amplitude;
                }
            }
            for sample in frame {
                *sample = (*sample + self.bias).tanh();
            }
        }
    }

    /// Scales the noise of a voiced frame and adds the weighted sines.
    ///
    /// Frames' centres are whole cycles apart from multiples of the fundamental's phase. Unless a slope is `wrapped`,
    /// that holds in between too, and one sine gives all of them.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a frame has a few hundred samples"
    )]
    fn add_sines(&self, turns: &[Turn], wrapped: bool, frame: &mut [f32]) {
        let per_frame = self.samples_per_frame as f64;
        for (index, sample) in frame.iter_mut().enumerate() {
            let from_centre = (index as f64 + 0.5) / per_frame - 0.5;
            let sines = if wrapped {
                let phases = turns.iter().map(|turn| turn.at(from_centre));
                let sines = phases.map(|phase| angle(phase).sin());
                sines
                    .zip(&self.weights)
                    .map(|(sine, weight)| weight * sine)
                    .sum()
            } else {
                multiple_sines(angle(turns[0].at(from_centre)), &self.weights)
            };
            *sample = *sample * self.spec.noise_std + sines * self.spec.sine_amplitude;
        }
    }

    /// The F0 from which the highest harmonic turns a whole cycle or more per sample.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a handful of harmonics; a rate fits single precision"
    )]
    fn wrapping_hz(&self) -> f32 {
        (self.sample_rate / self.weights.len() as f64) as f32
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a frame has a few hundred samples"
    )]
    fn cycles_per_frame(&self, hz: f32, harmonic: u32) -> f64 {
        let per_sample = f64::from(hz) * f64::from(harmonic) / self.sample_rate;
        per_sample.fract() * self.samples_per_frame as f64
    }
}

impl Turn {
    /// The phase at a distance from the frame's centre, in frames.
    fn at(&self, from_centre: f64) -> f64 {
        let slope = if from_centre < 0.0 {
            self.since_before
        } else {
            self.to_next
        };
        self.here + from_centre * slope
    }
}

/// The angle of a phase, in radians.
#[expect(
    clippy::cast_possible_truncation,
    reason = "once reduced to one cycle, single precision is enough"
)]
fn angle(cycles: f64) -> f32 {
    (cycles - cycles.floor()) as f32 * std::f32::consts::TAU
}

/// `Σ_h weights[h-1] · sin(h · angle)`, each sine from the two before it.
fn multiple_sines(angle: f32, weights: &[f32]) -> f32 {
    let (sine, cosine) = angle.sin_cos();
    let (mut before, mut here, mut sum) = (0.0, sine, 0.0);
    for weight in weights {
        sum += weight * here;
        (before, here) = (here, 2.0 * cosine * here - before);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::SineKind;

    #[derive(Debug)]
    struct Silence;

    impl SourceNoise for Silence {
        fn fill_merged(&mut self, _weights: &[f32], merged: &mut [f32]) {
            merged.fill(0.0);
        }
    }

    fn source(weights: &[f32], f0: &[f32]) -> Vec<f32> {
        let spec = HiftSpec {
            harmonics: weights.len(),
            sine_amplitude: 0.1,
            noise_std: 0.003,
            voiced_threshold_hz: 10.0,
            audio_limit: 0.99,
            sine: SineKind::Interpolated,
        };
        let mut source = vec![0.0; f0.len() * 480];
        HarmonicSource::new(&spec, 24_000, 480, weights, 0.0).fill(f0, &mut Silence, &mut source);
        source
    }

    /// The definition, sample by sample in double precision.
    fn defined(weights: &[f32], f0: &[f32]) -> Vec<f64> {
        let turned = |harmonic: f64| {
            f0.iter().scan(0.0, move |sum, &hz| {
                *sum += 480.0 * (f64::from(hz) * harmonic / 24_000.0).fract();
                Some(*sum)
            })
        };
        let last = u32::try_from(f0.len()).expect("few") - 1;
        let mut samples = vec![0.0; f0.len() * 480];
        for (weight, harmonic) in weights.iter().zip(1u32..) {
            let turned: Vec<f64> = turned(f64::from(harmonic)).collect();
            for (sample, index) in samples.iter_mut().zip(0u32..) {
                let position = (f64::from(index) + 0.5) / 480.0 - 0.5;
                let position = position.clamp(0.0, f64::from(last));
                let left = (0..=last).rev().find(|&frame| f64::from(frame) <= position);
                let left = left.expect("not negative");
                let share = position - f64::from(left);
                let (left, right) = (left as usize, (left + 1).min(last) as usize);
                let phase = turned[left] * (1.0 - share) + turned[right] * share;
                *sample += 0.1 * f64::from(*weight) * (std::f64::consts::TAU * phase).sin();
            }
        }
        samples.into_iter().map(f64::tanh).collect()
    }

    #[test]
    fn phases_follow_the_definition() {
        let weights = [0.5, -0.3, 0.2, 0.4, -0.1, 0.3, 0.2, -0.2, 0.6];
        let cases: [(&str, &[f32]); 4] = [
            ("one frame", &[220.0]),
            ("steady", &[125.0; 6]),
            ("gliding", &[110.0, 131.5, 180.25, 300.0, 95.0]),
            // From 2667 Hz on, the ninth harmonic turns more than once per sample.
            ("wrapping", &[200.0, 2900.0, 5400.0, 150.0, 180.0]),
        ];
        for (case, f0) in cases {
            let samples = source(&weights, f0);
            for (index, (got, want)) in samples.iter().zip(defined(&weights, f0)).enumerate() {
                let difference = (f64::from(*got) - want).abs();
                assert!(difference < 2e-6, "{case}, sample {index}: {got} {want}");
            }
        }
    }

    #[test]
    fn frames_without_pitch_have_no_sines() {
        let samples = source(&[1.0, 0.5], &[0.0, 9.0, 120.0]);
        assert!(samples[..960].iter().all(|&sample| sample == 0.0));
        assert!(samples[960..].iter().any(|&sample| sample.abs() > 0.01));
    }
}
