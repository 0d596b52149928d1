//! What one tensor holds, in a few figures.

use super::metrics::values;
use crate::tensor::{TensorView, ViewError};

/// Figures over the finite elements of a tensor; sums run in `f64`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Statistics {
    /// Elements, finite or not.
    pub elements: usize,
    /// Smallest; `None` where no element is finite.
    pub min: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
    /// Mean.
    pub mean: Option<f64>,
    /// Standard deviation.
    pub std: Option<f64>,
    /// NaN and infinite elements.
    pub non_finite: usize,
}

impl Statistics {
    /// The figures of a tensor.
    ///
    /// # Errors
    /// [`ViewError`] for a tensor that is not on the host.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn of(tensor: TensorView<'_>) -> Result<Self, ViewError> {
        let (mut elements, mut finite) = (0usize, 0usize);
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        // Welford's update: no difference of large sums.
        let (mut mean, mut spread) = (0f64, 0f64);
        for value in values(tensor)? {
            elements += 1;
            if !value.is_finite() {
                continue;
            }
            finite += 1;
            min = min.min(value);
            max = max.max(value);
            let before = value - mean;
            mean += before / finite as f64;
            spread += before * (value - mean);
        }
        let known = |figure: f64| (finite > 0).then_some(figure);
        Ok(Self {
            elements,
            min: known(min),
            max: known(max),
            mean: known(mean),
            std: known((spread / finite.max(1) as f64).sqrt()),
            non_finite: elements - finite,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Shape;

    #[test]
    fn figures_leave_out_what_is_not_finite() {
        let of = |values: &[f32]| {
            let view = TensorView::of(Shape::new(&[values.len()]), values).expect("fills");
            Statistics::of(view).expect("on the host")
        };
        let some = of(&[1.0, f32::NAN, 3.0, f32::INFINITY]);
        assert_eq!((some.elements, some.non_finite), (4, 2));
        assert_eq!((some.min, some.max), (Some(1.0), Some(3.0)));
        assert_eq!((some.mean, some.std), (Some(2.0), Some(1.0)));
        let none = of(&[f32::NAN]);
        assert_eq!((none.min, none.std, none.non_finite), (None, None, 1));
        assert_eq!(of(&[]).elements, 0);
    }
}
