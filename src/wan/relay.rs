//! The whole relay: a line for each direction between two regions of a cluster, a listener for each node at its end, and the
//! control.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio_util::task::AbortOnDropHandle;

use super::control;
use super::document::{CountsDocument, LinkDocument, PathDocument, ShapeDocument};
use super::line::Line;
use super::listener::Listener;
use crate::config::link::LinkChange;
use crate::config::{ClusterConfig, ConfigError, Direction, HostPort, NodeConfig};
use crate::model::ids::{NodeId, RegionId};
use crate::ports::entropy::{Entropy, SeededEntropy, SystemEntropy};

/// How a relay is started, besides the cluster's configuration.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// The address on which it listens for nodes.
    pub listen: IpAddr,
    /// The port of the first node of the first direction; the others follow. 0 lets the system choose all.
    pub first_port: u16,
    /// Where it serves its control. Port 0 lets the system choose.
    pub control: SocketAddr,
    /// Decides all chances; the system's if there is none.
    pub seed: Option<u64>,
}

/// Why a relay did not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The cluster cannot be run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There are not so many ports.
    #[error(
        "the relay needs {needed} ports from {first_port} on, but the last port is 65535: choose a lower --first-port"
    )]
    Ports {
        /// How many it needs.
        needed: usize,
        /// Where they would begin.
        first_port: u16,
    },
    /// A socket for nodes cannot be opened.
    #[error(
        "cannot listen on UDP {address} for {direction}, node {node}: choose other ports with --first-port (0: any that are free)"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// For which direction.
        direction: Direction,
        /// For which node at its end.
        node: NodeId,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The control cannot be served.
    #[error(
        "cannot serve the control of the relay on TCP {address}: choose another address with --control, or --wan-control of `atoll dev` (port 0: any that is free)"
    )]
    Control {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A running relay. It ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    links: Arc<Links>,
    control: SocketAddr,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// The directions of a relay, in the order of the file.
pub(super) struct Links(Vec<RelayedLink>);

struct RelayedLink {
    direction: Direction,
    /// To each node of the region at its end.
    paths: Vec<RelayedPath>,
    line: Arc<Line>,
}

struct RelayedPath {
    node: NodeId,
    listen: SocketAddr,
    target: HostPort,
}

impl Relay {
    /// Opens all sockets and begins to relay.
    ///
    /// # Errors
    /// [`RelayError`]; nothing is left open then.
    pub async fn start(cluster: &ClusterConfig, options: &RelayOptions) -> Result<Self, RelayError> {
        let directions: Vec<Direction> = cluster.directions().collect();
        let mut ends = Vec::new();
        for direction in &directions {
            ends.push((*direction, cluster.region(&direction.to)?.nodes()));
        }
        let needed = ends.iter().map(|(_, nodes)| nodes.len()).sum();
        let mut ports = ports(options.first_port, needed)?.into_iter();
        let lines = lines(cluster, &directions, options.seed);
        let (mut links, mut listeners) = (Vec::new(), Vec::new());
        for (direction, nodes) in ends {
            let (forth, back) = (&lines[&direction], &lines[&direction.reversed()]);
            let mut paths = Vec::new();
            for (node, port) in nodes.iter().zip(&mut ports) {
                let address = SocketAddr::new(options.listen, port);
                let (path, socket) = listen(address, direction, node).await?;
                listeners.push(Listener {
                    socket: Arc::new(socket),
                    target: path.target.clone(),
                    forth: Arc::clone(forth),
                    back: Arc::clone(back),
                });
                paths.push(path);
            }
            links.push(RelayedLink {
                direction,
                paths,
                line: Arc::clone(forth),
            });
        }
        let failed = |source| RelayError::Control {
            address: options.control,
            source,
        };
        let control = TcpListener::bind(options.control).await.map_err(failed)?;
        let control_address = control.local_addr().map_err(failed)?;
        let links = Arc::new(Links(links));
        let mut tasks = vec![tokio::spawn(control::serve(control, Arc::clone(&links)))];
        tasks.extend(lines.into_values().map(|line| tokio::spawn(line.deliver())));
        tasks.extend(listeners.into_iter().map(|listener| tokio::spawn(listener.run())));
        Ok(Self {
            links,
            control: control_address,
            _tasks: tasks.into_iter().map(AbortOnDropHandle::new).collect(),
        })
    }

    /// Where it serves its control.
    #[must_use]
    pub fn control_address(&self) -> SocketAddr {
        self.control
    }

    /// All directions with their shapes and counts.
    #[must_use]
    pub fn links(&self) -> Vec<LinkDocument> {
        self.links.documents(|_| true)
    }

    /// The configuration with which a node of that region dials all others through this relay.
    ///
    /// # Errors
    /// [`ConfigError`] where the relay is of another cluster.
    pub fn configure(&self, cluster: &ClusterConfig, own: &RegionId) -> Result<ClusterConfig, ConfigError> {
        let mut cluster = cluster.clone();
        let from_here = self.links.0.iter().filter(|link| link.direction.from == *own);
        for path in from_here.flat_map(|link| &link.paths) {
            cluster.dial_node_at(own, &path.node, &path.listen.into())?;
        }
        Ok(cluster)
    }
}

impl RelayedPath {
    fn document(&self) -> PathDocument {
        PathDocument {
            node: self.node,
            listen: self.listen.to_string(),
            target: self.target.to_string(),
        }
    }
}

impl Links {
    /// Whether there is such a direction.
    pub(super) fn has(&self, direction: Direction) -> bool {
        self.0.iter().any(|link| link.direction == direction)
    }

    /// Changes a direction.
    pub(super) fn change(&self, direction: Direction, change: &LinkChange) {
        for link in self.0.iter().filter(|link| link.direction == direction) {
            link.line.change(change);
        }
    }

    /// What is shown of the directions that are asked for.
    pub(super) fn documents(&self, is_asked: impl Fn(Direction) -> bool) -> Vec<LinkDocument> {
        let asked = self.0.iter().filter(|link| is_asked(link.direction));
        asked
            .map(|link| LinkDocument {
                from: link.direction.from,
                to: link.direction.to,
                paths: link.paths.iter().map(RelayedPath::document).collect(),
                shape: ShapeDocument::from(link.line.shape()),
                counts: CountsDocument::from(link.line.counts()),
            })
            .collect()
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|link| link.direction))
            .finish()
    }
}

