//! What a partition is told.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::actors::partition::member::{Leadership, WhenApplied};
use crate::actors::region::{Admission, RegionError};
use crate::agreement::Agreed;
use crate::model::agreement::Epoch;
use crate::model::change::Commit;
use crate::model::entry::AgedOutcome;
use crate::model::idempotency::Decision;
use crate::model::ids::{PartitionId, RegionId};
use crate::model::raft::RaftIndex;
use crate::model::replication::inbox::Missing;
use crate::model::replication::retention::Cut;
use crate::model::request::Submission;
use crate::model::vector::VersionVector;
use crate::ports::store::StoreError;
use crate::storage::partition::SnapshotReceiver;
use crate::wire::messages::RewindReason;

/// Where answers to remote commits go. Must only note or send them.
pub trait Receipts: Send + Sync + 'static {
    /// Everything that `vector` covers is durably applied.
    fn applied(&self, partition: PartitionId, vector: VersionVector);

    /// The partition must be sent again, from `vector` on.
    fn rewind(&self, partition: PartitionId, vector: VersionVector, reason: RewindReason, detail: String);
}

/// Where a remote commit came from.
#[derive(Clone)]
pub struct Origin {
    /// The region that sent it, which need not have made it.
    pub region: RegionId,
    /// Where it hears what became of it; none for what this region has asked for.
    pub receipts: Option<Arc<dyn Receipts>>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Origin({})", self.region)
    }
}

/// A snapshot of which all chunks are there.
#[derive(Debug)]
pub struct Arrived {
    /// They.
    pub receiver: Box<SnapshotReceiver>,
    /// The last entry that is in it.
    pub upto: Option<RaftIndex>,
}

/// What a partition says when it has nothing under way any more: an error, why that may still turn up in its rows which it had
/// under way before.
pub type Drained = Result<(), String>;

/// A message to a partition.
#[derive(Debug)]
pub enum PartitionMessage {
    /// Make writes, all or none, and answer when they are durable and visible.
    Write {
        /// What to write.
        submission: Submission,
        /// In which leadership it may be made only, if not in any.
        only_in: Option<Epoch>,
        /// Held until it is answered, so that the queue is bounded.
        admission: Admission,
        /// Where the answer goes; nobody may be there any more.
        reply: oneshot::Sender<Result<Decision, RegionError>>,
    },
    /// Take in commits of other replicas, in log order.
    Offer {
        /// Who sent them.
        origin: Origin,
        /// They.
        commits: Vec<Commit>,
        /// Holds the lane's place in the queue until they are taken in.
        permit: Option<tokio::sync::OwnedSemaphorePermit>,
    },
    /// The group in flight is on disk, or not.
    GroupWritten(Result<(), StoreError>),
    /// See whether held commits have waited long enough to ask for what they lack.
    CheckMissing,
    /// A fetch of missing commits has ended, with what no other region had, if so.
    FetchEnded(Option<Missing>),
    /// Fetch what a third region has of `origin` and this one lacks, since the direct link does not bring it.
    CatchUp {
        /// The region that has it.
        holder: RegionId,
        /// What it has.
        vector: VersionVector,
    },
    /// Forget the oldest log entries.
    CutLog(Cut),
    /// Forget these outcomes of writes with an idempotency key, if they have expired.
    ForgetOutcomes(Vec<AgedOutcome>),
    /// This node leads the partition's group from now on, or does not any more.
    Led(Option<Leadership>),
    /// Apply what the group has agreed on, in order.
    Agreed(Vec<Agreed>, WhenApplied),
    /// Put a snapshot into the place of what the partition has.
    Install(Arrived, WhenApplied),
    /// That has ended, one way or the other.
    InstallEnded(Result<(), String>),
    /// Read the state from the store again: its outcome was unknown.
    Reload,
    /// Finish what was admitted, then tell.
    Drain(oneshot::Sender<Drained>),
}
