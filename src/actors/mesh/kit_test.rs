//! What tests of the mesh share: a service that does what it is asked, nodes over QUIC on the loopback interface, streams in
//! memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::actors::mesh::board::NodeView;
use crate::actors::mesh::service::{AnswerError, OwnSign, Promise};
use crate::actors::mesh::{FoundingDesk, Mesh, MeshBoard, MeshIdentity, MeshParts, MeshService};
use crate::model::agreement::MemberId;
use crate::model::hlc::Hlc;
use crate::model::ids::{Incarnation, NodeId, PartitionCount, PartitionId};
use crate::model::limits;
use crate::model::raft::Term;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::entropy::{Entropy as _, SystemEntropy};
use crate::ports::link::{Connection, DialTarget, FrameReceiver, FrameSender, LinkError, Network, Stream};
use crate::ports::link_conformance::within;
use crate::transport::QuicNetwork;
use crate::transport::test_cluster::Cluster;
use crate::wire::mesh::SignOfLife;

pub(super) const REGION: &str = "eu";

/// Longer than any test lasts.
pub(super) const LONG: Duration = Duration::from_secs(60);

pub(super) fn node_id(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(super) fn identity(node: &str) -> MeshIdentity {
    MeshIdentity {
        cluster: "dev".parse().unwrap(),
        region: REGION.parse().unwrap(),
        node: node_id(node),
        partitions: PartitionCount::new(64).unwrap(),
        incarnation: Incarnation(7),
    }
}

pub(super) fn member(node: &str) -> MemberId {
    identity(node).member()
}

/// Answers what a request says: `hang`, `held` (until released), `fail`, `panic`, `large`; all else is sent back, with the
/// partition in front.
pub(super) struct TestService {
    pub(super) promises: AtomicBool,
    pub(super) leads: Mutex<BTreeMap<PartitionId, Term>>,
    /// Requests being answered, and how many were at most.
    pub(super) under_way: AtomicUsize,
    pub(super) under_way_max: AtomicUsize,
    pub(super) released: Semaphore,
}

/// One request less is under way, however it ends.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl TestService {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            promises: AtomicBool::new(true),
            leads: Mutex::default(),
            under_way: AtomicUsize::new(0),
            under_way_max: AtomicUsize::new(0),
            released: Semaphore::new(0),
        })
    }
}

#[async_trait]
impl MeshService for TestService {
    fn own_sign(&self, _: NodeId) -> OwnSign {
        OwnSign {
            through: Hlc(7),
            leads: self.leads.lock().unwrap().clone(),
            suspects: BTreeSet::new(),
        }
    }

    fn sign_of_life(&self, _: NodeId, sign: &SignOfLife) -> Option<Promise> {
        let promise = Promise {
            through: sign.through,
            ..Promise::default()
        };
        self.promises.load(Ordering::SeqCst).then_some(promise)
    }

    fn members(&self) -> BTreeSet<MemberId> {
        BTreeSet::new()
    }

    async fn answer(&self, _: NodeId, partition: PartitionId, body: Bytes) -> Result<Bytes, AnswerError> {
        let count = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        let _under_way = UnderWay(&self.under_way);
        self.under_way_max.fetch_max(count, Ordering::SeqCst);
        match body.as_ref() {
            b"hang" => std::future::pending().await,
            b"held" => {
                self.released.acquire().await.unwrap().forget();
                Ok(body)
            }
            b"fail" => Err(AnswerError("it was told to".to_owned())),
            b"panic" => panic!("it was told to"),
            b"large" => Ok(Bytes::from(vec![7; limits::MESH_ANSWER_BYTES_MAX + 1])),
            _ => {
                // In another order than that of the requests.
                for _ in 0..partition.0 % 8 {
                    tokio::task::yield_now().await;
                }
                Ok([partition.to_string().as_bytes(), b" ", &body].concat().into())
            }
        }
    }

    /// As above; `huge` is answered with what needs many frames.
    async fn answer_question(&self, node: NodeId, question: Bytes) -> Result<(Bytes, Bytes), AnswerError> {
        if question.as_ref() == b"huge" {
            let large = Bytes::from(vec![7; 3 * limits::FRAME_BYTES_MAX]);
            return Ok((large.clone(), large));
        }
        let answer = self.answer(node, PartitionId(0), question.clone()).await?;
        Ok((answer, question))
    }
}

/// Where the nodes of a test are now: a node that comes back has another port.
pub(crate) type Addresses = Arc<Mutex<BTreeMap<NodeId, String>>>;

/// QUIC, with addresses that are looked up when they are dialled.
pub(crate) struct Directed {
    pub(crate) quic: Arc<QuicNetwork>,
    pub(crate) addresses: Addresses,
}

#[async_trait]
impl Network for Directed {
    async fn dial(&self, target: &DialTarget) -> Result<Arc<dyn Connection>, LinkError> {
        let address = self.addresses.lock().unwrap().get(&target.node).cloned();
        let address = address.ok_or_else(|| LinkError::Unreachable {
            address: target.node.to_string(),
            detail: "nobody is there".to_owned(),
        })?;
        let target = DialTarget {
            address,
            ..target.clone()
        };
        self.quic.dial(&target).await
    }

    async fn accept(&self) -> Option<Arc<dyn Connection>> {
        self.quic.accept().await
    }

    async fn shutdown(&self) {
        self.quic.shutdown().await;
    }
}

/// A region under test.
pub(super) struct Region {
    pub(super) cluster: Cluster,
    pub(super) addresses: Addresses,
}

