//! Who a node is to the others of its region: what is known before the region is founded.

use crate::model::agreement::MemberId;
use crate::model::ids::{ClusterName, Incarnation, NodeId, PartitionCount, RegionId};
use crate::wire::messages::{Introduction, PROTOCOL_VERSION};

/// Who a node is to the others of its region. The incarnation of the region, the actor of its dots, is no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeshIdentity {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its region.
    pub region: RegionId,
    /// Itself.
    pub node: NodeId,
    /// The partitions of the cluster.
    pub partitions: PartitionCount,
    /// The incarnation of its data folder.
    pub incarnation: Incarnation,
}

impl MeshIdentity {
    /// The member of the region's groups that it is.
    #[must_use]
    pub fn member(&self) -> MemberId {
        MemberId {
            node: self.node,
            incarnation: self.incarnation,
        }
    }

    /// How it introduces itself.
    #[must_use]
    pub fn introduction(&self) -> Introduction {
        Introduction {
            protocol_min: PROTOCOL_VERSION,
            protocol_max: PROTOCOL_VERSION,
            software: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: self.cluster,
            region: self.region,
            node: self.node,
            partitions: self.partitions,
            incarnation: self.incarnation,
        }
    }
}