/// Where the nodes at the beginning of a direction dial one at its end.
async fn listen(
    address: SocketAddr,
    direction: Direction,
    node: &NodeConfig,
) -> Result<(RelayedPath, UdpSocket), RelayError> {
    let failed = |source| RelayError::Listen {
        address,
        direction,
        node: node.id,
        source,
    };
    let socket = UdpSocket::bind(address).await.map_err(failed)?;
    let path = RelayedPath {
        node: node.id,
        listen: socket.local_addr().map_err(failed)?,
        target: node.quic.clone(),
    };
    Ok((path, socket))
}

/// So many ports, one for each node of each direction.
fn ports(first_port: u16, needed: usize) -> Result<Vec<u16>, RelayError> {
    if first_port == 0 {
        return Ok(vec![0; needed]);
    }
    let ports: Vec<u16> = (first_port..=u16::MAX).take(needed).collect();
    if ports.len() < needed {
        return Err(RelayError::Ports { needed, first_port });
    }
    Ok(ports)
}

/// A line for each direction, each with chances of its own: what one direction carries changes nothing in another.
fn lines(
    cluster: &ClusterConfig,
    directions: &[Direction],
    seed: Option<u64>,
) -> BTreeMap<Direction, Arc<Line>> {
    let seeds = seed.map(SeededEntropy::new);
    let line = |direction: &Direction| {
        let entropy: Box<dyn Entropy> = match &seeds {
            Some(seeds) => Box::new(SeededEntropy::new(seeds.next_u64())),
            None => Box::new(SystemEntropy),
        };
        let line = Line::new(cluster.link(*direction), entropy);
        (*direction, Arc::new(line))
    };
    directions.iter().map(line).collect()
}
