//! Keeps the groups of a node running: one task for each partition that starts its group again when it ends, and one that
//! looks after all of them ten times a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::actors::error_chain;
use crate::actors::group::handing_over::hand_over;
use crate::actors::group::hub::RegionGroups;
use crate::actors::group::membership::carry_out;
use crate::actors::group::pauses::spread_pauses;
use crate::actors::group::service::{ToPartition, keeper};
use crate::actors::supervisor::settle;
use crate::agreement::{Group, GroupNetwork, GroupParts};
use crate::model::agreement::liveness::HEARTBEAT_INTERVAL_MS;
use crate::model::ids::{NodeId, PartitionId};
use crate::model::limits;
use crate::wire::group::GroupRequest;

/// How long a group that has ended rests before it is started again; doubled each time, up to the next one.
const RESTART_PAUSE: Duration = Duration::from_millis(250);
/// See [`RESTART_PAUSE`].
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Every so many rounds the members of groups are looked after.
const STEP_ROUNDS: u64 = 3;
/// Every so many rounds members are told again what they have not answered: more often than openraft gives up waiting.
const TELL_ROUNDS: u64 = 10;
/// Every so many rounds leaders are asked how far entries are agreed on of which nothing was heard for as long.
const ASK_ROUNDS: u64 = 10;
/// Every so many rounds this node asks whether it is still a member: five seconds.
const MEMBERSHIP_ROUNDS: u64 = 50;

/// How long a leader may take to hear of it.
const ASK_PATIENCE: Duration = Duration::from_secs(1);

/// The tasks that keep a node's groups running.
#[derive(Debug)]
pub struct GroupTasks {
    hub: Arc<RegionGroups>,
    tasks: JoinSet<()>,
}

impl GroupTasks {
    /// Starts all groups of a node.
    #[must_use]
    pub fn start(hub: &Arc<RegionGroups>) -> Self {
        let mut tasks = JoinSet::new();
        for handle in hub.partitions.iter() {
            tasks.spawn(run(Arc::clone(hub), handle.partition()));
        }
        tasks.spawn(tend(Arc::clone(hub)));
        tasks.spawn(spread_pauses(Arc::clone(hub)));
        Self {
            hub: Arc::clone(hub),
            tasks,
        }
    }

    /// Ends them: what this node leads is handed over first, as far as the deadline allows.
    pub async fn stop(mut self, deadline: tokio::time::Instant) {
        let mut leaving = JoinSet::new();
        for (group, next) in self.hub.to_leave() {
            leaving.spawn(hand_over(Arc::clone(&self.hub), group, next));
        }
        let all_left = async { while leaving.join_next().await.is_some() {} };
        if tokio::time::timeout_at(deadline, all_left).await.is_err() {
            let region = self.hub.context.identity.region;
            tracing::warn!(%region, "not all partitions were handed over in time; others take them a second later");
        }
        self.tasks.shutdown().await;
        let mut stopping = JoinSet::new();
        for handle in self.hub.partitions.iter() {
            let partition = handle.partition();
            if let Some(group) = self.hub.group(partition) {
                self.hub.ended(partition);
                stopping.spawn(async move { group.stop().await });
            }
        }
        while stopping.join_next().await.is_some() {}
    }
}

async fn tend(hub: Arc<RegionGroups>) {
    let mut interval = tokio::time::interval(Duration::from_millis(HEARTBEAT_INTERVAL_MS));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut rounds: u64 = 0;
    loop {
        interval.tick().await;
        for (group, first) in hub.to_hand_back() {
            tokio::spawn(hand_over(Arc::clone(&hub), group, first));
        }
        hub.lead_again();
        rounds += 1;
        if rounds.is_multiple_of(MEMBERSHIP_ROUNDS) {
            let hub = Arc::clone(&hub);
            tokio::spawn(async move { hub.check_membership().await });
        }
        if rounds.is_multiple_of(TELL_ROUNDS) {
            for group in hub.to_tell_again() {
                group.tell_again().await;
            }
        }
        if rounds.is_multiple_of(ASK_ROUNDS) {
            for (partition, leader) in hub.to_ask_again() {
                tokio::spawn(ask_again(Arc::clone(&hub), partition, leader));
            }
        }
        if rounds.is_multiple_of(STEP_ROUNDS) {
            for due in hub.steps() {
                tokio::spawn(carry_out(Arc::clone(&hub), due));
            }
        }
        for group in hub.to_confirm() {
            tokio::spawn(confirm(Arc::clone(&hub), group));
        }
        for group in hub.tend() {
            // It waits for the disk.
            tokio::spawn(stand(Arc::clone(&hub), group));
        }
    }
}

