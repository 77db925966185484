//! When a leader may answer reads without asking anybody: while a majority of the group has promised, not long ago, to
//! vote for nobody else (leases: Gray and Cheriton 1989; [`super::votes`] is the other side).
//!
//! What counts is when the heartbeat was sent, since the promise began no earlier. [`LEASE_MS`] on the leader's clock
//! is over before [`VOTE_PROMISE_MS`](super::votes::VOTE_PROMISE_MS) on any voter's as long as the rates of two monotonic
//! clocks differ by less than 20 %. A clock that stands still while the machine is suspended breaks that: the clock behind
//! `now` must count such times (`CLOCK_BOOTTIME`).
//!
//! Acknowledgements that an earlier life of this process has asked for must never get here; they travel on
//! connections, which end with it.

use std::collections::{BTreeMap, VecDeque};

use crate::model::agreement::member::MemberId;
use crate::model::agreement::voters::Voters;
use crate::model::ids::PartitionId;
use crate::model::tick::Tick;

/// How long after it was sent an acknowledged heartbeat counts.
pub const LEASE_MS: u64 = 800;
/// Heartbeats whose acknowledgement may still come in time: eight at 100 ms each, and some that are sent out of turn.
const SENT_MAX: usize = 32;

/// The leases of one node in the groups that it leads.
#[derive(Debug, Default)]
pub struct LeaderLeases {
    last: HeartbeatNumber,
    sent: VecDeque<(HeartbeatNumber, Tick)>,
    leads: BTreeMap<PartitionId, Leadership>,
}

/// Counts the heartbeats of one life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct HeartbeatNumber(pub u64);

#[derive(Debug)]
struct Leadership {
    term: u64,
    /// The last heartbeat before this leadership: only later ones have told of it.
    begun_after: HeartbeatNumber,
    /// When the last heartbeat was sent that a voter has acknowledged.
    acknowledged: BTreeMap<MemberId, Tick>,
}

impl LeaderLeases {
    /// This node leads a group in that term from now on.
    pub fn lead(&mut self, group: PartitionId, term: u64) {
        let leadership = Leadership {
            term,
            begun_after: self.last,
            acknowledged: BTreeMap::new(),
        };
        self.leads.insert(group, leadership);
    }

    /// It does not any more.
    pub fn resign(&mut self, group: PartitionId) {
        self.leads.remove(&group);
    }

    /// What a heartbeat says: the groups that this node leads, and in which term.
    #[must_use]
    pub fn leads(&self) -> BTreeMap<PartitionId, u64> {
        self.leads
            .iter()
            .map(|(group, lead)| (*group, lead.term))
            .collect()
    }

    /// A heartbeat that says [`Self::leads`] is about to be sent to all nodes.
    pub fn send(&mut self, now: Tick) -> HeartbeatNumber {
        while self.sent.len() >= SENT_MAX || self.sent.front().is_some_and(|(_, at)| is_over(*at, now)) {
            self.sent.pop_front();
        }
        self.last.0 += 1;
        self.sent.push_back((self.last, now));
        self.last
    }

    /// A node, or this one itself, has acknowledged a heartbeat but for some groups. Returns those in which that counts: which
    /// the heartbeat has named, under the present leadership. In others the voter has promised nothing, and what else it has
    /// said counts for nothing either ([`super::promise`]).
    pub fn acknowledged(
        &mut self,
        from: MemberId,
        number: HeartbeatNumber,
        excepted: &[PartitionId],
    ) -> Vec<PartitionId> {
        // One that is not remembered was sent too long ago to count.
        let Some((_, sent_at)) = self.sent.iter().find(|(sent, _)| *sent == number) else {
            return Vec::new();
        };
        let mut counted = Vec::new();
        for (group, lead) in &mut self.leads {
            if number > lead.begun_after && !excepted.contains(group) {
                let at = lead.acknowledged.entry(from).or_default();
                *at = (*at).max(*sent_at);
                counted.push(*group);
            }
        }
        counted
    }

    /// Whether this node has led the group in that term without a break until now. To be asked after a read was made, of the
    /// term in which it began and the voters now; if not, the read must be confirmed in another way.
    #[must_use]
    pub fn holds(&self, now: Tick, group: PartitionId, term: u64, voters: &Voters) -> bool {
        self.leads.get(&group).is_some_and(|lead| {
            let sent_at = voters.reached_by_majority(|member| lead.acknowledged.get(&member).copied());
            lead.term == term && sent_at.is_some_and(|at| !is_over(at, now))
        })
    }
}

/// `>=`: the last 0.8 s do not include their end.
fn is_over(sent_at: Tick, now: Tick) -> bool {
    now >= sent_at.plus_millis(LEASE_MS)
}

#[cfg(test)]
#[path = "leases_test.rs"]
mod tests;
