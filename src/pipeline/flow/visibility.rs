//! Who sees whom in attention, as two vectors: key `j` is visible to query `i` iff `kpos[j] < qend[i]`.

/// How far a position sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attention {
    /// Every position sees every other.
    Full,
    /// A position sees up to the end of its own chunk; chunks count from the first prompt token.
    Chunked,
}

/// Writes both vectors for positions that are all real.
///
/// `chunk`: positions per chunk at the rate of the vectors.
pub(super) fn fill(attention: Attention, chunk: usize, qend: &mut [i32], kpos: &mut [i32]) {
    let len = id(qend.len());
    for (position, (qend, kpos)) in qend.iter_mut().zip(kpos).enumerate() {
        *kpos = id(position);
        *qend = match attention {
            Attention::Full => len,
            Attention::Chunked => id((position / chunk + 1) * chunk),
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
        fill(Attention::Full, 2, &mut qend, &mut kpos);
        assert_eq!((qend, kpos), ([5; 5], [0, 1, 2, 3, 4]));
        fill(Attention::Chunked, 2, &mut qend, &mut kpos);
        assert_eq!(qend, [2, 2, 4, 4, 6]);
    }
}
