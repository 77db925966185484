//! Homes of namespaces in a region of several nodes (decision 0018, "Homes"): the leaders of partitions make the writes that
//! rely on the region being the home, and say what a new home must have when all that they have begun has ended.
//!
//! The order of steps is what it rests on, in both: see [`HomeWrites`](crate::model::agreement::HomeWrites).

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{sleep, timeout};

use crate::actors::group::hub::RegionGroups;
use crate::actors::group::requests::LEADER_PAUSE;
use crate::actors::mesh::service::AnswerError;
use crate::actors::region::{Admission, Reach, RegionError, check_home};
use crate::model::idempotency::Decision;
use crate::model::ids::{Namespace, NodeId, PartitionId};
use crate::model::limits;
use crate::model::mutation::{self, Mutation};
use crate::model::request::Submission;
use crate::model::vector::VersionVector;
use crate::wire::group::{GroupAnswer, GroupRequest};

/// How long a leader tries to find out whether the region is the home, before it leaves it to whoever asks to try again: as long
/// as a write counts as under way without need. Another leader of the configuration is elected in little more.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);
/// How long a leader may take to have finished, before it is asked again: it may not lead any more, and not know it.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);
/// How long whoever hands over asks for one partition, before it says what it waits for: longer than an election takes.
const ASKING_PATIENCE: Duration = Duration::from_secs(5);

impl RegionGroups {
    /// Makes a write on this node, which leads its partition, if the region is the home of its namespace.
    ///
    /// # Errors
    /// [`RegionError::NotLeader`] and [`RegionError::NotHome`] where nothing was done; else what the partition answers.
    pub(super) async fn write_here_as_home(
        &self,
        partition: PartitionId,
        submission: Submission,
        admission: Admission,
    ) -> Result<Decision, RegionError> {
        let first = submission.writes.first().expect("a submission has a write");
        let namespace = first.namespace.clone();
        // First of all: an epoch that begins after a hand-over has asked here begins after the home was given up.
        let Some(epoch) = self.leads_now_in(partition) else {
            return Err(self.not_leader(partition));
        };
        // Before the look: a hand-over that asks here after the look waits for this.
        let _under_way = self.context.homes.begin_write(partition, epoch);
        let looking = self.look_at_home(&namespace, Reach::Partition(partition));
        match timeout(LOOK_PATIENCE, looking).await {
            Ok(looked) => looked?,
            Err(_) => return Err(RegionError::NotLeader { leader: None }),
        }
        self.partitions[usize::from(partition.0)]
            .write_in(Some(epoch), submission, admission)
            .await
    }

    /// Finds out whether the region is the home of a namespace now: whatever was agreed on before this was called is seen.
    async fn look_at_home(&self, namespace: &Namespace, reach: Reach) -> Result<(), RegionError> {
        if !mutation::is_on(Mutation::LookAtOwnRows) {
            let configuration = self.context.home_partition(namespace);
            self.catch_up_with_leader(configuration).await?;
        }
        check_home(&self.context, namespace, reach).map_err(|error| RegionError::NotHome(error.to_string()))
    }

    fn not_leader(&self, partition: PartitionId) -> RegionError {
        let leader = self.context.groups.leader(partition);
        RegionError::NotLeader {
            leader: leader.filter(|leader| *leader != self.own.node),
        }
    }

    /// What each partition has when all has ended that this region has begun as the home of a namespace. That it is not the home any
    /// more was agreed on before this is called.
    ///
    /// # Errors
    /// [`RegionError::Unavailable`] with what it waits for: at once when no majority of a group is heard, else after some seconds.
    pub async fn settled_vectors(&self) -> Result<Vec<(PartitionId, VersionVector)>, RegionError> {
        let all: Vec<PartitionId> = self.context.partitions.ids().collect();
        let mut vectors = Vec::new();
        for some in all.chunks(limits::SETTLING_PARTITIONS_MAX) {
            let asking = some.iter().map(|partition| self.settled_vector(*partition));
            let settled = try_join_all(asking).await?;
            vectors.extend(some.iter().copied().zip(settled));
        }
        vectors.retain(|(_, vector)| !vector.is_empty());
        Ok(vectors)
    }

    async fn settled_vector(&self, partition: PartitionId) -> Result<VersionVector, RegionError> {
        let begun = self.now();
        loop {
            let leader = self.leader_of(partition).await?;
            let why = match self.ask_settled(leader, partition).await {
                Ok(vector) => return Ok(vector),
                Err(why) => why,
            };
            if self.now().after(begun) > ASKING_PATIENCE {
                return Err(RegionError::Unavailable {
                    reason: format!("partition {partition}, which {leader} leads: {why}"),
                    outcome_unknown: false,
                });
            }
            sleep(LEADER_PAUSE).await;
        }
    }

    async fn ask_settled(&self, leader: NodeId, partition: PartitionId) -> Result<VersionVector, String> {
        if leader == self.own.node {
            let settled = timeout(SETTLE_PATIENCE, self.settle(partition)).await;
            let settled = settled.map_err(|_| {
                format!(
                    "not all has ended within {} s that it had begun",
                    SETTLE_PATIENCE.as_secs()
                )
            })?;
            return settled.map_err(|error| error.to_string());
        }
        let mesh = self.mesh.get().ok_or("this node starts")?;
        let request = GroupRequest::SettleHome.encode();
        let answer = mesh.call(leader, partition, request, SETTLE_PATIENCE).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match GroupAnswer::decode(&answer).map_err(|error| error.to_string())? {
            GroupAnswer::HomeSettled(vector) => Ok(vector),
            GroupAnswer::NotLeader(_) => Err("it does not lead it any more".to_owned()),
            _ => Err("it has answered something else than was asked".to_owned()),
        }
    }

    pub(super) async fn answer_settle_home(
        &self,
        partition: PartitionId,
    ) -> Result<GroupAnswer, AnswerError> {
        match self.settle(partition).await {
            Ok(vector) => Ok(GroupAnswer::HomeSettled(vector)),
            Err(RegionError::NotLeader { leader }) => Ok(GroupAnswer::NotLeader(leader)),
            Err(error) => Err(AnswerError(error.to_string())),
        }
    }

    /// What a partition has that this node leads, when all has ended that it had begun there as the home of any namespace when this
    /// was called.
    async fn settle(&self, partition: PartitionId) -> Result<VersionVector, RegionError> {
        let epoch = self.leads_now_in(partition);
        let epoch = epoch.ok_or_else(|| self.not_leader(partition))?;
        let vector = || {
            self.context
                .partitions
                .read(partition, |view| view.vector.clone())
        };
        if mutation::is_on(Mutation::HandOverAtOnce) {
            return Ok(vector());
        }
        self.context.homes.wait_for_writes(partition, epoch).await;
        // What clients have left to it that have gone, and what its disk did not take while others had it.
        self.partitions[usize::from(partition.0)].drain().await?;
        // Nobody leads it in a later epoch, or who does has begun after the home was given up. What others may have shown is here.
        let shown = self.read_index(partition).await;
        let shown = shown.map_err(|error| RegionError::Unavailable {
            reason: error.to_string(),
            outcome_unknown: false,
        })?;
        self.wait_applied(partition, shown).await;
        // Without a break, as far as that matters: it has applied what this node has begun in earlier lives, of itself or the
        // partition, if it serves now.
        if self.leads_now_in(partition) != Some(epoch) {
            return Err(self.not_leader(partition));
        }
        Ok(vector())
    }
}
