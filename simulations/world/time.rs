//! The one true time of a simulated world, and what the clocks of its regions make of it.
//!
//! Every process has a runtime whose clock stands still until the driver lets it run for one tick. Inside a process the
//! true time is that of its runtime, counted from its boot; outside it is the beginning of the tick.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atoll::model::hlc::WallTime;
use atoll::model::tick::Tick;
use atoll::ports::clock::Clock;
use tokio::time::Instant;

use crate::evidence::Moment;

/// The wall clocks of all regions show this when a run begins: 2026-01-01T00:00:00Z.
const EPOCH_SECONDS: u64 = 1_767_225_600;

/// Where a process stands in the true time.
#[derive(Debug, Clone, Copy)]
pub struct Anchor {
    /// When it booted.
    pub booted: Moment,
    /// What its runtime's clock showed then.
    pub instant: Instant,
}

thread_local! {
    static OUTSIDE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static INSIDE: Cell<Option<Anchor>> = const { Cell::new(None) };
}

/// The true time now, for whoever asks.
pub fn now() -> Moment {
    match INSIDE.get() {
        Some(anchor) => Moment::after(anchor.booted.elapsed() + anchor.instant.elapsed()),
        None => Moment::after(OUTSIDE.get()),
    }
}

/// Whether the asker is inside a process.
pub fn is_inside() -> bool {
    INSIDE.get().is_some()
}

/// The true time outside of all processes.
pub fn set_outside(moment: Moment) {
    OUTSIDE.set(moment.elapsed());
}

/// Runs `inside` as a process with this anchor.
pub fn within<T>(anchor: Anchor, inside: impl FnOnce() -> T) -> T {
    INSIDE.set(Some(anchor));
    let result = inside();
    INSIDE.set(None);
    result
}

/// Waits, inside a process, until a moment; not at all if it has passed.
pub async fn sleep_until(moment: Moment) {
    let now = now();
    if moment > now {
        tokio::time::sleep(moment.elapsed() - now.elapsed()).await;
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Error {
    offset_micros: i64,
    /// Parts per million that the clock runs fast; counted from `since`.
    drift_ppm: i64,
    since: Duration,
}

/// A region's clock: wrong by an offset that jumps, and by a drift. It survives restarts, as a machine's does.
#[derive(Debug, Default)]
pub struct SimClock {
    error: Mutex<Error>,
    /// The latest that it has ever shown, in microseconds.
    latest_micros: AtomicU64,
}

impl SimClock {
    fn error_micros(&self) -> i64 {
        let error = *self.error.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now().elapsed().saturating_sub(error.since);
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        error.offset_micros + micros.saturating_mul(error.drift_ppm) / 1_000_000
    }

    /// What it shows now.
    fn show(&self) -> WallTime {
        let micros = u64::try_from(now().elapsed().as_micros()).unwrap_or(u64::MAX);
        let shown = (EPOCH_SECONDS * 1_000_000 + micros).saturating_add_signed(self.error_micros());
        self.latest_micros.fetch_max(shown, Ordering::Relaxed);
        WallTime::from_micros(shown)
    }

    /// What it shows now, in seconds.
    pub fn seconds(&self) -> u64 {
        self.show().as_millis() / 1000
    }

    /// The latest that it has ever shown.
    pub fn latest(&self) -> WallTime {
        WallTime::from_micros(self.latest_micros.load(Ordering::Relaxed))
    }

    /// From now on it is so wrong.
    pub fn set(&self, offset_ms: i64, drift_ppm: i64) {
        let since = now().elapsed();
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Error {
            offset_micros: offset_ms * 1000,
            drift_ppm,
            since,
        };
    }
}

/// A region's clock as one life of its process sees it.
#[derive(Debug)]
pub struct ProcessClock {
    /// The region's.
    pub clock: Arc<SimClock>,
    /// When the process booted.
    pub booted: Moment,
}

impl Clock for ProcessClock {
    fn now(&self) -> WallTime {
        self.clock.show()
    }

    fn tick(&self) -> Tick {
        let since = now().elapsed().saturating_sub(self.booted.elapsed());
        Tick::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}
