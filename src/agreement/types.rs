//! The types that openraft is used with, and short names for its own types with ours in them.

use bytes::Bytes;

use crate::model::agreement::{Epoch, NodeRole};
use crate::model::raft::RaftNodeId;

/// Ties the types together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupTypes;

impl openraft::RaftTypeConfig for GroupTypes {
    type D = EncodedGroup;
    type R = Applied;
    type NodeId = RaftNodeId;
    // Where a node is reached stands in regions.toml: a log must not overrule it.
    type Node = NodeRole;
    type Entry = openraft::Entry<Self>;
    type SnapshotData = SnapshotData;
    type AsyncRuntime = openraft::TokioRuntime;
    type Responder = openraft::impls::OneshotResponder<Self>;
}

/// What an entry carries: all that a partition commits at once, as [`crate::wire::entry`] encodes it. Openraft does not look
/// into it, and neither does the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedGroup(pub Bytes);

/// Tells a proposer that its entry is in the rows. What came of each write is known to whoever has built the group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied;

/// A partition as of one entry, as openraft sees it: it is read when it is sent, and in its place when openraft hears of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotData(pub Bytes);

pub(super) type LogId = openraft::LogId<RaftNodeId>;
pub(super) type Vote = openraft::Vote<RaftNodeId>;
pub(super) type Entry = openraft::Entry<GroupTypes>;
pub(super) type Membership = openraft::Membership<RaftNodeId, NodeRole>;
pub(super) type StorageError = openraft::StorageError<RaftNodeId>;
pub(super) type StorageIoError = openraft::StorageIOError<RaftNodeId>;

/// The leadership that a vote is for; none of the vote that every group begins with.
pub(super) fn epoch_of(vote: &Vote) -> Option<Epoch> {
    let leader = vote.leader_id.node_id.member()?;
    let term = vote.leader_id.term;
    Some(Epoch { term, leader })
}
