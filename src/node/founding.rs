//! Joining a region: the mesh to its other nodes, and its founding, before anything that writes is started (decision 0018).
//!
//! In a region of one node there is neither: the life of its data folder is that of the region. When the configuration gives
//! such a region more nodes, it becomes one whose groups have this node as their only member, and others can be added
//! ([`open_for_others`]). It stays one then, also when all others were removed again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::actors::link::inbound::Inbound;
use crate::actors::mesh::service::UntilFounded;
use crate::actors::mesh::{
    FoundingDesk, FoundingParts, Mesh, MeshBoard, MeshIdentity, MeshParts, MeshServer, found_region,
};
use crate::config::ClusterConfig;
use crate::model::agreement::{FoundingState, MemberId, NodeRole, OwnMembership, REGION_GROUP};
use crate::model::ids::{NodeId, RegionId, ReplicaId};
use crate::model::raft::{RaftIndex, RaftNodeId, Term};
use crate::node::assemble::NodePorts;
use crate::node::start_error::StartError;
use crate::ports::link::{CloseCode, Connection, DialTarget, Network};
use crate::ports::store::{Durability, Family, Store, StoreError, WriteSet};
use crate::storage::partition::ReadError;
use crate::storage::{IDENTITY_KEY, Identity};
use crate::wire::founding::{decode_founding, encode_founding};
use crate::wire::keys::{meta, raft};
use crate::wire::raft::{
    StoredApplied, StoredLogId, StoredMembers, decode_applied, encode_applied, encode_log_id,
};

/// A node that knows which region it is part of.
pub(super) struct Joined {
    /// The connections to the other nodes of the region; none in a region of one.
    pub(super) mesh: Mesh,
    /// What is seen of them.
    pub(super) board: Arc<MeshBoard>,
    /// What they are told and answered, once it is handed over.
    pub(super) service: Arc<UntilFounded>,
    /// The actor of the region's dots.
    pub(super) replica: ReplicaId,
    /// Which member of the region's groups this node is; none in a region of one node, which has no groups.
    pub(super) membership: Option<OwnMembership>,
    /// Drawn when the process started.
    pub(super) life: u64,
    /// Accepts what others dial.
    pub(super) accepting: Accepting,
}

/// Brings a node into its region. Waits until all nodes of the region are there, where it is not founded yet; may be dropped
/// meanwhile.
///
/// # Errors
/// [`StartError`], when the data folder is not of this region as the configuration has it, or the founding refuses this node.
pub(super) async fn join_region(
    cluster: &ClusterConfig,
    identity: &Identity,
    ports: &NodePorts,
) -> Result<Joined, StartError> {
    let targets = mesh_targets(cluster, identity)?;
    let board = Arc::new(MeshBoard::new(targets.iter().map(|target| target.node)));
    let mut stored = stored_founding(ports.store.as_ref())?;
    let has_data = holds_data(ports.store.as_ref())?;
    check_members(cluster, identity, ports.store.as_ref())?;
    if !targets.is_empty() && has_data && matches!(stored, FoundingState::Unfounded(_)) {
        stored = open_for_others(identity, ports).await?;
    }
    let is_alone = targets.is_empty() && matches!(stored, FoundingState::Unfounded(_));

    let own = MeshIdentity {
        cluster: identity.cluster,
        region: identity.region,
        node: identity.node,
        partitions: identity.partitions,
        incarnation: identity.incarnation,
    };
    let (life, service) = (ports.entropy.next_u64(), Arc::new(UntilFounded::default()));
    let (desk, questions) = FoundingDesk::open();
    let mesh = Mesh::start(MeshParts {
        identity: own,
        life,
        clock: Arc::clone(&ports.clock),
        entropy: Arc::clone(&ports.entropy),
        network: Arc::clone(&ports.network),
        targets,
        board: Arc::clone(&board),
        service: Arc::<UntilFounded>::clone(&service),
        founding: desk,
    });
    let mut accepting = Accepting::new(&ports.network, identity.region, mesh.server());
    let (mut incarnation, mut membership) = (identity.incarnation, None);
    if !is_alone {
        accepting.start();
        let parts = FoundingParts {
            own: own.member(),
            nodes: board.nodes().chain([own.node]).collect(),
            stored,
            clock: Arc::clone(&ports.clock),
            committer: Arc::clone(&ports.committer),
            board: Arc::clone(&board),
        };
        let found = Box::pin(found_region(parts, questions)).await?;
        incarnation = found.replica;
        membership = Some(found);
    }
    let region = identity.region;
    Ok(Joined {
        mesh,
        board,
        service,
        replica: ReplicaId { region, incarnation },
        membership,
        life,
        accepting,
    })
}

/// The other nodes of a node's region.
fn mesh_targets(cluster: &ClusterConfig, own: &Identity) -> Result<Vec<DialTarget>, StartError> {
    let nodes = cluster.region(&own.region)?.nodes().iter();
    let others = nodes.filter(|node| node.id != own.node).map(|node| DialTarget {
        region: own.region,
        node: node.id,
        address: node.quic.to_string(),
    });
    Ok(others.collect())
}

/// What a data folder says of the founding.
pub(super) fn stored_founding(store: &dyn Store) -> Result<FoundingState, StartError> {
    let stored = store.get(Family::Meta, &meta::founding())?;
    let stored = stored.map(|bytes| decode_founding(&bytes)).transpose();
    let stored = stored.map_err(ReadError::from)?;
    Ok(stored.unwrap_or(FoundingState::Unfounded(None)))
}

