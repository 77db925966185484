//! Telling other nodes what was agreed on in the groups that this one leads.
//!
//! One message to each node is under way at a time. What is agreed on meanwhile waits for the next one, of each group only the
//! last: a node that is idle hears at once, and a busy one of many groups with one message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;

use crate::actors::group::hub::RegionGroups;
use crate::actors::mesh::service::AnswerError;
use crate::agreement::GroupNetwork as _;
use crate::model::agreement::MemberId;
use crate::model::ids::{NodeId, PartitionId};
use crate::wire::group::{CommittedUpto, GroupAnswer, GroupRequest};

/// How long a node may take with one message: as long as with entries, which it stores.
const PATIENCE: Duration = Duration::from_millis(600);

/// What waits for one member, by partition. There is an entry for a member while a message to it is under way.
type Waiting = BTreeMap<MemberId, BTreeMap<PartitionId, CommittedUpto>>;

/// What other nodes are still to be told.
#[derive(Debug, Default)]
pub(super) struct Tellings(Mutex<Waiting>);

impl Tellings {
    fn change<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds something to be told; whether somebody must begin to tell.
    fn add(&self, member: MemberId, committed: CommittedUpto) -> bool {
        self.change(|waiting| {
            let begins = !waiting.contains_key(&member);
            let told = waiting.entry(member).or_default();
            // What comes later replaces what was to be told before: there is one leader of a group on this node, which tells in order.
            told.insert(committed.partition, committed);
            begins
        })
    }

    /// What is to be told next; with nothing left the one who tells has done.
    fn take(&self, member: MemberId) -> Option<Vec<CommittedUpto>> {
        self.change(|waiting| {
            let told = std::mem::take(waiting.get_mut(&member)?);
            if told.is_empty() {
                waiting.remove(&member);
                return None;
            }
            Some(told.into_values().collect())
        })
    }
}

impl RegionGroups {
    /// See [`GroupNetwork::tell`](crate::agreement::GroupNetwork::tell).
    pub(super) fn tell_committed(&self, member: MemberId, committed: CommittedUpto) {
        if !self.tellings.add(member, committed) {
            return;
        }
        // None means that the node stops: it tells nobody anything any more.
        if let Some(hub) = self.shared() {
            tokio::spawn(tell(hub, member));
        }
    }

    /// Another node tells what was agreed on in groups that it leads.
    pub(super) async fn answer_committed(
        &self,
        from: NodeId,
        told: Vec<CommittedUpto>,
    ) -> Result<GroupAnswer, AnswerError> {
        let hearing = told.into_iter().map(|committed| async move {
            let partition = committed.partition;
            let is_from_leader = committed.vote.leader.node() == Some(from);
            let has_taken = match self.group(partition).filter(|_| is_from_leader) {
                Some(group) => group.hear(committed).await,
                None => false,
            };
            (!has_taken).then_some(partition)
        });
        let refused = join_all(hearing).await;
        Ok(GroupAnswer::NotTaken(refused.into_iter().flatten().collect()))
    }
}

async fn tell(hub: Arc<RegionGroups>, member: MemberId) {
    loop {
        // What other groups are about to say goes with it.
        tokio::task::yield_now().await;
        let Some(told) = hub.tellings.take(member) else {
            return;
        };
        let upto: Vec<_> = told
            .iter()
            .map(|committed| (committed.partition, committed.upto.index))
            .collect();
        let request = GroupRequest::Committed(told);
        // Of no group: none stands for all.
        let answer = hub.ask(member, PartitionId(0), request, PATIENCE).await;
        let refused = match answer {
            Ok(GroupAnswer::NotTaken(refused)) => Some(refused),
            // It is told again, by openraft, when it can be reached.
            Ok(_) | Err(_) => None,
        };
        for (partition, upto) in upto {
            if let Some(group) = hub.group(partition) {
                let has_taken = refused
                    .as_ref()
                    .is_some_and(|refused| !refused.contains(&partition));
                group.was_told(member, upto, has_taken);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Incarnation;
    use crate::model::raft::{RaftIndex, RaftNodeId, Term};
    use crate::wire::raft::{StoredLogId, StoredVote};

    fn member(name: &str) -> MemberId {
        MemberId {
            node: name.parse().unwrap(),
            incarnation: Incarnation(1),
        }
    }

    fn upto(partition: u16, index: u64) -> CommittedUpto {
        let leader = RaftNodeId::from(member("own"));
        CommittedUpto {
            partition: PartitionId(partition),
            vote: StoredVote {
                term: Term(2),
                leader,
                is_committed: true,
            },
            upto: StoredLogId {
                term: Term(2),
                leader,
                index: RaftIndex(index),
            },
        }
    }

    #[test]
    fn what_comes_while_a_message_is_under_way_goes_with_the_next_one_and_of_each_group_only_the_last() {
        let tellings = Tellings::default();
        let (a, b) = (member("a"), member("b"));
        assert!(tellings.add(a, upto(1, 7)));
        assert_eq!(tellings.take(a), Some(vec![upto(1, 7)]));
        assert!(!tellings.add(a, upto(1, 8)));
        assert!(!tellings.add(a, upto(2, 3)));
        assert!(!tellings.add(a, upto(1, 9)));
        assert!(tellings.add(b, upto(1, 9)), "each member is told by itself");
        assert_eq!(tellings.take(a), Some(vec![upto(1, 9), upto(2, 3)]));
        assert_eq!(tellings.take(a), None);
        assert!(tellings.add(a, upto(1, 10)), "whoever has told before has ended");
    }
}
