//! The parts of a node on whatever ports it is given: the real ones by [`Node`](crate::node::Node), simulated ones by
//! simulation. Nothing here knows which.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use ractor::{Actor as _, ActorCell, ActorRef};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::actors::board::PartitionBoard;
use crate::actors::context::{NodeContext, NodeIdentity, ReplicationSettings};
use crate::actors::failures::Failures;
use crate::actors::group::{GroupBoard, GroupTasks, RegionGroups};
use crate::actors::health::{self, HealthMonitor, LagObserver};
use crate::actors::keeper::{KeeperActor, KeeperArguments};
use crate::actors::link::answering::AnswerForwarded;
use crate::actors::link::inbound::Inbound;
use crate::actors::link::pauses::PauseDesk;
use crate::actors::link::shipper::{ShipperActor, ShipperArguments, ShipperHandle};
use crate::actors::mesh::Mesh;
use crate::actors::mesh::service::NoGroups;
use crate::actors::namespaces::NamespaceCatalog;
use crate::actors::partition::{PartitionActor, PartitionArguments, PartitionHandle};
use crate::actors::region::{Configuration, Homes, LocalParts, LocalRegion, Region, RenderMetrics};
use crate::actors::supervisor::{Supervisor, SupervisorMessage};
use crate::api::{self, ApiSettings, RequestObserver};
use crate::config::ClusterConfig;
use crate::model::hlc::HybridClock;
use crate::node::founding::{Joined, join_region};
use crate::node::groups::make_groups;
use crate::node::peers::{peer_regions, stored_pauses};
use crate::node::start_error::{StartError, part};
use crate::ports::blocking::BlockingWork;
use crate::ports::clock::Clock;
use crate::ports::entropy::Entropy;
use crate::ports::link::Network;
use crate::ports::store::{Committer, Store};
use crate::storage::Identity;
use crate::storage::partition::finish_installs;

/// How long actors may take to end; each finishes the message that it is at.
const ACTORS_PATIENCE: Duration = Duration::from_secs(5);

/// What a node stands on.
pub struct NodePorts {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where jitter comes from.
    pub entropy: Arc<dyn Entropy>,
    /// Rows and logs; opened, and of this node.
    pub store: Arc<dyn Store>,
    /// The one writer of the store.
    pub committer: Arc<dyn Committer>,
    /// How other nodes are reached, and reach this one.
    pub network: Arc<dyn Network>,
    /// Where work runs that may wait for the disk.
    pub blocking: BlockingWork,
    /// Entries that a group's log keeps behind what is applied: [`limits::RAFT_ENTRIES_KEPT`], and fewer where logs are to be
    /// cut that are hardly written.
    ///
    /// [`limits::RAFT_ENTRIES_KEPT`]: crate::model::limits::RAFT_ENTRIES_KEPT
    pub raft_entries_kept: u64,
}

/// What a node shows, besides its data.
pub struct NodeSurface {
    /// When its certificate expires.
    pub certificate_expires: SystemTime,
    /// Renders its metrics.
    pub render_metrics: RenderMetrics,
    /// Is told of every answered request.
    pub requests: Arc<dyn RequestObserver>,
    /// Is told the lag behind each peer, once a second.
    pub lag: Arc<dyn LagObserver>,
    /// Shows what the node runs with, and reads it again.
    pub configuration: Arc<dyn Configuration>,
}

/// A node that works, but for its HTTP listener: whoever holds it serves [`Assembly::router`].
pub struct Assembly {
    context: Arc<NodeContext>,
    region: Arc<LocalRegion>,
    partitions: Arc<[PartitionHandle]>,
    shippers: Arc<[ShipperHandle]>,
    network: Arc<dyn Network>,
    mesh: Mesh,
    /// None where the node has its region to itself.
    groups: Option<GroupTasks>,
    root: ActorCell,
    links: JoinHandle<()>,
    homes: JoinHandle<()>,
    watch: JoinHandle<()>,
    router: axum::Router,
    /// Held for the context, which only points to it.
    _answering: Arc<dyn AnswerForwarded>,
}

impl std::fmt::Debug for Assembly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assembly({})", self.context.identity.node)
    }
}

