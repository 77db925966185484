//! What a voter promises to leaders, by its own monotonic clock: leases in the sense of Gray and Cheriton (1989), one
//! for each pair of nodes, renewed by heartbeats.
//!
//! A voter that acknowledges a heartbeat votes for nobody but its sender in the groups that the sender leads, for
//! [`VOTE_PROMISE_MS`]. Three things make that a promise:
//!
//! - It excepts the groups in which the voter has voted for, or heard of, a later leader: an old leader that is only slow
//!   must not collect a lease beside its successor.
//! - A vote that is being stored counts as given: between the check and the answer no promise is made in that group.
//! - It binds the voter's vote for itself, too, and outlives a restart: who has started votes for nobody for as long.
//!
//! A leader is a voter like the others: it acknowledges its own heartbeats here when it sends them.

use std::collections::BTreeMap;

use crate::model::agreement::epoch::Epoch;
use crate::model::agreement::member::MemberId;
use crate::model::ids::PartitionId;
use crate::model::tick::Tick;

/// How long a voter is bound after an acknowledgement and after a start. It bounds from below how soon a dead leader is
/// replaced.
pub const VOTE_PROMISE_MS: u64 = 1000;

/// The promises of one node in all its groups.
#[derive(Debug)]
pub struct VotePromises {
    silent_until: Tick,
    groups: BTreeMap<PartitionId, GroupPromise>,
}

/// In one group.
#[derive(Debug, Default)]
struct GroupPromise {
    /// The latest epoch that this node has voted in or heard of.
    latest: Option<Epoch>,
    /// To whom a promise was made, and until when it holds.
    promised: Option<(MemberId, Tick)>,
    /// The vote that is being stored.
    storing: Option<Epoch>,
}

impl VotePromises {
    /// Of a node that has started: it may have promised something before.
    #[must_use]
    pub fn new(started: Tick) -> Self {
        Self {
            silent_until: started.plus_millis(VOTE_PROMISE_MS),
            groups: BTreeMap::new(),
        }
    }

    /// This group has got so far: the stored vote at a start, and what a leader's entries show later. Must be told
    /// before the first heartbeat is acknowledged.
    pub fn saw(&mut self, group: PartitionId, epoch: Epoch) {
        let group = self.groups.entry(group).or_default();
        group.latest = group.latest.max(Some(epoch));
    }

    /// A heartbeat of a node that leads these groups in these terms. Returns the groups that the acknowledgement must
    /// except; in all others the promise holds from now on.
    ///
    /// Do not acknowledge a node that says that it does not hear this one: the promise would bind this node and be of no use
    /// to the other.
    pub fn acknowledge(
        &mut self,
        now: Tick,
        sender: MemberId,
        leads: &BTreeMap<PartitionId, u64>,
    ) -> Vec<PartitionId> {
        let mut excepted = Vec::new();
        for (id, term) in leads {
            let epoch = Some(Epoch {
                term: *term,
                leader: sender,
            });
            let group = self.groups.entry(*id).or_default();
            // `>`: the vote for the sender itself is no obstacle.
            if group.latest.max(group.storing) > epoch {
                excepted.push(*id);
                continue;
            }
            group.latest = epoch;
            // A promise to an earlier leader may go: this one could be elected only when that one's lease was over.
            group.promised = Some((sender, now.plus_millis(VOTE_PROMISE_MS)));
        }
        excepted
    }

    /// A leader has given up a group and relies on no promise in it any more, as long as it leads in this epoch.
    pub fn release(&mut self, group: PartitionId, epoch: Epoch) {
        let group = self.groups.entry(group).or_default();
        // Not what was promised to it in a later leadership, which such a message may have come too late for.
        if group.latest <= Some(epoch) && group.promised.is_some_and(|(leader, _)| leader == epoch.leader) {
            group.promised = None;
        }
    }

    /// Whether this node may vote so, for another or for itself. If so, the vote is being stored until [`Self::settle`]
    /// says what came of it; to be asked before openraft sees the request.
    #[must_use]
    pub fn ask(&mut self, now: Tick, group: PartitionId, candidate: Epoch) -> bool {
        let group = self.groups.entry(group).or_default();
        // `<`: a promise for a second is over after a second. Leases are shorter by more than the clocks' difference.
        let is_bound = |(leader, until): (MemberId, Tick)| leader != candidate.leader && now < until;
        if now < self.silent_until
            || group.promised.is_some_and(is_bound)
            || group.storing.is_some()
            // `>`: openraft may repeat a vote that it has given.
            || group.latest > Some(candidate)
        {
            return false;
        }
        group.storing = Some(candidate);
        true
    }

    /// What came of a vote that was asked for: it is durable, or it was refused by openraft. Before its answer is sent.
    pub fn settle(&mut self, group: PartitionId, is_granted: bool) {
        let group = self.groups.entry(group).or_default();
        let vote = group.storing.take();
        if is_granted {
            group.latest = group.latest.max(vote);
        }
    }
}

#[cfg(test)]
#[path = "votes_test.rs"]
mod tests;
