//! Requests for partitions that another node leads: writes go there, reads ask it how far they must wait.

use std::time::Duration;

use bytes::Bytes;

use crate::actors::group::hub::RegionGroups;
use crate::actors::mesh::service::AnswerError;
use crate::actors::region::{Admission, RegionError};
use crate::agreement::NoAnswer;
use crate::model::idempotency::Decision;
use crate::model::ids::{NodeId, PartitionId};
use crate::model::limits;
use crate::model::raft::RaftIndex;
use crate::model::request::Submission;
use crate::wire::group::{GroupAnswer, GroupRequest};
use crate::wire::region_calls;

/// How long to wait before somebody else is asked, where nobody leads or the one who was asked does not.
pub(super) const LEADER_PAUSE: Duration = Duration::from_millis(20);

/// How long a leader that was deposed may take to say what became of a write.
const FAREWELL: Duration = Duration::from_millis(300);

/// What a write relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reliance {
    /// Nothing but its partition.
    Partition,
    /// That this region is the home of its namespace.
    Home,
}

impl RegionGroups {
    /// Makes a write on whichever node leads its partition. Waits while nobody does, as long as a majority of the group
    /// can be heard; the caller bounds the time.
    ///
    /// # Errors
    /// What the leader answers; [`RegionError::Unavailable`] at once when no majority is heard.
    pub async fn write(
        &self,
        partition: PartitionId,
        submission: Submission,
        admission: Admission,
    ) -> Result<Decision, RegionError> {
        self.write_relying_on(Reliance::Partition, partition, submission, admission)
            .await
    }

    /// The same if this region is the home of the namespace, as the leader finds.
    ///
    /// # Errors
    /// As [`Self::write`]; [`RegionError::NotHome`].
    pub async fn write_as_home(
        &self,
        partition: PartitionId,
        submission: Submission,
        admission: Admission,
    ) -> Result<Decision, RegionError> {
        self.write_relying_on(Reliance::Home, partition, submission, admission)
            .await
    }

    async fn write_relying_on(
        &self,
        reliance: Reliance,
        partition: PartitionId,
        submission: Submission,
        admission: Admission,
    ) -> Result<Decision, RegionError> {
        let mut admission = Some(admission);
        let mut encoded = None;
        loop {
            let leader = self.leader_of(partition).await?;
            let written = if leader == self.own.node {
                // Each try needs one of its own; the first has been paid for by the caller.
                let admission = match admission.take() {
                    Some(admission) => admission,
                    None => self.admit(submission.size_bytes())?,
                };
                self.write_here(reliance, partition, submission.clone(), admission)
                    .await
            } else {
                let bytes =
                    encoded.get_or_insert_with(|| Bytes::from(region_calls::encode_submission(&submission)));
                let request = match reliance {
                    Reliance::Partition => GroupRequest::Write(bytes.clone()),
                    Reliance::Home => GroupRequest::WriteAsHome(bytes.clone()),
                };
                self.pass_on(leader, partition, &request, submission.writes.len())
                    .await
            };
            match written {
                Err(RegionError::NotLeader { .. }) => tokio::time::sleep(LEADER_PAUSE).await,
                written => return written,
            }
        }
    }

    async fn write_here(
        &self,
        reliance: Reliance,
        partition: PartitionId,
        submission: Submission,
        admission: Admission,
    ) -> Result<Decision, RegionError> {
        match reliance {
            Reliance::Partition => {
                let handle = &self.partitions[usize::from(partition.0)];
                handle.write(submission, admission).await
            }
            Reliance::Home => self.write_here_as_home(partition, submission, admission).await,
        }
    }

    fn admit(&self, body_bytes: usize) -> Result<Admission, RegionError> {
        let region = self.region.get().and_then(std::sync::Weak::upgrade);
        let region = region.ok_or_else(|| RegionError::Unavailable {
            reason: "this node starts or ends".to_owned(),
            outcome_unknown: false,
        })?;
        region.admit(body_bytes)
    }

