//! What the members of a partition's group ask each other, inside the requests of [`mesh`](crate::wire::mesh), and what a
//! leader proposes. The order of the variants is on the wire: append only.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::agreement::{ChangeNodeError, Epoch, MemberId, Members, NodeChange};
use crate::model::hlc::Hlc;
use crate::model::ids::{NodeId, PartitionId, RegionId};
use crate::model::pauses::LinkPause;
use crate::model::raft::RaftIndex;
use crate::model::vector::VersionVector;
use crate::wire::codec::{self, DecodeError};
use crate::wire::raft::{StoredApplied, StoredEntry, StoredLogId, StoredVote};
use crate::wire::snapshot::SnapshotId;

const REQUEST_FORMAT: u8 = 1;
const ANSWER_FORMAT: u8 = 1;
const PROPOSAL_FORMAT: u8 = 1;

/// A request of one member to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupRequest {
    /// From the leader: entries to append, or none to show that it leads.
    Append {
        /// By which it leads.
        vote: StoredVote,
        /// The entry before the first.
        previous: Option<StoredLogId>,
        /// They.
        entries: Vec<StoredEntry>,
        /// How far entries are agreed on.
        committed: Option<StoredLogId>,
    },
    /// From a candidate: vote for it.
    Vote {
        /// The vote that it asks for.
        vote: StoredVote,
        /// Its last entry.
        last: Option<StoredLogId>,
    },
    /// To the leader: how far must be applied for a read that begins now to see all that was answered before?
    ReadIndex,
    /// To the leader: make this write, as [`crate::wire::region_calls`] encodes it.
    Write(Bytes),
    /// From the leader: it gives up the group, and nobody is bound to it any more. `next` should lead.
    Yield {
        /// In which it has led.
        epoch: Epoch,
        /// Who should stand for election.
        next: NodeId,
    },
    /// From the leader: a part of the partition as it is there, for a member that is too far behind for entries.
    Snapshot {
        /// Which snapshot.
        id: SnapshotId,
        /// A chunk of it; empty to ask which one is due.
        chunk: Bytes,
    },
    /// From the leader: all chunks are there; put them into the place of what the partition has.
    Install {
        /// Which snapshot.
        id: SnapshotId,
        /// By which the sender leads.
        vote: StoredVote,
        /// How far the group is with it.
        applied: StoredApplied,
    },
    /// To the leader of the region's group: change what a node is for.
    ChangeNode {
        /// Which.
        node: NodeId,
        /// To what.
        change: NodeChange,
    },
    /// To the leader of the region's group: who are the members of the region?
    Members,
    /// To any node, of no partition: the links that operators have paused and resumed, as far as the sender knows.
    Pauses(Vec<(RegionId, LinkPause)>),
    /// From the leader of several partitions, of none of them alone: what each group has agreed on, of entries that the member has.
    Committed(Vec<CommittedUpto>),
    /// As `Write`, but only if the region is the home of the namespace.
    WriteAsHome(Bytes),
    /// To the leader: the region hands over the home of a namespace. When all has ended that you have begun as the home of any, what
    /// does the partition have, which the new home must have?
    SettleHome,
    /// To the leader: the asker has entries of which it has not heard whether they are agreed on. Tell everybody again how far they are.
    TellAgain,
}

/// How far a group has agreed, as its leader tells a member that has so much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedUpto {
    /// Whose group.
    pub partition: PartitionId,
    /// By which the sender leads.
    pub vote: StoredVote,
    /// The last entry that was agreed on.
    pub upto: StoredLogId,
}

/// What the leader hears of its entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Appended {
    /// All are durable.
    All,
    /// Up to this one.
    Upto(Option<StoredLogId>),
    /// The entry before them is not there.
    Conflict,
    /// Somebody else has a later vote.
    HigherVote(StoredVote),
}

/// The answer to a [`GroupRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupAnswer {
    /// To `Append`.
    Appended(Appended),
    /// To `Vote`.
    Voted {
        /// The latest vote of the one who answers.
        vote: StoredVote,
        /// Whether it is what was asked for.
        is_granted: bool,
        /// Its last entry.
        last: Option<StoredLogId>,
        /// Who answers.
        voter: MemberId,
        /// It has promised that no later leader gives a stamp up to this one.
        floor: Hlc,
    },
    /// To `ReadIndex`.
    ReadAt(RaftIndex),
    /// To `Write` and `WriteAsHome`, as [`crate::wire::region_calls`] encodes it, and the entry that must be applied to see it.
    Written(Bytes, RaftIndex),
    /// To `ReadIndex`, `Write`, `WriteAsHome`, `SettleHome`, `ChangeNode` and `Members`: the one who was asked does not lead. Nothing was done.
    NotLeader(Option<NodeId>),
    /// To `Yield`.
    Freed,
    /// To `Snapshot`: the number of the chunk that is due; none when all are there.
    SnapshotDue(Option<u32>),
    /// To `Install`: it is in its place. The latest vote of the one who answers.
    Installed(StoredVote),
    /// To `ChangeNode`.
    NodeChanged(Result<(), ChangeNodeError>),
    /// To `Members`.
    Members(Members),
    /// To `Pauses`: what is known with what was told.
    Pauses(Vec<(RegionId, LinkPause)>),
    /// To `Committed`: the groups that have not taken it, since they do not run, have a later leader or lack the entry.
    NotTaken(Vec<PartitionId>),
    /// To `SettleHome`: what the partition has.
    HomeSettled(VersionVector),
    /// To `TellAgain`: it is told.
    ToldAgain,
}

/// What a leader proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// In which it was made: under another one it takes no effect.
    pub epoch: Epoch,
    /// Of the process that has made it.
    pub life: u64,
    /// Counts the proposals of that process in this partition.
    pub number: u64,
    /// What to do, as [`crate::wire::entry`] encodes it; none of the entry with which a leader begins.
    pub entry: Option<Bytes>,
}

impl GroupRequest {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        codec::encode_versioned(REQUEST_FORMAT, self).into()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_versioned("a request of a group", REQUEST_FORMAT, bytes)
    }
}

impl GroupAnswer {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        codec::encode_versioned(ANSWER_FORMAT, self).into()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_versioned("an answer of a group", ANSWER_FORMAT, bytes)
    }
}

impl Proposal {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        codec::encode_versioned(PROPOSAL_FORMAT, self).into()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_versioned("a proposal", PROPOSAL_FORMAT, bytes)
    }
}

#[cfg(test)]
#[path = "group_test.rs"]
mod tests;
