//! What tests of links share: a node without threads whose partitions and shippers only note what they are told, a clock that
//! is set, and streams in memory.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Notify, mpsc};

use crate::actors::board::PartitionBoard;
use crate::actors::context::{NodeContext, NodeIdentity, ReplicationSettings};
use crate::actors::failures::Failures;
use crate::actors::group::GroupBoard;
use crate::actors::group::board::GroupView;
use crate::actors::health::HealthMonitor;
use crate::actors::link::inbound::{Inbound, Peer};
use crate::actors::link::pauses::PauseDesk;
use crate::actors::link::peer_node::PeerNode;
use crate::actors::link::peer_region::{LinkSettings, PeerRegion};
use crate::actors::link::shipper::{ShipperHandle, ShipperMessage};
use crate::actors::mesh::MeshBoard;
use crate::actors::namespaces::NamespaceCatalog;
use crate::actors::partition::{PartitionHandle, PartitionMessage};
use crate::actors::region::Homes;
use crate::model::change::{Change, Commit, Delta};
use crate::model::digest::RowHasher;
use crate::model::health::HealthThresholds;
use crate::model::hlc::{Hlc, HybridClock, WallTime};
use crate::model::ids::{
    Incarnation, Key, LogIndex, NodeId, PartitionCount, PartitionId, RegionId, ReplicaId, SubKey,
};
use crate::model::limits;
use crate::model::pauses::LinkPauses;
use crate::model::raft::Term;
use crate::model::record::{RecordId, RecordType};
use crate::model::replication::leadership::Leads;
use crate::model::replication::retention::Cut;
use crate::model::tick::Tick;
use crate::model::vector::{Dot, VersionVector};
use crate::ports::blocking::BlockingWork;
use crate::ports::clock::Clock;
use crate::ports::entropy::SeededEntropy;
use crate::ports::link::{
    CloseCode, Connection, DialTarget, FrameReceiver, FrameSender, LinkError, Network, PeerIdentity, Stream,
};
use crate::ports::store::{Committer, Completion, Durability, WriteSet};
use crate::storage::MemoryStore;
use crate::storage::partition::{GroupBuilder, StoredRows, load};
use crate::wire::messages::Message;

pub(in crate::actors) const P: PartitionId = PartitionId(0);
pub(in crate::actors) const Q: PartitionId = PartitionId(1);

/// A change of a replica in its first life.
pub(in crate::actors) fn dot(region: &str, seq: u64) -> Dot {
    let replica = ReplicaId {
        region: region.parse().unwrap(),
        incarnation: Incarnation(1),
    };
    Dot { replica, seq }
}

pub(in crate::actors) fn vector(dots: &[Dot]) -> VersionVector {
    dots.iter().copied().collect()
}

pub(in crate::actors) fn leads(terms: &[(PartitionId, u64)]) -> Leads {
    Leads::These(
        terms
            .iter()
            .map(|(partition, term)| (*partition, Term(*term)))
            .collect(),
    )
}

/// A commit of one change that depends on what its origin has made before.
pub(in crate::actors) fn commit(last: Dot) -> Commit {
    let record = RecordId::new("shop".parse().unwrap(), RecordType::Set, Key::new("s").unwrap());
    let member = SubKey::new(&format!("m{}", last.seq)).unwrap();
    let delta = Delta::MemberAdd { member };
    Commit {
        origin: last.replica,
        first_seq: last.seq,
        hlc: Hlc(last.seq),
        deps: VersionVector::new(),
        changes: vec![Change { record, delta }],
    }
}

/// Notes what it is told.
struct Probe<M>(PhantomData<fn(M)>);

impl<M: ractor::Message> Actor for Probe<M> {
    type Msg = M;
    type State = mpsc::UnboundedSender<M>;
    type Arguments = mpsc::UnboundedSender<M>;

