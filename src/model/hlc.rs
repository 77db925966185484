//! Hybrid logical clock (Kulkarni et al., 2014), on `uhlc`: stamps that follow physical time and never contradict
//! causality.
//!
//! Invariant 9: stamps that one clock gives out only grow, whatever physical time does. Nothing restamps a stored
//! version (DESIGN rule 7). `uhlc` reads its clock through a plain function; here that function returns the `now` that
//! was passed in, so that the model stays a function of its arguments.

use std::cell::Cell;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uhlc::NTP64;

/// Physical time: microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct WallTime(u64);

impl WallTime {
    /// From microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// Milliseconds from `earlier` to this, 0 if it is not earlier.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }

    /// This time and `duration` more.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

/// A stamp: NTP64, seconds since the Unix epoch in the upper and their fraction in the lower 32 bits, whose lowest
/// bits count stamps of one instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Hlc(pub u64);

impl Hlc {
    /// Before every stamp.
    pub const ZERO: Self = Self(0);

    /// The stamp of a physical time (its counter is 0 or arbitrary low bits).
    #[must_use]
    pub fn from_wall(time: WallTime) -> Self {
        let seconds = time.0 / 1_000_000;
        let micros = time.0 % 1_000_000;
        Self((seconds << 32) | ((micros << 32) / 1_000_000))
    }

    /// The physical part, in microseconds.
    #[must_use]
    pub fn wall(self) -> WallTime {
        let seconds = self.0 >> 32;
        let fraction = self.0 & 0xffff_ffff;
        WallTime(
            seconds
                .saturating_mul(1_000_000)
                .saturating_add((fraction * 1_000_000) >> 32),
        )
    }

    /// The stamp `count` after this one.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The stamp right before this one.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A remote stamp lies too far in the future. Nothing of what it came with may be persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stamp is {ahead_ms} ms ahead of this node's clock, more than the {max_ms} ms of max_clock_drift_ms; check the clocks of both regions"
)]
pub struct DriftError {
    /// How far ahead.
    pub ahead_ms: u64,
    /// What is allowed.
    pub max_ms: u64,
}

thread_local! {
    static NOW: Cell<NTP64> = const { Cell::new(NTP64(0)) };
}

fn injected_now() -> NTP64 {
    NOW.with(Cell::get)
}

/// The clock of one node.
pub struct HybridClock {
    inner: Mutex<uhlc::HLC>,
    max_drift: Duration,
}

impl fmt::Debug for HybridClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HybridClock")
            .field("max_drift", &self.max_drift)
            .finish_non_exhaustive()
    }
}

impl HybridClock {
    /// A clock that has seen nothing and refuses stamps more than `max_drift` ahead.
    #[must_use]
    pub fn new(max_drift: Duration) -> Self {
        // The id is no part of our stamps (the region is), so any will do; a fixed one needs no randomness.
        let id = uhlc::ID::try_from([1]).expect("one non-zero byte is a valid id");
        let inner = uhlc::HLCBuilder::new()
            .with_id(id)
            .with_clock(injected_now)
            .with_max_delta(max_drift)
            .build();
        Self {
            inner: Mutex::new(inner),
            max_drift,
        }
    }

    /// How far ahead of this node's time stamps of others may be.
    #[must_use]
    pub fn max_drift(&self) -> Duration {
        self.max_drift
    }

    /// Goes on from a stamp that was given out or promised before a restart, however far ahead it is.
    pub fn restore(&self, last: Hlc) {
        self.with(NTP64(last.0), |clock| {
            let accepted = clock.update_with_timestamp(&uhlc::Timestamp::new(NTP64(last.0), *clock.get_id()));
            assert!(accepted.is_ok(), "a stamp is never ahead of itself");
        });
    }

    /// Takes `count` consecutive stamps and returns the first; all are greater than every stamp given out or observed
    /// before.
    #[must_use]
    pub fn stamp(&self, now: WallTime, count: u64) -> Hlc {
        assert!(count > 0, "a commit has at least one change");
        self.with(NTP64(Hlc::from_wall(now).0), |clock| {
            let first = clock.new_timestamp().get_time().0;
            if count > 1 {
                let last = NTP64(first + count - 1);
                // Seen from `last` itself the stamp is not ahead, so it is accepted.
                NOW.with(|cell| cell.set(last));
                let accepted = clock.update_with_timestamp(&uhlc::Timestamp::new(last, *clock.get_id()));
                assert!(accepted.is_ok(), "a stamp is never ahead of itself");
            }
            Hlc(first)
        })
    }

