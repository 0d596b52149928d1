//! Where random numbers come from: seeded, or handed in by whoever wants a run repeated exactly.

use std::fmt::Debug;

/// Uniform numbers for drawing speech tokens.
pub trait Uniforms: Debug + Send {
    /// The next number, in `[0, 1)`.
    fn draw(&mut self) -> f32;
}

/// Noise that a vocoder adds to its harmonics.
pub trait SourceNoise: Debug + Send {
    /// Fills one value per sample with `Σ_h weights[h] · n_h`, where `n_h` is the noise of harmonic `h`.
    ///
    /// The harmonics meet in one weighted sum, so nothing else of their noise can be heard.
    fn fill_merged(&mut self, weights: &[f32], merged: &mut [f32]);
}

/// The splitmix64 generator: 64 bits of state, every seed is good.
///
/// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
#[derive(Debug, Clone)]
pub struct SplitMix64 {
    state: u64,
}

/// Standard normal noise that follows from a seed.
#[derive(Debug, Clone)]
pub struct SeededNoise {
    generator: SplitMix64,
}

impl SplitMix64 {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Two uniform numbers, the first in `(0, 1)` and the second in `[0, 1)`, of 53 bits each.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
    pub fn pair(&mut self) -> (f64, f64) {
        let scale = 2f64.powi(-53);
        let first = ((self.bits() >> 11) as f64 + 0.5) * scale;
        let second = (self.bits() >> 11) as f64 * scale;
        (first, second)
    }
}

impl Uniforms for SplitMix64 {
    #[expect(clippy::cast_precision_loss, reason = "24 bits are what an f32 holds")]
    fn draw(&mut self) -> f32 {
        (self.bits() >> 40) as f32 * 2f32.powi(-24)
    }
}

impl SeededNoise {
    /// Noise whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            generator: SplitMix64::new(seed),
        }
    }
}

impl SourceNoise for SeededNoise {
    /// A weighted sum of independent normals is one normal with the norm of the weights as its deviation.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "noise is heard in single precision"
    )]
    fn fill_merged(&mut self, weights: &[f32], merged: &mut [f32]) {
        let deviation = weights
            .iter()
            .map(|&weight| f64::from(weight).powi(2))
            .sum::<f64>()
            .sqrt();
        for pair in merged.chunks_mut(2) {
            let (radius, turn) = self.generator.pair();
            let radius = deviation * (-2.0 * radius.ln()).sqrt();
            let (sine, cosine) = (std::f64::consts::TAU * turn).sin_cos();
            pair[0] = (radius * cosine) as f32;
            if let Some(second) = pair.get_mut(1) {
                *second = (radius * sine) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        let mut generator = SplitMix64::new(1_234_567);
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(published.map(|_| generator.bits()), published);
    }

    #[test]
    fn merged_noise_has_the_deviation_of_the_weights() {
        let mut merged = vec![0.0; 40_001];
        SeededNoise::new(3).fill_merged(&[0.3, 0.4], &mut merged);
        let count = f64::from(u32::try_from(merged.len()).expect("small"));
        let mean = merged.iter().copied().map(f64::from).sum::<f64>() / count;
        let square = merged.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((square.sqrt() - 0.5).abs() < 0.01, "{square}");
    }
}
