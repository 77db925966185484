//! What a load has done so far, shared by its connections, and the summary at the end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cli::text;

/// Longest latency that is told apart; longer ones count as this. All retries of one record take less.
const LATENCY_MICROS_MAX: u64 = 3_600_000_000;

/// Counts of a load under way. Relaxed atomics, since the counts are only read together after all work has ended.
#[derive(Debug)]
pub(crate) struct Tally {
    input_bytes: AtomicU64,
    loaded: AtomicU64,
    failed: AtomicU64,
    malformed: AtomicU64,
    unconfirmed: AtomicU64,
    retries: AtomicU64,
    value_bytes: AtomicU64,
    latencies: Mutex<Histogram<u64>>,
}

impl Tally {
    /// Nothing done yet.
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3)
            .expect("the bounds are constants that satisfy the histogram");
        Self {
            input_bytes: AtomicU64::new(0),
            loaded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            unconfirmed: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            value_bytes: AtomicU64::new(0),
            latencies: Mutex::new(latencies),
        }
    }

    /// How much input was read.
    pub(crate) fn input_bytes(&self) -> u64 {
        self.input_bytes.load(Ordering::Relaxed)
    }

    /// Takes note of how much input was read.
    pub(crate) fn set_input_bytes(&self, bytes: u64) {
        self.input_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Records that were acknowledged.
    pub(crate) fn loaded(&self) -> u64 {
        self.loaded.load(Ordering::Relaxed)
    }

    /// Lines and records that did not get in.
    pub(crate) fn errors(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.malformed.load(Ordering::Relaxed)
    }

    /// A record was acknowledged, so long after its first attempt began.
    pub(crate) fn record_loaded(&self, latency: Duration, value_bytes: usize) {
        self.loaded.fetch_add(1, Ordering::Relaxed);
        self.value_bytes.fetch_add(value_bytes as u64, Ordering::Relaxed);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies
            .lock()
            .expect("nothing panics while it holds the lock")
            .saturating_record(micros);
    }

    /// A record was given up. Gives the number of errors so far.
    pub(crate) fn record_failed(&self) -> u64 {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.errors()
    }

    /// A line was not a record. Gives the number of errors so far.
    pub(crate) fn record_malformed(&self) -> u64 {
        self.malformed.fetch_add(1, Ordering::Relaxed);
        self.errors()
    }

    /// A record was not sent, or its answer not waited for, since the load was stopped.
    pub(crate) fn record_unconfirmed(&self) {
        self.unconfirmed.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt is repeated.
    pub(crate) fn record_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// The result after `duration`.
    pub(crate) fn summarise(&self, duration: Duration, stopped: Option<StopReason>) -> Summary {
        let latencies = self
            .latencies
            .lock()
            .expect("nothing panics while it holds the lock");
        let milliseconds = |micros: u64| micros as f64 / 1000.0;
        let quantile = |quantile| milliseconds(latencies.value_at_quantile(quantile));
        let loaded = self.loaded();
        let seconds = duration.as_secs_f64();
        Summary {
            loaded,
            failed: self.failed.load(Ordering::Relaxed),
            malformed: self.malformed.load(Ordering::Relaxed),
            unconfirmed: self.unconfirmed.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            value_bytes: self.value_bytes.load(Ordering::Relaxed),
            duration_seconds: seconds,
            rate_per_second: if seconds > 0.0 {
                loaded as f64 / seconds
            } else {
                0.0
            },
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            max_ms: milliseconds(latencies.max()),
            stopped,
        }
    }
}

/// Why a load ended before its input did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StopReason {
    /// Ctrl-C.
    Interrupted,
    /// More errors than allowed.
    TooManyErrors,
    /// A node was still unreachable after all retries of a record: the next ones would fare no better.
    NodeUnreachable,
    /// The input could not be read further.
    InputFailed,
}

/// The result of a load. Latencies are from a record's first attempt to its acknowledgement, retries included.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    pub(crate) loaded: u64,
    pub(crate) failed: u64,
    pub(crate) malformed: u64,
    pub(crate) unconfirmed: u64,
    pub(crate) retries: u64,
    pub(crate) value_bytes: u64,
    pub(crate) duration_seconds: f64,
    pub(crate) rate_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) stopped: Option<StopReason>,
}

impl Summary {
    /// Whether every line of the input is in the store.
    pub(crate) fn is_complete(&self) -> bool {
        self.failed == 0 && self.malformed == 0 && self.unconfirmed == 0 && self.stopped.is_none()
    }

    /// The summary for people, one line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "loaded    {} in {} ({:.0}/s)",
            text::plural(self.loaded, "record"),
            text::milliseconds((self.duration_seconds * 1000.0).round()),
            self.rate_per_second
        )];
        if self.loaded > 0 {
            let [p50, p99, max] = [self.p50_ms, self.p99_ms, self.max_ms].map(text::milliseconds);
            lines.push(format!("latency   p50 {p50}, p99 {p99}, max {max}"));
        }
        let mut count = |name: &str, number: u64, meaning: &str| {
            if number > 0 {
                lines.push(format!("{name:<9} {} {meaning}", text::count(number)));
            }
        };
        count("retries", self.retries, "repeated attempts");
        count(
            "failed",
            self.failed,
            "refused by the node, or given up after all retries",
        );
        count("malformed", self.malformed, "not a record");
        count(
            "stopped",
            self.unconfirmed,
            "read but not confirmed; load the input again",
        );
        let stopped = self.stopped.map(|reason| match reason {
            StopReason::Interrupted => "interrupted: the rest of the input was not read",
            StopReason::TooManyErrors => "too many errors: the rest of the input was not read",
            StopReason::NodeUnreachable => {
                "the node cannot be reached any more: the rest of the input was not read"
            }
            StopReason::InputFailed => "the input could not be read to its end",
        });
        lines.extend(stopped.map(str::to_owned));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_adds_up() {
        let tally = Tally::new();
        for ms in 1..=100 {
            tally.record_loaded(Duration::from_millis(ms), 10);
        }
        tally.record_retry();
        assert_eq!(tally.record_failed(), 1);
        assert_eq!(tally.record_malformed(), 2);
        let summary = tally.summarise(Duration::from_secs(4), None);
        assert_eq!(
            (summary.loaded, summary.failed, summary.malformed, summary.retries),
            (100, 1, 1, 1)
        );
        assert_eq!(summary.value_bytes, 1000);
        assert!((summary.rate_per_second - 25.0).abs() < 1e-9);
        assert!((summary.p50_ms - 50.0).abs() < 0.1, "{}", summary.p50_ms);
        assert!((summary.p99_ms - 99.0).abs() < 0.1, "{}", summary.p99_ms);
        assert!(!summary.is_complete());
        assert_eq!(summary.lines()[0], "loaded    100 records in 4.0 s (25/s)");
    }

    #[test]
    fn an_empty_input_is_complete() {
        let summary = Tally::new().summarise(Duration::ZERO, None);
        assert!(summary.is_complete());
        assert_eq!(summary.lines(), ["loaded    0 records in 0 ms (0/s)"]);
    }

    #[test]
    fn a_stopped_load_is_not_complete() {
        let summary = Tally::new().summarise(Duration::ZERO, Some(StopReason::Interrupted));
        assert!(!summary.is_complete());
        assert_eq!(serde_json::to_value(&summary).unwrap()["stopped"], "interrupted");
    }
}
