//! FP32 tensors to a half type.

use super::HalfType;
use crate::onnx::data_type::payload_bytes;
use crate::onnx::error::TensorFault;
use crate::onnx::external::{ExternalData, is_external};
use crate::onnx::proto::TensorProto;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use prost::bytes::Bytes;

/// A tensor in the half type, and what was lost on the way.
pub(super) struct Converted {
    pub(super) tensor: TensorProto,
    /// Non-zero values that became zero.
    pub(super) flushed: u64,
    /// Finite values that became infinite, and the largest of them.
    pub(super) saturated: u64,
    pub(super) worst: f32,
}

/// Converts an FP32 tensor, rounding to nearest, ties to even.
///
/// # Errors
/// [`TensorFault`] where the data is not what the tensor declares.
pub(super) fn to_half(
    source: &TensorProto,
    external: &ExternalData,
    to: HalfType,
) -> Result<Converted, TensorFault> {
    let raw = match &source.raw_data {
        _ if is_external(source) => Some(external.slice(source)?),
        raw => raw.clone(),
    };
    let found = raw.as_ref().map_or(source.float_data.len() * 4, Bytes::len);
    expect_length(source, found as u64)?;
    let mut lane = Lane::new(to, found / 4);
    match raw {
        Some(raw) => lane.push_raw(&raw),
        None => source
            .float_data
            .chunks(CHUNK)
            .for_each(|chunk| lane.push(chunk)),
    }
    let Lane {
        bytes,
        flushed,
        saturated,
        worst,
        ..
    } = lane;
    let tensor = TensorProto {
        name: source.name.clone(),
        dims: source.dims.clone(),
        data_type: Some(to.data_type() as i32),
        raw_data: Some(Bytes::from(bytes)),
        doc_string: source.doc_string.clone(),
        metadata_props: source.metadata_props.clone(),
        ..TensorProto::default()
    };
    Ok(Converted {
        tensor,
        flushed,
        saturated,
        worst,
    })
}

/// Values converted at a time, so that the copies for alignment stay in the cache.
const CHUNK: usize = 4096;

struct Lane {
    to: HalfType,
    infinity: u16,
    halves: Box<[u16; CHUNK]>,
    bytes: Vec<u8>,
    flushed: u64,
    saturated: u64,
    worst: f32,
}

impl Lane {
    fn new(to: HalfType, elements: usize) -> Self {
        Self {
            to,
            infinity: match to {
                HalfType::F16 => f16::INFINITY.to_bits(),
                HalfType::Bf16 => bf16::INFINITY.to_bits(),
            },
            halves: Box::new([0; CHUNK]),
            bytes: Vec::with_capacity(elements * 2),
            flushed: 0,
            saturated: 0,
            worst: 0.0,
        }
    }

    fn push_raw(&mut self, raw: &[u8]) {
        let mut singles = [0f32; CHUNK];
        let (values, _) = raw.as_chunks::<4>();
        for chunk in values.chunks(CHUNK) {
            let singles = &mut singles[..chunk.len()];
            for (single, bytes) in singles.iter_mut().zip(chunk) {
                *single = f32::from_le_bytes(*bytes);
            }
            self.push(singles);
        }
    }

    fn push(&mut self, singles: &[f32]) {
        const MAGNITUDE: u16 = 0x7fff;
        let halves = &mut self.halves[..singles.len()];
        match self.to {
            HalfType::F16 => halves
                .reinterpret_cast_mut::<f16>()
                .convert_from_f32_slice(singles),
            HalfType::Bf16 => halves
                .reinterpret_cast_mut::<bf16>()
                .convert_from_f32_slice(singles),
        }
        for (&half, &single) in halves.iter().zip(singles) {
            let magnitude = half & MAGNITUDE;
            if magnitude == 0 {
                self.flushed += u64::from(single != 0.0);
            } else if magnitude == self.infinity && single.is_finite() {
                self.saturated += 1;
                if single.abs() > self.worst.abs() {
                    self.worst = single;
                }
            }
        }
        self.bytes
            .extend(halves.iter().flat_map(|half| half.to_le_bytes()));
    }
}

fn expect_length(tensor: &TensorProto, found: u64) -> Result<(), TensorFault> {
    let expected = payload_bytes(tensor)?;
    if expected == found {
        Ok(())
    } else {
        Err(TensorFault::Length { expected, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::tensor_proto::DataType;

    fn converted(values: &[f32], to: HalfType) -> (Vec<f32>, Converted) {
        let raw: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let source = TensorProto {
            dims: vec![i64::try_from(values.len()).expect("small")],
            data_type: Some(DataType::Float as i32),
            raw_data: Some(raw.into()),
            ..TensorProto::default()
        };
        let result = to_half(&source, &ExternalData::default(), to).expect("lengths agree");
        let raw = result.tensor.raw_data.clone().expect("raw data");
        let (pairs, _) = raw.as_chunks::<2>();
        let values = pairs.iter().map(|&pair| match to {
            HalfType::F16 => f16::from_le_bytes(pair).to_f32(),
            HalfType::Bf16 => bf16::from_le_bytes(pair).to_f32(),
        });
        (values.collect(), result)
    }

    #[test]
    fn losses_are_counted() {
        let values = [
            0.0,
            -0.0,
            1.0,
            65504.0,
            65519.9,
            65520.0,
            -1e10,
            f32::NEG_INFINITY,
            1e-9,
            6e-8,
            f32::NAN,
        ];
        let (halves, result) = converted(&values, HalfType::F16);
        assert_eq!(halves[3..5], [65504.0, 65504.0]);
        assert_eq!((result.saturated, result.worst), (2, -1e10));
        assert_eq!(result.flushed, 1);

        let (_, result) = converted(&values, HalfType::Bf16);
        assert_eq!((result.saturated, result.flushed), (0, 0));
        assert_eq!(converted(&[f32::MAX], HalfType::Bf16).1.saturated, 1);
    }

    #[test]
    fn long_tensors_keep_their_order() {
        let values: Vec<f32> = (0..2 * CHUNK + 3)
            .map(|at| f32::from(u16::try_from(at % 2048).expect("small")))
            .collect();
        assert_eq!(converted(&values, HalfType::F16).0, values);
    }

    #[test]
    fn a_wrong_length_is_refused() {
        let source = TensorProto {
            dims: vec![3],
            data_type: Some(DataType::Float as i32),
            raw_data: Some(vec![0; 8].into()),
            ..TensorProto::default()
        };
        let result = to_half(&source, &ExternalData::default(), HalfType::F16);
        assert!(matches!(
            result.map(drop),
            Err(TensorFault::Length {
                expected: 12,
                found: 8
            })
        ));
    }
}
