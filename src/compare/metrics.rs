//! Differences between two tensors of one shape.

use super::{OutOfTolerance, Tolerance};
use crate::tensor::{DType, Shape, TensorView, ViewError};
use half::{bf16, f16};
use std::fmt;

/// How a tensor differs from the one it should be; sums run in `f64`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Metrics {
    /// Elements compared.
    pub elements: usize,
    /// Largest absolute difference over pairs of finite elements.
    pub max_abs: f64,
    /// Where it is, row-major; `None` where the tensors are equal or empty.
    pub max_abs_index: Option<usize>,
    /// Largest difference relative to the wanted element's magnitude; wanted zeros are left out.
    pub max_rel: f64,
    /// Cosine of the angle between the two as vectors; 1 where both are zero.
    pub cosine: f64,
    /// Norm of the difference over the norm of what was wanted; infinite where only the latter is zero.
    pub relative_l2: f64,
    /// NaN and infinite elements in what was got.
    pub non_finite_got: usize,
    /// NaN and infinite elements in what was wanted.
    pub non_finite_want: usize,
    /// First element that is not equal.
    pub first_different: Option<usize>,
}

/// Why two tensors cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The shapes differ.
    #[error("got {got}, wanted {want}")]
    Shape {
        /// Shape of what was got.
        got: Box<Shape>,
        /// Shape of what was wanted.
        want: Box<Shape>,
    },
    /// The elements cannot be read here.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Measures how `got` differs from `want`; element types may differ, shapes may not.
///
/// # Errors
/// [`CompareError::Shape`] for unequal shapes, [`CompareError::View`] for tensors that are not on the host.
pub fn compare(got: TensorView<'_>, want: TensorView<'_>) -> Result<Metrics, CompareError> {
    if got.shape() != want.shape() {
        return Err(CompareError::Shape {
            got: Box::new(got.shape()),
            want: Box::new(want.shape()),
        });
    }
    let mut sums = Sums::default();
    for (index, (got, want)) in values(got)?.zip(values(want)?).enumerate() {
        sums.add(index, got, want);
    }
    Ok(sums.finish())
}

/// The smallest `atol` with which `|got - want| ≤ atol + rtol · |want|` holds for all finite elements.
///
/// # Errors
/// As [`compare`], which is to be asked first: shapes are taken as equal here.
pub(super) fn atol_needed(
    got: TensorView<'_>,
    want: TensorView<'_>,
    rtol: f64,
) -> Result<f64, CompareError> {
    let pairs = values(got)?.zip(values(want)?);
    let finite = pairs.filter(|(got, want)| got.is_finite() && want.is_finite());
    Ok(finite.fold(0.0, |most: f64, (got, want)| {
        most.max((got - want).abs() - rtol * want.abs())
    }))
}

impl Metrics {
    /// Judges the difference.
    ///
    /// # Errors
    /// [`OutOfTolerance`], which prints the tolerance that would have passed.
    pub fn check(&self, tolerance: Tolerance) -> Result<(), OutOfTolerance> {
        tolerance.judge(self)
    }

    /// Ends a test where the difference is too large.
    ///
    /// # Panics
    /// If [`Self::check`] fails.
    #[track_caller]
    pub fn assert(&self, tolerance: Tolerance) {
        if let Err(error) = self.check(tolerance) {
            panic!("{error}");
        }
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "max abs {:.3e}, max rel {:.3e}, relative L2 {:.3e}, cosine {:.9}",
            self.max_abs, self.max_rel, self.relative_l2, self.cosine
        )?;
        if self.non_finite_got + self.non_finite_want > 0 {
            let (got, want) = (self.non_finite_got, self.non_finite_want);
            write!(f, ", not finite: {got} got, {want} wanted")?;
        }
        if let Some(index) = self.first_different {
            write!(f, ", first different at {index}")?;
        }
        write!(f, " ({} elements)", self.elements)
    }
}

#[derive(Default)]
struct Sums {
    elements: usize,
    max_abs: f64,
    max_abs_index: Option<usize>,
    max_rel: f64,
    dot: f64,
    got_square: f64,
    want_square: f64,
    difference_square: f64,
    non_finite_got: usize,
    non_finite_want: usize,
    first_different: Option<usize>,
}

impl Sums {
    #[expect(clippy::float_cmp, reason = "equality is what is asked")]
    fn add(&mut self, index: usize, got: f64, want: f64) {
        self.elements += 1;
        self.non_finite_got += usize::from(!got.is_finite());
        self.non_finite_want += usize::from(!want.is_finite());
        if got.to_bits() != want.to_bits() && got != want {
            self.first_different.get_or_insert(index);
        }
        if !got.is_finite() || !want.is_finite() {
            return;
        }
        let difference = (got - want).abs();
        if difference > self.max_abs {
            self.max_abs = difference;
            self.max_abs_index = Some(index);
        }
        if want != 0.0 {
            self.max_rel = self.max_rel.max(difference / want.abs());
        }
        self.dot += got * want;
        self.got_square += got * got;
        self.want_square += want * want;
        self.difference_square += difference * difference;
    }