impl Assembly {
    /// Puts the parts together and sets them in motion.
    ///
    /// # Errors
    /// [`StartError`], where the store cannot be read or an actor does not start.
    pub async fn start(
        cluster: &ClusterConfig,
        identity: &Identity,
        ports: NodePorts,
        surface: NodeSurface,
    ) -> Result<Self, StartError> {
        let network = Arc::clone(&ports.network);
        let joined = join_region(cluster, identity, &ports).await?;
        let context = Arc::new(make_context(cluster, identity, ports, &joined)?);
        let supervisor = ractor::Actor::spawn(None, Supervisor, Arc::clone(&context)).await;
        let (supervisor, _) = part("the supervisor", supervisor)?;
        let root = supervisor.get_cell();
        let partitions = spawn_partitions(&context, &root).await?;
        let adopted = supervisor.cast(SupervisorMessage::Adopt(Arc::clone(&partitions)));
        part("the supervisor", adopted)?;
        let shippers = spawn_shippers(&context, &network, &partitions, &root).await?;
        context.pauses.connect(Arc::clone(&shippers));
        spawn_keeper(&context, &partitions, &root).await?;

        let groups = make_groups(cluster, &context, &partitions)?;
        let region = Arc::new(LocalRegion::new(LocalParts {
            context: Arc::clone(&context),
            partitions: Arc::clone(&partitions),
            shippers: Arc::clone(&shippers),
            groups: groups.clone(),
            certificate_expires: surface.certificate_expires,
            max_staleness: cluster.http.max_staleness,
            render_metrics: surface.render_metrics,
            configuration: surface.configuration,
        }));
        let inbound = Inbound {
            context: Arc::clone(&context),
            partitions: Arc::clone(&partitions),
            shippers: Arc::clone(&shippers),
        };
        let mut settings = ApiSettings::new(Arc::clone(&context.clock));
        settings.write_timeout = cluster.http.request_timeout;
        settings.blocking = context.blocking;
        settings.observer = surface.requests;
        let served: Arc<dyn Region> = Arc::<LocalRegion>::clone(&region);
        let weak_region = Arc::downgrade(&served);
        let router = api::router(served, settings);
        let answering: Arc<dyn AnswerForwarded> = Arc::new(api::Forwarded::new(router.clone()));
        // Nobody else sets it.
        let _ = context.answering.set(Arc::downgrade(&answering));
        let mesh = joined.mesh;
        let groups = match groups {
            Some(groups) => {
                groups.connect(mesh.handle(), weak_region);
                joined.service.hand_over(Arc::<RegionGroups>::clone(&groups));
                let tasks = GroupTasks::start(&groups);
                groups.catch_up().await;
                Some(tasks)
            }
            None => {
                joined.service.hand_over(Arc::new(NoGroups));
                None
            }
        };
        let links = joined.accepting.serve_links(inbound);
        let tended = Arc::clone(&region);
        let homes = tokio::spawn(async move { tended.tend_homes().await });
        let watch = tokio::spawn(health::watch(Arc::clone(&context), surface.lag));
        Ok(Self {
            context,
            region,
            partitions,
            shippers,
            network,
            mesh,
            groups,
            root,
            links,
            homes,
            watch,
            router,
            _answering: answering,
        })
    }

    /// What its actors share.
    #[must_use]
    pub fn context(&self) -> &Arc<NodeContext> {
        &self.context
    }

    /// Its partitions, in order.
    #[must_use]
    pub fn partitions(&self) -> &Arc<[PartitionHandle]> {
        &self.partitions
    }

    /// Its HTTP surface.
    pub fn router(&self) -> axum::Router {
        self.router.clone()
    }

    /// From here on nothing new is admitted; what was admitted is finished.
    pub fn stop_admitting(&self) {
        self.region.stop_admitting();
    }

    /// Requests that are admitted and not finished.
    #[must_use]
    pub fn requests_under_way(&self) -> usize {
        self.region.requests_under_way()
    }

    /// Stops the actors: what partitions have taken is committed until the deadline, links are closed.
    pub async fn stop(self, deadline: Instant) {
        let node = self.context.identity.node;
        for partition in self.partitions.iter() {
            if timeout_at(deadline, partition.drain()).await.is_err() {
                tracing::warn!(%node, partition = %partition.partition(), "the partition did not drain in time");
            }
        }
        for shipper in self.shippers.iter() {
            shipper.stop();
        }
        if let Some(groups) = self.groups {
            groups.stop(deadline).await;
        }
        self.mesh.stop().await;
        self.network.shutdown().await;
        self.root
            .stop_children_and_wait(None, Some(ACTORS_PATIENCE))
            .await;
        self.root.stop(None);
        self.homes.abort();
        self.links.abort();
        self.watch.abort();
        // Aborted or finished: both are the end.
        let _ = self.links.await;
        let _ = self.watch.await;
    }
}

