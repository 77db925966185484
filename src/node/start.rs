//! Starting and stopping a node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::actors::region::Configuration;
use crate::config::{ClusterConfig, HostPort};
use crate::model::ids::{NodeId, RegionId};
use crate::model::limits;
use crate::node::assemble::{Assembly, NodePorts, NodeSurface};
use crate::node::entrance::Entrance;
use crate::node::fence::Fence;
use crate::node::health_metrics::CountLag;
use crate::node::metrics::{CountGroups, CountRequests, NodeMetrics};
use crate::node::open::open_store;
use crate::node::start_error::{StartError, part};
use crate::ports::blocking::BlockingWork;
use crate::ports::clock::SystemClock;
use crate::ports::entropy::SystemEntropy;
use crate::ports::link::PeerIdentity;
use crate::ports::store::Store;
use crate::storage::{GroupCommitter, Identity, RocksStore};
use crate::transport::certificates::CertificateFolder;
use crate::transport::{BindError, QuicConfig, QuicNetwork};

/// How long a port of this node itself may still be in use.
const PORT_PATIENCE: Duration = Duration::from_secs(10);

/// What a node is started with, besides the cluster's configuration.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The node's region.
    pub region: RegionId,
    /// The node.
    pub node: NodeId,
    /// Its data folder; created if missing.
    pub data: PathBuf,
    /// Where `ca.pem`, `NODE.pem` and `NODE.key` are.
    pub certificates: PathBuf,
    /// Added to the system's clock: for drills.
    pub clock_offset_ms: i64,
    /// Begin a new incarnation: the disk has lost acknowledged writes, or was restored.
    pub new_incarnation: bool,
}

/// What outlives the parts of a node when these are made anew for another configuration.
struct Ground {
    options: NodeOptions,
    store: Arc<RocksStore>,
    identity: Identity,
    committer: Arc<GroupCommitter>,
    metrics: Arc<NodeMetrics>,
    configuration: Arc<dyn Configuration>,
}

/// The parts of a node, and what they stand on alone.
struct Parts {
    assembly: Assembly,
    fence: Arc<Fence>,
}

/// A running node.
pub struct Node {
    region: RegionId,
    http_address: SocketAddr,
    ground: Ground,
    /// None only while they are made anew, or when that has failed.
    parts: Option<Parts>,
    /// What those before may still have on its way to the disk, until that is known to be there.
    unsettled: Option<Arc<Fence>>,
    entrance: Arc<Entrance>,
    http_stop: CancellationToken,
    http: JoinHandle<()>,
    grace: Duration,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.id())
    }
}

impl Node {
    /// Starts a node and returns when it serves. `configuration` is what it shows of its configuration; whoever runs the node
    /// carries out what is wanted there, by [`Self::reload`].
    ///
    /// # Errors
    /// [`StartError`]. Ports are given back at once; actors that were already started end with the process, which is
    /// expected to end.
    pub async fn start(
        cluster: &ClusterConfig,
        options: NodeOptions,
        configuration: Arc<dyn Configuration>,
    ) -> Result<Self, StartError> {
        let (region, node) = cluster.node(&options.node)?;
        if region.id != options.region {
            return Err(StartError::OtherRegion {
                node: node.id,
                found: region.id,
                given: options.region,
            });
        }
        // Ports first: a node that cannot be reached need not open its store.
        let listener = listen(&node.http_listen, node.id).await?;
        let network = bind(cluster, &options).await?;
        let opened = open_store(cluster, &options).await?;

        let metrics = Arc::new(NodeMetrics::new(options.region.as_str(), options.node.as_str()));
        let store: Arc<dyn Store> = Arc::<RocksStore>::clone(&opened.store);
        let groups = Arc::new(CountGroups(Arc::clone(&metrics)));
        let committer = Arc::new(part(
            "the group committer",
            GroupCommitter::start(Arc::clone(&store), groups),
        )?);
        let region = options.region;
        let ground = Ground {
            options,
            store: opened.store,
            identity: opened.identity,
            committer,
            metrics,
            configuration,
        };
        let parts = ground.assemble(cluster, network).await?;
        let entrance = Entrance::new(parts.assembly.router());
        let http_stop = CancellationToken::new();
        let http_address = part("the HTTP surface", listener.local_addr())?;
        let http = tokio::spawn(serve_http(listener, entrance.router(), http_stop.clone()));
        Ok(Self {
            region,
            http_address,
            ground,
            parts: Some(parts),
            unsettled: None,
            entrance,
            http_stop,
            http,
            grace: cluster.http.shutdown_grace,
        })
    }

    /// Goes over to another configuration: the parts of the node are stopped in order and made anew, while its process,
    /// its store and its HTTP port stay. Requests wait meanwhile. What changes nothing that the data rest on was checked
    /// ([`ClusterConfig::may_become`]).
    ///
    /// # Errors
    /// [`StartError`]; the node does not serve then. It may be called again, with the configuration of before.
    pub async fn reload(&mut self, cluster: &ClusterConfig) -> Result<(), StartError> {
        self.entrance.close();
        let deadline = tokio::time::Instant::now() + self.grace;
        if let Some(parts) = self.parts.take() {
            finish_requests(&parts.assembly, self.id(), deadline).await;
            // What other nodes pass on goes to whoever leads next.
            parts.assembly.stop_admitting();
            parts.assembly.stop(deadline).await;
            self.unsettled = Some(parts.fence);
        }
        if let Some(fence) = &self.unsettled {
            // Whatever has not ended yet writes no more, and what it has written is there when it is read.
            fence.close().await?;
            self.unsettled = None;
        }
        let network = bind_again(cluster, &self.ground.options).await?;
        let parts = self.ground.assemble(cluster, network).await?;
        self.entrance.open(parts.assembly.router());
        self.parts = Some(parts);
        self.grace = cluster.http.shutdown_grace;
        Ok(())
    }

