//! The clock port: where `now` comes from. The model takes `now` as an argument; actors read it here, once per event.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::hlc::WallTime;
use crate::model::tick::Tick;

/// A physical clock. It may jump in both directions; nothing but the hybrid logical clock may rely on its order.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> WallTime;

    /// The time for durations: it only grows, whatever the physical clock does.
    fn tick(&self) -> Tick;
}

/// The system's clock, shifted by a constant: the offset is 0 except in drills that show what a wrong clock does.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    offset_ms: i64,
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::with_offset_ms(0)
    }
}

impl SystemClock {
    /// A clock that shows `offset_ms` more (or less) than the system's.
    #[must_use]
    pub fn with_offset_ms(offset_ms: i64) -> Self {
        Self {
            offset_ms,
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn tick(&self) -> Tick {
        Tick::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn now(&self) -> WallTime {
        // A system clock before 1970 shows as 0: the hybrid clock then counts on from what it has seen.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
        WallTime::from_micros(micros.saturating_add_signed(self.offset_ms.saturating_mul(1000)))
    }
}
