//! When audio is made from the tokens there are.

use super::flow::Attention;

/// Decides which tokens go through flow and vocoder together, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// Everything at once, when the last token is there.
    OneShot,
}

/// Tokens that go through flow and vocoder together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Tokens the flow hears, counted from the utterance's first; look-ahead included.
    pub tokens: usize,
    /// Tokens whose frames an earlier piece already gave.
    pub offset: usize,
    /// Whether nothing comes after.
    pub finalize: bool,
    /// How far frames see.
    pub attention: Attention,
}

impl Schedule {
    /// The next piece that can be made, if any.
    ///
    /// `generated`: tokens there are. `ended`: whether there will be more. `offset`: tokens whose frames were given.
    pub fn next_piece(&self, generated: usize, ended: bool, offset: usize) -> Option<Piece> {
        match self {
            Self::OneShot => (ended && offset < generated).then_some(Piece {
                tokens: generated,
                offset,
                finalize: true,
                attention: Attention::Full,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shot_waits_for_the_end_and_speaks_once() {
        let schedule = Schedule::OneShot;
        assert_eq!(schedule.next_piece(10, false, 0), None);
        let piece = schedule.next_piece(10, true, 0).expect("ready");
        assert_eq!((piece.tokens, piece.offset, piece.finalize), (10, 0, true));
        assert_eq!(schedule.next_piece(10, true, 10), None);
        assert_eq!(schedule.next_piece(0, true, 0), None);
    }
}
