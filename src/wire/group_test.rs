//! Round trips of what members of a group send each other.

use super::*;
use crate::model::agreement::NodeRole;
use crate::model::hlc::WallTime;
use crate::model::ids::{Incarnation, ReplicaId};
use crate::model::pauses::PauseStamp;
use crate::model::raft::{RaftNodeId, Term};
use crate::model::vector::Dot;
use crate::wire::raft::StoredPayload;

fn member() -> MemberId {
    MemberId {
        node: "n1".parse().unwrap(),
        incarnation: Incarnation(3),
    }
}

fn pauses() -> Vec<(RegionId, LinkPause)> {
    let stamp = PauseStamp {
        at: WallTime::from_micros(300),
        node: "n1".parse().unwrap(),
    };
    let is_paused = true;
    vec![("eu".parse().unwrap(), LinkPause { is_paused, stamp })]
}

fn vector() -> VersionVector {
    let replica = ReplicaId {
        region: "eu".parse().unwrap(),
        incarnation: Incarnation(3),
    };
    VersionVector::from_iter([Dot { replica, seq: 8 }])
}

fn vote() -> StoredVote {
    StoredVote {
        term: Term(4),
        leader: RaftNodeId::from(member()),
        is_committed: true,
    }
}

fn id() -> StoredLogId {
    StoredLogId {
        term: Term(4),
        leader: RaftNodeId::from(member()),
        index: RaftIndex(8),
    }
}

#[test]
fn requests_come_back_as_they_were() {
    let entries = vec![StoredEntry {
        id: id(),
        payload: StoredPayload::Group(Bytes::from_static(b"group")),
    }];
    for request in [
        GroupRequest::Append {
            vote: vote(),
            previous: Some(id()),
            entries,
            committed: None,
        },
        GroupRequest::Vote {
            vote: vote(),
            last: None,
        },
        GroupRequest::ReadIndex,
        GroupRequest::Write(Bytes::from_static(b"write")),
        GroupRequest::Yield {
            epoch: Epoch {
                term: 9,
                leader: member(),
            },
            next: "n2".parse().unwrap(),
        },
        GroupRequest::Snapshot {
            id: SnapshotId(5),
            chunk: Bytes::from_static(b"chunk"),
        },
        GroupRequest::Install {
            id: SnapshotId(5),
            vote: vote(),
            applied: StoredApplied::default(),
        },
        GroupRequest::ChangeNode {
            node: "n2".parse().unwrap(),
            change: NodeChange::Remove { fewer_copies: true },
        },
        GroupRequest::Members,
        GroupRequest::Pauses(pauses()),
        GroupRequest::Committed(vec![CommittedUpto {
            partition: PartitionId(3),
            vote: vote(),
            upto: id(),
        }]),
        GroupRequest::WriteAsHome(Bytes::from_static(b"write")),
        GroupRequest::SettleHome,
        GroupRequest::TellAgain,
    ] {
        let bytes = request.encode();
        assert_eq!(GroupRequest::decode(&bytes).unwrap(), request);
        assert!(GroupRequest::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}

#[test]
fn answers_come_back_as_they_were() {
    for answer in [
        GroupAnswer::Appended(Appended::All),
        GroupAnswer::NodeChanged(Err(ChangeNodeError::NotAMember("n2".parse().unwrap()))),
        GroupAnswer::Members([(member(), NodeRole::Drained)].into()),
        GroupAnswer::Appended(Appended::Upto(Some(id()))),
        GroupAnswer::Appended(Appended::Conflict),
        GroupAnswer::Appended(Appended::HigherVote(vote())),
        GroupAnswer::Voted {
            vote: vote(),
            is_granted: true,
            last: Some(id()),
            voter: member(),
            floor: Hlc(77),
        },
        GroupAnswer::ReadAt(RaftIndex(5)),
        GroupAnswer::Written(Bytes::from_static(b"written"), RaftIndex(6)),
        GroupAnswer::NotLeader(Some("n2".parse().unwrap())),
        GroupAnswer::Freed,
        GroupAnswer::SnapshotDue(Some(3)),
        GroupAnswer::Installed(vote()),
        GroupAnswer::Pauses(pauses()),
        GroupAnswer::NotTaken(vec![PartitionId(3)]),
        GroupAnswer::HomeSettled(vector()),
        GroupAnswer::ToldAgain,
    ] {
        let bytes = answer.encode();
        assert_eq!(GroupAnswer::decode(&bytes).unwrap(), answer);
        assert!(GroupAnswer::decode(&bytes[1..]).is_err());
    }
}

#[test]
fn proposals_come_back_as_they_were() {
    for entry in [None, Some(Bytes::from_static(b"entry"))] {
        let proposal = Proposal {
            epoch: Epoch {
                term: 9,
                leader: member(),
            },
            life: 11,
            number: 12,
            entry,
        };
        assert_eq!(Proposal::decode(&proposal.encode()).unwrap(), proposal);
    }
}
