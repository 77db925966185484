//! What a group needs of its surroundings: a way to the other members, something to apply entries to, and somebody who knows
//! what this node has promised.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::agreement::{Epoch, MemberId};
use crate::model::hlc::Hlc;
use crate::model::ids::PartitionId;
use crate::model::raft::RaftIndex;
use crate::wire::group::{CommittedUpto, GroupAnswer, GroupRequest};
use crate::wire::raft::{StoredApplied, StoredEntry};
use crate::wire::snapshot::SnapshotId;

/// Why another member has not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// The way to the other members.
#[async_trait]
pub trait GroupNetwork: Send + Sync + 'static {
    /// Asks a member. What its node's disk was emptied for is another one, which must not answer in its name.
    ///
    /// # Errors
    /// [`NoAnswer`]; the request may have been received all the same.
    async fn ask(
        &self,
        member: MemberId,
        partition: PartitionId,
        request: GroupRequest,
        patience: Duration,
    ) -> Result<GroupAnswer, NoAnswer>;

    /// Tells a member how far its group has agreed, of entries that it has; together with what it is told of other groups, and
    /// once for all that it was told of one meanwhile. [`Group::was_told`](super::Group::was_told) follows.
    fn tell(&self, member: MemberId, committed: CommittedUpto);
}

/// An entry that a majority has stored, and how far the group is with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The entry.
    pub entry: StoredEntry,
    /// What must be stored with its rows, in one write.
    pub applied: StoredApplied,
}

/// Why entries could not be applied. The group ends and must be started anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotApplied(pub String);

/// What entries are applied to.
#[async_trait]
pub trait GroupMachine: Send + Sync + 'static {
    /// Applies entries in order. When it returns, all of them are visible in the store.
    ///
    /// # Errors
    /// [`NotApplied`]; a part of them may be applied.
    async fn apply(&self, entries: Vec<Agreed>) -> Result<(), NotApplied>;

    /// Stages a chunk of a snapshot (none: nothing); the number of the one that is due, none when all are there.
    ///
    /// # Errors
    /// [`NotApplied`]; nothing was staged.
    async fn stage(&self, id: SnapshotId, chunk: Bytes) -> Result<Option<u32>, NotApplied>;

    /// Puts a staged snapshot, which is up to an entry, into the place of what the partition has, durably; unless that is as far by
    /// itself: a snapshot may come late.
    ///
    /// # Errors
    /// [`NotApplied`], when it is not all there or the store failed.
    async fn install(&self, id: SnapshotId, upto: Option<RaftIndex>) -> Result<(), NotApplied>;
}

/// Who knows what this node has promised to leaders and candidates ([`crate::model::agreement::votes`],
/// [`crate::model::agreement::promise`]). None of it may block.
pub trait VoteKeeper: Send + Sync + 'static {
    /// A group has got so far.
    fn saw(&self, partition: PartitionId, epoch: Epoch);

    /// Whether this node may vote so; if so, [`Self::voted`] follows.
    fn may_vote(&self, partition: PartitionId, candidate: Epoch) -> bool;

    /// A vote that was allowed is durable, or was not given.
    fn voted(&self, partition: PartitionId, is_granted: bool);

    /// A voter has refused this node, because it has entries that this node lacks.
    fn lacks_entries(&self, partition: PartitionId);

    /// What goes with a vote.
    fn floor(&self) -> Hlc;

    /// A voter has sent its floor with its vote for this node.
    fn told(&self, partition: PartitionId, candidate: Epoch, floor: Hlc);

    /// This node has won an election: what must be stored together with that, if anything. [`Self::adopted`] follows.
    fn adopt(&self, partition: PartitionId, epoch: Epoch) -> Option<Hlc>;

    /// That is durable, or nobody knows.
    fn adopted(&self, floor: Hlc, is_durable: bool);
}
