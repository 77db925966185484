//! A region of three nodes over QUIC, each with its own store: what one node is given all of them have, through losses of nodes.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::actors::health::IgnoreLag;
use crate::actors::mesh::kit_test::{Addresses, Directed};
use crate::api::IgnoreRequests;
use crate::config::ClusterConfig;
use crate::model::agreement::{Placement, PlacementNode};
use crate::model::ids::{Key, NodeId};
use crate::model::limits;
use crate::model::placement::partition_of;
use crate::model::raft::RaftIndex;
use crate::node::assemble::{Assembly, NodePorts, NodeSurface};
use crate::ports::blocking::BlockingWork;
use crate::ports::clock::{Clock as _, SystemClock};
use crate::ports::entropy::SystemEntropy;
use crate::ports::store::{Family, Store as _};
use crate::storage::{ExpectedIdentity, GroupCommitter, MemoryStore, SilentObserver, check_or_create};
use crate::transport::QuicNetwork;
use crate::transport::test_cluster::Cluster;
use crate::wire::keys::raft::RaftEntryKey;

const REGIONS: &str = "
cluster = 'dev'
partitions = 8
[[region]]
id = 'eu'
node = [{ id = 'n1', http = 'a:1', quic = 'a:2' }, { id = 'n2', http = 'b:1', quic = 'b:2' }, { id = 'n3', http = 'c:1', quic = 'c:2' }]
";
const NAMES: [&str; 3] = ["n1", "n2", "n3"];
/// What a machine may take that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    certificates: Cluster,
    addresses: Addresses,
    config: ClusterConfig,
    disks: [Arc<MemoryStore>; 3],
    running: [Option<Running>; 3],
}

struct Running {
    assembly: Assembly,
    quic: Arc<QuicNetwork>,
}

impl World {
    async fn start() -> Self {
        let mut world = Self {
            certificates: Cluster::new("dev"),
            addresses: Addresses::default(),
            config: ClusterConfig::parse("regions.toml", REGIONS).unwrap(),
            disks: [(); 3].map(|()| Arc::new(MemoryStore::new())),
            running: [const { None }; 3],
        };
        let (first, second, third) = tokio::join!(world.node(0), world.node(1), world.node(2));
        world.running = [Some(first), Some(second), Some(third)];
        world
    }

