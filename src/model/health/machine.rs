//! The state of a region and its changes.
//!
//! Invariants, which the tests check: a worse state is entered at the first look that finds a reason; `degraded` and
//! `unhealthy` are left for a better state only after `calm_ms` without one; whatever happened, a region whose looks stay
//! good becomes healthy.

use std::collections::BTreeMap;

use crate::model::health::findings::{Findings, Signals};
use crate::model::health::inputs::{HealthInputs, PeerInput};
use crate::model::health::state::RegionState;
use crate::model::health::thresholds::HealthThresholds;
use crate::model::ids::RegionId;
use crate::model::mutation::{self, Mutation};
use crate::model::tick::Tick;

/// A change of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Tick,
    /// From what.
    pub from: RegionState,
    /// To what.
    pub to: RegionState,
    /// Why; empty for a region that became healthy.
    pub reasons: Vec<String>,
}

/// The machine of one region. It begins in [`RegionState::Recovering`].
#[derive(Debug)]
pub struct HealthMachine {
    thresholds: HealthThresholds,
    state: RegionState,
    since: Tick,
    started: Tick,
    /// Whether the region had nothing when it started; none before the first look.
    began_empty: Option<bool>,
    /// Whether a region that began empty and healthy has heard that it lacks something; that happens once.
    has_joined: bool,
    signals: Signals,
    /// When something that makes unhealthy was last seen.
    blocked_at: Option<Tick>,
    /// When something that degrades was last seen.
    degraded_at: Option<Tick>,
    catch_up: CatchUp,
    reasons: Vec<String>,
    changes: u64,
}

/// How a recovering region comes closer to its peers.
#[derive(Debug, Default)]
struct CatchUp {
    /// The least that it has lacked of each.
    least_behind: BTreeMap<RegionId, u64>,
    /// When that last became less.
    progressed_at: Tick,
}

/// Where catching up stands.
enum Standing {
    /// Nothing is missing that could be waited for.
    Done,
    /// There is something, in words.
    Waiting(Vec<String>),
    /// Waiting has brought nothing for too long.
    Stalled,
}

impl HealthMachine {
    /// The machine of a node that starts now.
    #[must_use]
    pub fn new(thresholds: HealthThresholds, now: Tick) -> Self {
        let catch_up = CatchUp {
            progressed_at: now,
            ..CatchUp::default()
        };
        Self {
            thresholds,
            state: RegionState::Recovering,
            since: now,
            started: now,
            began_empty: None,
            has_joined: false,
            signals: Signals::default(),
            blocked_at: None,
            degraded_at: None,
            catch_up,
            reasons: vec!["this node has just started".to_owned()],
            changes: 0,
        }
    }

    /// The state, as of the last look.
    #[must_use]
    pub fn state(&self) -> RegionState {
        self.state
    }

    /// Since when.
    #[must_use]
    pub fn since(&self) -> Tick {
        self.since
    }

    /// Why it is not healthy.
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    /// How often the state has changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The thresholds.
    #[must_use]
    pub fn thresholds(&self) -> &HealthThresholds {
        &self.thresholds
    }

    /// Whether a peer counts as silent, by its place in the inputs.
    #[must_use]
    pub fn is_silent(&self, peer: usize) -> bool {
        self.signals.is_silent(peer)
    }

    /// Takes in a look, which may come at any time; gives the change that it has made, if any.
    pub fn observe(&mut self, now: Tick, inputs: &HealthInputs) -> Option<Transition> {
        self.began_empty.get_or_insert(inputs.is_empty);
        let findings = self.signals.judge(now, &self.thresholds, inputs);
        if !findings.blocking.is_empty() {
            self.blocked_at = Some(now);
        }
        if !findings.degrading.is_empty() {
            let at = now.minus_millis(findings.degraded_ago_ms);
            self.degraded_at = self.degraded_at.max(Some(at));
        }
        let standing = self.standing(now, inputs);
        let next = self.next(now, inputs, &findings, &standing);
        self.reasons = self.explain(next, findings, standing);
        if next == self.state {
            return None;
        }
        let transition = Transition {
            at: now,
            from: self.state,
            to: next,
            reasons: self.reasons.clone(),
        };
        if next == RegionState::Recovering {
            self.catch_up = CatchUp {
                progressed_at: now,
                ..CatchUp::default()
            };
        }
        self.state = next;
        self.since = now;
        self.changes += 1;
        Some(transition)
    }

