//! The outputs of one graph on two sides, tensor by tensor.

use super::metrics::{Metrics, atol_needed, compare};
use crate::tensor::{Shape, Tensor};

/// How close every element must be: `|got - want| ≤ atol + rtol · |want|`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Closeness {
    /// Absolute part.
    pub atol: f64,
    /// Part relative to the wanted element.
    pub rtol: f64,
}

/// One tensor on both sides.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Difference {
    /// The tensor.
    pub tensor: String,
    /// Its shape on the side that is judged.
    pub shape: Shape,
    /// The measurement; `None` where there is none to make.
    pub metrics: Option<Metrics>,
    /// The absolute tolerance that would have passed with the relative one given.
    pub atol_needed: Option<f64>,
    /// Whether it is close enough.
    pub passed: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Judges tensors of the same names, in their order.
pub fn compare_sides<'a>(
    names: impl IntoIterator<Item = &'a str>,
    got: &[Tensor],
    want: &[Tensor],
    close: Closeness,
) -> Vec<Difference> {
    let pairs = names.into_iter().zip(got.iter().zip(want));
    pairs
        .map(|(name, (got, want))| Difference::of(name, got, want, close))
        .collect()
}

impl Difference {
    fn of(name: &str, got: &Tensor, want: &Tensor, close: Closeness) -> Self {
        let mut difference = Self {
            tensor: name.to_owned(),
            shape: got.shape(),
            metrics: None,
            atol_needed: None,
            passed: false,
            reason: None,
        };
        let measured = compare(got.view(), want.view())
            .and_then(|metrics| Ok((metrics, atol_needed(got.view(), want.view(), close.rtol)?)));
        let (metrics, needed) = match measured {
            Ok(measured) => measured,
            Err(error) => {
                difference.reason = Some(error.to_string());
                return difference;
            }
        };
        let not_finite = metrics.non_finite_got + metrics.non_finite_want;
        difference.reason = if not_finite > 0 {
            Some(format!("{not_finite} elements are not finite"))
        } else if needed > close.atol {
            Some(format!("needs --atol {needed:.3e}"))
        } else {
            None
        };
        difference.passed = difference.reason.is_none();
        difference.metrics = Some(metrics);
        difference.atol_needed = Some(needed);
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::from_elements(Shape::new(&[values.len()]), values).expect("fills")
    }

    #[test]
    fn each_tensor_says_what_would_have_passed() {
        let close = Closeness {
            atol: 0.1,
            rtol: 0.1,
        };
        let want = [
            tensor(&[1.0, 10.0]),
            tensor(&[1.0]),
            tensor(&[1.0]),
            tensor(&[1.0]),
        ];
        let got = [
            tensor(&[1.15, 11.0]),
            tensor(&[1.5]),
            tensor(&[f32::NAN]),
            tensor(&[1.0, 2.0]),
        ];
        let judged = compare_sides(["near", "far", "nan", "long"], &got, &want, close);
        let passed: Vec<bool> = judged.iter().map(|one| one.passed).collect();
        assert_eq!(passed, [true, false, false, false]);
        let needed = judged[1].atol_needed.expect("measured");
        assert!((needed - 0.4).abs() < 1e-6, "{needed}");
        let again = Closeness {
            atol: needed,
            ..close
        };
        assert!(compare_sides(["far"], &got[1..2], &want[1..2], again)[0].passed);
        assert_eq!(judged[3].reason.as_deref(), Some("got 2, wanted 1"));
    }
}