    async fn node(&self, number: usize) -> Running {
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
        };
        let surface = NodeSurface {
            certificate_expires: SystemTime::now() + Duration::from_secs(3600),
            render_metrics: Box::new(|_| String::new()),
            requests: Arc::new(IgnoreRequests),
            lag: Arc::new(IgnoreLag),
        };
        let starting = Assembly::start(&self.config, &identity, ports, surface);
        let assembly = tokio::time::timeout(PATIENCE, starting).await.unwrap().unwrap();
        Running { assembly, quic }
    }

    fn assembly(&self, number: usize) -> &Assembly {
        &self.running[number].as_ref().unwrap().assembly
    }

    async fn restart(&mut self, number: usize) {
        self.running[number] = Some(self.node(number).await);
    }

    /// The others hear nothing of it from one moment to the next.
    async fn kill(&mut self, number: usize) {
        let running = self.running[number].take().unwrap();
        self.addresses
            .lock()
            .unwrap()
            .remove(&NAMES[number].parse().unwrap());
        crate::ports::link::Network::shutdown(running.quic.as_ref()).await;
        running.assembly.stop(Instant::now()).await;
    }

    async fn call(&self, number: usize, method: &str, path: &str, body: &str) -> (StatusCode, String) {
        self.call_at("local_quorum", number, method, path, body).await
    }

    async fn call_at(
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
    async fn add(&self, number: usize, counter: &str, key: &str) {
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

    async fn counter(&self, number: usize, counter: &str) -> u64 {
        let path = format!("/v1/data/shop/counters/{counter}");
        let (status, body) = self.call(number, "GET", &path, "").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        json["value"].as_u64().unwrap_or_else(|| panic!("{body}"))
    }

    /// Waits until all nodes that run have the same rows.
    async fn converge(&self) {
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
    async fn settled(&self) -> Vec<usize> {
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

    async fn stop(mut self) {
        for number in 0..3 {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_is_given_all_nodes_answer() {
    let world = World::start().await;
    for round in 0..4 {
        for number in 0..3 {
            let path = format!("/v1/data/shop/registers/key-{round}");
            let body = format!("{round} by {number}");
            let (status, answer) = world.call(number, "PUT", &path, &body).await;
            assert!(status.is_success(), "{status} {answer}");
            // Whoever is asked next, at once.
            let (status, answer) = world.call((number + 1) % 3, "GET", &path, "").await;
            assert_eq!((status, answer), (StatusCode::OK, body));
        }
    }
    world.converge().await;
    world.stop().await;
}

/// Every node leads what it should by placement, also after it was away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_go_back_to_the_node_that_should_lead_them() {
    let mut world = World::start().await;
    let settled = world.settled().await;
    assert_eq!(settled.iter().collect::<BTreeSet<_>>().len(), 3);
    world.add(0, "a", "first").await;
    let running = world.running[1].take().unwrap();
    running.assembly.stop(Instant::now() + PATIENCE).await;
    // In order: nobody waits for a second of silence, and nothing is lost.
    world.add(0, "a", "second").await;
    world.restart(1).await;
    assert_eq!(world.settled().await, settled);
    assert_eq!(world.counter(1, "a").await, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_any_node_loses_nothing_that_was_answered() {
    let mut world = World::start().await;
    let mut added = 0;
    for lost in 0..3 {
        for step in 0..8 {
            world.add(step % 3, "a", &format!("before-{lost}-{step}")).await;
            world.add(step % 3, "b", &format!("b-before-{lost}-{step}")).await;
            added += 1;
        }
        world.kill(lost).await;
        for step in 0..8 {
            let number = (lost + 1 + step % 2) % 3;
            world.add(number, "a", &format!("without-{lost}-{step}")).await;
            world.add(number, "b", &format!("b-without-{lost}-{step}")).await;
            added += 1;
        }
        let other = (lost + 1) % 3;
        assert_eq!(world.counter(other, "a").await, added);
        world.restart(lost).await;
        assert_eq!(world.counter(lost, "a").await, added);
        assert_eq!(world.counter(lost, "b").await, added);
    }
    world.converge().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_for_too_long_is_sent_the_whole_partition() {
    let mut world = World::start().await;
    world.add(2, "a", "before").await;
    world.kill(2).await;
    let key = Key::new("a").unwrap();
    let partition = partition_of(&"shop".parse().unwrap(), &key, world.config.partitions);
    let range = RaftEntryKey::range(partition, RaftIndex(0), RaftIndex::END);
    let kept = || {
        let mut kept = 0;
        let count = &mut |_: &[u8], _: &[u8]| {
            kept += 1;
            ControlFlow::Continue(())
        };
        let scanned = world.disks[0].scan(Family::Raft, &range.from, &range.to, count);
        scanned.unwrap();
        kept
    };
    // The log is cut beside the writes: when it has been, what the lost node lacks is no longer there.
    let (mut adds, begun) = (0, Instant::now());
    while adds < 2 * limits::RAFT_ENTRIES_KEPT || kept() >= adds {
        world
            .add(
                usize::try_from(adds % 2).unwrap(),
                "a",
                &format!("without-{adds}"),
            )
            .await;
        adds += 1;
        assert!(
            begun.elapsed() < 4 * PATIENCE,
            "{} entries are kept of {adds}",
            kept()
        );
    }
    world.restart(2).await;
    assert_eq!(world.counter(2, "a").await, adds + 1);
    world.converge().await;
    // It goes on as any other member.
    world.kill(0).await;
    world.add(2, "a", "after").await;
    assert_eq!(world.counter(1, "a").await, adds + 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_writes_are_refused_at_once_and_eventual_reads_are_served() {
    let mut world = World::start().await;
    world.add(0, "a", "first").await;
    world.converge().await;
    world.kill(1).await;
    world.kill(2).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, body) = world
            .call(0, "PUT", "/v1/data/shop/registers/refused", "anything")
            .await;
        if status == StatusCode::SERVICE_UNAVAILABLE && body.contains("too few nodes") {
            break;
        }
        assert!(
            !status.is_success() && Instant::now() < deadline,
            "{status} {body}"
        );
    }
    let (status, body) = world
        .call_at("eventual", 0, "GET", "/v1/data/shop/counters/a", "")
        .await;
    assert_eq!(status, StatusCode::OK, "{body}");
    world.restart(1).await;
    world.add(0, "a", "second").await;
    assert_eq!(world.counter(1, "a").await, 2);
    world.restart(2).await;
    world.converge().await;
    world.stop().await;
}
