//! Actors that have failed, for `status` and metrics: partitions are started again, and only what stays failed is shown
//! until the node is restarted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// More are not kept: the first ones tell most.
const FAILURES_MAX: usize = 16;

/// The failures of a node's actors.
#[derive(Debug, Default)]
pub struct Failures {
    lasting: Mutex<Vec<String>>,
    restarts: AtomicU64,
}

impl Failures {
    /// Takes note of one that lasts.
    pub fn note(&self, failure: String) {
        let mut failures = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < FAILURES_MAX {
            failures.push(failure);
        }
    }

    /// All that last.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.lasting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A partition that had failed works again.
    pub fn note_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a partition was started again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}
