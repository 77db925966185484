//! Regions in a folder of their own, each node a process: three regions of one node, unless [`Cluster::builder`] is told otherwise.
//!
//! With `ATOLL_TEST_NODES=3` regions have three nodes where the test does not say how many, and one handle for all three: what
//! holds for a region holds whichever node is asked.

use std::fmt::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::command::atoll;
use super::node::Node;
use super::{check, wait_until};

/// The regions of a cluster, and the first of them where it has fewer.
const REGIONS: [&str; 3] = ["us-east", "eu-west", "ap-south"];

/// Processes that run at a time: they all want the processor. Four clusters of the usual size.
const PROCESSES_MAX: usize = 12;

/// A place for each process.
static PLACES: Semaphore = Semaphore::const_new(PROCESSES_MAX);

/// Numbers the clusters of this process.
static NEXT_CLUSTER: AtomicU32 = AtomicU32::new(0);

/// The ports of this process.
static PORTS: Mutex<Ports> = Mutex::new(Ports {
    claims: Vec::new(),
    left: 0..0,
});

/// Ports are taken from below the range from which the system gives ports to clients, so that no client has the port
/// of a node that restarts.
const PORTS_FIRST: u16 = 11_000;

/// A suite claims ports by the block, and a second one when the first is used up: a port is free between its choice and
/// the start of its node, and while its node is restarted, and no other suite may take it then.
const PORTS_PER_BLOCK: u16 = 300;

/// Up to port 32 000.
const PORT_BLOCKS: u16 = 70;

/// Attempts to find free ports, if another suite is quicker.
const ATTEMPTS_MAX: u32 = 10;

/// A cluster. Its processes end when it is dropped.
pub(crate) struct Cluster {
    /// Its name.
    pub(crate) name: String,
    /// The first node of each region, which is the region where it has no other.
    regions: Vec<Arc<Node>>,
    /// All nodes, region by region.
    nodes: Vec<Arc<Node>>,
    folder: TempDir,
    _places: SemaphorePermit<'static>,
}

/// What a cluster is to be like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClusterBuilder<'a> {
    regions: usize,
    /// Unless the test says how many, the nodes of a region are one to it.
    nodes: Option<usize>,
    tables: &'a str,
}

impl<'a> ClusterBuilder<'a> {
    /// So many regions instead of three: us-east, eu-west, ap-south.
    pub(crate) fn regions(self, regions: usize) -> Self {
        assert!((1..=REGIONS.len()).contains(&regions), "{regions} regions");
        Self { regions, ..self }
    }

    /// So many nodes in each region instead of one; each holds every partition.
    pub(crate) fn nodes(self, nodes: usize) -> Self {
        assert!(nodes > 0, "a region has a node");
        Self {
            nodes: Some(nodes),
            ..self
        }
    }

    /// With tables at the end of the configuration.
    pub(crate) fn tables(self, tables: &'a str) -> Self {
        Self { tables, ..self }
    }

    /// Configurations and certificates, but no process yet.
    pub(crate) async fn prepare(self) -> Cluster {
        // A cluster that is larger than all places takes all of them.
        let per_region = self.nodes.unwrap_or_else(usual_nodes);
        let processes = (self.regions * per_region).min(PROCESSES_MAX);
        let places = PLACES.acquire_many(u32::try_from(processes).unwrap());
        let places = places.await.unwrap();
        let folder = TempDir::new().unwrap();
        let number = NEXT_CLUSTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("bb-{}-{number}", std::process::id());
        let regions = REGIONS.into_iter().take(self.regions);
        let node = |id, number| Node::new(&name, folder.path(), id, number, free_port());
        let nodes: Vec<_> = match self.nodes {
            Some(nodes) => regions
                .flat_map(|id| (1..=nodes).map(move |number| (id, number)))
                .map(|(id, number)| Arc::new(node(id, number)))
                .collect(),
            None => regions
                .map(|id| {
                    let fellows = (2..=per_region).map(|number| Arc::new(node(id, number)));
                    Arc::new(node(id, 1).standing_for(fellows.collect()))
                })
                .collect(),
        };
        let text = self.config_text(&name, &nodes);
        let certificates = folder.path().join("certs");
        let dir = certificates.to_str().unwrap();
        atoll(&["certs", "init", "--cluster", &name, "--dir", dir]).expect(0);
        for node in nodes.iter().flat_map(|node| node.all()) {
            std::fs::write(node.config(), &text).unwrap();
            let id = node.node();
            atoll(&["certs", "issue", "--region", node.id, "--node", &id, "--dir", dir]).expect(0);
            std::fs::create_dir(node.certificates()).unwrap();
            for file in ["ca.pem".to_owned(), format!("{id}.pem"), format!("{id}.key")] {
                std::fs::copy(certificates.join(&file), node.certificates().join(&file)).unwrap();
            }
        }
        Cluster {
            name,
            regions: nodes.iter().step_by(self.nodes.unwrap_or(1)).cloned().collect(),
            nodes,
            folder,
            _places: places,
        }
    }

