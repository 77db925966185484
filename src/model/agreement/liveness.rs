//! Which nodes of the region are gone, and so which groups have no leader: one failure detector for each pair of nodes,
//! none for groups.
//!
//! Nodes tell each other every [`HEARTBEAT_INTERVAL_MS`] that they live, which groups they lead, and which nodes they
//! suspect. A node alone deposes nobody: a leader is given up when a majority of the group suspects it, so that one that
//! has lost only its own way to the leader does not depose it again and again.
//!
//! Silence is judged by phi accrual (Hayashibara et al. 2004), and never before [`VOTE_PROMISE_MS`] have passed: who
//! says that it suspects a node has no promise to it left, so that the votes that follow are not refused.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::agreement::member::MemberId;
use crate::model::agreement::voters::Voters;
use crate::model::agreement::votes::VOTE_PROMISE_MS;
use crate::model::health::Suspicion;
use crate::model::ids::PartitionId;
use crate::model::tick::Tick;

/// How often a node tells the others that it lives: eight times within a lease, so that it outlasts some that are lost.
pub const HEARTBEAT_INTERVAL_MS: u64 = 100;
/// A silence as improbable as 10^-8 is suspect, where heartbeats come so irregularly that a second is not enough.
const PHI_SUSPECT: f64 = 8.0;

/// What one node knows of the others.
#[derive(Debug)]
pub struct Liveness {
    own: MemberId,
    peers: BTreeMap<MemberId, Peer>,
}

/// One of the others, by its last heartbeat.
#[derive(Debug)]
struct Peer {
    suspicion: Suspicion,
    heard_at: Tick,
    leads: BTreeSet<PartitionId>,
    suspects: BTreeSet<MemberId>,
}

impl Peer {
    /// Counts from `now`, as if it had been heard: a node that starts suspects nobody at once.
    fn new(now: Tick) -> Self {
        let mut suspicion = Suspicion::new(HEARTBEAT_INTERVAL_MS);
        suspicion.heard(now);
        Self {
            suspicion,
            heard_at: now,
            leads: BTreeSet::new(),
            suspects: BTreeSet::new(),
        }
    }

    /// `>=`: both have lasted so long.
    fn is_silent(&self, now: Tick) -> bool {
        now.millis_since(self.heard_at) >= VOTE_PROMISE_MS
            && self.suspicion.phi(now).is_some_and(|phi| phi >= PHI_SUSPECT)
    }
}

impl Liveness {
    /// Of a node that has started.
    #[must_use]
    pub fn new(own: MemberId, peers: impl IntoIterator<Item = MemberId>, now: Tick) -> Self {
        let mut liveness = Self {
            own,
            peers: BTreeMap::new(),
        };
        liveness.set_peers(peers, now);
        liveness
    }

    /// The other nodes of the region from now on. What is known of those that stay is kept.
    pub fn set_peers(&mut self, peers: impl IntoIterator<Item = MemberId>, now: Tick) {
        let mut before = std::mem::take(&mut self.peers);
        let peers = peers.into_iter().filter(|peer| *peer != self.own);
        self.peers = peers
            .map(|peer| (peer, before.remove(&peer).unwrap_or_else(|| Peer::new(now))))
            .collect();
    }

    /// A heartbeat has come. Those of unknown nodes are nobody's: they are not of this region.
    pub fn heard(
        &mut self,
        now: Tick,
        from: MemberId,
        leads: BTreeSet<PartitionId>,
        suspects: BTreeSet<MemberId>,
    ) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.suspicion.heard(now);
            peer.heard_at = now;
            peer.leads = leads;
            peer.suspects = suspects;
        }
    }

    /// What this node's heartbeats say: whom it suspects.
    #[must_use]
    pub fn suspected(&self, now: Tick) -> BTreeSet<MemberId> {
        let silent = self.peers.iter().filter(|(_, peer)| peer.is_silent(now));
        silent.map(|(member, _)| *member).collect()
    }

    /// Whether a node and this one hear each other. Where only one does, the way is cut in one direction, and this node's
    /// promises would be of no use: such heartbeats are not acknowledged.
    #[must_use]
    pub fn is_mutual(&self, now: Tick, member: MemberId) -> bool {
        let peer = self.peers.get(&member);
        peer.is_some_and(|peer| !peer.is_silent(now) && !peer.suspects.contains(&self.own))
    }

    /// Whether somebody should stand for election in a group: nobody says that it leads it, but nodes that a majority of
    /// the voters has given up. To be asked by a voter that does not lead.
    #[must_use]
    pub fn is_leaderless(&self, now: Tick, group: PartitionId, voters: &Voters) -> bool {
        let leaders = self.peers.iter().filter(|(_, peer)| peer.leads.contains(&group));
        leaders
            .map(|(leader, _)| *leader)
            .all(|leader| voters.reached_by_majority(|voter| self.is_given_up_by(now, leader, voter)))
    }

    /// Whether a voter and a leader do not hear each other, as far as is known here. The last words of nodes that this one
    /// does not hear say nothing.
    fn is_given_up_by(&self, now: Tick, leader: MemberId, voter: MemberId) -> bool {
        if voter == self.own {
            return !self.is_mutual(now, leader);
        }
        let says = |who: MemberId, of: MemberId| {
            let peer = self.peers.get(&who).filter(|peer| !peer.is_silent(now));
            peer.map(|peer| peer.suspects.contains(&of))
        };
        says(voter, leader).is_some_and(|voter_does| voter_does || says(leader, voter) == Some(true))
    }
}

#[cfg(test)]
#[path = "liveness_test.rs"]
mod tests;
