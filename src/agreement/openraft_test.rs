//! What decision 0018 rests on in openraft 0.9.25, tried: groups run on our log, and show what it does. A new version must
//! pass this before anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use openraft::error::{RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::{
    Config, OptionalSend, Raft, RaftLogReader, RaftNetwork, RaftNetworkFactory, ServerState, Snapshot,
    SnapshotPolicy, StorageHelper,
};

use super::log_test_kit::{Machine, PARTITION, ends, entries, id, node};
use super::state_machine_test_kit::TestStateMachine;
use super::types::{EncodedGroup, GroupTypes, LogId, Vote};
use crate::model::agreement::NodeRole;
use crate::model::raft::RaftNodeId;
use crate::storage::MemoryStore;

type Group = Raft<GroupTypes>;
type RpcError = RPCError<RaftNodeId, NodeRole, RaftError<RaftNodeId>>;

/// The members of one group that run, and what passes between them.
#[derive(Clone, Default)]
struct Mesh(Arc<Mutex<Links>>);

#[derive(Default)]
struct Links {
    running: BTreeMap<RaftNodeId, Group>,
    /// Messages with entries get lost, those without arrive.
    loses_entries: bool,
}

impl Mesh {
    fn target(&self, target: RaftNodeId) -> Result<Group, Unreachable> {
        let links = self.0.lock().unwrap();
        let group = links.running.get(&target).cloned();
        group.ok_or_else(|| Unreachable::new(&std::io::Error::other("it does not run")))
    }
}

struct Link(Mesh, RaftNodeId);

impl RaftNetworkFactory<GroupTypes> for Mesh {
    type Network = Link;

    async fn new_client(&mut self, target: RaftNodeId, _: &NodeRole) -> Link {
        Link(self.clone(), target)
    }
}

impl RaftNetwork<GroupTypes> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<GroupTypes>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftNodeId>, RpcError> {
        if self.0.0.lock().unwrap().loses_entries && !rpc.entries.is_empty() {
            return Err(Unreachable::new(&std::io::Error::other("lost")).into());
        }
        let answer = self.0.target(self.1)?.append_entries(rpc).await;
        answer.map_err(|error| RemoteError::new(self.1, error).into())
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<RaftNodeId>,
        _: RPCOption,
    ) -> Result<VoteResponse<RaftNodeId>, RpcError> {
        let answer = self.0.target(self.1)?.vote(rpc).await;
        answer.map_err(|error| RemoteError::new(self.1, error).into())
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: Snapshot<GroupTypes>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<RaftNodeId>, StreamingError<GroupTypes, openraft::error::Fatal<RaftNodeId>>>
    {
        Err(Unreachable::new(&std::io::Error::other("no snapshots here")).into())
    }
}

/// Starts a member as decision 0018 has it: without openraft's timers.
async fn start(mesh: &Mesh, machine: &Machine, name: &str) -> Group {
    let config = Config {
        enable_tick: false,
        enable_heartbeat: false,
        enable_elect: false,
        // What a read waits for its majority.
        heartbeat_interval: 2_000,
        election_timeout_min: 5_000,
        election_timeout_max: 5_001,
        snapshot_policy: SnapshotPolicy::Never,
        ..Config::default()
    };
    let group = Group::new(
        node(name),
        Arc::new(config.validate().unwrap()),
        mesh.clone(),
        machine.log(PARTITION),
        TestStateMachine::new(PARTITION, &machine.store, &machine.committer),
    )
    .await
    .unwrap();
    let mut links = mesh.0.lock().unwrap();
    links.running.insert(node(name), group.clone());
    group
}

async fn stop(mesh: &Mesh, group: Group, name: &str) {
    mesh.0.lock().unwrap().running.remove(&node(name));
    group.shutdown().await.unwrap();
}

async fn lead(group: &Group) {
    let wait = group.wait(Some(Duration::from_secs(10)));
    wait.state(ServerState::Leader, "elected").await.unwrap();
}

async fn write(group: &Group) -> LogId {
    let write = EncodedGroup(Bytes::from_static(b"group"));
    group.client_write(write).await.unwrap().log_id
}

#[tokio::test]
async fn a_group_of_one_voter_goes_on_after_a_crash_with_all_that_it_has_acknowledged() {
    for machine in Machine::on_both() {
        let mesh = Mesh::default();
        let group = start(&mesh, &machine, "n1").await;
        group.initialize(BTreeSet::from([node("n1")])).await.unwrap();
        lead(&group).await;
        let mut last = None;
        for _ in 0..5 {
            last = Some(write(&group).await);
        }
        let term = group.metrics().borrow().current_term;
        stop(&mesh, group, "n1").await;

        let machine = machine.crash();
        let group = start(&mesh, &machine, "n1").await;
        let wait = group.wait(Some(Duration::from_secs(10)));
        let last = last.unwrap();
        wait.applied_index(Some(last.index), "applied again")
            .await
            .unwrap();
        // It leads on in the same term, without an entry of its own.
        let metrics = group.metrics().borrow().clone();
        assert_eq!((metrics.state, metrics.current_term), (ServerState::Leader, term));
        assert_eq!(metrics.last_log_index, Some(last.index));
        assert_eq!(write(&group).await.index, last.index + 1);
        stop(&mesh, group, "n1").await;
    }
}

