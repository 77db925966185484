//! How often what fails is started again: what fails at once each time would fail for ever.

use std::collections::VecDeque;

use crate::model::limits;
use crate::model::tick::Tick;

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Start it again.
    Restart,
    /// It has failed so many times within the window: leave it stopped.
    Stop(usize),
}

/// The failures of one part within the last [`limits::PARTITION_FAILURES_WINDOW_MS`].
#[derive(Debug, Clone, Default)]
pub struct RestartBudget(VecDeque<Tick>);

impl RestartBudget {
    /// It has failed at `now`.
    pub fn failed(&mut self, now: Tick) -> AfterFailure {
        self.0.push_back(now);
        let is_old = |at: &Tick| now.millis_since(*at) > limits::PARTITION_FAILURES_WINDOW_MS;
        while self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
        // `>`: as many as the limit are forgiven.
        if self.0.len() > limits::PARTITION_FAILURES_MAX {
            AfterFailure::Stop(self.0.len())
        } else {
            AfterFailure::Restart
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_failures_are_forgiven_and_old_ones_forgotten() {
        let mut budget = RestartBudget::default();
        let at = |millis| Tick::default().plus_millis(millis);
        for millis in 0..5 {
            assert_eq!(budget.failed(at(millis)), AfterFailure::Restart);
        }
        // The first is a minute old, which still counts.
        assert_eq!(budget.failed(at(60_000)), AfterFailure::Stop(6));
        // The second is still there, and the third.
        assert_eq!(budget.failed(at(60_001)), AfterFailure::Stop(6));
        assert_eq!(budget.failed(at(60_010)), AfterFailure::Restart);
        assert_eq!(budget.failed(at(60_020)), AfterFailure::Restart);
    }
}