    /// Whether a remote stamp may be accepted now. Changes nothing.
    ///
    /// # Errors
    /// [`DriftError`] when it is further ahead than the limit.
    pub fn check(&self, now: WallTime, remote: Hlc) -> Result<(), DriftError> {
        let ahead_micros = remote.wall().as_micros().saturating_sub(now.as_micros());
        // `>`: a stamp exactly at the limit is still accepted, as `uhlc` does.
        if u128::from(ahead_micros) > self.max_drift.as_micros() {
            let max_ms = u64::try_from(self.max_drift.as_millis()).unwrap_or(u64::MAX);
            return Err(DriftError {
                ahead_ms: ahead_micros / 1000,
                max_ms,
            });
        }
        Ok(())
    }

    /// Takes note of an accepted remote stamp, so that later local stamps are greater.
    ///
    /// # Errors
    /// [`DriftError`] when it is further ahead than the limit; the clock is unchanged then.
    pub fn observe(&self, now: WallTime, remote: Hlc) -> Result<(), DriftError> {
        self.check(now, remote)?;
        self.with(NTP64(Hlc::from_wall(now).0), |clock| {
            let remote = uhlc::Timestamp::new(NTP64(remote.0), *clock.get_id());
            if clock.update_with_timestamp(&remote).is_err() {
                // `check` has decided. Its microseconds and uhlc's fractions can differ in the last digit at the very
                // limit: then look again from where the stamp is not ahead.
                NOW.with(|cell| cell.set(*remote.get_time()));
                let accepted = clock.update_with_timestamp(&remote);
                assert!(accepted.is_ok(), "a stamp is never ahead of itself");
            }
        });
        Ok(())
    }

    fn with<T>(&self, now: NTP64, work: impl FnOnce(&uhlc::HLC) -> T) -> T {
        let clock = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        NOW.with(|cell| cell.set(now));
        work(&clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> HybridClock {
        HybridClock::new(Duration::from_millis(500))
    }

    #[test]
    fn stamps_grow_though_time_stands_still_or_jumps_back() {
        let clock = clock();
        let mut last = Hlc::ZERO;
        for now_ms in [5000, 5000, 5000, 1000, 9000, 8999, 0] {
            let stamp = clock.stamp(WallTime::from_millis(now_ms), 1);
            assert!(stamp > last);
            last = stamp;
        }
    }

    #[test]
    fn a_range_of_stamps_is_not_given_out_again() {
        let clock = clock();
        let now = WallTime::from_millis(5000);
        let first = clock.stamp(now, 100);
        assert!(clock.stamp(now, 1) > first.plus(99));
    }

    #[test]
    fn stamps_follow_what_was_observed() {
        let clock = clock();
        let now = WallTime::from_millis(5000);
        let remote = Hlc::from_wall(WallTime::from_millis(5400));
        clock.observe(now, remote).unwrap();
        assert!(clock.stamp(now, 1) > remote);
    }

    #[test]
    fn a_stamp_beyond_the_drift_is_refused_and_leaves_the_clock_alone() {
        let clock = clock();
        let now = WallTime::from_millis(5000);
        assert!(
            clock
                .observe(now, Hlc::from_wall(WallTime::from_millis(5500)))
                .is_ok()
        );
        let far = Hlc::from_wall(WallTime::from_millis(15_000));
        let error = clock.observe(now, far).unwrap_err();
        assert_eq!(error.max_ms, 500);
        assert!(error.ahead_ms.abs_diff(10_000) <= 1);
        assert!(clock.stamp(now, 1) < far);
    }

    #[test]
    fn a_restored_clock_goes_on_after_its_promise() {
        let clock = clock();
        let promised = Hlc::from_wall(WallTime::from_millis(60_000));
        clock.restore(promised);
        assert!(clock.stamp(WallTime::from_millis(1000), 1) > promised);
    }

    #[test]
    fn wall_time_survives_the_stamp_to_a_microsecond() {
        for micros in [0, 1, 999_999, 1_000_000, 1_790_000_000_123_457] {
            let time = WallTime::from_micros(micros);
            assert!(
                Hlc::from_wall(time).wall().as_micros().abs_diff(micros) <= 1,
                "{micros}"
            );
        }
    }
}
