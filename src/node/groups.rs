//! The groups of a node in a region of several: made before the region serves, started when it can.

use std::sync::Arc;

use crate::actors::context::NodeContext;
use crate::actors::group::{HubParts, RegionGroups};
use crate::actors::partition::PartitionHandle;
use crate::config::ClusterConfig;
use crate::model::hlc::Hlc;
use crate::node::start_error::StartError;
use crate::ports::store::Family;
use crate::storage::partition::ReadError;
use crate::wire::keys::meta;
use crate::wire::raft::decode_stamp;

/// The groups of this node's partitions; none where it has its region to itself.
///
/// # Errors
/// [`StartError`], when what the node has promised cannot be read.
pub(super) fn make_groups(
    cluster: &ClusterConfig,
    context: &Arc<NodeContext>,
    partitions: &Arc<[PartitionHandle]>,
) -> Result<Option<Arc<RegionGroups>>, StartError> {
    let Some(membership) = &context.membership else {
        return Ok(None);
    };
    let region = cluster.region(&context.identity.region)?;
    let nodes = region.nodes().iter().map(|node| (node.id, node.zone));
    let floor = context.store.get(Family::Meta, &meta::stamp_floor())?;
    let floor = floor.map(|bytes| decode_stamp(&bytes)).transpose();
    let floor = floor.map_err(ReadError::from)?;
    Ok(Some(RegionGroups::new(HubParts {
        own: membership.own,
        founders: membership.founders.clone(),
        factor: region.replication_factor(),
        nodes: nodes.collect(),
        context: Arc::clone(context),
        partitions: Arc::clone(partitions),
        floor: floor.unwrap_or(Hlc::ZERO),
    })))
}
