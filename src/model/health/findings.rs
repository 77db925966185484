//! What a look means: which signs of trouble are there, how bad they are, and since when each was last seen.

use crate::model::health::inputs::{HealthInputs, PeerInput};
use crate::model::health::signal::{LEAVE_PERCENT, Signal};
use crate::model::health::thresholds::HealthThresholds;
use crate::model::tick::Tick;

/// An election takes about two seconds with the time in which a lost leader is noticed; one that is not over after so long
/// is in trouble.
const ELECTION_MS_MAX: u64 = 10_000;

/// The signs that are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Those that make unhealthy.
    pub blocking: Vec<String>,
    /// Those that degrade.
    pub degrading: Vec<String>,
    /// For how long all that degrades is over already, where that is known: a link stays quarantined for a while after the
    /// last stamp that was refused, and that while is calm.
    pub degraded_ago_ms: u64,
}

/// The signs that are measured, each with its memory.
#[derive(Debug, Default)]
pub struct Signals {
    commit_slow: Signal,
    lag: Signal,
    log: Signal,
    clock: Signal,
    quorum: Signal,
    leaderless: Signal,
    /// Which peers count as silent, in the order of the peers.
    silent: Vec<bool>,
}

impl Signals {
    /// Whether a peer is silent, as of the last look. One that was never heard is.
    #[must_use]
    pub fn is_silent(&self, peer: usize) -> bool {
        self.silent.get(peer).copied().unwrap_or(true)
    }

    /// Judges a look.
    pub fn judge(&mut self, now: Tick, thresholds: &HealthThresholds, inputs: &HealthInputs) -> Findings {
        self.judge_silence(thresholds, &inputs.peers);
        let mut findings = Findings {
            blocking: inputs.blockers.clone(),
            ..Findings::default()
        };
        // `>=`: from then on requests time out.
        if inputs.commit.oldest_ms >= thresholds.commit_stalled_ms {
            findings.blocking.push(format!(
                "a commit has waited for the disk for {} ms: writes time out; look at the disk",
                inputs.commit.oldest_ms
            ));
        }
        let mut held_ms = Vec::new();
        self.judge_links(inputs, &mut findings.degrading, &mut held_ms);
        self.judge_measures(now, thresholds, inputs, &mut findings.degrading, &mut held_ms);
        findings.degraded_ago_ms = held_ms.into_iter().min().unwrap_or(0);
        findings
    }

    /// A peer becomes silent at the threshold and is heard again well below it.
    fn judge_silence(&mut self, thresholds: &HealthThresholds, peers: &[PeerInput]) {
        self.silent.resize(peers.len(), true);
        #[expect(clippy::cast_precision_loss, reason = "the configuration allows 1 to 16")]
        let threshold = thresholds.peer_phi as f64;
        #[expect(clippy::cast_precision_loss, reason = "a constant percentage")]
        let leave = threshold * LEAVE_PERCENT as f64 / 100.0;
        for (silent, peer) in self.silent.iter_mut().zip(peers) {
            *silent = match peer.phi {
                None => true,
                Some(phi) if *silent => phi >= leave,
                Some(phi) => phi >= threshold,
            };
        }
    }

    /// What is known without measuring degrades at once.
    fn judge_links(&self, inputs: &HealthInputs, degrading: &mut Vec<String>, held_ms: &mut Vec<u64>) {
        for peer in inputs.peers.iter().filter(|peer| !peer.is_paused) {
            let region = peer.region;
            if let Some(calm_ms) = peer.quarantined_for_ms {
                degrading.push(format!("the link to {region} is in state quarantined"));
                held_ms.push(calm_ms);
            } else if peer.needs_resync {
                degrading.push(format!("the link to {region} is in state resync"));
                held_ms.push(0);
            }
        }
        if let Some(lacking) = &inputs.lacking {
            degrading.push(lacking.clone());
            held_ms.push(0);
        }
    }

    fn judge_measures(
        &mut self,
        now: Tick,
        thresholds: &HealthThresholds,
        inputs: &HealthInputs,
        degrading: &mut Vec<String>,
        held_ms: &mut Vec<u64>,
    ) {
        let mut found = |is_on: bool, text: String| {
            if is_on {
                degrading.push(text);
                held_ms.push(0);
            }
        };
        let patience_ms = thresholds.patience_ms;
        let commit_ms = inputs.commit.mean_ms.max(inputs.commit.oldest_ms);
        let is_slow = self
            .commit_slow
            .measure(now, commit_ms, thresholds.commit_slow_ms, patience_ms);
        found(
            is_slow,
            format!("group commits take {commit_ms} ms: the disk is slow or has too much to do"),
        );
        let furthest = inputs
            .peers
            .iter()
            .enumerate()
            .filter(|(place, peer)| peer.is_open() && peer.behind_changes > 0 && !self.is_silent(*place))
            .max_by_key(|(_, peer)| peer.lag_ms);
        let (lag_ms, text) = furthest.map_or((0, String::new()), |(_, peer)| {
            let (region, behind, lag_ms) = (peer.region, peer.behind_changes, peer.lag_ms);
            let text = format!("this region lacks {behind} changes of {region} and is {lag_ms} ms behind it");
            (lag_ms, text)
        });
        let is_behind = self
            .lag
            .measure(now, lag_ms, thresholds.lag_degraded_ms, patience_ms);
        // Between both thresholds it may be behind nobody for a moment.
        found(
            is_behind,
            if text.is_empty() {
                "this region was far behind a peer until now".to_owned()
            } else {
                text
            },
        );
        let is_filling = self.log.measure(
            now,
            inputs.log_percent,
            thresholds.log_degraded_percent,
            patience_ms,
        );
        found(
            is_filling,
            format!(
                "the logs have taken {} % of log_retention_bytes: at 100 % peers that are away need a resync",
                inputs.log_percent
            ),
        );
        let is_wrong = self
            .clock
            .measure(now, inputs.clock_error_ms, thresholds.clock_error_ms, patience_ms);
        found(
            is_wrong,
            format!(
                "this node's clock is {} ms from those of the other regions: mend it, look at NTP",
                inputs.clock_error_ms
            ),
        );
        let is_leaderless = self
            .leaderless
            .observe(now, inputs.leaderless.is_some(), ELECTION_MS_MAX);
        found(is_leaderless, inputs.leaderless.clone().unwrap_or_default());
        let unheard: Vec<String> = inputs
            .peers
            .iter()
            .enumerate()
            .filter(|(place, peer)| !peer.is_paused && self.is_silent(*place))
            .map(|(_, peer)| peer.region.to_string())
            .collect();
        // `>=`: with exactly half of all regions silent the others are no majority.
        let is_minority = unheard.len() * 2 > inputs.peers.len();
        let is_lost = self.quorum.observe(now, is_minority, thresholds.quorum_lost_ms);
        found(
            is_lost,
            format!(
                "{} are silent, so this region is not with a majority: it goes on by itself",
                unheard.join(", ")
            ),
        );
    }
}