    /// Who leads a partition. Waits while nobody does, as long as a majority of its nodes can be heard; the caller bounds the time.
    ///
    /// # Errors
    /// [`RegionError::Unavailable`] at once when no majority is heard.
    pub async fn leader_of(&self, partition: PartitionId) -> Result<NodeId, RegionError> {
        loop {
            // What it hears of the others is none of its business any more.
            if let Some(reason) = self.context.groups.expelled() {
                return Err(RegionError::Unavailable {
                    reason,
                    outcome_unknown: false,
                });
            }
            if let Some(lost) = self.lost_majority(partition) {
                let lost: Vec<String> = lost.iter().map(ToString::to_string).collect();
                return Err(RegionError::Unavailable {
                    reason: format!(
                        "this node does not hear {}: too few nodes of this region are left to agree on anything. Nothing was \
                         done. It goes on by itself when they return; until then use another region, or read at eventual",
                        lost.join(" and ")
                    ),
                    outcome_unknown: false,
                });
            }
            let known = self
                .context
                .groups
                .wait_until(partition, |view| view.leader.map(|(node, _)| node));
            if let Ok(leader) = tokio::time::timeout(Duration::from_millis(200), known).await {
                return Ok(leader);
            }
        }
    }

    async fn pass_on(
        &self,
        leader: NodeId,
        partition: PartitionId,
        request: &GroupRequest,
        writes: usize,
    ) -> Result<Decision, RegionError> {
        let Some(mesh) = self.mesh.get() else {
            return Err(RegionError::NotLeader { leader: None });
        };
        let patience = Duration::from_millis(limits::MESH_PATIENCE_MS_MAX);
        let mut calling = std::pin::pin!(mesh.call(leader, partition, request.encode(), patience));
        let answered = match self.while_leading(partition, leader, calling.as_mut()).await {
            Some(answered) => Some(answered),
            // It may have handed over in order, and says so; or it is gone, and nobody knows what it has still done.
            None => tokio::time::timeout(FAREWELL, calling).await.ok(),
        };
        let Some(answered) = answered else {
            return Err(RegionError::Unavailable {
                reason: format!(
                    "{leader}, which led the partition, was lost while it had the write; another node leads now"
                ),
                outcome_unknown: true,
            });
        };
        let answer = match answered {
            Ok(answer) => GroupAnswer::decode(&answer),
            Err(error) if error.may_have_been_received() => {
                return Err(RegionError::Unavailable {
                    reason: format!("{error}, which leads the partition"),
                    outcome_unknown: true,
                });
            }
            Err(_) => return Err(RegionError::NotLeader { leader: None }),
        };
        match answer {
            Ok(GroupAnswer::NotLeader(leader)) => Err(RegionError::NotLeader { leader }),
            Ok(GroupAnswer::Written(outcome, applied)) => {
                let verdict = region_calls::decode_verdict(&outcome, writes);
                let decision = verdict
                    .map_err(|error| unknown(leader, &error))?
                    .map_err(RegionError::from)?;
                // Who has written here reads it here.
                self.wait_applied(partition, applied).await;
                Ok(decision)
            }
            Ok(_) => Err(unknown(leader, &"it has answered something else than was asked")),
            Err(error) => Err(unknown(leader, &error)),
        }
    }

    /// What the future gives, unless another node leads before.
    pub(super) async fn while_leading<T>(
        &self,
        partition: PartitionId,
        leader: NodeId,
        asking: impl Future<Output = T>,
    ) -> Option<T> {
        let deposed = self.context.groups.wait_until(partition, |view| {
            let is_other = view.leader.is_some_and(|(other, _)| other != leader);
            is_other.then_some(())
        });
        tokio::select! {
            biased;
            answer = asking => Some(answer),
            () = deposed => None,
        }
    }

    pub(super) async fn wait_applied(&self, partition: PartitionId, index: RaftIndex) {
        // `>=`: so far, or further.
        let is_applied = |view: &crate::actors::board::PartitionView| view.raft_applied >= index;
        self.context.partitions.wait_until(partition, is_applied).await;
    }

