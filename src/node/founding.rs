//! Joining a region: the mesh to its other nodes, and its founding, before anything that writes is started (decision 0018).
//!
//! In a region of one node there is neither: the life of its data folder is that of the region. A data folder is of the one
//! kind or of the other, and never changes.

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
use crate::model::agreement::{FoundingState, RegionMembers};
use crate::model::ids::{RegionId, ReplicaId};
use crate::node::assemble::NodePorts;
use crate::node::start_error::StartError;
use crate::ports::link::{CloseCode, Connection, DialTarget, Network};
use crate::ports::store::{Family, Store};
use crate::storage::partition::ReadError;
use crate::storage::{IDENTITY_KEY, Identity};
use crate::wire::founding::decode_founding;
use crate::wire::keys::meta;

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
    /// The first voters of every group; none in a region of one node, which has no groups.
    pub(super) members: Option<RegionMembers>,
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
    let stored = stored_founding(ports.store.as_ref())?;
    let is_alone = targets.is_empty();
    check_kind(is_alone, &stored, ports.store.as_ref())?;

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
    let (mut incarnation, mut members) = (identity.incarnation, None);
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
        let record = Box::pin(found_region(parts, questions)).await?;
        incarnation = record.replica;
        members = Some(RegionMembers {
            own: own.member(),
            members: record.members,
        });
    }
    let region = identity.region;
    Ok(Joined {
        mesh,
        board,
        service,
        replica: ReplicaId { region, incarnation },
        members,
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
fn stored_founding(store: &dyn Store) -> Result<FoundingState, StartError> {
    let stored = store.get(Family::Meta, &meta::founding())?;
    let stored = stored.map(|bytes| decode_founding(&bytes)).transpose();
    let stored = stored.map_err(ReadError::from)?;
    Ok(stored.unwrap_or(FoundingState::Unfounded(None)))
}

/// A data folder with data in it is of a region of one node, or of one of several, for ever.
fn check_kind(is_alone: bool, stored: &FoundingState, store: &dyn Store) -> Result<(), StartError> {
    match (is_alone, stored.record()) {
        (true, Some(record)) => Err(StartError::FoundedWithOthers {
            nodes: record.nodes().iter().map(ToString::to_string).collect(),
        }),
        (false, None) if holds_data(store)? => Err(StartError::WrittenAlone),
        _ => Ok(()),
    }
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
