//! Three nodes over QUIC found their region; disks are lost, founders are killed, folders of the other kind are refused.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::actors::mesh::kit_test::{Addresses, Directed};
use crate::model::agreement::FoundingRecord;
use crate::model::hlc::WallTime;
use crate::model::ids::{Incarnation, PartitionId};
use crate::model::limits;
use crate::ports::blocking::BlockingWork;
use crate::ports::clock::SystemClock;
use crate::ports::entropy::SystemEntropy;
use crate::ports::link_conformance::within;
use crate::storage::{ExpectedIdentity, GroupCommitter, MemoryStore, SilentObserver, check_or_create};
use crate::transport::QuicNetwork;
use crate::transport::test_cluster::Cluster;

const THREE: &str = "
cluster = 'dev'
partitions = 4
[[region]]
id = 'eu'
node = [{ id = 'n1', http = 'a:1', quic = 'a:2' }, { id = 'n2', http = 'b:1', quic = 'b:2' }, { id = 'n3', http = 'c:1', quic = 'c:2' }]
";

const ONE: &str = "
cluster = 'dev'
partitions = 4
region = [{ id = 'eu', node = [{ id = 'n1', http = 'a:1', quic = 'a:2' }] }]
";

fn member(node: &str, incarnation: u32) -> MemberId {
    MemberId {
        node: node.parse().unwrap(),
        incarnation: Incarnation(incarnation),
    }
}

fn write(store: &MemoryStore, key: &[u8], value: &[u8]) {
    let mut set = WriteSet::new();
    set.put(Family::Meta, key, value);
    store.write(&[set], Durability::Synced).unwrap();
}

struct World {
    certificates: Cluster,
    addresses: Addresses,
    config: ClusterConfig,
}

/// A process that starts.
struct Starting {
    joining: tokio::task::JoinHandle<Result<Joined, StartError>>,
    quic: Arc<QuicNetwork>,
}

impl World {
    fn new(regions: &str) -> Self {
        Self {
            certificates: Cluster::new("dev"),
            addresses: Addresses::default(),
            config: ClusterConfig::parse("regions.toml", regions).unwrap(),
        }
    }

    /// A disk of a node, whose folder was made at this second if it is new.
    fn identify(&self, node: &str, disk: &MemoryStore, second: u64) -> Identity {
        let expected = ExpectedIdentity {
            cluster: self.config.cluster,
            region: "eu".parse().unwrap(),
            node: node.parse().unwrap(),
            partitions: self.config.partitions,
            now: WallTime::from_micros(second * 1_000_000),
        };
        check_or_create(disk, Path::new("memory"), &expected).unwrap()
    }

    /// Starts a node on a disk, whose folder was made at this second if it is new.
    fn start(&self, node: &str, disk: &Arc<MemoryStore>, second: u64) -> Starting {
        let quic = self.certificates.bind("eu", node);
        let identity = self.identify(node, disk, second);
        let address = quic.local_address().to_string();
        self.addresses.lock().unwrap().insert(identity.node, address);
        let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(disk);
        let committer = GroupCommitter::start(Arc::clone(&store), Arc::new(SilentObserver)).unwrap();
        let ports = NodePorts {
            clock: Arc::new(SystemClock::default()),
            entropy: Arc::new(SystemEntropy),
            store,
            committer: Arc::new(committer),
            network: Arc::new(Directed {
                quic: Arc::clone(&quic),
                addresses: Arc::clone(&self.addresses),
            }),
            blocking: BlockingWork::Threads,
            raft_entries_kept: limits::RAFT_ENTRIES_KEPT,
        };
        let config = self.config.clone();
        let joining = tokio::spawn(async move { join_region(&config, &identity, &ports).await });
        Starting { joining, quic }
    }

    fn start_all(&self, disks: &[Arc<MemoryStore>; 3]) -> [Starting; 3] {
        ["n1", "n2", "n3"].map(|node| {
            let disk = &disks[usize::from(node.as_bytes()[1] - b'1')];
            self.start(node, disk, 900)
        })
    }
}

impl Starting {
    async fn joined(self) -> (Joined, Arc<QuicNetwork>) {
        (within(self.joining).await.unwrap().unwrap(), self.quic)
    }

    async fn refused(self) -> String {
        let refused = within(self.joining).await.unwrap();
        refused.err().expect("it is refused").to_string()
    }

    /// Still waits after a while.
    async fn waits(&mut self) {
        let waited = tokio::time::timeout(Duration::from_millis(700), &mut self.joining);
        assert!(waited.await.is_err(), "it waits for the others");
    }

    async fn kill(self) {
        self.joining.abort();
        assert!(within(self.joining).await.is_err());
        self.quic.shutdown().await;
    }
}

fn disks() -> [Arc<MemoryStore>; 3] {
    [1, 2, 3].map(|_| Arc::new(MemoryStore::new()))
}

/// All three are in; their members and replica, which are equal.
async fn all_joined(starting: [Starting; 3]) -> (Vec<(Joined, Arc<QuicNetwork>)>, FoundingRecord) {
    let mut joined = Vec::new();
    for node in starting {
        joined.push(node.joined().await);
    }
    let record = |joined: &Joined| FoundingRecord {
        replica: joined.replica.incarnation,
        members: joined.membership.clone().unwrap().founders,
    };
    let first = record(&joined[0].0);
    assert!(joined.iter().all(|(joined, _)| record(joined) == first));
    (joined, first)
}

async fn stop(nodes: Vec<(Joined, Arc<QuicNetwork>)>) {
    for (joined, quic) in nodes {
        joined.mesh.stop().await;
        quic.shutdown().await;
    }
}

