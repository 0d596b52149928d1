//! `x + sin² x` in one pass over memory and on all threads, as an operator of the library's.

use crate::ids::operator::{DOMAIN, SNAKE};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use ort::value::TensorElementType;
use std::f32::consts::FRAC_1_PI;
use std::sync::{Mutex, PoisonError};

/// Elements per task: more tasks than threads, each long enough to be worth waking one.
const TASK: usize = 1 << 14;
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

/// The domain with the operator, for one session.
pub(super) fn domain() -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?.add(Snake)
}

struct Snake;

struct SnakeKernel;

impl Operator for Snake {
    type Kernel<'attr> = SnakeKernel;

    const INPLACES: &[(u32, u32)] = &[(0, 0)];

    fn name(&self) -> &str {
        SNAKE
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(TensorElementType::Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel(&self, _: &KernelContext<'_>) -> ort::Result<SnakeKernel> {
        Ok(SnakeKernel)
    }
}

impl Kernel for SnakeKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let missing = || ort::Error::new("Snake has one input and one output");
        let input = context.input(0)?.ok_or_else(missing)?;
        let (shape, input) = input.try_extract_tensor::<f32>()?;
        let mut output = context.output(0, shape.to_vec())?.ok_or_else(missing)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let tasks: Vec<_> = input
            .chunks(TASK)
            .zip(output.chunks_mut(TASK))
            .map(Mutex::new)
            .collect();
        context.par_for(tasks.len(), 0, |task| {
            let mut task = tasks[task].lock().unwrap_or_else(PoisonError::into_inner);
            let (input, output) = &mut *task;
            fill(input, output);
        })
    }
}

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
        fill(&inputs, &mut outputs);
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
        fill(&[f32::NAN, f32::INFINITY, 1.0], &mut outputs);
        assert!(outputs[0].is_nan() && outputs[1].is_nan() && outputs[2].is_finite());
    }
}