/// A configuration that lacks most of those who agree in the region leaves nobody to agree with.
fn check_members(cluster: &ClusterConfig, own: &Identity, store: &dyn Store) -> Result<(), StartError> {
    let nodes = cluster.region(&own.region)?.nodes();
    let applied = store.get(Family::Raft, &raft::applied(REGION_GROUP))?;
    let applied = applied.map(|bytes| decode_applied(&bytes)).transpose();
    let members = applied.map_err(ReadError::from)?.unwrap_or_default().members;
    let voters = members.voters.last().cloned().unwrap_or_default();
    let is_configured = |voter: &NodeId| nodes.iter().any(|node| node.id == *voter);
    let missing: Vec<NodeId> = voters
        .iter()
        .filter_map(RaftNodeId::node)
        .filter(|voter| !is_configured(voter))
        .collect();
    // A majority is more than half. Fewer may be missing: this node may have been down while they were removed.
    if missing.is_empty() || missing.len() * 2 < voters.len() {
        return Ok(());
    }
    let nodes = missing.iter().map(ToString::to_string).collect();
    Err(StartError::MembersMissing { nodes })
}

/// Turns a region of one node into one that others can be added to: every partition gets a group with this node as its only
/// member, which begins behind an entry that nobody has. Whoever is added needs what is before, and is sent the whole
/// partition.
async fn open_for_others(identity: &Identity, ports: &NodePorts) -> Result<FoundingState, StartError> {
    let own = MemberId {
        node: identity.node,
        incarnation: identity.incarnation,
    };
    let state = FoundingState::Member {
        replica: identity.incarnation,
        own,
    };
    let first = StoredLogId {
        term: Term(0),
        leader: RaftNodeId::default(),
        index: RaftIndex(0),
    };
    let applied = StoredApplied {
        last: Some(first),
        members_from: Some(first),
        members: StoredMembers {
            voters: vec![[own.into()].into()],
            nodes: [(own.into(), NodeRole::Active)].into(),
        },
    };
    let mut set = WriteSet::new();
    set.put(Family::Meta, &meta::founding(), &encode_founding(&state));
    for partition in identity.partitions.ids() {
        set.put(Family::Raft, &raft::purged(partition), &encode_log_id(&first));
        set.put(Family::Raft, &raft::applied(partition), &encode_applied(&applied));
    }
    let (done, written) = tokio::sync::oneshot::channel();
    let told = Box::new(move |result| drop(done.send(result)));
    ports.committer.submit(set, Durability::Synced, told);
    written.await.unwrap_or(Err(StoreError::Closed))?;
    tracing::info!(node = %identity.node, region = %identity.region, "the region can take more nodes now: `atoll node add` adds them");
    Ok(state)
}

/// Whether there is anything but who the folder's node is.
fn holds_data(store: &dyn Store) -> Result<bool, StartError> {
    let founding = meta::founding();
    let about_the_node = BTreeSet::from([(Family::Meta, IDENTITY_KEY), (Family::Meta, &founding[..])]);
    let mut found = false;
    for family in Family::ALL {
        // No key consists of 64 bytes 0xff: all start with a tag or a partition number.
        store.scan(family, b"", &[0xff; 64], &mut |key, _| {
            found = !about_the_node.contains(&(family, key));
            if found {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if found {
            break;
        }
    }
    Ok(found)
}

/// Accepts connections: of this region for the mesh, of other regions with their links, which are served only when this node
/// has its partitions. Dropped before that, it accepts no more.
pub(super) struct Accepting {
    acceptor: Arc<Acceptor>,
    /// Runs already in a region of several nodes, which are founded over the mesh.
    running: Option<AbortOnDropHandle<()>>,
}

impl Accepting {
    fn new(network: &Arc<dyn Network>, region: RegionId, mesh: MeshServer) -> Self {
        let acceptor = Arc::new(Acceptor {
            network: Arc::clone(network),
            region,
            mesh,
            inbound: OnceLock::new(),
        });
        Self {
            acceptor,
            running: None,
        }
    }

    fn start(&mut self) {
        let task = tokio::spawn(Arc::clone(&self.acceptor).run());
        self.running = Some(AbortOnDropHandle::new(task));
    }

    /// Serves other regions, too, from now on.
    pub(super) fn serve_links(mut self, inbound: Inbound) -> JoinHandle<()> {
        // Only here.
        let _ = self.acceptor.inbound.set(inbound);
        match self.running.take() {
            Some(running) => running.detach(),
            None => tokio::spawn(Arc::clone(&self.acceptor).run()),
        }
    }
}

struct Acceptor {
    network: Arc<dyn Network>,
    region: RegionId,
    mesh: MeshServer,
    inbound: OnceLock<Inbound>,
}

impl Acceptor {
    /// Nodes of this region come for the mesh, those of others with their links; each refuses whom the configuration does
    /// not have.
    async fn run(self: Arc<Self>) {
        while let Some(connection) = self.network.accept().await {
            self.take(connection);
        }
    }

    fn take(&self, connection: Arc<dyn Connection>) {
        if connection.peer().region == self.region {
            tokio::spawn(Box::pin(self.mesh.clone().serve(connection)));
        } else if let Some(inbound) = self.inbound.get() {
            tokio::spawn(Box::pin(inbound.clone().serve(connection)));
        } else {
            let reason = "this node waits for the founding of its region; try again";
            connection.close(CloseCode::Done, reason);
        }
    }
}

#[cfg(test)]
#[path = "founding_test.rs"]
mod tests;