    /// All nodes serve, with links between the regions.
    pub(crate) async fn start(self) -> Cluster {
        for _ in 0..ATTEMPTS_MAX {
            let cluster = self.prepare().await;
            if cluster.try_start_all().await {
                cluster.linked().await;
                return cluster;
            }
        }
        panic!("no free ports for a cluster in {ATTEMPTS_MAX} attempts");
    }

    fn config_text(self, name: &str, nodes: &[Arc<Node>]) -> String {
        // Fewer partitions than by default: sixteen of them show all that 64 would.
        let mut text = format!("cluster = \"{name}\"\npartitions = 16\n");
        for region in nodes.chunk_by(|one, next| one.id == next.id) {
            let _ = write!(text, "\n[[region]]\nid = \"{}\"\n", region[0].id);
            let nodes: Vec<_> = region.iter().flat_map(|node| node.all()).collect();
            // Up to three nodes hold every partition by default.
            if nodes.len() > 3 {
                let _ = writeln!(text, "replication_factor = {}", nodes.len());
            }
            for node in nodes {
                let (id, port) = (node.node(), node.port);
                let _ = write!(
                    text,
                    "\n[[region.node]]\nid = \"{id}\"\nhttp = \"127.0.0.1:{port}\"\nquic = \"127.0.0.1:{port}\"\n"
                );
            }
        }
        text.push('\n');
        text.push_str(self.tables);
        text
    }
}

impl Cluster {
    /// Three regions of one node, unless it is told otherwise: `Cluster::builder().regions(1).nodes(3).start().await`.
    pub(crate) fn builder<'a>() -> ClusterBuilder<'a> {
        ClusterBuilder {
            regions: REGIONS.len(),
            nodes: None,
            tables: "",
        }
    }

    /// Three regions that serve, with links between them.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    /// As [`Self::start`], with tables at the end of the configuration.
    pub(crate) async fn start_with(tables: &str) -> Self {
        Self::builder().tables(tables).start().await
    }

    /// Only us-east serves: enough for what a region alone decides.
    pub(crate) async fn of_one_region() -> Self {
        let cluster = Self::builder().prepare().await;
        cluster.us().start().await;
        cluster
    }

    /// Configurations and certificates of regions of one node, but no process yet.
    pub(crate) async fn prepare(tables: &str) -> Self {
        Self::builder().nodes(1).tables(tables).prepare().await
    }

    /// As [`Self::start`], always with one node in each region: for what is about the disk, the process or the identity of a node.
    pub(crate) async fn of_single_nodes() -> Self {
        Self::builder().nodes(1).start().await
    }

    /// False if a port was taken by somebody else. All at once: a node may not serve before others of its region run.
    async fn try_start_all(&self) -> bool {
        let starting = self.nodes.iter().map(|node| async move {
            match node.try_start(&[]).await {
                Ok(()) => Ok(()),
                Err(failed) if failed.log.contains("in use") => Err(()),
                Err(failed) => panic!(
                    "{} did not start ({}): {}",
                    node.node(),
                    failed.status,
                    failed.log
                ),
            }
        });
        futures_util::future::try_join_all(starting).await.is_ok()
    }

    /// The first node of each region: all nodes, where there are no others.
    pub(crate) fn regions(&self) -> &[Arc<Node>] {
        &self.regions
    }

    /// All nodes, region by region: `cluster.nodes()[0]` is the first node of us-east.
    pub(crate) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The nodes of a region: `cluster.nodes_of("us-east")[2].kill()`.
    pub(crate) fn nodes_of(&self, region: &str) -> &[Arc<Node>] {
        let mut regions = self.nodes.chunk_by(|one, next| one.id == next.id);
        let found = regions.find(|nodes| nodes[0].id == region);
        found.unwrap_or_else(|| panic!("no region {region}"))
    }