    /// Waits until reads of a partition's applied state here show all that was answered anywhere in the region before this
    /// was called; the caller bounds the time.
    ///
    /// # Errors
    /// [`RegionError::Unavailable`] at once when no majority of the group is heard.
    pub async fn catch_up_with_leader(&self, partition: PartitionId) -> Result<(), RegionError> {
        loop {
            let leader = self.leader_of(partition).await?;
            let index = if leader == self.own.node {
                self.read_index(partition).await.ok()
            } else {
                self.ask_read_index(leader, partition).await
            };
            if let Some(index) = index {
                self.wait_applied(partition, index).await;
                return Ok(());
            }
            tokio::time::sleep(LEADER_PAUSE).await;
        }
    }

    async fn ask_read_index(&self, leader: NodeId, partition: PartitionId) -> Option<RaftIndex> {
        let patience = Duration::from_millis(limits::REQUEST_TIMEOUT_MS_DEFAULT);
        let body = GroupRequest::ReadIndex.encode();
        let answer = self
            .mesh
            .get()?
            .call(leader, partition, body, patience)
            .await
            .ok()?;
        match GroupAnswer::decode(&answer) {
            Ok(GroupAnswer::ReadAt(index)) => Some(index),
            _ => None,
        }
    }

    /// How far any node of the region can have applied, by the word of this leader, confirmed by a lease or a majority; nothing
    /// where it does not lead. What it has told others to be agreed on they may have shown, though its own disk is slower.
    pub(super) async fn read_index(&self, partition: PartitionId) -> Result<RaftIndex, NoAnswer> {
        let is_serving = self.context.groups.leads(partition);
        let group = self.group(partition).filter(|_| is_serving);
        let group = group.ok_or_else(|| NoAnswer("this node does not lead the partition".to_owned()))?;
        let applied = self.context.partitions.read(partition, |view| view.raft_applied);
        let shown = applied.max(group.told_committed());
        if self.holds_lease(partition) {
            return Ok(shown);
        }
        group.read_index().await
    }

    pub(super) async fn answer_read_index(&self, partition: PartitionId) -> Result<GroupAnswer, AnswerError> {
        if self.context.groups.leader(partition) != Some(self.own.node) {
            return Ok(GroupAnswer::NotLeader(self.context.groups.leader(partition)));
        }
        let read = self.read_index(partition).await;
        Ok(read.map_or_else(|_| GroupAnswer::NotLeader(None), GroupAnswer::ReadAt))
    }

    pub(super) async fn answer_write(
        &self,
        from: NodeId,
        partition: PartitionId,
        write: &[u8],
        reliance: Reliance,
    ) -> Result<GroupAnswer, AnswerError> {
        let submission = region_calls::decode_submission(write)
            .map_err(|error| AnswerError(crate::actors::error_chain(&error)))?;
        let places = submission.writes.iter().map(|write| {
            let count = self.context.identity.partitions;
            crate::model::placement::partition_of(&write.namespace, &write.key, count)
        });
        if places.into_iter().any(|place| place != partition) {
            return Err(AnswerError(format!(
                "{from} has sent a write to the wrong partition"
            )));
        }
        if usize::from(partition.0) >= self.partitions.len() {
            return Err(AnswerError(format!("there is no partition {partition}")));
        }
        let written = match self.admit(submission.size_bytes()) {
            Ok(admission) => self.write_here(reliance, partition, submission, admission).await,
            // It stops, and hands over what it leads.
            Err(RegionError::Unavailable { .. }) => return Ok(GroupAnswer::NotLeader(None)),
            Err(error) => Err(error),
        };
        if let Err(RegionError::NotLeader { leader }) = written {
            return Ok(GroupAnswer::NotLeader(leader));
        }
        let applied = self.context.partitions.read(partition, |view| view.raft_applied);
        let verdict = region_calls::encode_verdict(&written.map_err(Into::into));
        Ok(GroupAnswer::Written(verdict.into(), applied))
    }
}

fn unknown(leader: NodeId, why: &dyn std::fmt::Display) -> RegionError {
    RegionError::Unavailable {
        reason: format!("the answer of {leader}, which leads the partition, was not understood: {why}"),
        outcome_unknown: true,
    }
}
