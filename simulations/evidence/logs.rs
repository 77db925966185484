//! What regions made durable, told each other, and kept in memory.

use std::sync::Arc;

use atoll::model::change::Commit;
use atoll::model::hlc::Hlc;
use atoll::model::ids::{LogIndex, PartitionId, RegionId};
use atoll::model::replication::leadership::Leads;
use atoll::model::vector::VersionVector;

use super::Moment;

/// A commit, local or remote, that became durable in a region's log; seen at the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// When. Also says where it stands among operations and advertisements.
    pub at: Moment,
    /// The order among all events of the run, for equal times.
    pub order: u64,
    /// In which region.
    pub region: RegionId,
    /// Of which partition.
    pub partition: PartitionId,
    /// Its place in that region's log.
    pub index: LogIndex,
    /// The commit.
    pub commit: Arc<Commit>,
}

/// A vector that a region told a peer it had durably applied (heartbeat, welcome, acknowledgement); seen on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Advertised {
    /// When it was sent.
    pub at: Moment,
    /// The order among all events of the run, for equal times.
    pub order: u64,
    /// Who said it.
    pub region: RegionId,
    /// Of which partition.
    pub partition: PartitionId,
    /// What it said.
    pub vector: VersionVector,
}

/// A clock promise that a node told a peer (heartbeat); seen on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockPromise {
    /// When it was sent.
    pub at: Moment,
    /// The order among all events of the run, for equal times.
    pub order: u64,
    /// The region of who said it.
    pub region: RegionId,
    /// Later commits of the region have greater stamps than this,
    pub through: Hlc,
    /// in these partitions,
    pub leads: Leads,
    /// but for these.
    pub except: Vec<PartitionId>,
}

/// One size that must stay bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauge {
    /// When it was taken.
    pub at: Moment,
    /// Where.
    pub region: RegionId,
    /// What was measured.
    pub name: &'static str,
    /// How much.
    pub value: u64,
    /// The most that is allowed.
    pub limit: u64,
}
