//! The state of the region behind locks that are held for a look only, never over an await.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::actors::context::NodeContext;
use crate::actors::health::gather::gather;
use crate::actors::region::Shedding;
use crate::model::health::{
    CommitDelay, CommitDelays, HealthMachine, HealthThresholds, RegionState, Transition,
};
use crate::model::ids::{PartitionId, RegionId};
use crate::model::tick::Tick;

/// Between two looks at most a second passes. Over this the process did not run (it was stopped, or its machine was), and
/// neither peers nor disk are to blame for what did not happen meanwhile.
const FROZEN_MS: u64 = 2_000;
/// Changes of the state that are remembered: a day of a region with an intermittent fault, and little memory.
const TRANSITIONS_KEPT_MAX: usize = 256;

/// The state of the region and what it is judged by.
#[derive(Debug)]
pub struct HealthMonitor {
    machine: Mutex<Watched>,
    commits: Mutex<CommitDelays>,
    /// A copy of the state for admission, which is asked for every request: its place in [`RegionState::ALL`].
    state: AtomicU8,
    retry_after_seconds: u64,
    staleness_percent: u64,
    shed: AtomicU64,
}

#[derive(Debug)]
struct Watched {
    machine: HealthMachine,
    looked_at: Tick,
    transitions: VecDeque<Transition>,
}

/// What a look has found.
#[derive(Debug, Clone)]
pub struct HealthReport {
    /// The state.
    pub state: RegionState,
    /// For how long it has been so.
    pub state_for_ms: u64,
    /// Why it is not healthy.
    pub reasons: Vec<String>,
    /// How often it has changed since the node started.
    pub changes: u64,
    /// What group commits take.
    pub commit: CommitDelay,
    /// How far this node's clock is ahead of the middle of all.
    pub clock_error_ms: i64,
    /// How far the view of each peer is behind.
    pub lags: Vec<(RegionId, u64)>,
}

