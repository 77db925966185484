//! Time that only grows, for durations: patience, holds, silence. Never persisted, never sent, never compared with
//! [`crate::model::hlc::WallTime`]: a physical clock that is set back must not hold anything up.

use std::time::Duration;

/// Microseconds since some fixed moment of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(u64);

impl Tick {
    /// From microseconds since the fixed moment.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the fixed moment.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the fixed moment.
    #[must_use]
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds from `earlier` to this, 0 if it is not earlier.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }

    /// This moment and so many milliseconds more.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1000)))
    }

    /// So many milliseconds before this moment; the fixed moment at the earliest.
    #[must_use]
    pub const fn minus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis.saturating_mul(1000)))
    }

    /// This moment and `duration` more.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        )
    }

    /// How long until this moment, seen from `now`; zero if it has passed.
    #[must_use]
    pub fn after(self, now: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(now.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_never_negative() {
        let (early, late) = (Tick::from_millis(1), Tick::from_millis(5));
        assert_eq!(late.millis_since(early), 4);
        assert_eq!(early.millis_since(late), 0);
        assert_eq!(late.after(early), Duration::from_millis(4));
        assert_eq!(early.after(late), Duration::ZERO);
        assert_eq!(early.plus(Duration::from_millis(4)), late);
    }
}
