//! The nodes of the region, for operators.

use crate::actors::region::{LocalRegion, NodeState, NodesView, RegionError, RegionNodeView};
use crate::model::agreement::{ChangeNodeError, NodeChange};
use crate::model::ids::NodeId;

impl LocalRegion {
    pub(super) fn nodes_view(&self) -> NodesView {
        if let Some(groups) = &self.parts.groups {
            return groups.nodes_view();
        }
        let identity = &self.parts.context.identity;
        let partitions = identity.partitions.get();
        NodesView {
            region: identity.region,
            replication_factor: 1,
            partitions,
            settled: partitions,
            nodes: vec![RegionNodeView {
                node: identity.node,
                state: NodeState::Active,
                incarnation: Some(identity.replica.incarnation),
                is_reached: true,
                copies: partitions,
                votes: partitions,
                leads: partitions,
            }],
        }
    }

    pub(super) async fn change(&self, node: NodeId, change: NodeChange) -> Result<(), RegionError> {
        let Some(groups) = &self.parts.groups else {
            return Err(RegionError::Conflict(format!(
                "region {} has one node and takes no others: give it more nodes in regions.toml and start its node again",
                self.parts.context.identity.region
            )));
        };
        let changed = groups.change_node(node, change).await;
        changed.map_err(|error| refused(&error))
    }
}

fn refused(error: &ChangeNodeError) -> RegionError {
    let text = error.to_string();
    match error {
        ChangeNodeError::NotConfigured(_) | ChangeNodeError::NotAMember(_) => RegionError::NotFound(text),
        ChangeNodeError::OtherLife { .. }
        | ChangeNodeError::LastNode(_)
        | ChangeNodeError::FewerCopies { .. } => RegionError::Conflict(text),
        ChangeNodeError::NotReached(_)
        | ChangeNodeError::TooManySilent { .. }
        | ChangeNodeError::UnderWay => RegionError::Unavailable {
            reason: text,
            outcome_unknown: false,
        },
        ChangeNodeError::Unknown(_) => RegionError::Unavailable {
            reason: text,
            outcome_unknown: true,
        },
    }
}
