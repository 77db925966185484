//! Actors that have failed, for `status`: nothing restarts them yet, so each stays here until the node is restarted.

use std::sync::{Mutex, PoisonError};

/// More are not kept: the first ones tell most.
const FAILURES_MAX: usize = 16;

/// The failures of a node's actors.
#[derive(Debug, Default)]
pub struct Failures(Mutex<Vec<String>>);

impl Failures {
    /// Takes note of one.
    pub fn note(&self, failure: String) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < FAILURES_MAX {
            failures.push(failure);
        }
    }

    /// All that were noted.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
