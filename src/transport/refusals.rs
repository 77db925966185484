//! Handshakes that failed on the accepting side: remembered for the status, logged at a bounded rate.
//!
//! A misconfigured peer redials for ever and a scanner tries often; neither may fill the log. Each address and
//! reason is logged once in a while, and all together stay within a budget.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::model::limits;

/// The same reason from the same host is logged again only after this long.
const REPEATED_AFTER: Duration = Duration::from_secs(60);

/// Lines that may be logged in each [`BUDGET_PERIOD`], whatever the addresses.
const BUDGET_LINES: u32 = 20;

/// See [`BUDGET_LINES`].
const BUDGET_PERIOD: Duration = Duration::from_secs(60);

/// An incoming handshake that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where it came from.
    pub address: SocketAddr,
    /// Why it failed, as a sentence.
    pub reason: String,
    /// When it last failed for this reason.
    pub at: SystemTime,
    /// How often it failed for this reason, as far as remembered.
    pub count: u64,
}

/// The refusals of one endpoint.
#[derive(Default)]
pub(super) struct Refusals {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Oldest first; at most [`limits::REFUSALS_KEPT_MAX`].
    kept: VecDeque<Kept>,
    period: Option<(Instant, u32)>,
    /// Not logged since the last line that was.
    suppressed_count: u64,
}

struct Kept {
    refusal: Refusal,
    logged: Option<Instant>,
}

impl Refusals {
    /// Remembers a refusal and logs it, unless the same was logged lately or the budget is spent.
    pub(super) fn record(&self, address: SocketAddr, reason: &str) {
        let line = self
            .lock()
            .note(address, reason, Instant::now(), SystemTime::now());
        if let Some(Line { suppressed_count }) = line {
            tracing::warn!(%address, reason, suppressed_count, "refused a connection");
        }
    }

    /// The latest refusals, one for each host and reason, oldest first.
    pub(super) fn latest(&self) -> Vec<Refusal> {
        self.lock().kept.iter().map(|kept| kept.refusal.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing here panics half-way; a poisoned lock would only mean that a logger did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a line is to be logged.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    suppressed_count: u64,
}

impl State {
    fn note(&mut self, address: SocketAddr, reason: &str, now: Instant, at: SystemTime) -> Option<Line> {
        let mut kept = self.take(address.ip(), reason).unwrap_or_else(|| Kept {
            refusal: Refusal {
                address,
                reason: reason.to_owned(),
                at,
                count: 0,
            },
            logged: None,
        });
        // The port changes with each restart of the peer; the latest helps most.
        kept.refusal.address = address;
        kept.refusal.at = at;
        kept.refusal.count += 1;
        let repeated = kept
            .logged
            .is_some_and(|logged| now.duration_since(logged) < REPEATED_AFTER);
        let line = if !repeated && self.spend(now) {
            kept.logged = Some(now);
            Some(Line {
                suppressed_count: std::mem::take(&mut self.suppressed_count),
            })
        } else {
            self.suppressed_count += 1;
            None
        };
        if self.kept.len() == limits::REFUSALS_KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(kept);
        line
    }

    fn take(&mut self, host: IpAddr, reason: &str) -> Option<Kept> {
        let index = self
            .kept
            .iter()
            .position(|kept| kept.refusal.address.ip() == host && kept.refusal.reason == reason)?;
        self.kept.remove(index)
    }

    /// Takes one line from the budget, if one is left.
    fn spend(&mut self, now: Instant) -> bool {
        let spent = match self.period {
            Some((began, spent)) if now.duration_since(began) < BUDGET_PERIOD => spent,
            _ => {
                self.period = Some((now, 0));
                0
            }
        };
        if spent >= BUDGET_LINES {
            return false;
        }
        if let Some((_, spent)) = &mut self.period {
            *spent += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], port))
    }

    #[test]
    fn the_same_refusal_is_logged_once_a_minute_and_counted() {
        let (mut state, now, at) = (State::default(), Instant::now(), SystemTime::now());
        assert_eq!(
            state.note(address(1, 1), "expired", now, at),
            Some(Line { suppressed_count: 0 })
        );
        assert_eq!(state.note(address(1, 2), "expired", now, at), None);
        assert_eq!(
            state.note(address(1, 3), "other", now, at),
            Some(Line { suppressed_count: 1 })
        );
        assert_eq!(
            state.note(address(1, 4), "expired", now + REPEATED_AFTER, at),
            Some(Line { suppressed_count: 0 })
        );
        let kept: Vec<_> = state
            .kept
            .iter()
            .map(|kept| (kept.refusal.reason.as_str(), kept.refusal.count))
            .collect();
        assert_eq!(kept, [("other", 1), ("expired", 3)]);
    }

    #[test]
    fn many_hosts_share_one_budget_and_a_bounded_memory() {
        let (mut state, now, at) = (State::default(), Instant::now(), SystemTime::now());
        let lines = (0..200)
            .filter(|host| state.note(address(*host, 1), "scan", now, at).is_some())
            .count();
        assert_eq!(lines, BUDGET_LINES as usize);
        assert_eq!(state.kept.len(), limits::REFUSALS_KEPT_MAX);
        let later = state.note(address(201, 1), "scan", now + BUDGET_PERIOD, at);
        assert_eq!(
            later,
            Some(Line {
                suppressed_count: 180
            })
        );
    }
}