    /// Region us-east, or its first node.
    pub(crate) fn us(&self) -> &Arc<Node> {
        &self.regions[0]
    }

    /// Region eu-west, or its first node.
    pub(crate) fn eu(&self) -> &Arc<Node> {
        &self.regions[1]
    }

    /// Region ap-south, or its first node.
    pub(crate) fn ap(&self) -> &Arc<Node> {
        &self.regions[2]
    }

    /// A folder that lives as long as the cluster. `certs` in it has the authority.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until all links are up, at every node.
    pub(crate) async fn linked(&self) {
        for node in &self.nodes {
            for peer in self.regions.iter().filter(|peer| peer.id != node.id) {
                node.waits_for_link(peer.id, "up").await;
            }
        }
    }

    /// Waits until all nodes have the same commits, and asserts that they then hold the same data. Gives the digest.
    pub(crate) async fn converged(&self) -> Value {
        let all: Vec<_> = (0..self.nodes.len()).collect();
        self.converged_among(&all).await
    }

    /// As [`Self::converged`], of some nodes by their place in [`Self::nodes`].
    pub(crate) async fn converged_among(&self, indexes: &[usize]) -> Value {
        let digests = wait_until("all nodes have the same commits", async || {
            let mut digests = Vec::new();
            for node in indexes.iter().flat_map(|index| self.nodes[*index].all()) {
                digests.push(node.digest_one().await);
            }
            let same = digests
                .iter()
                .all(|digest| digest["vector"] == digests[0]["vector"]);
            check(same, difference(&digests)).map(|()| digests)
        })
        .await;
        for digest in &digests {
            assert_eq!(
                digest["root"],
                digests[0]["root"],
                "same commits, other data: {}",
                difference(&digests)
            );
            assert_eq!(digest["partitions"], digests[0]["partitions"]);
        }
        digests[0].clone()
    }

    /// Stops all nodes and verifies their folders.
    pub(crate) async fn stop_and_verify(&self) {
        for node in &self.nodes {
            node.stop().await;
        }
        for node in self.nodes.iter().flat_map(|node| node.all()) {
            let data = node.data();
            let ran = atoll(&["verify", "--data", data.to_str().unwrap()]);
            assert_eq!(ran.code, Some(0), "{}: {} {}", node.node(), ran.out, ran.err);
        }
    }
}

impl Node {
    /// Waits until what this region shows of its link to another one is so, all in one look, and gives it. Any node may be the
    /// one to which that happens.
    pub(crate) async fn waits_for_peer(
        &self,
        peer: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        wait_until(&format!("{} shows {peer} {what}", self.node()), async || {
            let found = self.peer(peer).await;
            check(is_so(&found), &found).map(|()| found)
        })
        .await
    }

    /// As [`Self::waits_for_peer`], of all its nodes; gives what one of them shows.
    async fn all_wait_for_peer(&self, peer: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut shown = Value::Null;
        for node in self.all() {
            shown = wait_until(&format!("{} shows {peer} {what}", node.node()), async || {
                let found = node.peer_one(peer).await;
                check(is_so(&found), &found).map(|()| found)
            })
            .await;
        }
        shown
    }

    /// Waits until this region shows its link to another one in this state, and gives what it shows. All its nodes show it,
    /// unless it is one of them that has met a fault.
    pub(crate) async fn waits_for_link(&self, peer: &str, link: &str) -> Value {
        let (what, is_so) = (format!("as {link}"), |shown: &Value| shown["link"] == link);
        if link == "quarantined" {
            return self.waits_for_peer(peer, &what, is_so).await;
        }
        self.all_wait_for_peer(peer, &what, is_so).await
    }

    /// Waits until this region shows these words as the last error of its link to another one.
    pub(crate) async fn waits_for_error(&self, peer: &str, words: &str) -> Value {
        self.waits_for_peer(peer, &format!("with {words:?}"), |shown| says(shown, words))
            .await
    }

    /// Waits until this region shows its link to another one in this state, and with it these words as its last error.
    pub(crate) async fn waits_for_link_that_says(&self, peer: &str, link: &str, words: &str) -> Value {
        self.waits_for_peer(peer, &format!("as {link} with {words:?}"), |shown| {
            shown["link"] == link && says(shown, words)
        })
        .await
    }

