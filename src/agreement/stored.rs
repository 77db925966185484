//! Between openraft's types and those of [`crate::wire::raft`], which are what is on disk.

use openraft::{CommittedLeaderId, EntryPayload};

use super::types::{EncodedGroup, Entry, LogId, Membership, Vote};
use crate::model::raft::{RaftIndex, Term};
use crate::wire::raft::{StoredEntry, StoredLogId, StoredMembers, StoredPayload, StoredVote};

impl From<LogId> for StoredLogId {
    fn from(id: LogId) -> Self {
        Self {
            term: Term(id.leader_id.term),
            leader: id.leader_id.node_id,
            index: RaftIndex(id.index),
        }
    }
}

impl From<StoredLogId> for LogId {
    fn from(stored: StoredLogId) -> Self {
        Self::new(
            CommittedLeaderId::new(stored.term.0, stored.leader),
            stored.index.0,
        )
    }
}

impl From<Vote> for StoredVote {
    fn from(vote: Vote) -> Self {
        Self {
            term: Term(vote.leader_id.term),
            leader: vote.leader_id.node_id,
            is_committed: vote.committed,
        }
    }
}

impl From<StoredVote> for Vote {
    fn from(stored: StoredVote) -> Self {
        let StoredVote {
            term,
            leader,
            is_committed,
        } = stored;
        if is_committed {
            Self::new_committed(term.0, leader)
        } else {
            Self::new(term.0, leader)
        }
    }
}

impl From<&Membership> for StoredMembers {
    fn from(membership: &Membership) -> Self {
        Self {
            voters: membership.get_joint_config().clone(),
            nodes: membership.nodes().map(|(node, role)| (*node, *role)).collect(),
        }
    }
}

impl From<StoredMembers> for Membership {
    fn from(stored: StoredMembers) -> Self {
        Self::new(stored.voters, stored.nodes)
    }
}

impl From<Entry> for StoredEntry {
    fn from(entry: Entry) -> Self {
        let payload = match entry.payload {
            EntryPayload::Blank => StoredPayload::Blank,
            EntryPayload::Normal(EncodedGroup(bytes)) => StoredPayload::Group(bytes),
            EntryPayload::Membership(membership) => StoredPayload::Members((&membership).into()),
        };
        Self {
            id: entry.log_id.into(),
            payload,
        }
    }
}

impl From<StoredEntry> for Entry {
    fn from(stored: StoredEntry) -> Self {
        let payload = match stored.payload {
            StoredPayload::Blank => EntryPayload::Blank,
            StoredPayload::Group(bytes) => EntryPayload::Normal(EncodedGroup(bytes)),
            StoredPayload::Members(members) => EntryPayload::Membership(members.into()),
        };
        Self {
            log_id: stored.id.into(),
            payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use bytes::Bytes;

    use super::*;
    use crate::model::agreement::NodeRole;
    use crate::model::ids::Incarnation;
    use crate::model::raft::RaftNodeId;

    fn node(name: &str) -> RaftNodeId {
        RaftNodeId::new(name.parse().unwrap(), Incarnation(3))
    }

    #[test]
    fn what_is_stored_comes_back_as_it_was() {
        let joint: Vec<BTreeSet<_>> = vec![[node("a"), node("b")].into(), [node("b"), node("c")].into()];
        let nodes: BTreeMap<_, _> = [
            (node("a"), NodeRole::Active),
            (node("b"), NodeRole::Drained),
            (node("c"), NodeRole::Leaving),
            (node("d"), NodeRole::Active),
        ]
        .into();
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(EncodedGroup(Bytes::from_static(b"group"))),
            EntryPayload::Membership(Membership::new(joint, nodes)),
            EntryPayload::Membership(Membership::default()),
        ];
        for payload in payloads {
            let entry = Entry {
                log_id: LogId::new(CommittedLeaderId::new(5, node("a")), 9),
                payload,
            };
            let stored = StoredEntry::from(entry.clone());
            assert_eq!(Entry::from(stored), entry);
        }
        for vote in [
            Vote::default(),
            Vote::new(4, node("a")),
            Vote::new_committed(4, node("a")),
        ] {
            assert_eq!(Vote::from(StoredVote::from(vote)), vote);
        }
    }
}
