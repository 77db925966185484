//! Telling the other nodes of the region which links operators have paused and resumed (decision 0018): once for each connection,
//! and again when something is decided. So a node that was away hears of it when it is back, from whoever it meets first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::actors::group::hub::RegionGroups;
use crate::agreement::GroupNetwork as _;
use crate::model::agreement::MemberId;
use crate::model::ids::{NodeId, PartitionId};
use crate::model::pauses::LinkPause;
use crate::wire::group::{GroupAnswer, GroupRequest};

/// How often connections are looked at that have come, and those asked again who have not answered.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a node may take to take it in.
const PATIENCE: Duration = Duration::from_secs(2);
/// Such requests are of no partition.
const ANY_PARTITION: PartitionId = PartitionId(0);

/// What a node was told, and on which connection.
type Told = (u64, u64);

/// Keeps all nodes of the region at the same decisions; for ever.
pub(super) async fn spread_pauses(hub: Arc<RegionGroups>) {
    let mut told: BTreeMap<NodeId, Told> = BTreeMap::new();
    let mut changed = hub.context.pauses.subscribe();
    loop {
        let version = *changed.borrow_and_update();
        let nodes = hub.context.mesh.nodes();
        let due = nodes.filter_map(|node| {
            let connection = hub.context.mesh.dialled_number(&node)?;
            (told.get(&node) != Some(&(connection, version))).then_some((node, (connection, version)))
        });
        let asking = due.map(|(node, telling)| {
            let hub = &hub;
            async move { exchange(hub, node).await.then_some((node, telling)) }
        });
        told.extend(futures_util::future::join_all(asking).await.into_iter().flatten());
        // Not ended before the node is.
        let _ = tokio::time::timeout(LOOK_INTERVAL, changed.changed()).await;
    }
}

async fn exchange(hub: &RegionGroups, node: NodeId) -> bool {
    let Some(incarnation) = hub.context.mesh.incarnation(&node) else {
        return false;
    };
    let member = MemberId { node, incarnation };
    let request = GroupRequest::Pauses(hub.context.pauses.all());
    match hub.ask(member, ANY_PARTITION, request, PATIENCE).await {
        Ok(GroupAnswer::Pauses(known)) => {
            hub.context.pauses.merge(&hub.context, known);
            true
        }
        Ok(_) | Err(_) => false,
    }
}

impl RegionGroups {
    /// Another node tells what it knows: what this one knows with it.
    pub(super) fn answer_pauses(&self, told: Vec<(crate::model::ids::RegionId, LinkPause)>) -> GroupAnswer {
        self.context.pauses.merge(&self.context, told);
        GroupAnswer::Pauses(self.context.pauses.all())
    }
}
