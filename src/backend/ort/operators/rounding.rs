//! Rounding to a half type, in FP32.

use super::Function;
use crate::ids::operator::{ROUND_TO_BF16, ROUND_TO_F16};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Elements that are taken through a buffer at a time.
const BLOCK: usize = 256;

pub(super) struct ToF16;

pub(super) struct ToBf16;

impl Function for ToF16 {
    const NAME: &'static str = ROUND_TO_F16;

    fn fill(input: &[f32], output: &mut [f32]) {
        through([f16::ZERO; BLOCK], input, output);
    }
}

impl Function for ToBf16 {
    const NAME: &'static str = ROUND_TO_BF16;

    fn fill(input: &[f32], output: &mut [f32]) {
        through([bf16::ZERO; BLOCK], input, output);
    }
}

/// The slice conversions use what the processor has for a half type.
fn through<T>(mut halves: [T; BLOCK], input: &[f32], output: &mut [f32])
where
    [T]: HalfFloatSliceExt,
{
    for (input, output) in input.chunks(BLOCK).zip(output.chunks_mut(BLOCK)) {
        let halves = &mut halves[..input.len()];
        halves.convert_from_f32_slice(input);
        halves.convert_to_f32_slice(output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled<F: Function>(input: &[f32]) -> Vec<u32> {
        let mut output = vec![f32::NAN; input.len()];
        F::fill(input, &mut output);
        output.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn ties_go_to_even_and_what_is_too_large_is_infinite() {
        const TINY: f32 = 1.0 / 1_073_741_824.0;
        let (inf, least) = (f32::INFINITY, f32::MIN_POSITIVE);
        let cases = [
            (65504.0, 65504.0, 65536.0),
            (65519.9, 65504.0, 65536.0),
            (-65520.0, -inf, -65536.0),
            (f32::MAX, inf, inf),
            (inf, inf, inf),
            (2049.0, 2048.0, 2048.0),
            (2051.0, 2052.0, 2048.0),
            (257.0, 257.0, 256.0),
            (259.0, 259.0, 260.0),
            (TINY, 0.0, TINY),
            (-0.0, -0.0, -0.0),
            (least, 0.0, least),
        ];
        let inputs = cases.map(|(input, ..)| input);
        let wanted = cases.map(|(_, single, _)| single.to_bits());
        assert_eq!(filled::<ToF16>(&inputs), wanted);
        let wanted = cases.map(|(.., single)| single.to_bits());
        assert_eq!(filled::<ToBf16>(&inputs), wanted);
    }

    #[test]
    fn every_element_of_every_block_is_rounded_and_no_number_stays_none() {
        let input: Vec<f32> = (0..300u16)
            .map(|at| match at % 50 {
                7 => f32::NAN,
                _ => f32::from(at) + 1.0 / 3.0,
            })
            .collect();
        let wanted: Vec<u32> = input
            .iter()
            .map(|&single| f16::from_f32(single).to_f32().to_bits())
            .collect();
        assert_eq!(filled::<ToF16>(&input), wanted);
    }
}
