//! How many of the nodes that reach furthest have to stay in FP32.

use super::trial::Outcome;

/// Widens the islands from `least` nodes to at most `most`, until the error of every run keeps to `bound`; gives how many
/// it took, or 0 where `most` are too few, and what was found. `None` where there are fewer than `least`: nothing was
/// tried.
///
/// `few` tries a number of nodes on the runs of `sample`, `all` on every run. Where a number is enough for the sample and
/// not for all, the runs that were furthest off are the next sample.
///
/// # Errors
/// The first error of a trial.
pub(super) fn widen<E>(
    mut least: usize,
    most: usize,
    bound: f64,
    sample: &mut Vec<usize>,
    mut few: impl FnMut(usize, &[usize]) -> Result<Outcome, E>,
    mut all: impl FnMut(usize) -> Result<Outcome, E>,
) -> Result<Option<(usize, Outcome)>, E> {
    if least > most {
        return Ok(None);
    }
    let fewest = least;
    let mut found = Outcome::default();
    loop {
        let enough = short_prefix(least, most, |count| {
            found = few(count, sample)?;
            Ok(found.error <= bound)
        })?;
        let Some(count) = enough else {
            // What the most islands gave says more than what the fewest did, but for what overflows.
            let overflows = all(fewest)?.overflows;
            return Ok(Some((0, Outcome { overflows, ..found })));
        };
        let whole = all(count)?;
        *sample = whole.worst();
        if whole.error <= bound || !whole.overflows.is_empty() {
            return Ok(Some((count, whole)));
        }
        least = count + 1;
        found = whole;
    }
}

/// A number from `least` to `count` for which `passes` holds, at most an eighth larger than the smallest such number, where
/// it holds for every larger one too; `None` where it does not hold for `count`.
///
/// Goes in doubling strides until it passes and then halves: what is needed is few of many, each trial costs seconds, and
/// a node too many costs little.
///
/// # Errors
/// The first error of `passes`.
fn short_prefix<E>(
    least: usize,
    count: usize,
    mut passes: impl FnMut(usize) -> Result<bool, E>,
) -> Result<Option<usize>, E> {
    if least > count {
        return Ok(None);
    }
    if passes(least)? {
        return Ok(Some(least));
    }
    let (mut too_few, mut stride) = (least, FIRST);
    while too_few < count {
        let tried = count.min(too_few + stride);
        if passes(tried)? {
            return short_between(too_few, tried, passes).map(Some);
        }
        too_few = tried;
        stride *= 2;
    }
    Ok(None)
}

/// The first stride.
const FIRST: usize = 8;
/// The share of a number that is not worth another trial.
const SLACK: usize = 8;

fn short_between<E>(
    mut too_few: usize,
    mut enough: usize,
    mut passes: impl FnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    while enough - too_few > (enough / SLACK).max(1) {
        let middle = too_few.midpoint(enough);
        if passes(middle)? {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    Ok(enough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// What runs with these errors, each node taking a hundredth off, give together.
    fn outcome(errors: &[f64], runs: impl Iterator<Item = usize>, count: u32) -> Outcome {
        let errors: BTreeMap<usize, f64> = runs
            .map(|run| (run, errors[run] - f64::from(count) / 100.0))
            .collect();
        Outcome {
            error: errors.values().copied().fold(0.0, f64::max),
            errors,
            ..Outcome::default()
        }
    }

    /// The number found, the error over all runs, and how often all were run.
    fn widened(errors: &[f64], most: usize, sample: &[usize]) -> (usize, f64, usize) {
        let mut wholes = 0;
        let count = |count| u32::try_from(count).expect("few");
        let found = widen(
            0,
            most,
            0.5,
            &mut sample.to_vec(),
            |nodes, runs| Ok::<_, ()>(outcome(errors, runs.iter().copied(), count(nodes))),
            |nodes| {
                wholes += 1;
                Ok(outcome(errors, 0..errors.len(), count(nodes)))
            },
        );
        let (nodes, outcome) = found.expect("no error").expect("some to try");
        (nodes, outcome.error, wholes)
    }

    #[test]
    fn what_is_enough_for_the_sample_must_be_enough_for_all() {
        let errors = [0.55, 0.9, 0.6, 0.4, 0.7, 0.8, 0.5];
        let (nodes, error, wholes) = widened(&errors, 100, &[0, 3]);
        assert!(error <= 0.5, "{error}");
        assert!((40..=45).contains(&nodes), "{nodes}");
        assert_eq!(wholes, 2, "the furthest run is in the second sample");
        assert_eq!(widened(&errors, 100, &[1]).2, 1);
    }

    #[test]
    fn too_few_to_take_are_said_with_what_the_most_gave() {
        let (nodes, error, _) = widened(&[0.55, 0.9], 20, &[1]);
        assert_eq!(nodes, 0);
        assert!((error - 0.7).abs() < 1e-9, "{error}");
        // Enough for the sample, and all of them too few for the other run.
        let (nodes, error, _) = widened(&[0.6, 0.9], 20, &[0]);
        assert_eq!(nodes, 0);
        assert!((error - 0.7).abs() < 1e-9, "{error}");
    }

    #[test]
    fn no_more_nodes_than_there_are_is_no_finding() {
        let found = widen(
            5,
            4,
            0.5,
            &mut vec![0],
            |count, _| Err::<Outcome, _>(count),
            Err::<Outcome, _>,
        );
        assert_eq!(found, Ok(None));
    }

    #[test]
    fn a_number_near_the_smallest_is_found_in_few_trials() {
        for (least, count) in [(0, 0), (0, 1), (0, 5), (3, 8), (0, 100), (40, 1000)] {
            for needed in 0..=count + 1 {
                let mut trials = 0;
                let found = short_prefix(least, count, |tried| {
                    trials += 1;
                    assert!((least..=count).contains(&tried));
                    Ok::<_, ()>(tried >= needed)
                });
                let found = found.expect("no error");
                assert_eq!(found.is_some(), needed <= count, "{needed} of {count}");
                if let Some(found) = found {
                    let smallest = needed.max(least);
                    assert!(found >= smallest, "{found} for {needed}");
                    assert!(found - smallest <= found / SLACK, "{found} for {needed}");
                }
                assert!(trials <= 14, "{trials} for {needed} of {count}");
            }
        }
    }

    #[test]
    fn nothing_is_tried_beyond_the_end() {
        let found = short_prefix(9, 8, Err::<bool, _>);
        assert_eq!(found, Ok(None));
    }

    #[test]
    fn an_error_ends_the_search() {
        let outcome = short_prefix(
            0,
            9,
            |tried| if tried == 0 { Ok(false) } else { Err("broken") },
        );
        assert_eq!(outcome, Err("broken"));
    }
}