    /// Waits until this region is in this state, and gives its status. All its nodes are, unless one of them has met a fault.
    pub(crate) async fn waits_for_state(&self, state: &str) -> Value {
        let mut shown = Value::Null;
        let (all, any) = (self.fellows.len() + 1, 1);
        for node in self.all().take(if state == "healthy" { all } else { any }) {
            shown = wait_until(&format!("{} is {state}", node.node()), async || {
                let status = match state {
                    "healthy" => node.status_one().await,
                    _ => node.status().await,
                };
                check(status["state"] == state, &status).map(|()| status)
            })
            .await;
        }
        shown
    }

    /// Waits until this region has logged these words.
    pub(crate) async fn waits_for_log(&self, words: &str) {
        wait_until(&format!("{} logs {words:?}", self.node()), async || {
            let logs: Vec<String> = self.all().map(Self::log).collect();
            check(logs.iter().any(|log| log.contains(words)), logs.join("\n"))
        })
        .await;
    }

    /// Waits until nothing is under way between this region and another one: then the lag is 0 and the backlog empty.
    pub(crate) async fn waits_for_idle(&self, peer: &str) -> Value {
        let is_idle = |shown: &Value| {
            let is_level = shown["lag_ms"] == 0 && shown["backlog_changes"] == 0;
            is_level && shown["link"] == "up" && shown["state"] == "healthy"
        };
        self.all_wait_for_peer(peer, "as level with it", is_idle).await
    }
}

/// Whether the last error of a link has these words.
fn says(shown: &Value, words: &str) -> bool {
    shown["last_error"]
        .as_str()
        .is_some_and(|error| error.contains(words))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                node.print_logs();
            }
        }
    }
}

/// How many nodes a region has where its test does not say.
fn usual_nodes() -> usize {
    let Ok(text) = std::env::var("ATOLL_TEST_NODES") else {
        return 1;
    };
    let nodes = text.parse().ok().filter(|nodes| (1..=7).contains(nodes));
    nodes.unwrap_or_else(|| panic!("ATOLL_TEST_NODES is {text:?}: use a number from 1 to 7"))
}

/// The partitions in which the vectors or digests differ.
fn difference(digests: &[Value]) -> String {
    let count = digests[0]["vector"].as_array().unwrap().len();
    let mut text = String::new();
    for partition in 0..count {
        let of = |name: &str| {
            digests
                .iter()
                .map(|digest| &digest[name][partition])
                .collect::<Vec<_>>()
        };
        let (vectors, sums) = (of("vector"), of("partitions"));
        if vectors.iter().any(|vector| *vector != vectors[0]) || sums.iter().any(|sum| *sum != sums[0]) {
            let _ = writeln!(text, "partition {partition}: {vectors:?} {sums:?}");
        }
    }
    text
}

/// What this process has claimed of the ports, and not given out yet. Each is used by one cluster only, also after that
/// has ended.
struct Ports {
    /// Bound to the first port of each block for as long as the process runs: that is the claim.
    claims: Vec<UdpSocket>,
    left: std::ops::Range<u16>,
}

impl Ports {
    fn claim(&mut self) {
        // Suites that run side by side begin at different places.
        let begin = std::process::id().wrapping_mul(2_654_435_761);
        let free = (0..u32::from(PORT_BLOCKS)).find_map(|step| {
            let block = u16::try_from(begin.wrapping_add(step) % u32::from(PORT_BLOCKS)).unwrap();
            let first = PORTS_FIRST + block * PORTS_PER_BLOCK;
            let claim = UdpSocket::bind(("127.0.0.1", first)).ok()?;
            Some((claim, first + 1..first + PORTS_PER_BLOCK))
        });
        let (claim, ports) = free.expect("a block of ports that no other suite has");
        self.claims.push(claim);
        self.left = ports;
    }
}

/// A port that is free for TCP and for UDP.
pub(crate) fn free_port() -> u16 {
    // Somebody who does not know of blocks may have it.
    let is_free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok() && UdpSocket::bind(("127.0.0.1", *port)).is_ok()
    };
    let mut ports = PORTS.lock().unwrap();
    loop {
        if let Some(port) = ports.left.find(is_free) {
            return port;
        }
        ports.claim();
    }
}
