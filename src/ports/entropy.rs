//! The entropy port: jitter of retries. Seeded in simulation; nothing that is persisted depends on it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

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