    /// Which node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.ground.options.node
    }

    /// Its region.
    #[must_use]
    pub fn region(&self) -> RegionId {
        self.region
    }

    /// Where it serves HTTP.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Stops: nothing new is admitted, what was admitted is finished, links are closed, the store is closed.
    pub async fn stop(self) {
        let id = self.id();
        let deadline = tokio::time::Instant::now() + self.grace;
        if let Some(parts) = self.parts {
            parts.assembly.stop_admitting();
            self.http_stop.cancel();
            finish_requests(&parts.assembly, id, deadline).await;
            parts.assembly.stop(deadline).await;
        }
        self.http.abort();
        // Aborted or finished: both are the end.
        let _ = self.http.await;
        let committer = Arc::clone(&self.ground.committer);
        // Closing waits for the disk. The store itself is closed with its last user.
        let _ = tokio::task::spawn_blocking(move || committer.close()).await;
        tracing::info!(node = %id, "stopped");
    }
}

impl Ground {
    async fn assemble(
        &self,
        cluster: &ClusterConfig,
        network: Arc<QuicNetwork>,
    ) -> Result<Parts, StartError> {
        let fence = Fence::new(Arc::<GroupCommitter>::clone(&self.committer));
        let ports = NodePorts {
            clock: Arc::new(SystemClock::with_offset_ms(self.options.clock_offset_ms)),
            entropy: Arc::new(SystemEntropy),
            store: Arc::<RocksStore>::clone(&self.store),
            committer: Arc::<Fence>::clone(&fence),
            network: Arc::<QuicNetwork>::clone(&network),
            blocking: BlockingWork::Threads,
            raft_entries_kept: limits::RAFT_ENTRIES_KEPT,
        };
        let (counted, asked) = (Arc::clone(&self.metrics), Arc::clone(&self.store));
        let surface = NodeSurface {
            certificate_expires: network.identity().certificate_expires,
            render_metrics: Box::new(move |context| counted.render(context, &asked)),
            requests: Arc::new(CountRequests(Arc::clone(&self.metrics))),
            lag: Arc::new(CountLag(Arc::clone(&self.metrics))),
            configuration: Arc::clone(&self.configuration),
        };
        let assembly = Assembly::start(cluster, &self.identity, ports, surface).await?;
        Ok(Parts { assembly, fence })
    }
}

/// Waits until what was admitted is finished, or the deadline.
async fn finish_requests(assembly: &Assembly, node: NodeId, deadline: tokio::time::Instant) {
    while assembly.requests_under_way() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let unfinished = assembly.requests_under_way();
    if unfinished > 0 {
        tracing::warn!(%node, unfinished, "requests were not finished within shutdown_grace_ms");
    }
}

async fn bind(cluster: &ClusterConfig, options: &NodeOptions) -> Result<Arc<QuicNetwork>, StartError> {
    let (_, node) = cluster.node(&options.node)?;
    let certificates = CertificateFolder::new(options.certificates.clone()).node(node.id);
    let quic = QuicConfig::new(resolve(&node.quic_listen).await?, certificates);
    let network = QuicNetwork::bind(&quic)?;
    check_certificate(cluster, options, network.identity())?;
    Ok(Arc::new(network))
}

/// The port is given back when the last part that used it has ended, which may be a moment later.
async fn bind_again(cluster: &ClusterConfig, options: &NodeOptions) -> Result<Arc<QuicNetwork>, StartError> {
    let deadline = tokio::time::Instant::now() + PORT_PATIENCE;
    loop {
        match bind(cluster, options).await {
            Err(StartError::Quic(BindError::AddressInUse { .. }))
                if tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            bound => return bound,
        }
    }
}

/// The certificate must be that of the node that is started: TLS alone only says that the authority has issued it.
fn check_certificate(
    cluster: &ClusterConfig,
    options: &NodeOptions,
    certified: &PeerIdentity,
) -> Result<(), StartError> {
    let names = [
        (
            "cluster",
            certified.cluster.to_string(),
            cluster.cluster.to_string(),
        ),
        ("region", certified.region.to_string(), options.region.to_string()),
        ("node", certified.node.to_string(), options.node.to_string()),
    ];
    match names.into_iter().find(|(_, found, expected)| found != expected) {
        Some((what, found, expected)) => Err(StartError::OtherCertificate {
            folder: options.certificates.clone(),
            what,
            found,
            expected,
        }),
        None => Ok(()),
    }
}

async fn serve_http(listener: TcpListener, router: axum::Router, stop: CancellationToken) {
    // Answers are small and must not wait for an acknowledgement of the packet before.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the HTTP surface has failed");
    }
}

async fn resolve(address: &HostPort) -> Result<SocketAddr, StartError> {
    let text = address.to_string();
    let not_found = |source| StartError::Resolve {
        address: text.clone(),
        source,
    };
    let mut found = tokio::net::lookup_host(&text).await.map_err(not_found)?;
    found.next().ok_or_else(|| {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
        StartError::Resolve {
            address: text.clone(),
            source,
        }
    })
}

async fn listen(address: &HostPort, node: NodeId) -> Result<TcpListener, StartError> {
    let address = resolve(address).await?;
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => StartError::HttpInUse { address, node },
            _ => StartError::HttpListen { address, source },
        })
}
