//! `x + sin² x` in one pass over memory.

use super::Function;
use crate::ids::operator::SNAKE;
use std::f32::consts::FRAC_1_PI;

/// Elements that take the same path; small enough to stay in registers and the first cache.
const BLOCK: usize = 256;
/// Up to here a multiple of π is subtracted exactly to the last bit of a float.
const EXACT: f32 = 8192.0;

/// π in parts with so few bits that small multiples of all but the last are exact.
const PI_PARTS: [f32; 3] = [3.140_625, 9.675_026e-4, 1.509_958e-7];
/// Added and taken away again, this rounds a small float to a whole number.
const ROUND: f32 = 12_582_912.0;
/// The series of the sine behind its first term, from the third power on; on [-π/2, π/2] the rest is below 7e-10.
const SERIES: [f32; 6] = [
    -1.0 / 6.0,
    1.0 / 120.0,
    -1.0 / 5040.0,
    1.0 / 362_880.0,
    -1.0 / 39_916_800.0,
    1.0 / 6_227_020_800.0,
];

pub(super) struct Snake;

impl Function for Snake {
    const NAME: &'static str = SNAKE;

    fn fill(input: &[f32], output: &mut [f32]) {
        for (input, output) in input.chunks(BLOCK).zip(output.chunks_mut(BLOCK)) {
            // Two loops, each with its formula inlined: the first becomes vector code.
            // Without an early exit, so that the test is vector code as well.
            let all_small = input
                .iter()
                .fold(true, |small, x| small & (x.abs() <= EXACT));
            if all_small {
                output
                    .iter_mut()
                    .zip(input)
                    .for_each(|(y, &x)| *y = small(x));
            } else {
                output.iter_mut().zip(input).for_each(|(y, &x)| *y = any(x));
            }
        }
    }
}

/// For `|x|` up to [`EXACT`], without a branch, so that the compiler makes vectors of it.
fn small(x: f32) -> f32 {
    let turns = (x * FRAC_1_PI + ROUND) - ROUND;
    let rest = PI_PARTS.iter().fold(x, |rest, part| rest - turns * part);
    let square = rest * rest;
    let series = SERIES
        .iter()
        .rev()
        .fold(0.0, |sum, term| sum * square + term);
    // The sign of the sine is lost with the multiple of π, and would be in the square.
    let sine = rest + rest * square * series;
    x + sine * sine
}

fn any(x: f32) -> f32 {
    let sine = x.sin();
    x + sine * sine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sine_of_the_standard_library() {
        let inputs: Vec<f32> = (-25_000..25_000i16)
            .map(|step| f32::from(step) * 0.33)
            .chain([EXACT, -EXACT, 1e9, -1e9, f32::MIN_POSITIVE, 0.0, -0.0])
            .collect();
        let mut outputs = vec![0.0; inputs.len()];
        Snake::fill(&inputs, &mut outputs);
        for (x, y) in inputs.into_iter().zip(outputs) {
            let sine = f64::from(x).sin();
            let wanted = f64::from(x) + sine * sine;
            let allowed = 4e-7 + 1e-7 * wanted.abs();
            assert!(
                (f64::from(y) - wanted).abs() <= allowed,
                "{x}: {y} {wanted}"
            );
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let mut outputs = [0.0; 3];
        Snake::fill(&[f32::NAN, f32::INFINITY, 1.0], &mut outputs);
        assert!(outputs[0].is_nan() && outputs[1].is_nan() && outputs[2].is_finite());
    }
}
