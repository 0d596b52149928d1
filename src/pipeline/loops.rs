//! Loops of speech tokens, and the way out of them.

/// Sees when the tokens drawn go round in a short cycle for longer than any speech does.
///
/// Repetition-aware sampling keeps one token from being drawn again and again, but not two that take turns, nor a cycle
/// longer than its window; a model caught in one says nothing more and would go on to its limit. No speech comes near
/// the rule: its tokens hardly ever repeat exactly, and a pause that does is over sooner. Watching a token allocates
/// nothing.
#[derive(Debug, Clone, Default)]
pub struct LoopWatch {
    /// For each period, how many of the latest tokens equal the one that far before them.
    matches: [usize; LONGEST_CYCLE],
    /// Period of the cycle that the latest token closed.
    cycle: Option<usize>,
    found: usize,
}

/// Tokens of the longest cycle looked for.
const LONGEST_CYCLE: usize = 12;
/// Tokens a cycle must hold for: eight rounds of the longest, two seconds at the fastest token rate there is.
const SPAN: usize = 8 * LONGEST_CYCLE;
/// Loops led out of before the next one ends the speech.
const MOST_BREAKS: usize = 2;

impl LoopWatch {
    /// Takes the next token in; `before`: every token before it, oldest first.
    pub fn watch(&mut self, token: i32, before: &[i32]) {
        for (period, matches) in (1..).zip(&mut self.matches) {
            let earlier = before.len().checked_sub(period).map(|at| before[at]);
            *matches = if earlier == Some(token) {
                *matches + 1
            } else {
                0
            };
        }
        let held = (1..)
            .zip(self.matches)
            .find(|(period, matches)| matches + period >= SPAN);
        self.cycle = held.map(|(period, _)| period);
        self.found += usize::from(self.cycle.is_some());
    }

    /// Ids that the token after `tokens` must not be, or the loop goes on: those of the cycle, if there is one.
    pub fn barred<'a>(&self, tokens: &'a [i32]) -> &'a [i32] {
        match self.cycle {
            Some(period) => &tokens[tokens.len() - period..],
            None => &[],
        }
    }

    /// Loops that were led out of.
    pub fn broken(&self) -> usize {
        self.found.min(MOST_BREAKS)
    }

    /// Whether the model fell back so often that there is no way out.
    pub fn is_hopeless(&self) -> bool {
        self.found > MOST_BREAKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(tokens: &[i32]) -> LoopWatch {
        let mut watch = LoopWatch::default();
        for (at, &token) in tokens.iter().enumerate() {
            watch.watch(token, &tokens[..at]);
        }
        watch
    }

    fn rounds(period: i32) -> Vec<i32> {
        (0..period).cycle().take(SPAN).collect()
    }

    #[test]
    fn a_cycle_is_seen_when_it_has_held_for_the_span_and_no_sooner() {
        for period in 1..=12 {
            let mut tokens = vec![90, 91, 92];
            tokens.extend(rounds(period));
            let (_, shorter) = tokens.split_last().expect("some");
            assert!(watch(shorter).barred(shorter).is_empty(), "{period}");
            let seen = watch(&tokens);
            let mut barred = seen.barred(&tokens).to_vec();
            barred.sort_unstable();
            assert_eq!(barred, (0..period).collect::<Vec<_>>());
            assert_eq!((seen.broken(), seen.is_hopeless()), (1, false));
        }
    }

    #[test]
    fn a_longer_cycle_and_one_with_a_slip_are_none() {
        assert!(watch(&rounds(13)).barred(&rounds(13)).is_empty());
        for slip in 0..SPAN {
            let mut tokens = rounds(4);
            tokens[slip] = 99;
            assert!(watch(&tokens).barred(&tokens).is_empty(), "{slip}");
        }
    }

    #[test]
    fn the_third_loop_is_the_last() {
        let mut tokens = Vec::new();
        for (last, hopeless) in [(90, false), (91, false), (92, true)] {
            tokens.extend(rounds(3));
            assert_eq!(watch(&tokens).is_hopeless(), hopeless);
            tokens.push(last);
        }
        assert_eq!(watch(&tokens).broken(), 2);
    }
}
