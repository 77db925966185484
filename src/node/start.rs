//! Starting and stopping a node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{ClusterConfig, HostPort};
use crate::model::ids::{NodeId, RegionId};
use crate::node::assemble::{Assembly, NodePorts, NodeSurface};
use crate::node::health_metrics::CountLag;
use crate::node::metrics::{CountGroups, CountRequests, NodeMetrics};
use crate::node::open::open_store;
use crate::node::start_error::{StartError, part};
use crate::ports::blocking::BlockingWork;
use crate::ports::clock::SystemClock;
use crate::ports::entropy::SystemEntropy;
use crate::ports::link::PeerIdentity;
use crate::ports::store::Store;
use crate::storage::{GroupCommitter, RocksStore};
use crate::transport::certificates::CertificateFolder;
use crate::transport::{QuicConfig, QuicNetwork};

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

/// A running node.
pub struct Node {
    id: NodeId,
    region: RegionId,
    http_address: SocketAddr,
    assembly: Assembly,
    committer: Arc<GroupCommitter>,
    http_stop: CancellationToken,
    http: JoinHandle<()>,
    grace: Duration,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.id)
    }
}

impl Node {
    /// Starts a node and returns when it serves.
    ///
    /// # Errors
    /// [`StartError`]. Ports are given back at once; actors that were already started end with the process, which is
    /// expected to end.
    pub async fn start(cluster: &ClusterConfig, options: NodeOptions) -> Result<Self, StartError> {
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
        let certificates = CertificateFolder::new(options.certificates.clone()).node(node.id);
        let quic = QuicConfig::new(resolve(&node.quic_listen).await?, certificates);
        let network = Arc::new(QuicNetwork::bind(&quic)?);
        check_certificate(cluster, &options, network.identity())?;
        let opened = open_store(cluster, &options).await?;

        let metrics = Arc::new(NodeMetrics::new(options.region.as_str(), options.node.as_str()));
        let store: Arc<dyn Store> = Arc::<RocksStore>::clone(&opened.store);
        let groups = Arc::new(CountGroups(Arc::clone(&metrics)));
        let committer = Arc::new(part(
            "the group committer",
            GroupCommitter::start(Arc::clone(&store), groups),
        )?);
        let ports = NodePorts {
            clock: Arc::new(SystemClock::with_offset_ms(options.clock_offset_ms)),
            entropy: Arc::new(SystemEntropy),
            store,
            committer: Arc::<GroupCommitter>::clone(&committer),
            network: Arc::<QuicNetwork>::clone(&network),
            blocking: BlockingWork::Threads,
        };
        let (counted, asked) = (Arc::clone(&metrics), Arc::clone(&opened.store));
        let surface = NodeSurface {
            certificate_expires: network.identity().certificate_expires,
            render_metrics: Box::new(move |context| counted.render(context, &asked)),
            requests: Arc::new(CountRequests(Arc::clone(&metrics))),
            lag: Arc::new(CountLag(metrics)),
        };
        let assembly = Assembly::start(cluster, &opened.identity, ports, surface).await?;
        let http_stop = CancellationToken::new();
        let http_address = part("the HTTP surface", listener.local_addr())?;
        let http = tokio::spawn(serve_http(listener, assembly.router(), http_stop.clone()));
        Ok(Self {
            id: options.node,
            region: options.region,
            http_address,
            assembly,
            committer,
            http_stop,
            http,
            grace: cluster.http.shutdown_grace,
        })
    }

    /// Which node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
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
        self.assembly.stop_admitting();
        self.http_stop.cancel();
        let deadline = tokio::time::Instant::now() + self.grace;
        while self.assembly.requests_under_way() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let unfinished = self.assembly.requests_under_way();
        if unfinished > 0 {
            tracing::warn!(node = %self.id, unfinished, "requests were not finished within shutdown_grace_ms");
        }
        self.assembly.stop(deadline).await;
        self.http.abort();
        // Aborted or finished: both are the end.
        let _ = self.http.await;
        let committer = Arc::clone(&self.committer);
        // Closing waits for the disk. The store itself is closed with its last user.
        let _ = tokio::task::spawn_blocking(move || committer.close()).await;
        tracing::info!(node = %self.id, "stopped");
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