/// Asks the leader to say again how far entries are agreed on.
async fn ask_again(hub: Arc<RegionGroups>, partition: PartitionId, leader: NodeId) {
    let Some(mesh) = hub.mesh.get() else { return };
    let request = GroupRequest::TellAgain.encode();
    // It is asked again in a second if that is still needed.
    let _ = mesh.call(leader, partition, request, ASK_PATIENCE).await;
}

async fn stand(hub: Arc<RegionGroups>, group: Group) {
    if group.stand().await.is_err() {
        hub.voted(group.partition(), false);
    }
}

/// A leader without a lease asks the others: it is deposed when one of them has a later vote. Where it has given its leases up
/// itself, it steps down, so that somebody is elected who has some.
async fn confirm(hub: Arc<RegionGroups>, group: Group) {
    let partition = group.partition();
    // An error means that no majority has answered: there is nobody to be elected by either.
    if group.read_index().await.is_ok()
        && hub.has_yielded(partition)
        && let Some(next) = hub.next_after_own(partition)
    {
        group.step_down(next).await;
    }
}

async fn run(hub: Arc<RegionGroups>, partition: PartitionId) {
    let region = hub.context.identity.region;
    let mut pause = RESTART_PAUSE;
    loop {
        let since = hub.now();
        let failure = match Group::start(parts(&hub, partition)).await {
            Ok(group) => {
                hub.set_group(partition, Some(group.clone()));
                let failure = follow(&hub, &group).await;
                hub.ended(partition);
                group.stop().await;
                failure
            }
            Err(failure) => failure,
        };
        tracing::error!(%region, %partition, error = %failure, "a group has ended; it is started again");
        hub.context.groups.counts().note_restart();
        // `>`: one that has worked for a while begins anew.
        if hub.now().after(since) > RESTART_PAUSE_MAX {
            pause = RESTART_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RESTART_PAUSE_MAX);
        // What the log seems to hold while a write of unknown outcome may still turn up in it, openraft must not see: it would
        // give out the same log id twice.
        while let Err(error) = settle(&hub.context).await {
            let error = error_chain(&error);
            tracing::warn!(%region, %partition, %error, "a group that has ended waits for the store");
            tokio::time::sleep(Duration::from_millis(limits::STORE_REOPEN_INTERVAL_MS)).await;
        }
    }
}

async fn follow(hub: &Arc<RegionGroups>, group: &Group) -> crate::agreement::GroupFailure {
    let mut watch = group.watch();
    let mut standing = watch.now();
    loop {
        hub.stands(group, &standing);
        standing = match watch.changed().await {
            Ok(standing) => standing,
            Err(failure) => return failure,
        };
    }
}

fn parts(hub: &Arc<RegionGroups>, partition: PartitionId) -> GroupParts {
    let handle = hub.partitions[usize::from(partition.0)].clone();
    let context = &hub.context;
    GroupParts {
        partition,
        own: hub.own,
        founders: hub.founders.clone(),
        store: Arc::clone(&context.store),
        committer: Arc::clone(&context.committer),
        blocking: context.blocking,
        entropy: Arc::clone(&context.entropy),
        network: Arc::<RegionGroups>::clone(hub) as Arc<dyn GroupNetwork>,
        machine: Arc::new(ToPartition::new(Arc::clone(context), handle)),
        keeper: keeper(hub),
        entries_kept: context.raft_entries_kept,
    }
}
