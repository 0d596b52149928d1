//! The signal a vocoder excites its filters with: harmonics of F0, and noise.

use crate::bundle::HiftSpec;
use crate::pipeline::random::SourceNoise;

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
                self.add_sines(&turns, frame);
            } else {
                let amplitude = self.spec.sine_amplitude * UNVOICED_SHARE;
                frame.iter_mut().for_each(|sample| *sample *= amplitude);
            }
            for sample in frame {
                *sample = (*sample + self.bias).tanh();
            }
        }
    }

    /// Scales the noise of a voiced frame and adds the weighted sines.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a frame has a few hundred samples"
    )]
    fn add_sines(&self, turns: &[Turn], frame: &mut [f32]) {
        let per_frame = self.samples_per_frame as f64;
        for (index, sample) in frame.iter_mut().enumerate() {
            let from_centre = (index as f64 + 0.5) / per_frame - 0.5;
            let mut sines = 0.0;
            for (turn, weight) in turns.iter().zip(&self.weights) {
                sines += weight * sine(turn.at(from_centre));
            }
            *sample = *sample * self.spec.noise_std + sines * self.spec.sine_amplitude;
        }
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

#[expect(
    clippy::cast_possible_truncation,
    reason = "once reduced to one cycle, single precision is enough"
)]
fn sine(cycles: f64) -> f32 {
    ((cycles - cycles.floor()) as f32 * std::f32::consts::TAU).sin()
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

    #[test]
    fn a_steady_pitch_gives_a_steady_sine() {
        // 125 Hz turns 2.5 times per frame; the first and last half frame hold their phase.
        let samples = source(&[1.0], &[125.0; 6]);
        for (index, sample) in samples.iter().enumerate().take(2640).skip(240) {
            let cycles = (f64::from(u32::try_from(index).expect("small")) - 239.5) / 192.0 + 2.5;
            let wanted = (0.1 * (std::f64::consts::TAU * cycles).sin()).tanh();
            assert!((f64::from(*sample) - wanted).abs() < 1e-6, "sample {index}");
        }
        assert_eq!(samples[0], samples[239]);
        assert_eq!(samples[2640], samples[2879]);
    }

    #[test]
    fn frames_without_pitch_have_no_sines() {
        let samples = source(&[1.0, 0.5], &[0.0, 9.0, 120.0]);
        assert!(samples[..960].iter().all(|&sample| sample == 0.0));
        assert!(samples[960..].iter().any(|&sample| sample.abs() > 0.01));
    }
}
