//! The values of a part of a graph, one row for each value of its input.

use crate::onnx::proto::TensorProto;
use crate::onnx::proto::tensor_proto::DataType;
use crate::tensor::{DType, Shape, Tensor};

/// What one value is, for each value of the input, and behind them a row that says "for no other".
pub(super) struct Table {
    /// `[values + 1, …]`, the last row NaN.
    elements: Vec<f32>,
    dims: Vec<i64>,
}

/// Rows that should be equal may differ by this, of the table's peak: where a row stands can change how its sums are
/// blocked.
const ROUNDING: f32 = 1e-5;

/// The runs that make tables and show that each row depends on its own value only: the values in order, and in another
/// company.
pub(super) fn inputs(values: &[f32]) -> [Tensor; 2] {
    let others = values.iter().rev().chain(values.last()).copied();
    [values.to_vec(), others.collect()].map(|values: Vec<f32>| {
        Tensor::from_elements(Shape::new(&[values.len()]), &values).expect("one row per value")
    })
}

impl Table {
    /// `alone` and `others`: what the runs on [`inputs`] gave; `None` where they have no row for each value.
    pub(super) fn of(count: usize, alone: &Tensor, others: &Tensor) -> Option<Self> {
        let rows = rows_of(alone, count)?;
        let others = rows_of(others, count + 1)?;
        let peak = rows
            .iter()
            .flat_map(|row| row.iter())
            .fold(0f32, |peak, value| peak.max(value.abs()));
        let expected = rows.iter().rev().chain(rows.last());
        let is_own = expected.zip(&others).all(|(want, got)| {
            let pairs = want.iter().zip(*got);
            let same = |(want, got): (&f32, &f32)| {
                want.to_bits() == got.to_bits() || (want - got).abs() <= ROUNDING * peak
            };
            want.len() == got.len() && pairs.into_iter().all(same)
        });
        if !is_own {
            return None;
        }
        let width = rows.first()?.len();
        let mut elements = alone.elements::<f32>().ok()?.to_vec();
        elements.extend(std::iter::repeat_n(f32::NAN, width));
        let mut dims: Vec<i64> = alone
            .shape()
            .dims()
            .iter()
            .map(|&size| i64::try_from(size).ok())
            .collect::<Option<_>>()?;
        dims[0] += 1;
        Some(Self { elements, dims })
    }

    pub(super) fn into_proto(self, name: &str) -> TensorProto {
        tensor(name, self.dims, &self.elements)
    }
}

/// An FP32 constant.
pub(super) fn tensor(name: &str, dims: Vec<i64>, elements: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims,
        data_type: Some(DataType::Float as i32),
        raw_data: Some(bytemuck::cast_slice::<f32, u8>(elements).to_vec().into()),
        ..TensorProto::default()
    }
}

fn rows_of(tensor: &Tensor, count: usize) -> Option<Vec<&[f32]>> {
    let is_table = tensor.dtype() == DType::F32 && tensor.shape().dims().first() == Some(&count);
    let elements = tensor.elements::<f32>().ok().filter(|_| is_table)?;
    let width = elements
        .len()
        .checked_div(count)
        .filter(|&width| width > 0)?;
    Some(elements.chunks_exact(width).collect())
}
