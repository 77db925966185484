//! What every actor of a node shares: its identity, its ports, its settings and its boards.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::actors::board::PartitionBoard;
use crate::actors::failures::Failures;
use crate::actors::group::GroupBoard;
use crate::actors::health::HealthMonitor;
use crate::actors::link::answering::AnswerForwarded;
use crate::actors::link::board::LinkBoard;
use crate::actors::link::pauses::PauseDesk;
use crate::actors::link::peer_node::PeerNode;
use crate::actors::link::peer_region::PeerRegion;
use crate::actors::mesh::MeshBoard;
use crate::actors::namespaces::NamespaceCatalog;
use crate::actors::region::Homes;
use crate::model::agreement::OwnMembership;
use crate::model::hlc::HybridClock;
use crate::model::ids::{ClusterName, Namespace, NodeId, PartitionCount, PartitionId, RegionId, ReplicaId};
use crate::model::placement::partition_of;
use crate::ports::blocking::BlockingWork;
use crate::ports::clock::Clock;
use crate::ports::entropy::Entropy;
use crate::ports::link::Connection;
use crate::ports::store::{Committer, Store};
use crate::wire::namespace::record_of;

/// Heartbeats that may fail to come before a peer counts as silent.
const SILENCE_INTERVALS: u32 = 5;

/// Settings of replication, from regions.toml.
#[derive(Debug, Clone)]
pub struct ReplicationSettings {
    /// How long changes wait for company before they are shipped.
    pub batch_delay: Duration,
    /// So many changes do not wait.
    pub batch_changes: usize,
    /// Streams per link over which partitions are spread.
    pub lanes: u8,
    /// How often a peer is told what was applied.
    pub heartbeat_interval: Duration,
    /// Zstandard level of batches.
    pub compression_level: i32,
    /// Bytes that the logs of this node may hold for peers that are behind.
    pub log_retention_bytes: u64,
}

/// Who a node is.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its region.
    pub region: RegionId,
    /// The actor of its dots.
    pub replica: ReplicaId,
    /// Itself.
    pub node: NodeId,
    /// The partitions of the cluster.
    pub partitions: PartitionCount,
}

/// Shared by all actors of a node.
pub struct NodeContext {
    /// Who it is.
    pub identity: NodeIdentity,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where jitter comes from.
    pub entropy: Arc<dyn Entropy>,
    /// Where work runs that may wait for the disk.
    pub blocking: BlockingWork,
    /// Stamps of commits.
    pub hybrid_clock: HybridClock,
    /// Rows and logs.
    pub store: Arc<dyn Store>,
    /// The one writer.
    pub committer: Arc<dyn Committer>,
    /// How it replicates.
    pub replication: ReplicationSettings,
    /// The other regions, in the order of the configuration, with the links to their nodes.
    pub peers: Vec<Arc<PeerRegion>>,
    /// Which links operators have paused.
    pub pauses: PauseDesk,
    /// How namespaces are configured.
    pub namespaces: NamespaceCatalog,
    /// Actors that have failed.
    pub failures: Failures,
    /// The region's state, and what it is judged by.
    pub health: HealthMonitor,
    /// What the partitions show.
    pub partitions: PartitionBoard,
    /// Answers what other regions pass on; set once the node serves. Weak: it holds the node, which holds this.
    pub answering: OnceLock<Weak<dyn AnswerForwarded>>,
    /// What is under way that relies on this region being a home.
    pub homes: Homes,
    /// A peer has acknowledged something.
    pub acknowledged: Notify,
    /// Drawn at the start: what others send back of another life of this node means nothing.
    pub life: u64,
    /// What is seen of the other nodes of the region.
    pub mesh: Arc<MeshBoard>,
    /// Who this node is to the groups of the region. None in a region of one node, which has no groups.
    pub membership: Option<OwnMembership>,
    /// Who leads which partition in this region.
    pub groups: Arc<GroupBoard>,
    /// Entries that a group's log keeps behind what is applied.
    pub raft_entries_kept: u64,
}

impl std::fmt::Debug for NodeContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeContext")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl NodeContext {
    /// After so long without a heartbeat a peer counts as silent: several intervals, so that one late packet is none.
    #[must_use]
    pub fn silence_ms(&self) -> u64 {
        let silence = self.replication.heartbeat_interval * SILENCE_INTERVALS;
        u64::try_from(silence.as_millis()).unwrap_or(u64::MAX)
    }

    /// Another region.
    #[must_use]
    pub fn peer(&self, region: &RegionId) -> Option<&Arc<PeerRegion>> {
        self.peers.iter().find(|peer| peer.region() == *region)
    }

    /// The link to a node of another region.
    #[must_use]
    pub fn link(&self, peer: &PeerNode) -> Option<&Arc<LinkBoard>> {
        self.peer(&peer.region)?.link(&peer.node)
    }

    /// The partition of the configuration that says which region is the home of a namespace.
    #[must_use]
    pub fn home_partition(&self, namespace: &Namespace) -> PartitionId {
        let record = record_of(namespace);
        partition_of(&record.namespace, &record.key, self.identity.partitions)
    }

    /// A connection to another region, for requests.
    #[must_use]
    pub fn connection(&self, region: &RegionId) -> Option<Arc<dyn Connection>> {
        self.peer(region)?
            .connection(self.clock.tick(), self.silence_ms())
    }
}
