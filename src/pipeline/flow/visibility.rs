//! Who sees whom in attention, as two vectors: key `j` is visible to query `i` iff `kpos[j] < qend[i]`.

/// How far a position sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attention {
    /// Every position sees every other.
    Full,
    /// A position sees up to the end of its own chunk; chunks count from the first prompt token.
    Chunked,
}

/// Writes both vectors for `len` real positions; nobody sees those behind them, which see all real ones.
///
/// `chunk`: positions per chunk at the rate of the vectors.
pub(super) fn fill(
    attention: Attention,
    chunk: usize,
    len: usize,
    qend: &mut [i32],
    kpos: &mut [i32],
) {
    for (position, (qend, kpos)) in qend.iter_mut().zip(kpos).enumerate() {
        let is_real = position < len;
        *kpos = if is_real { id(position) } else { i32::MAX };
        *qend = match attention {
            Attention::Chunked if is_real => id((position / chunk + 1) * chunk),
            Attention::Full | Attention::Chunked => id(len),
        };
    }
}

fn id(position: usize) -> i32 {
    i32::try_from(position).expect("frames are bounded by the noise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_see_their_past_and_themselves() {
        let (mut qend, mut kpos) = ([0; 5], [0; 5]);
        fill(Attention::Full, 2, 5, &mut qend, &mut kpos);
        assert_eq!((qend, kpos), ([5; 5], [0, 1, 2, 3, 4]));
        fill(Attention::Chunked, 2, 5, &mut qend, &mut kpos);
        assert_eq!(qend, [2, 2, 4, 4, 6]);
    }

    #[test]
    fn positions_behind_the_real_ones_are_seen_by_nobody() {
        for attention in [Attention::Full, Attention::Chunked] {
            let (mut qend, mut kpos) = ([0; 8], [0; 8]);
            fill(attention, 2, 5, &mut qend, &mut kpos);
            for (query, end) in qend.into_iter().enumerate() {
                let seen = kpos.iter().filter(|&&position| position < end).count();
                assert!((1..=5).contains(&seen), "{attention:?} {query}: {seen}");
            }
        }
    }
}