impl HealthMonitor {
    /// The monitor of a node that starts now.
    #[must_use]
    pub fn new(thresholds: HealthThresholds, now: Tick) -> Self {
        let calm_ms = thresholds.calm_ms;
        let staleness_percent = thresholds.staleness_percent;
        let machine = HealthMachine::new(thresholds, now);
        Self {
            state: AtomicU8::new(place_of(machine.state())),
            machine: Mutex::new(Watched {
                machine,
                looked_at: now,
                transitions: VecDeque::new(),
            }),
            commits: Mutex::default(),
            // Before that it cannot be over.
            retry_after_seconds: calm_ms.div_ceil(1000),
            staleness_percent,
            shed: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commits(&self) -> MutexGuard<'_, CommitDelays> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition has handed a group to the committer.
    pub fn commit_begun(&self, partition: PartitionId, now: Tick) {
        self.commits().begun(partition, now);
    }

    /// The group is durable, or has failed.
    pub fn commit_ended(&self, partition: PartitionId, now: Tick) {
        self.commits().ended(partition, now);
    }

    /// The state, as of the last look.
    #[must_use]
    pub fn state(&self) -> RegionState {
        RegionState::ALL[usize::from(self.state.load(Ordering::Acquire))]
    }

    /// Whether requests of low priority are refused. Whoever asks has one, which is counted.
    pub fn shed_low_priority(&self) -> Option<Shedding> {
        let state = self.state();
        if !state.sheds_low_priority() {
            return None;
        }
        self.shed.fetch_add(1, Ordering::Relaxed);
        Some(Shedding {
            state,
            retry_after_seconds: self.retry_after_seconds,
        })
    }

    /// Requests that were refused so.
    #[must_use]
    pub fn requests_shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// How old what a stale read shows may be, where the region chooses that and not the client: longer while it is
    /// degraded, so that reads are still answered here.
    #[must_use]
    pub fn staleness_allowance_ms(&self, usual_ms: u64) -> u64 {
        match self.state() {
            RegionState::Degraded => usual_ms.saturating_mul(self.staleness_percent) / 100,
            RegionState::Healthy | RegionState::Unhealthy | RegionState::Recovering => usual_ms,
        }
    }

    /// Whether a peer was silent for improbably long at the last look, or was never heard; by its place among the peers.
    #[must_use]
    pub fn is_silent(&self, place: usize) -> bool {
        self.lock().machine.is_silent(place)
    }

    /// How long nothing bad must be seen before the state gets better.
    #[must_use]
    pub fn calm_ms(&self) -> u64 {
        self.lock().machine.thresholds().calm_ms
    }

    /// How often the state has changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.lock().machine.changes()
    }

    /// The last changes of the state, oldest first.
    #[must_use]
    pub fn transitions(&self) -> Vec<Transition> {
        self.lock().transitions.iter().cloned().collect()
    }

    /// Looks at the node and judges what it finds.
    pub fn look(&self, context: &NodeContext) -> HealthReport {
        let now = context.clock.tick();
        let mut watched = self.lock();
        let pause_ms = now.millis_since(watched.looked_at);
        watched.looked_at = now;
        // `>`: the longest that can be by itself.
        if pause_ms > FROZEN_MS {
            self.commits().forgive(pause_ms, now);
            for peer in &context.peers {
                peer.forgive(pause_ms, now);
            }
            context.mesh.forgive(pause_ms, now);
        }
        let commit = self.commits().read(now);
        let (inputs, clock_error_ms) = gather(context, now, commit);
        let transition = watched.machine.observe(now, &inputs);
        let state = watched.machine.state();
        self.state.store(place_of(state), Ordering::Release);
        if let Some(transition) = transition {
            tell(context, &transition);
            if watched.transitions.len() == TRANSITIONS_KEPT_MAX {
                watched.transitions.pop_front();
            }
            watched.transitions.push_back(transition);
        }
        HealthReport {
            state,
            state_for_ms: now.millis_since(watched.machine.since()),
            reasons: watched.machine.reasons().to_vec(),
            changes: watched.machine.changes(),
            commit,
            clock_error_ms,
            lags: inputs
                .peers
                .iter()
                .map(|peer| (peer.region, peer.lag_ms))
                .collect(),
        }
    }
}

fn place_of(state: RegionState) -> u8 {
    let place = RegionState::ALL.iter().position(|other| *other == state);
    u8::try_from(place.unwrap_or_default()).unwrap_or_default()
}

/// Each change is an event in the log; those for the worse are warnings.
fn tell(context: &NodeContext, transition: &Transition) {
    let region = context.identity.region;
    let (from, to) = (transition.from.name(), transition.to.name());
    let reasons = transition.reasons.join("; ");
    match transition.to {
        RegionState::Healthy => {
            tracing::info!(%region, from, to, "the region's state has changed");
        }
        RegionState::Recovering => {
            tracing::info!(%region, from, to, %reasons, "the region's state has changed");
        }
        RegionState::Degraded | RegionState::Unhealthy => {
            tracing::warn!(%region, from, to, %reasons, "the region's state has changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_healthy_region_takes_what_matters_less() {
        let monitor = HealthMonitor::new(HealthThresholds::default(), Tick::default());
        for state in RegionState::ALL {
            monitor.state.store(place_of(state), Ordering::Release);
            assert_eq!(monitor.state(), state);
            assert_eq!(
                monitor.shed_low_priority().is_none(),
                state == RegionState::Healthy
            );
        }
        assert_eq!(monitor.requests_shed(), 3);
    }

    #[test]
    fn a_degraded_region_allows_older_reads() {
        let monitor = HealthMonitor::new(HealthThresholds::default(), Tick::default());
        for (state, allowed_ms) in [(RegionState::Healthy, 500), (RegionState::Degraded, 1000)] {
            monitor.state.store(place_of(state), Ordering::Release);
            assert_eq!(monitor.staleness_allowance_ms(500), allowed_ms);
        }
    }
}
