//! How far this region's view of a peer is behind: 0 when it has all that the peer says it has, and true when not
//! (LESSONS 11: an idle stream must not look like lag, nor a dead one like none).

use std::collections::BTreeMap;

use crate::model::ids::{PartitionId, RegionId, Seq};
use crate::model::tick::Tick;
use crate::model::vector::VersionVector;

/// What one peer has said of its own changes, and when this region last had all of them.
#[derive(Debug)]
pub struct LagTracker {
    peer: RegionId,
    /// Own changes of the peer, over its incarnations, by partition.
    advertised: BTreeMap<PartitionId, VersionVector>,
    /// When the last word of the peer came in.
    heard_at: Option<Tick>,
    /// The last moment at which nothing that the peer had said was missing.
    caught_up_at: Tick,
    /// Whether there was such a moment.
    has_caught_up: bool,
}

/// How far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Milliseconds.
    pub lag_ms: u64,
    /// Changes that the peer has made and this region has not applied, as far as the peer has said.
    pub changes: u64,
    /// Whether nothing was missing at some moment since the tracker began: before it, the milliseconds say only for how
    /// long it counts.
    pub has_caught_up: bool,
}

impl LagTracker {
    /// A tracker that has heard nothing yet: it counts from `now`.
    #[must_use]
    pub fn new(peer: RegionId, now: Tick) -> Self {
        Self {
            peer,
            advertised: BTreeMap::new(),
            heard_at: None,
            caught_up_at: now,
            has_caught_up: false,
        }
    }

    /// The peer has said what it has. Only its own changes count: others are not this link's business.
    pub fn heard<'a>(&mut self, now: Tick, vectors: impl Iterator<Item = (PartitionId, &'a VersionVector)>) {
        for (partition, vector) in vectors {
            let own: VersionVector = vector
                .iter()
                .filter(|dot| dot.replica.region == self.peer)
                .collect();
            self.advertised.entry(partition).or_default().merge(&own);
        }
        self.heard_at = Some(now);
    }

    /// The lag at `now`. `lacking` counts what of a vector was not applied here; a peer silent for longer than `silence_ms` may have
    /// made changes that nobody has told.
    pub fn measure(
        &mut self,
        now: Tick,
        silence_ms: u64,
        lacking: impl Fn(PartitionId, &VersionVector) -> u64,
    ) -> Lag {
        let changes: Seq = self
            .advertised
            .iter()
            .map(|(partition, advertised)| lacking(*partition, advertised))
            .fold(0, Seq::saturating_add);
        // `<=`: silence of exactly the limit is still fresh.
        let is_fresh = self.heard_at.is_some_and(|at| now.millis_since(at) <= silence_ms);
        if changes == 0 && is_fresh {
            self.caught_up_at = now;
            self.has_caught_up = true;
        }
        Lag {
            lag_ms: now.millis_since(self.caught_up_at),
            changes,
            has_caught_up: self.has_caught_up,
        }
    }

    /// When the last word of the peer came in.
    #[must_use]
    pub fn heard_at(&self) -> Option<Tick> {
        self.heard_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{Incarnation, ReplicaId};
    use crate::model::vector::Dot;

    const P: PartitionId = PartitionId(0);

    fn vector(region: &str, seq: Seq) -> VersionVector {
        let replica = ReplicaId {
            region: region.parse().unwrap(),
            incarnation: Incarnation::FIRST,
        };
        [Dot { replica, seq }].into_iter().collect()
    }

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    fn measure(tracker: &mut LagTracker, now_ms: u64, applied: &VersionVector) -> Lag {
        tracker.measure(at(now_ms), 500, |_, told| told.changes_beyond(applied))
    }

    #[test]
    fn an_idle_peer_that_is_heard_of_has_no_lag() {
        let mut tracker = LagTracker::new("b".parse().unwrap(), at(0));
        let applied = vector("b", 7);
        for now in [1000, 1200, 90_000] {
            tracker.heard(at(now), [(P, &applied)].into_iter());
            assert_eq!(
                measure(&mut tracker, now + 100, &applied),
                Lag {
                    lag_ms: 0,
                    changes: 0,
                    has_caught_up: true,
                }
            );
        }
    }

    #[test]
    fn lag_counts_from_when_everything_was_there() {
        let mut tracker = LagTracker::new("b".parse().unwrap(), at(0));
        let applied = vector("b", 7);
        tracker.heard(at(1000), [(P, &applied)].into_iter());
        measure(&mut tracker, 1000, &applied);
        tracker.heard(at(1200), [(P, &vector("b", 9))].into_iter());
        assert_eq!(
            measure(&mut tracker, 1300, &applied),
            Lag {
                lag_ms: 300,
                changes: 2,
                has_caught_up: true,
            }
        );
        assert_eq!(
            measure(&mut tracker, 1400, &vector("b", 9)),
            Lag {
                lag_ms: 0,
                changes: 0,
                has_caught_up: true,
            }
        );
    }

    #[test]
    fn a_silent_peer_lags_though_nothing_is_known_to_be_missing() {
        let mut tracker = LagTracker::new("b".parse().unwrap(), at(0));
        let applied = vector("b", 7);
        tracker.heard(at(1000), [(P, &applied)].into_iter());
        measure(&mut tracker, 1000, &applied);
        assert_eq!(measure(&mut tracker, 9000, &applied).lag_ms, 8000);
    }

    #[test]
    fn an_absurd_claim_does_not_overflow() {
        let mut tracker = LagTracker::new("b".parse().unwrap(), at(0));
        let claim = vector("b", Seq::MAX);
        tracker.heard(at(1000), [(P, &claim), (PartitionId(1), &claim)].into_iter());
        assert_eq!(
            measure(&mut tracker, 1000, &VersionVector::new()).changes,
            Seq::MAX
        );
    }

    #[test]
    fn changes_of_third_regions_are_not_this_peers_lag() {
        let mut tracker = LagTracker::new("b".parse().unwrap(), at(0));
        tracker.heard(at(1000), [(P, &vector("c", 9))].into_iter());
        assert_eq!(measure(&mut tracker, 1000, &VersionVector::new()).changes, 0);
    }
}
