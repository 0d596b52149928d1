//! The shortest beginning of a list that is enough.

/// The smallest number from 0 to `count` for which `passes` holds, where it holds for every larger one too; `None` where
/// it does not hold for `count`.
///
/// Doubles until it passes and then halves: what is needed is few of many, and each trial costs seconds.
///
/// # Errors
/// The first error of `passes`.
pub(super) fn shortest_prefix<E>(
    count: usize,
    mut passes: impl FnMut(usize) -> Result<bool, E>,
) -> Result<Option<usize>, E> {
    if passes(0)? {
        return Ok(Some(0));
    }
    let (mut too_few, mut tried) = (0, FIRST.min(count));
    while tried > too_few {
        if passes(tried)? {
            return shortest_between(too_few, tried, passes).map(Some);
        }
        too_few = tried;
        tried = (tried * 2).min(count);
    }
    Ok(None)
}

/// The first number tried after 0.
const FIRST: usize = 8;

fn shortest_between<E>(
    mut too_few: usize,
    mut enough: usize,
    mut passes: impl FnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    while enough - too_few > 1 {
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

    #[test]
    fn the_smallest_number_is_found_in_few_trials() {
        for count in [0, 1, 5, 8, 100, 1000] {
            for needed in 0..=count + 1 {
                let mut trials = 0;
                let found = shortest_prefix(count, |tried| {
                    trials += 1;
                    assert!(tried <= count);
                    Ok::<_, ()>(tried >= needed)
                });
                assert_eq!(found, Ok((needed <= count).then_some(needed)), "{count}");
                assert!(trials <= 20, "{trials} for {needed} of {count}");
            }
        }
    }

    #[test]
    fn an_error_ends_the_search() {
        let outcome = shortest_prefix(
            9,
            |tried| if tried == 0 { Ok(false) } else { Err("broken") },
        );
        assert_eq!(outcome, Err("broken"));
    }
}