    async fn pre_start(
        &self,
        _: ActorRef<M>,
        notes: mpsc::UnboundedSender<M>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(notes)
    }

    async fn handle(
        &self,
        _: ActorRef<M>,
        message: M,
        notes: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        notes.send(message).map_err(|_| "the test is over".into())
    }
}

async fn probe<M: ractor::Message>() -> (ActorRef<M>, mpsc::UnboundedReceiver<M>) {
    let (notes, noted) = mpsc::unbounded_channel();
    let (actor, _) = Actor::spawn(None, Probe(PhantomData), notes).await.unwrap();
    (actor, noted)
}

/// Lets all tasks run that can.
pub(in crate::actors) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// What a probe was told since the last look.
pub(in crate::actors) async fn told<M>(noted: &mut mpsc::UnboundedReceiver<M>) -> Vec<M> {
    settle().await;
    std::iter::from_fn(|| noted.try_recv().ok()).collect()
}

#[derive(Default)]
pub(in crate::actors) struct SetClock(AtomicU64);

impl SetClock {
    pub(in crate::actors) fn set_ms(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> WallTime {
        WallTime::from_micros(self.0.load(Ordering::SeqCst) * 1000)
    }

    fn tick(&self) -> Tick {
        Tick::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Nobody writes through it.
struct NoCommitter;

impl Committer for NoCommitter {
    fn submit(&self, _: WriteSet, _: Durability, _: Completion) {}
}

/// Nobody is there.
pub(in crate::actors) struct Nowhere;

#[async_trait]
impl Network for Nowhere {
    async fn dial(&self, _target: &DialTarget) -> Result<Arc<dyn Connection>, LinkError> {
        std::future::pending().await
    }

    async fn accept(&self) -> Option<Arc<dyn Connection>> {
        std::future::pending().await
    }

    async fn shutdown(&self) {}
}

/// A node of the region `us` with two partitions.
pub(in crate::actors) struct TestNode {
    pub(in crate::actors) context: Arc<NodeContext>,
    pub(in crate::actors) clock: Arc<SetClock>,
    pub(in crate::actors) inbound: Inbound,
    /// What its partitions were told, in order.
    pub(in crate::actors) partitions: Vec<mpsc::UnboundedReceiver<PartitionMessage>>,
    /// What its shippers were told, by node.
    pub(in crate::actors) shippers: BTreeMap<NodeId, mpsc::UnboundedReceiver<ShipperMessage>>,
}

fn peer_region(region: RegionId, nodes: usize, partitions: PartitionCount) -> Arc<PeerRegion> {
    let target = |number| DialTarget {
        region,
        node: format!("{region}-{number}").parse().unwrap(),
        address: "nowhere:1".to_owned(),
    };
    let settings = LinkSettings {
        partitions,
        heartbeat_ms: 200,
        is_paused: false,
    };
    let nodes = (1..=nodes).map(target).collect();
    Arc::new(PeerRegion::new(region, nodes, settings, Tick::default()))
}

impl TestNode {
    /// A node that has so many nodes in its region, itself included, and these other regions with so many nodes.
    pub(in crate::actors) async fn start(nodes: usize, others: &[(&str, usize)]) -> Self {
        let partitions = PartitionCount::new(2).unwrap();
        let dot = dot("us", 1);
        let identity = NodeIdentity {
            cluster: "test".parse().unwrap(),
            region: dot.replica.region,
            replica: dot.replica,
            node: "us-1".parse().unwrap(),
            partitions,
        };
        let groups = match nodes {
            1 => GroupBoard::alone(identity.node),
            _ => GroupBoard::new(identity.node, partitions),
        };
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(SetClock::default());
        let peers = others.iter();
        let peers = peers.map(|(region, nodes)| peer_region(region.parse().unwrap(), *nodes, partitions));
        let context = Arc::new(NodeContext {
            identity,
            hybrid_clock: HybridClock::new(Duration::from_secs(1)),
            namespaces: NamespaceCatalog::load(store.as_ref(), partitions).unwrap(),
            clock: Arc::<SetClock>::clone(&clock),
            entropy: Arc::new(SeededEntropy::new(1)),
            store,
            committer: Arc::new(NoCommitter),
            blocking: BlockingWork::AtOnce,
            replication: ReplicationSettings {
                batch_delay: Duration::from_millis(10),
                batch_changes: 100,
                lanes: 1,
                // None comes by itself while a test lasts.
                heartbeat_interval: Duration::from_secs(3600),
                compression_level: 1,
                log_retention_bytes: u64::MAX,
            },
            peers: peers.collect(),
            pauses: PauseDesk::new(LinkPauses::default()),
            failures: Failures::default(),
            health: HealthMonitor::new(HealthThresholds::default(), Tick::default()),
            partitions: PartitionBoard::new(partitions),
            answering: OnceLock::new(),
            homes: Homes::default(),
            acknowledged: Notify::new(),
            life: 7,
            mesh: Arc::new(MeshBoard::new([])),
            membership: None,
            raft_entries_kept: limits::RAFT_ENTRIES_KEPT,
            groups: Arc::new(groups),
        });
        let (mut handles, mut noted) = (Vec::new(), Vec::new());
        for partition in partitions.ids() {
            let (actor, notes) = probe().await;
            handles.push(PartitionHandle::new(partition, actor));
            noted.push(notes);
        }
        let (mut shippers, mut shipping) = (Vec::new(), BTreeMap::new());
        for link in context.peers.iter().flat_map(|peer| peer.links()) {
            let (actor, notes) = probe().await;
            shippers.push(ShipperHandle::new(link.peer(), actor));
            shipping.insert(link.peer().node, notes);
        }
        Self {
            inbound: Inbound {
                context: Arc::clone(&context),
                partitions: handles.into(),
                shippers: shippers.into(),
            },
            context,
            clock,
            partitions: noted,
            shippers: shipping,
        }
    }

    /// A node of another region, by its name, as one that has dialled.
    pub(super) fn peer(&self, node: &str) -> Peer {
        let node = node.parse().unwrap();
        let mut regions = self.context.peers.iter();
        let region = regions.find(|region| region.link(&node).is_some()).unwrap();
        Peer {
            region: Arc::clone(region),
            link: Arc::clone(region.link(&node).unwrap()),
        }
    }

    /// It leads a partition since a term, and may promise there.
    pub(in crate::actors) fn lead(&self, partition: PartitionId, term: u64, promised: u64) {
        self.context.groups.update(partition, |group| {
            *group = GroupView {
                leader: Some((self.context.identity.node, Term(term))),
                is_serving: true,
                promised: Hlc(promised),
                has_restarted: false,
            };
        });
    }

    /// Another node leads a partition.
    pub(in crate::actors) fn follow(&self, partition: PartitionId, term: u64) {
        self.context.groups.update(partition, |group| {
            *group = GroupView {
                leader: Some(("us-2".parse().unwrap(), Term(term))),
                ..GroupView::default()
            };
        });
    }

    /// A partition has applied these.
    pub(in crate::actors) fn has(&self, partition: PartitionId, dots: &[Dot]) {
        self.context
            .partitions
            .update(partition, |view| view.vector = vector(dots));
    }

    /// Writes commits of one change each, as a partition does.
    pub(in crate::actors) fn write(&self, partition: PartitionId, dots: impl Iterator<Item = Dot>) {
        let dots: Vec<Dot> = dots.collect();
        self.change(partition, |group| {
            for dot in dots {
                group.add_commit(&commit(dot)).unwrap();
            }
        });
    }

    /// Cuts the log of a partition, so that it begins there.
    pub(in crate::actors) fn cut_log(
        &self,
        partition: PartitionId,
        first_index: LogIndex,
        forgotten: VersionVector,
    ) {
        let cut = Cut {
            first_index,
            size_bytes: 0,
            forgotten,
        };
        self.change(partition, |group| group.cut_log(&cut));
    }

    fn change(&self, partition: PartitionId, change: impl FnOnce(&mut GroupBuilder<'_>)) {
        let (store, hasher) = (self.context.store.as_ref(), RowHasher::default());
        let mut loaded = load(store, partition, &hasher, self.context.clock.now()).unwrap();
        let rows = StoredRows { store, partition };
        let mut group = GroupBuilder::new(loaded.state, &rows);
        change(&mut group);
        let sealed = group.seal(&mut loaded.digest, &hasher, self.context.clock.now());
        store.write(&[sealed.set], Durability::Synced).unwrap();
        self.context
            .partitions
            .update(partition, |view| view.update(&sealed.state, loaded.digest.root()));
        self.context.partitions.announce(partition);
    }
}

/// The next message of a stream, if one comes soon.
pub(in crate::actors) async fn next_message(stream: &mut Stream) -> Option<Message> {
    let received = tokio::time::timeout(Duration::from_millis(100), stream.receiver.receive());
    let frame = received.await.ok()?.unwrap()?;
    Some(Message::decode(&frame).unwrap())
}

struct MemorySender(mpsc::UnboundedSender<Bytes>);
struct MemoryReceiver(mpsc::UnboundedReceiver<Bytes>);

#[async_trait]
impl FrameSender for MemorySender {
    async fn send(&mut self, frame: Bytes) -> Result<(), LinkError> {
        let sent = self.0.send(frame);
        sent.map_err(|_| LinkError::Failed("nobody reads".to_owned()))
    }
}

#[async_trait]
impl FrameReceiver for MemoryReceiver {
    async fn receive(&mut self) -> Result<Option<Bytes>, LinkError> {
        Ok(self.0.recv().await)
    }
}

/// Both ends of a stream.
pub(in crate::actors) fn memory_stream() -> (Stream, Stream) {
    let (near_sender, far_receiver) = mpsc::unbounded_channel();
    let (far_sender, near_receiver) = mpsc::unbounded_channel();
    let end = |sender, receiver| Stream {
        sender: Box::new(MemorySender(sender)),
        receiver: Box::new(MemoryReceiver(receiver)),
    };
    (end(near_sender, near_receiver), end(far_sender, far_receiver))
}

/// A connection of which the test is the other end.
pub(in crate::actors) struct MemoryConnection {
    peer: PeerIdentity,
    opened: mpsc::UnboundedSender<Stream>,
    is_closed: Mutex<bool>,
}

impl MemoryConnection {
    /// The connection that a link's node is at the other end of, and the other ends of the streams that are opened on it.
    pub(in crate::actors) fn to(peer: PeerNode) -> (Arc<Self>, mpsc::UnboundedReceiver<Stream>) {
        let (opened, accepted) = mpsc::unbounded_channel();
        let connection = Self {
            peer: PeerIdentity {
                cluster: "test".parse().unwrap(),
                region: peer.region,
                node: peer.node,
                certificate_expires: SystemTime::UNIX_EPOCH,
            },
            opened,
            is_closed: Mutex::default(),
        };
        (Arc::new(connection), accepted)
    }
}

#[async_trait]
impl Connection for MemoryConnection {
    fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    async fn open_stream(&self) -> Result<Stream, LinkError> {
        let (near, far) = memory_stream();
        self.opened.send(far).map_err(|_| LinkError::TimedOut)?;
        Ok(near)
    }

    async fn accept_stream(&self) -> Result<Stream, LinkError> {
        std::future::pending().await
    }

    fn round_trip(&self) -> Duration {
        Duration::ZERO
    }

    fn close(&self, _: CloseCode, _: &str) {
        *self.is_closed.lock().unwrap() = true;
    }

    async fn closed(&self) -> LinkError {
        std::future::pending().await
    }
}
