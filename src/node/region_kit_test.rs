//! What the tests of a region of several nodes share: nodes over QUIC, each with a store in memory that outlives it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::actors::health::IgnoreLag;
use crate::actors::mesh::kit_test::{Addresses, Directed};
use crate::actors::region::FixedConfiguration;
use crate::api::IgnoreRequests;
use crate::config::ClusterConfig;
use crate::model::agreement::{Placement, PlacementNode};
use crate::model::ids::NodeId;
use crate::model::limits;
use crate::node::assemble::{Assembly, NodePorts, NodeSurface};
use crate::ports::blocking::BlockingWork;
use crate::ports::clock::{Clock as _, SystemClock};
use crate::ports::entropy::SystemEntropy;
use crate::storage::{ExpectedIdentity, GroupCommitter, MemoryStore, SilentObserver, check_or_create};
use crate::transport::QuicNetwork;
use crate::transport::test_cluster::Cluster;

/// The configuration of a region of so many nodes.
pub(super) fn region_of(nodes: usize) -> ClusterConfig {
    let nodes: Vec<String> = NAMES[..nodes]
        .iter()
        .map(|name| format!("{{ id = '{name}', http = '{name}:1', quic = '{name}:2' }}"))
        .collect();
    let text = format!(
        "cluster = 'dev'\npartitions = 8\n[[region]]\nid = 'eu'\nnode = [{}]",
        nodes.join(", ")
    );
    ClusterConfig::parse("regions.toml", &text).unwrap()
}

pub(super) const NAMES: [&str; 4] = ["n1", "n2", "n3", "n4"];
/// What a machine may take that has other things to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct World {
    pub(super) certificates: Cluster,
    pub(super) addresses: Addresses,
    pub(super) config: ClusterConfig,
    pub(super) disks: [Arc<MemoryStore>; NAMES.len()],
    pub(super) running: [Option<Running>; NAMES.len()],
}

pub(super) struct Running {
    pub(super) assembly: Assembly,
    pub(super) quic: Arc<QuicNetwork>,
}

