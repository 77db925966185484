//! When a region that is behind a peer will have caught up, at the pace of the last seconds.

use std::collections::VecDeque;

use crate::model::tick::Tick;

/// The pace is that of so long: shorter, and every batch shows as a jump; longer, and a stop shows late.
const WINDOW_MS: u64 = 5_000;
/// A pace over less than that says nothing.
const SPAN_MS_MIN: u64 = 500;
/// Looks that are remembered at most: those of a window, four a second, and those that people ask for.
const LOOKS_MAX: usize = 64;

/// How many changes were missing, at the last looks.
#[derive(Debug, Default)]
pub struct CatchUpRate {
    looks: VecDeque<(Tick, u64)>,
}

impl CatchUpRate {
    /// So many changes are missing now.
    pub fn observe(&mut self, now: Tick, behind_changes: u64) {
        // A peer that tells of much at once, as after an outage, begins a new pace.
        if self.looks.back().is_none_or(|(_, behind)| *behind == 0) {
            self.looks.clear();
        }
        // `>`: a look as old as the window still counts.
        while self
            .looks
            .front()
            .is_some_and(|(at, _)| now.millis_since(*at) > WINDOW_MS)
            || self.looks.len() >= LOOKS_MAX
        {
            self.looks.pop_front();
        }
        self.looks.push_back((now, behind_changes));
    }

    /// How long until nothing is missing, if it goes on like this; the peer's new changes are part of the pace. None when
    /// nothing is missing, or when it does not become less.
    #[must_use]
    pub fn remaining_ms(&self, behind_changes: u64) -> Option<u64> {
        let ((first_at, first), (last_at, last)) = (self.looks.front()?, self.looks.back()?);
        let span_ms = last_at.millis_since(*first_at);
        let applied = first.checked_sub(*last).filter(|applied| *applied > 0)?;
        if behind_changes == 0 || span_ms < SPAN_MS_MIN {
            return None;
        }
        let remaining = u128::from(behind_changes) * u128::from(span_ms) / u128::from(applied);
        u64::try_from(remaining).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    #[test]
    fn what_is_missing_is_divided_by_the_pace() {
        let mut rate = CatchUpRate::default();
        rate.observe(at(0), 0);
        for second in 0..=4 {
            rate.observe(at(1000 + second * 1000), 10_000 - second * 500);
        }
        assert_eq!(rate.remaining_ms(8_000), Some(16_000));
        assert_eq!(rate.remaining_ms(0), None);
    }

    #[test]
    fn who_does_not_come_closer_is_told_nothing() {
        let mut rate = CatchUpRate::default();
        assert_eq!(rate.remaining_ms(7), None);
        for second in 0..10 {
            rate.observe(at(second * 1000), 100 + second);
        }
        assert_eq!(rate.remaining_ms(109), None);
    }

    #[test]
    fn a_pace_is_forgotten_after_some_seconds() {
        let mut rate = CatchUpRate::default();
        rate.observe(at(0), 1000);
        rate.observe(at(1000), 500);
        assert!(rate.remaining_ms(500).is_some());
        for second in 2..10 {
            rate.observe(at(second * 1000), 500);
        }
        assert_eq!(rate.remaining_ms(500), None);
    }
}