#[tokio::test]
async fn three_nodes_are_founded_with_one_record_and_start_alone_ever_after() {
    let (world, disks) = (World::new(THREE), disks());
    let mut first = world.start("n1", &disks[0], 101);
    first.waits().await;
    let second = world.start("n2", &disks[1], 102);
    let third = world.start("n3", &disks[2], 103);
    let (nodes, record) = all_joined([first, second, third]).await;
    let members = [member("n1", 101), member("n2", 102), member("n3", 103)];
    assert_eq!(record.members, members.into());
    assert!(record.replica > Incarnation(103));
    assert_eq!(nodes[2].0.membership.as_ref().unwrap().own, member("n3", 103));
    stop(nodes).await;

    let alone = world.start("n2", &disks[1], 900).joined().await;
    assert_eq!(alone.0.replica.incarnation, record.replica);
    assert_eq!(alone.0.membership.as_ref().unwrap().founders, record.members);
    // Who comes with another disk waits to be added, the founder, too.
    for (node, incarnation) in [("n3", 901), ("n1", 902)] {
        let mut emptied = world.start(node, &Arc::new(MemoryStore::new()), incarnation);
        emptied.waits().await;
        emptied.kill().await;
    }
    stop(vec![alone]).await;
}

#[tokio::test]
async fn a_founder_that_was_killed_with_its_record_goes_on_with_it() {
    let (world, disks) = (World::new(THREE), disks());
    let record = FoundingRecord {
        replica: Incarnation(777),
        members: [member("n1", 101), member("n2", 102), member("n3", 103)].into(),
    };
    for (number, disk) in (1..).zip(&disks) {
        world.identify(&format!("n{number}"), disk, 100 + number);
    }
    // The others have promised, and have heard nothing since.
    for disk in &disks[1..] {
        let promise = FoundingState::Unfounded(Some(member("n1", 101)));
        write(disk, &meta::founding(), &encode_founding(&promise));
    }
    let recorded = FoundingState::Recorded(record.clone());
    write(&disks[0], &meta::founding(), &encode_founding(&recorded));
    let mut founder = world.start("n1", &disks[0], 101);
    founder.waits().await;
    founder.kill().await;
    let (nodes, founded) = all_joined(world.start_all(&disks)).await;
    assert_eq!(founded, record);
    stop(nodes).await;
}

#[tokio::test]
async fn a_founder_that_lost_its_disk_before_anybody_had_a_record_founds_anew() {
    let (world, disks) = (World::new(THREE), disks());
    let mut founder = world.start("n1", &disks[0], 101);
    let second = world.start("n2", &disks[1], 102);
    // Time for n2 to promise itself to this life of the founder.
    founder.waits().await;
    founder.kill().await;
    let founder = world.start("n1", &Arc::new(MemoryStore::new()), 104);
    let third = world.start("n3", &disks[2], 103);
    let (nodes, record) = all_joined([founder, second, third]).await;
    let members = [member("n1", 104), member("n2", 102), member("n3", 103)];
    assert_eq!(record.members, members.into());
    stop(nodes).await;
}

#[tokio::test]
async fn the_folder_of_a_region_of_one_node_is_opened_for_others() {
    let (one, three) = (World::new(ONE), World::new(THREE));
    let disk = Arc::new(MemoryStore::new());
    let (joined, _quic) = one.start("n1", &disk, 101).joined().await;
    assert_eq!(joined.replica.incarnation, Incarnation(101));
    assert!(joined.membership.is_none());
    // As long as nothing was written the folder is of neither kind.
    let mut waiting = three.start("n1", &disk, 101);
    waiting.waits().await;
    waiting.kill().await;
    write(&disk, &meta::partition_state(PartitionId(3)), b"state");
    let expected = OwnMembership {
        own: member("n1", 101),
        replica: Incarnation(101),
        founders: BTreeSet::new(),
    };
    // Nobody is asked, and it stays so when the others are gone again.
    for world in [&three, &one, &three] {
        let (joined, quic) = world.start("n1", &disk, 101).joined().await;
        assert_eq!(joined.membership.as_ref(), Some(&expected));
        stop(vec![(joined, quic)]).await;
    }
    // Another node that comes waits until it is added.
    let first = three.start("n1", &disk, 101).joined().await;
    let mut second = three.start("n2", &Arc::new(MemoryStore::new()), 102);
    second.waits().await;
    second.kill().await;
    stop(vec![first]).await;
}

#[tokio::test]
async fn a_configuration_without_most_of_those_who_agree_is_refused() {
    let (one, three) = (World::new(ONE), World::new(THREE));
    let disk = Arc::new(MemoryStore::new());
    one.identify("n1", &disk, 101);
    write(&disk, &meta::partition_state(PartitionId(3)), b"state");
    let complete = FoundingState::Complete(FoundingRecord {
        replica: Incarnation(777),
        members: [member("n1", 101), member("n2", 102)].into(),
    });
    write(&disk, &meta::founding(), &encode_founding(&complete));
    let voters: BTreeSet<RaftNodeId> = [member("n1", 101).into(), member("n2", 102).into()].into();
    let applied = StoredApplied {
        members: StoredMembers {
            nodes: voters.iter().map(|voter| (*voter, NodeRole::Active)).collect(),
            voters: vec![voters],
        },
        ..StoredApplied::default()
    };
    let mut set = WriteSet::new();
    set.put(
        Family::Raft,
        &raft::applied(REGION_GROUP),
        &encode_applied(&applied),
    );
    disk.write(&[set], Durability::Synced).unwrap();
    let error = one.start("n1", &disk, 101).refused().await;
    assert!(
        error.contains("agrees with n2, which regions.toml does not have"),
        "{error}"
    );
    stop(vec![three.start("n1", &disk, 101).joined().await]).await;
}