impl World {
    /// Of a region of which no node runs.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            certificates: Cluster::new("dev"),
            addresses: Addresses::default(),
            config: region_of(nodes),
            disks: [(); NAMES.len()].map(|()| Arc::new(MemoryStore::new())),
            running: [const { None }; NAMES.len()],
        }
    }

    pub(super) async fn start() -> Self {
        let mut world = Self::new(3);
        let (first, second, third) = tokio::join!(world.node(0), world.node(1), world.node(2));
        world.running = [Some(first), Some(second), Some(third), None];
        world
    }

    pub(super) async fn node(&self, number: usize) -> Running {
        let (name, disk) = (NAMES[number], &self.disks[number]);
        let quic = self.certificates.bind("eu", name);
        let node: NodeId = name.parse().unwrap();
        let address = quic.local_address().to_string();
        self.addresses.lock().unwrap().insert(node, address);
        let clock = Arc::new(SystemClock::default());
        let expected = ExpectedIdentity {
            cluster: self.config.cluster,
            region: "eu".parse().unwrap(),
            node,
            partitions: self.config.partitions,
            now: clock.now(),
        };
        let identity = check_or_create(disk.as_ref(), Path::new("memory"), &expected).unwrap();
        let committer =
            GroupCommitter::start(Arc::<MemoryStore>::clone(disk), Arc::new(SilentObserver)).unwrap();
        let ports = NodePorts {
            clock,
            entropy: Arc::new(SystemEntropy),
            store: Arc::<MemoryStore>::clone(disk),
            committer: Arc::new(committer),
            network: Arc::new(Directed {
                quic: Arc::clone(&quic),
                addresses: Arc::clone(&self.addresses),
            }),
            blocking: BlockingWork::Threads,
            raft_entries_kept: limits::RAFT_ENTRIES_KEPT,
        };
        let surface = NodeSurface {
            certificate_expires: SystemTime::now() + Duration::from_secs(3600),
            render_metrics: Box::new(|_| String::new()),
            requests: Arc::new(IgnoreRequests),
            lag: Arc::new(IgnoreLag),
            configuration: Arc::new(FixedConfiguration {
                version: String::new(),
                since: SystemTime::now(),
            }),
        };
        let starting = Assembly::start(&self.config, &identity, ports, surface);
        let assembly = tokio::time::timeout(PATIENCE, starting).await.unwrap().unwrap();
        Running { assembly, quic }
    }

    pub(super) fn assembly(&self, number: usize) -> &Assembly {
        &self.running[number].as_ref().unwrap().assembly
    }

    pub(super) async fn restart(&mut self, number: usize) {
        self.running[number] = Some(self.node(number).await);
    }

    /// The others hear nothing of it from one moment to the next.
    pub(super) async fn kill(&mut self, number: usize) {
        let running = self.running[number].take().unwrap();
        self.addresses
            .lock()
            .unwrap()
            .remove(&NAMES[number].parse().unwrap());
        crate::ports::link::Network::shutdown(running.quic.as_ref()).await;
        running.assembly.stop(Instant::now()).await;
    }

    pub(super) async fn call(
        &self,
        number: usize,
        method: &str,
        path: &str,
        body: &str,
    ) -> (StatusCode, String) {
        self.call_at("local_quorum", number, method, path, body).await
    }

    pub(super) async fn call_at(
        &self,
        level: &str,
        number: usize,
        method: &str,
        path: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("atoll-consistency", level)
            .header("content-type", "application/json")
            .header("atoll-timeout-ms", "30000")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let answer = self.assembly(number).router().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// A write that is tried until it is taken, as clients do; adds are given a key so that a repeat is none.
    pub(super) async fn add(&self, number: usize, counter: &str, key: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = Request::builder()
                .method("POST")
                .uri(format!("/v1/data/shop/counters/{counter}"))
                .header("content-type", "application/json")
                .header("idempotency-key", key)
                .header("atoll-timeout-ms", "5000")
                .body(Body::from("{\"add\": 1}"))
                .unwrap();
            let answer = self.assembly(number).router().oneshot(request).await.unwrap();
            if answer.status().is_success() {
                return;
            }
            let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            assert!(
                Instant::now() < deadline,
                "{key}: {}",
                String::from_utf8_lossy(&body)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn counter(&self, number: usize, counter: &str) -> u64 {
        let path = format!("/v1/data/shop/counters/{counter}");
        let (status, body) = self.call(number, "GET", &path, "").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        json["value"].as_u64().unwrap_or_else(|| panic!("{body}"))
    }

    /// Waits until all nodes that run have the same rows.
    pub(super) async fn converge(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let running = self.running.iter().flatten();
            let states: Vec<Vec<_>> = running
                .map(|running| {
                    let board = &running.assembly.context().partitions;
                    let states = board
                        .ids()
                        .map(|id| board.read(id, |view| (view.digest_root, view.vector.clone())));
                    states.collect()
                })
                .collect();
            if states.windows(2).all(|pair| pair[0] == pair[1]) {
                return;
            }
            assert!(Instant::now() < deadline, "{states:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nodes lead as placement has it; which.
    pub(super) async fn settled(&self) -> Vec<usize> {
        let region = &self.config.regions()[0];
        let nodes = region.nodes().iter();
        let nodes: Vec<_> = nodes
            .map(|node| PlacementNode {
                id: node.id,
                zone: None,
            })
            .collect();
        let placement = Placement::new(self.config.partitions, region.replication_factor(), &nodes);
        let mut leaders = Vec::new();
        for partition in self.config.partitions.ids() {
            let first = placement.replicas(partition)[0];
            let found = self.assembly(0).context().groups.wait_until(partition, |view| {
                view.leader.filter(|(leader, _)| *leader == first)
            });
            let found = tokio::time::timeout(PATIENCE, found).await;
            let (leader, _) = found.expect("the first by placement leads in the end");
            leaders.push(NAMES.iter().position(|name| *name == leader.as_str()).unwrap());
        }
        leaders
    }

    pub(super) async fn stop(mut self) {
        for number in 0..NAMES.len() {
            if let Some(running) = self.running[number].take() {
                // The last ones cannot agree on anything any more.
                running
                    .assembly
                    .stop(Instant::now() + Duration::from_secs(2))
                    .await;
            }
        }
    }
}