/// A node of it.
pub(super) struct TestNode {
    pub(super) id: NodeId,
    pub(super) mesh: Mesh,
    pub(super) board: Arc<MeshBoard>,
    pub(super) service: Arc<TestService>,
    pub(super) quic: Arc<QuicNetwork>,
    clock: Arc<SystemClock>,
    accepting: JoinHandle<()>,
}

impl Region {
    pub(super) fn new() -> Self {
        Self {
            cluster: Cluster::new("dev"),
            addresses: Addresses::default(),
        }
    }

    /// Opens a node's socket, so that others can dial it.
    pub(super) fn bind(&self, node: &str) -> Arc<QuicNetwork> {
        let quic = self.cluster.bind(REGION, node);
        let address = quic.local_address().to_string();
        self.addresses.lock().unwrap().insert(node_id(node), address);
        quic
    }

    /// Starts a node that knows these others.
    pub(super) fn start(&self, quic: &Arc<QuicNetwork>, known: &[&str]) -> TestNode {
        let node = quic.identity().node;
        self.start_as(identity(node.as_str()), quic, known)
    }

    /// Starts a node that says it is somebody.
    pub(super) fn start_as(
        &self,
        identity: MeshIdentity,
        quic: &Arc<QuicNetwork>,
        known: &[&str],
    ) -> TestNode {
        let network: Arc<dyn Network> = Arc::new(Directed {
            quic: Arc::clone(quic),
            addresses: Arc::clone(&self.addresses),
        });
        let targets = known.iter().map(|node| DialTarget {
            region: REGION.parse().unwrap(),
            node: node_id(node),
            address: "looked up".to_owned(),
        });
        let targets: Vec<DialTarget> = targets.collect();
        let board = Arc::new(MeshBoard::new(targets.iter().map(|target| target.node)));
        let (service, clock) = (TestService::new(), Arc::new(SystemClock::default()));
        let id = identity.node;
        let mesh = Mesh::start(MeshParts {
            identity,
            life: SystemEntropy.next_u64(),
            clock: Arc::<SystemClock>::clone(&clock),
            entropy: Arc::new(SystemEntropy),
            network: Arc::clone(&network),
            targets,
            board: Arc::clone(&board),
            service: Arc::<TestService>::clone(&service),
            founding: FoundingDesk::open().0,
        });
        let server = mesh.server();
        let accepting = tokio::spawn(async move {
            while let Some(connection) = network.accept().await {
                tokio::spawn(server.clone().serve(connection));
            }
        });
        TestNode {
            id,
            mesh,
            board,
            service,
            quic: Arc::clone(quic),
            clock,
            accepting,
        }
    }

    /// Three nodes that see each other.
    pub(super) async fn of_three() -> (Self, [TestNode; 3]) {
        let region = Self::new();
        let names = ["n1", "n2", "n3"];
        let quic = names.map(|node| region.bind(node));
        let nodes = quic.each_ref().map(|quic| {
            let own = quic.identity().node;
            let others: Vec<&str> = names.into_iter().filter(|name| *name != own.as_str()).collect();
            region.start(quic, &others)
        });
        for node in &nodes {
            for other in nodes.iter().filter(|other| other.id != node.id) {
                node.sees(other.id, |view| view.down.is_none() && view.heard_at.is_some())
                    .await;
            }
        }
        (region, nodes)
    }
}

impl TestNode {
    /// What it sees of another node.
    pub(super) fn view(&self, of: NodeId) -> NodeView {
        self.board.view(&of, self.clock.tick()).unwrap()
    }

    /// Waits until it sees of another node what is asked for.
    pub(super) async fn sees(&self, of: NodeId, mut is_so: impl FnMut(&NodeView) -> bool) -> NodeView {
        let mut last = None;
        let seen = eventually(|| {
            let view = last.insert(self.view(of));
            is_so(view)
        });
        seen.await;
        last.unwrap()
    }

    /// Asks another node, with patience.
    pub(super) async fn ask(
        &self,
        node: NodeId,
        partition: u16,
        body: &'static str,
    ) -> Result<Bytes, String> {
        let handle = self.mesh.handle();
        let asked = handle.call(
            node,
            PartitionId(partition),
            Bytes::from_static(body.as_bytes()),
            LONG,
        );
        asked.await.map_err(|error| error.to_string())
    }

    /// Stops it as a process stops: nothing of it answers any more.
    pub(super) async fn stop(self) {
        self.mesh.stop().await;
        self.quic.shutdown().await;
        self.accepting.abort();
    }
}

/// Waits until something is so; a test that waits for too long fails.
pub(super) async fn eventually(mut is_so: impl FnMut() -> bool) {
    within(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

struct MemorySender(mpsc::Sender<Bytes>);
struct MemoryReceiver(mpsc::Receiver<Bytes>);

#[async_trait]
impl FrameSender for MemorySender {
    async fn send(&mut self, frame: Bytes) -> Result<(), LinkError> {
        assert!(frame.len() <= limits::FRAME_BYTES_MAX);
        let sent = self.0.send(frame).await;
        sent.map_err(|_| LinkError::Failed("nobody reads".to_owned()))
    }
}

#[async_trait]
impl FrameReceiver for MemoryReceiver {
    async fn receive(&mut self) -> Result<Option<Bytes>, LinkError> {
        Ok(self.0.recv().await)
    }
}

/// Both ends of a stream that holds one frame in each direction.
pub(super) fn memory_stream() -> (Stream, Stream) {
    let (near_sender, far_receiver) = mpsc::channel(1);
    let (far_sender, near_receiver) = mpsc::channel(1);
    let end = |sender, receiver| Stream {
        sender: Box::new(MemorySender(sender)),
        receiver: Box::new(MemoryReceiver(receiver)),
    };
    (end(near_sender, near_receiver), end(far_sender, far_receiver))
}