    fn next(
        &mut self,
        now: Tick,
        inputs: &HealthInputs,
        findings: &Findings,
        standing: &Standing,
    ) -> RegionState {
        if !findings.blocking.is_empty() {
            return RegionState::Unhealthy;
        }
        let is_degraded = !findings.degrading.is_empty();
        let joins = self.joins(now, inputs);
        match self.state {
            RegionState::Unhealthy if self.is_calm(now, self.blocked_at) => RegionState::Recovering,
            RegionState::Unhealthy => RegionState::Unhealthy,
            RegionState::Recovering => match standing {
                Standing::Waiting(_) => RegionState::Recovering,
                // It differs from its peers and nothing is coming: that needs somebody's attention for a while at least.
                Standing::Stalled => {
                    self.degraded_at = Some(now);
                    RegionState::Degraded
                }
                Standing::Done if is_degraded => RegionState::Degraded,
                Standing::Done => RegionState::Healthy,
            },
            _ if joins => RegionState::Recovering,
            _ if is_degraded => RegionState::Degraded,
            RegionState::Degraded if !self.is_calm(now, self.degraded_at) => RegionState::Degraded,
            RegionState::Degraded | RegionState::Healthy => RegionState::Healthy,
        }
    }

    /// An empty region does not wait for peers, since in a new cluster there are none yet. If it then hears that it lacks
    /// something, its disk was replaced, or it has come late: it must catch up like any other that starts.
    fn joins(&mut self, now: Tick, inputs: &HealthInputs) -> bool {
        // `<`: as long as one that is not empty would have waited.
        let is_early = now.millis_since(self.started) < self.thresholds.recovering_silence_ms;
        let lacks = |peer: &PeerInput| peer.is_open() && peer.behind_changes > 0 && !peer.has_caught_up;
        let joins = is_early
            && !self.has_joined
            && self.began_empty == Some(true)
            && self.state.takes_traffic()
            && inputs.peers.iter().any(lacks);
        self.has_joined |= joins;
        joins
    }

    fn is_calm(&self, now: Tick, bad_at: Option<Tick>) -> bool {
        // `>=`: so long is long enough.
        bad_at.is_none_or(|at| now.millis_since(at) >= self.thresholds.calm_ms)
            || mutation::is_on(Mutation::FlapHealth)
    }

    /// Where catching up with the peers stands. Only those that are heard can be caught up with; those that are not may
    /// still be about to say something.
    fn standing(&mut self, now: Tick, inputs: &HealthInputs) -> Standing {
        let thresholds = &self.thresholds;
        let is_new = self.began_empty == Some(true) && self.changes == 0;
        let mut waiting = Vec::new();
        let mut may_stall = true;
        for (place, peer) in inputs.peers.iter().enumerate().filter(|(_, peer)| peer.is_open()) {
            let region = peer.region;
            if self.signals.is_silent(place) {
                let waits = now.millis_since(self.since) < thresholds.recovering_silence_ms;
                if waits && !is_new {
                    waiting.push(format!("waiting for a word of {region}"));
                    may_stall = false;
                }
                continue;
            }
            // `<=`: the bound itself is near enough. Before everything was there once, lag says only how long this
            // process has run.
            let is_near = peer.has_caught_up && peer.lag_ms <= thresholds.recovering_lag_ms;
            let least = self.catch_up.least_behind.entry(region).or_insert(u64::MAX);
            if peer.behind_changes < *least {
                *least = peer.behind_changes;
                self.catch_up.progressed_at = now;
            }
            if peer.behind_changes > 0 && !is_near {
                let behind = peer.behind_changes;
                waiting.push(format!("catching up: {behind} changes of {region} are missing"));
            }
        }
        let stalled_ms = now.millis_since(self.catch_up.progressed_at);
        if waiting.is_empty() {
            Standing::Done
        } else if may_stall && stalled_ms >= thresholds.recovering_stalled_ms {
            Standing::Stalled
        } else {
            Standing::Waiting(waiting)
        }
    }

    fn explain(&self, state: RegionState, findings: Findings, standing: Standing) -> Vec<String> {
        let mut reasons = findings.blocking;
        reasons.extend(findings.degrading);
        let calm_ms = self.thresholds.calm_ms;
        match (state, standing) {
            (RegionState::Healthy, _) => {}
            (RegionState::Recovering, Standing::Waiting(waiting)) => reasons.extend(waiting),
            (RegionState::Recovering, _) => reasons.push("it was unhealthy until now".to_owned()),
            (_, Standing::Stalled) if reasons.is_empty() => reasons.push(format!(
                "this region lacks changes of its peers, and none have come for {} ms",
                self.thresholds.recovering_stalled_ms
            )),
            (_, _) if reasons.is_empty() => {
                reasons.push(format!(
                    "what was wrong is over since less than calm_ms ({calm_ms} ms)"
                ));
            }
            (_, _) => {}
        }
        reasons
    }
}
