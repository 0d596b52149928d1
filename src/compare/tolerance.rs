//! How much difference is accepted.

use super::Metrics;

/// Bounds on a difference; the default accepts every finite one.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tolerance {
    /// Largest accepted absolute difference.
    pub max_abs: f64,
    /// Largest accepted norm of the difference, relative to the wanted norm.
    pub relative_l2: f64,
    /// Smallest accepted cosine.
    pub cosine: f64,
    /// Whether every element must be finite on both sides.
    pub finite: bool,
}

/// A difference larger than the tolerance.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}; {metrics}; this tolerance would have passed: {would_pass:?}", exceeded.join(", "))]
pub struct OutOfTolerance {
    /// Which bounds were broken, with both values.
    pub exceeded: Vec<String>,
    /// The whole measurement.
    pub metrics: Box<Metrics>,
    /// The tightest tolerance that accepts the difference.
    pub would_pass: Tolerance,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self {
            max_abs: f64::INFINITY,
            relative_l2: f64::INFINITY,
            cosine: -1.0,
            finite: true,
        }
    }
}

impl Tolerance {
    /// Bounds the absolute difference only.
    pub fn absolute(max_abs: f64) -> Self {
        Self {
            max_abs,
            ..Self::default()
        }
    }

    /// Bounds the relative norm of the difference only.
    pub fn relative_l2(relative_l2: f64) -> Self {
        Self {
            relative_l2,
            ..Self::default()
        }
    }

    pub(super) fn judge(self, metrics: &Metrics) -> Result<(), OutOfTolerance> {
        let mut exceeded = Vec::new();
        let not_finite = metrics.non_finite_got + metrics.non_finite_want;
        if self.finite && not_finite > 0 {
            exceeded.push(format!("{not_finite} elements are not finite"));
        }
        if metrics.max_abs > self.max_abs {
            exceeded.push(format!(
                "max abs {:.3e} > {:.3e}",
                metrics.max_abs, self.max_abs
            ));
        }
        if metrics.relative_l2 > self.relative_l2 {
            let (found, bound) = (metrics.relative_l2, self.relative_l2);
            exceeded.push(format!("relative L2 {found:.3e} > {bound:.3e}"));
        }
        if metrics.cosine < self.cosine {
            exceeded.push(format!("cosine {:.9} < {:.9}", metrics.cosine, self.cosine));
        }
        if exceeded.is_empty() {
            return Ok(());
        }
        Err(OutOfTolerance {
            exceeded,
            metrics: Box::new(metrics.clone()),
            would_pass: Self {
                max_abs: metrics.max_abs,
                relative_l2: metrics.relative_l2,
                cosine: metrics.cosine,
                finite: not_finite == 0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use crate::tensor::{Shape, TensorView};

    #[test]
    fn the_error_names_a_tolerance_that_passes() {
        let shape = Shape::new(&[3]);
        let metrics = compare(
            TensorView::of(shape, &[1f32, 2.0, 3.5]).expect("fills"),
            TensorView::of(shape, &[1f32, 2.0, 3.0]).expect("fills"),
        )
        .expect("comparable");
        let error = metrics
            .check(Tolerance::absolute(0.1))
            .expect_err("0.5 apart");
        assert!(
            error.to_string().contains("max abs 5.000e-1 > 1.000e-1"),
            "{error}"
        );
        assert_eq!(metrics.check(error.would_pass), Ok(()));
    }
}
