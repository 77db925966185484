//! What of a region a node holds itself, and asking the other nodes of the region for the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use crate::actors::link::requests::ForwardedAnswer;
use crate::actors::region::{Reach, RegionError};
use crate::model::ids::{NodeId, PartitionId, RegionId};
use crate::model::partition_set::PartitionSet;
use crate::wire::messages::ForwardedRequest;

/// A client's request, for another node of the region.
#[derive(Debug, Clone)]
pub struct InsideRequest {
    /// It.
    pub request: ForwardedRequest,
    /// The region that has passed it on to this one, if one has.
    pub passed_on_by: Option<RegionId>,
    /// Of a listing: only what is in these partitions.
    pub part: Option<PartitionSet>,
    /// It is given up when another node than the one that is asked comes to lead this partition.
    pub led: Option<PartitionId>,
}

/// Why another node of the region has not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct AskError {
    /// For people.
    pub why: String,
    /// It may have done what was asked.
    pub may_have_been_done: bool,
    /// The time is over.
    pub is_late: bool,
}

/// What another node says: its answer, or that these partitions are not there.
pub type Asked<T> = Result<Result<T, PartitionSet>, AskError>;

/// Nodes and partitions that they were asked for in vain.
pub type AskedInVain = BTreeSet<(NodeId, PartitionId)>;

/// What a node holds. By default everything: nobody else is asked then.
#[async_trait]
pub trait Holding: Send + Sync + 'static {
    /// All partitions of the cluster.
    fn partitions(&self) -> PartitionSet;

    /// The partitions of which this node has no copy.
    fn not_held(&self, _: Reach) -> PartitionSet {
        PartitionSet::default()
    }

    /// A number while this node holds all of what is asked for. What was read counts if it is the same before and after:
    /// otherwise some of it may have gone in between.
    fn holding(&self, _: Reach) -> Option<u64> {
        Some(0)
    }

    /// Who leads a partition that this node does not hold. Waits while nobody does; the caller bounds the time.
    ///
    /// # Errors
    /// [`RegionError::Unavailable`] at once when too few of its nodes are heard.
    async fn leader_inside(&self, _: PartitionId) -> Result<NodeId, RegionError> {
        Err(no_others())
    }

    /// Who can be asked for a partition, best first, among those that are heard.
    fn holders(&self, _: PartitionId) -> Vec<NodeId> {
        Vec::new()
    }

    /// Few nodes that can be asked for all of the partitions, beside what was in vain.
    ///
    /// # Errors
    /// The partitions that nobody is left to be asked for.
    fn cover(
        &self,
        wanted: PartitionSet,
        _: &AskedInVain,
    ) -> Result<BTreeMap<NodeId, PartitionSet>, Box<PartitionSet>> {
        Err(Box::new(wanted))
    }

    /// Lets another node of the region answer.
    ///
    /// # Errors
    /// [`AskError`].
    async fn ask_node(&self, _: NodeId, _: InsideRequest, _: Duration) -> Asked<ForwardedAnswer> {
        Err(AskError {
            why: "there is no other node".to_owned(),
            may_have_been_done: false,
            is_late: false,
        })
    }
}

fn no_others() -> RegionError {
    RegionError::Unavailable {
        reason: "this node has its region to itself".to_owned(),
        outcome_unknown: false,
    }
}
