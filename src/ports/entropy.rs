//! The entropy port: jitter of retries, and the chances of `atoll wan`. Seeded in simulation; nothing that is persisted
//! depends on it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random numbers. Not for secrets.
pub trait Entropy: Send + Sync + 'static {
    /// The next number.
    fn next_u64(&self) -> u64;
}

/// Numbers seeded by the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next_u64(&self) -> u64 {
        // Each `RandomState` has fresh keys; hashing nothing under them yields one number.
        RandomState::new().build_hasher().finish()
    }
}

/// Numbers that a seed decides, evenly spread over all of `u64`: the same seed gives the same numbers.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The numbers of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    /// SplitMix64 (Steele, Lea and Flood, 2014): a counter with a step whose bits are then mixed.
    fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        // Each number is drawn once, whichever thread draws it; nothing else is ordered by it.
        let counter = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (counter ^ (counter >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_numbers_of_the_published_algorithm() {
        let entropy = SeededEntropy::new(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| entropy.next_u64()).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(drawn, published);
    }
}