/// Why a leader begins with an entry of its own, and serves nothing before that is applied.
#[tokio::test]
async fn a_leader_that_lost_unsynced_rows_would_read_less_than_it_has_acknowledged() {
    let mesh = Mesh::default();
    let machines = [(); 2].map(|()| Machine::in_memory(&MemoryStore::new()));
    let [first, second] = machines;
    let leader = start(&mesh, &first, "n1").await;
    let follower = start(&mesh, &second, "n2").await;
    // The third never runs: two of three are enough.
    let voters = BTreeSet::from(["n1", "n2", "n3"].map(node));
    leader.initialize(voters).await.unwrap();
    lead(&leader).await;
    write(&leader).await;
    let acknowledged = write(&leader).await;
    let read = leader.get_read_log_id().await.unwrap().0.unwrap();
    assert_eq!(read.index, acknowledged.index);
    stop(&mesh, leader, "n1").await;

    let first = first.crash();
    mesh.0.lock().unwrap().loses_entries = true;
    let leader = start(&mesh, &first, "n1").await;
    lead(&leader).await;
    assert_eq!(leader.metrics().borrow().last_log_index, Some(acknowledged.index));
    // A majority confirms that it leads; it takes what it has applied for what was committed.
    let (read, applied) = leader.get_read_log_id().await.unwrap();
    assert!(read.unwrap().index < acknowledged.index, "{read:?}");
    assert!(applied.unwrap().index < acknowledged.index, "{applied:?}");

    mesh.0.lock().unwrap().loses_entries = false;
    let barrier = write(&leader).await;
    let (read, applied) = leader.get_read_log_id().await.unwrap();
    assert_eq!((read, applied), (Some(barrier), Some(barrier)));
    stop(&mesh, leader, "n1").await;
    stop(&mesh, follower, "n2").await;
}

/// Why a leader that has given up its leases gives up its lead as well: it cannot be elected over itself.
#[tokio::test]
async fn a_leader_does_not_stand_and_is_a_follower_after_a_vote_for_another_that_nobody_has_asked_for() {
    let mesh = Mesh::default();
    let machines = [(); 2].map(|()| Machine::in_memory(&MemoryStore::new()));
    let [first, second] = machines;
    let leader = start(&mesh, &first, "n1").await;
    let follower = start(&mesh, &second, "n2").await;
    let voters = BTreeSet::from(["n1", "n2", "n3"].map(node));
    leader.initialize(voters).await.unwrap();
    lead(&leader).await;
    let last = write(&leader).await;
    let term = leader.metrics().borrow().current_term;

    leader.trigger().elect().await.unwrap();
    let vote = leader.with_raft_state(|state| *state.vote_ref()).await.unwrap();
    assert_eq!(vote, Vote::new_committed(term, node("n1")));

    // Greater than any id in its log. Refused as long as openraft's own lease lasts.
    let beyond = LogId::new(last.leader_id, u64::MAX);
    let asked = || leader.vote(VoteRequest::new(Vote::new(term + 1, node("n3")), Some(beyond)));
    while !asked().await.unwrap().vote_granted {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let wait = leader.wait(Some(Duration::from_secs(10)));
    wait.state(ServerState::Follower, "deposed").await.unwrap();

    // It stands like any other then, and leads with all that it had.
    let elected = async {
        loop {
            leader.trigger().elect().await.unwrap();
            let wait = leader.wait(Some(Duration::from_secs(1)));
            if wait.state(ServerState::Leader, "elected again").await.is_ok() {
                break;
            }
        }
    };
    elected.await;
    assert!(leader.metrics().borrow().current_term > term + 1);
    assert!(write(&leader).await.index > last.index);
    stop(&mesh, leader, "n1").await;
    stop(&mesh, follower, "n2").await;
}

/// Openraft purges while a snapshot is still being installed, and says nothing when it finds at its next start that the
/// snapshot was lost: a debug build panics in the group's task, a release build goes on. Whoever starts a group has to look.
#[tokio::test]
async fn a_log_that_is_purged_beyond_what_is_applied_is_loaded_without_a_word() {
    let machine = Machine::in_memory(&MemoryStore::new());
    let mut log = machine.log(PARTITION);
    let mut state_machine = TestStateMachine::new(PARTITION, &machine.store, &machine.committer);
    log.blocking_append(entries(1, 0..10)).await.unwrap();
    state_machine.apply(entries(1, 0..5)).await.unwrap();
    log.purge(id(1, 20)).await.unwrap();
    log.save_vote(&Vote::new_committed(1, node("n2"))).await.unwrap();

    let machine = machine.crash();
    let mut log = machine.log(PARTITION);
    let mut state_machine = TestStateMachine::new(PARTITION, &machine.store, &machine.committer);
    assert_eq!(ends(&mut log).await.0, Some(id(1, 20)));
    let state = StorageHelper::new(&mut log, &mut state_machine)
        .get_initial_state()
        .await
        .unwrap();
    assert_eq!(state.committed, Some(id(1, 4)));
    let after = log.try_get_log_entries(5..).await.unwrap();
    assert!(after.is_empty(), "what is to be applied next is gone");
}
