//! The times at which the flow's differential equation is solved.

/// `1 - cos(π/2 · i/steps)` for `i` from 0 to `steps`; the estimator is asked at all but the last.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a handful of steps; the estimator takes single precision"
)]
pub fn solver_times(steps: usize) -> Vec<f32> {
    (0..=steps)
        .map(|index| {
            let share = index as f64 / steps as f64;
            (1.0 - (std::f64::consts::FRAC_PI_2 * share).cos()) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_the_cosine() {
        let published = [
            0.0, 0.012_312, 0.048_943, 0.108_993, 0.190_983, 0.292_893, 0.412_215, 0.546_010,
            0.690_983, 0.843_566, 1.0,
        ];
        for (time, wanted) in solver_times(10).into_iter().zip(published) {
            assert!((time - wanted).abs() < 1e-6, "{time} {wanted}");
        }
    }
}