fn make_context(
    cluster: &ClusterConfig,
    identity: &Identity,
    ports: NodePorts,
    joined: &Joined,
) -> Result<NodeContext, StartError> {
    let begun = ports.clock.tick();
    // Before anything is read that a snapshot may be in the middle of.
    finish_installs(ports.store.as_ref(), cluster.partitions)?;
    let paused = stored_pauses(ports.store.as_ref(), identity.node)?;
    let peers = peer_regions(cluster, &identity.region, &paused, begun);
    Ok(NodeContext {
        identity: NodeIdentity {
            cluster: cluster.cluster,
            region: identity.region,
            replica: joined.replica,
            node: identity.node,
            partitions: cluster.partitions,
        },
        hybrid_clock: HybridClock::new(cluster.clock.max_clock_drift),
        namespaces: NamespaceCatalog::load(ports.store.as_ref(), cluster.partitions)?,
        clock: ports.clock,
        entropy: ports.entropy,
        store: ports.store,
        committer: ports.committer,
        blocking: ports.blocking,
        replication: ReplicationSettings {
            batch_delay: cluster.replication.batch_delay,
            batch_changes: cluster.replication.batch_changes,
            lanes: u8::try_from(cluster.replication.lanes).unwrap_or(u8::MAX),
            heartbeat_interval: cluster.replication.heartbeat_interval,
            compression_level: cluster.replication.compression_level,
            log_retention_bytes: cluster.replication.log_retention_bytes,
        },
        peers,
        pauses: PauseDesk::new(paused),
        failures: Failures::default(),
        health: HealthMonitor::new(cluster.health.clone(), begun),
        partitions: PartitionBoard::new(cluster.partitions),
        answering: OnceLock::new(),
        homes: Homes::default(),
        acknowledged: Notify::new(),
        life: joined.life,
        raft_entries_kept: ports.raft_entries_kept,
        mesh: Arc::clone(&joined.board),
        membership: joined.membership.clone(),
        groups: Arc::new(match &joined.membership {
            Some(_) => GroupBoard::new(identity.node, cluster.partitions),
            None => GroupBoard::alone(identity.node),
        }),
    })
}

async fn spawn_partitions(
    context: &Arc<NodeContext>,
    root: &ActorCell,
) -> Result<Arc<[PartitionHandle]>, StartError> {
    let mut handles = Vec::new();
    for partition in context.identity.partitions.ids() {
        let arguments = PartitionArguments {
            context: Arc::clone(context),
            partition,
        };
        let spawned = PartitionActor::spawn_linked(None, PartitionActor, arguments, root.clone()).await;
        let (actor, _): (ActorRef<_>, _) = part(&format!("partition {partition}"), spawned)?;
        handles.push(PartitionHandle::new(partition, actor));
    }
    Ok(handles.into())
}

async fn spawn_shippers(
    context: &Arc<NodeContext>,
    network: &Arc<dyn Network>,
    partitions: &Arc<[PartitionHandle]>,
    root: &ActorCell,
) -> Result<Arc<[ShipperHandle]>, StartError> {
    let mut handles = Vec::new();
    for peer in &context.peers {
        for board in peer.links() {
            let arguments = ShipperArguments {
                context: Arc::clone(context),
                network: Arc::clone(network),
                peer: Arc::clone(peer),
                board: Arc::clone(board),
                partitions: Arc::clone(partitions),
            };
            let spawned = ShipperActor::spawn_linked(None, ShipperActor, arguments, root.clone()).await;
            let (actor, _) = part(&format!("the shipper to {}", board.peer()), spawned)?;
            handles.push(ShipperHandle::new(board.peer(), actor));
        }
    }
    Ok(handles.into())
}

async fn spawn_keeper(
    context: &Arc<NodeContext>,
    partitions: &Arc<[PartitionHandle]>,
    root: &ActorCell,
) -> Result<(), StartError> {
    let arguments = KeeperArguments {
        context: Arc::clone(context),
        partitions: Arc::clone(partitions),
    };
    let spawned = KeeperActor::spawn_linked(None, KeeperActor, arguments, root.clone()).await;
    part("the keeper", spawned).map(drop)
}
