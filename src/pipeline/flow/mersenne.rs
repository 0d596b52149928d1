//! The MT19937 generator.

const WORDS: usize = 624;
const SHIFT: usize = 397;

/// MT19937, the 32-bit Mersenne Twister.
///
/// Source: Matsumoto, Nishimura, "Mersenne Twister", 1998; seeded as in the authors' `init_genrand`.
#[derive(Debug, Clone)]
pub(super) struct MersenneTwister {
    state: [u32; WORDS],
    next: usize,
}

impl MersenneTwister {
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        for (index, word) in (1u32..).take(WORDS - 1).enumerate() {
            let before = state[index];
            state[index + 1] = (before ^ (before >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(word);
        }
        Self { state, next: WORDS }
    }

    /// The next 32 bits.
    pub(super) fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9D2C_5680;
        word ^= (word << 15) & 0xEFC6_0000;
        word ^ (word >> 18)
    }

    /// Passes over `count` outputs.
    pub(super) fn skip(&mut self, mut count: usize) {
        while count > 0 {
            if self.next == WORDS {
                self.twist();
            }
            let step = count.min(WORDS - self.next);
            self.next += step;
            count -= step;
        }
    }

    fn twist(&mut self) {
        for index in 0..WORDS {
            let joined =
                (self.state[index] & 0x8000_0000) | (self.state[(index + 1) % WORDS] & 0x7FFF_FFFF);
            let odd = if joined & 1 == 1 { 0x9908_B0DF } else { 0 };
            self.state[index] = self.state[(index + SHIFT) % WORDS] ^ (joined >> 1) ^ odd;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // The ten thousandth output for the default seed, as the C++ standard gives it for `std::mt19937`.
        let mut generator = MersenneTwister::new(5489);
        generator.skip(9_999);
        assert_eq!(generator.next_u32(), 4_123_659_995);
    }

    #[test]
    fn skipping_is_drawing() {
        let (mut drawn, mut skipped) = (MersenneTwister::new(0), MersenneTwister::new(0));
        for _ in 0..1000 {
            drawn.next_u32();
        }
        skipped.skip(1000);
        assert_eq!(drawn.next_u32(), skipped.next_u32());
    }
}