    fn finish(self) -> Metrics {
        let norms = (self.got_square * self.want_square).sqrt();
        let cosine = if norms > 0.0 {
            self.dot / norms
        } else if self.got_square + self.want_square > 0.0 {
            0.0
        } else {
            1.0
        };
        let relative_l2 = if self.difference_square == 0.0 {
            0.0
        } else {
            (self.difference_square / self.want_square).sqrt()
        };
        Metrics {
            elements: self.elements,
            max_abs: self.max_abs,
            max_abs_index: self.max_abs_index,
            max_rel: self.max_rel,
            cosine,
            relative_l2,
            non_finite_got: self.non_finite_got,
            non_finite_want: self.non_finite_want,
            first_different: self.first_different,
        }
    }
}

pub(super) fn values(
    tensor: TensorView<'_>,
) -> Result<Box<dyn Iterator<Item = f64> + '_>, ViewError> {
    Ok(match tensor.dtype() {
        DType::F32 => Box::new(tensor.elements::<f32>()?.iter().map(|&v| f64::from(v))),
        DType::F16 => Box::new(tensor.elements::<f16>()?.iter().map(|&v| f64::from(v))),
        DType::Bf16 => Box::new(tensor.elements::<bf16>()?.iter().map(|&v| f64::from(v))),
        DType::I32 => Box::new(tensor.elements::<i32>()?.iter().map(|&v| f64::from(v))),
        DType::I64 => Box::new(tensor.elements::<i64>()?.iter().map(|&v| float_from_i64(v))),
        DType::Bool | DType::U8 => {
            let bytes = TensorView::new(DType::U8, tensor.shape(), tensor.bytes())?;
            Box::new(bytes.elements::<u8>()?.iter().map(|&v| f64::from(v)))
        }
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ids and counts are far below 2^53"
)]
fn float_from_i64(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    fn metrics(got: &[f32], want: &[f32]) -> Metrics {
        let shape = |values: &[f32]| Shape::new(&[values.len()]);
        compare(
            TensorView::of(shape(got), got).expect("fills"),
            TensorView::of(shape(want), want).expect("fills"),
        )
        .expect("comparable")
    }

    #[test]
    fn equal_tensors_differ_nowhere() {
        for values in [&[][..], &[0.0, 0.0], &[1.0, -2.0]] {
            let metrics = metrics(values, values);
            assert_eq!(metrics.first_different, None, "{values:?}");
            assert_eq!(metrics.max_abs, 0.0, "{values:?}");
            assert_eq!(metrics.relative_l2, 0.0, "{values:?}");
            assert!((metrics.cosine - 1.0).abs() < 1e-12, "{values:?}");
        }
    }

    #[test]
    fn differences_are_located_and_scaled() {
        let metrics = metrics(&[1.0, 2.5, 3.0, -4.0], &[1.0, 2.0, 3.0, -3.75]);
        assert_eq!(metrics.first_different, Some(1));
        assert_eq!(metrics.max_abs_index, Some(1));
        assert!((metrics.max_abs - 0.5).abs() < 1e-12);
        assert!((metrics.max_rel - 0.25).abs() < 1e-12);
        let norm = (1.0f64 + 4.0 + 9.0 + 3.75 * 3.75).sqrt();
        assert!((metrics.relative_l2 - (0.25f64 + 0.0625).sqrt() / norm).abs() < 1e-12);
    }

    #[test]
    fn non_finite_elements_are_counted_apart() {
        let metrics = metrics(&[f32::NAN, 1.0, 2.0], &[0.0, f32::INFINITY, 2.0]);
        assert_eq!((metrics.non_finite_got, metrics.non_finite_want), (1, 1));
        assert_eq!(metrics.first_different, Some(0));
        assert_eq!(metrics.max_abs, 0.0);
        let tolerance = Tolerance {
            max_abs: 1.0,
            ..Tolerance::default()
        };
        assert!(metrics.check(tolerance).is_err());
    }

    #[test]
    fn a_vector_against_zeros_is_far_away() {
        let metrics = metrics(&[1.0], &[0.0]);
        assert_eq!(metrics.cosine, 0.0);
        assert!(metrics.relative_l2.is_infinite());
    }

    #[test]
    fn types_may_differ_and_shapes_may_not() {
        let ids = TensorView::of(Shape::new(&[2]), &[1i32, 2]).expect("fills");
        let floats = TensorView::of(Shape::new(&[2]), &[1f32, 2.0]).expect("fills");
        assert_eq!(
            compare(ids, floats).expect("same shape").first_different,
            None
        );
        let other = TensorView::of(Shape::new(&[1, 2]), &[1f32, 2.0]).expect("fills");
        assert!(matches!(
            compare(ids, other),
            Err(CompareError::Shape { .. })
        ));
    }
}
