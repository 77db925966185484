//! What the groups of a node say to other nodes, and answer them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::actors::context::NodeContext;
use crate::actors::error_chain;
use crate::actors::group::hub::RegionGroups;
use crate::actors::group::requests::Reliance;
use crate::actors::mesh::MeshService;
use crate::actors::mesh::service::{AnswerError, OwnSign, Promise};
use crate::actors::partition::{Arrived, PartitionHandle, PartitionMessage};
use crate::agreement::{Agreed, GroupMachine, GroupNetwork, NoAnswer, NotApplied, VoteKeeper};
use crate::model::agreement::{Epoch, MemberId};
use crate::model::hlc::Hlc;
use crate::model::ids::{NodeId, PartitionId};
use crate::model::raft::RaftIndex;
use crate::storage::partition::{Place, SnapshotError, SnapshotReceiver, Taken};
use crate::wire::group::{CommittedUpto, GroupAnswer, GroupRequest};
use crate::wire::mesh::SignOfLife;
use crate::wire::snapshot::SnapshotId;

#[async_trait]
impl MeshService for RegionGroups {
    fn own_sign(&self, _: NodeId) -> OwnSign {
        self.own_sign()
    }

    fn sign_of_life(&self, from: NodeId, sign: &SignOfLife) -> Option<Promise> {
        self.heard(from, sign)
    }

    fn members(&self) -> BTreeSet<MemberId> {
        self.lock().plan.members().keys().copied().collect()
    }

    async fn answer(&self, from: NodeId, partition: PartitionId, body: Bytes) -> Result<Bytes, AnswerError> {
        let request = GroupRequest::decode(&body).map_err(|error| AnswerError(error_chain(&error)))?;
        let answer = match request {
            GroupRequest::Pauses(told) => self.answer_pauses(told),
            GroupRequest::Committed(told) => self.answer_committed(from, told).await?,
            GroupRequest::ReadIndex => self.answer_read_index(partition).await?,
            GroupRequest::Write(write) => {
                self.answer_write(from, partition, &write, Reliance::Partition)
                    .await?
            }
            GroupRequest::WriteAsHome(write) => {
                self.answer_write(from, partition, &write, Reliance::Home).await?
            }
            GroupRequest::TellAgain => {
                if let Some(group) = self.group(partition) {
                    group.tell_again().await;
                }
                GroupAnswer::ToldAgain
            }
            GroupRequest::SettleHome => self.answer_settle_home(partition).await?,
            GroupRequest::Yield { epoch, next } => {
                if epoch.leader.node != from {
                    return Err(AnswerError(format!("{from} gives up what it does not lead")));
                }
                self.answer_yield(partition, epoch, next).await
            }
            GroupRequest::ChangeNode { node, change } => self.answer_change(node, change).await,
            GroupRequest::Members => self.answer_members().await,
            request @ (GroupRequest::Append { .. }
            | GroupRequest::Vote { .. }
            | GroupRequest::Snapshot { .. }
            | GroupRequest::Install { .. }) => {
                let group = self.group(partition).ok_or_else(|| {
                    AnswerError(format!("the group of partition {partition} does not run here"))
                })?;
                let answer = group.answer(request).await;
                let answer = answer.map_err(|NoAnswer(why)| AnswerError(why))?;
                if matches!(answer, GroupAnswer::Installed(_)) {
                    self.context.groups.counts().note_snapshot_received();
                }
                answer
            }
        };
        Ok(answer.encode())
    }

    async fn answer_question(&self, from: NodeId, question: Bytes) -> Result<(Bytes, Bytes), AnswerError> {
        self.answer_node(from, &question).await
    }
}

#[async_trait]
impl GroupNetwork for RegionGroups {
    async fn ask(
        &self,
        member: MemberId,
        partition: PartitionId,
        request: GroupRequest,
        patience: Duration,
    ) -> Result<GroupAnswer, NoAnswer> {
        let no_answer = |error: &dyn std::error::Error| NoAnswer(error_chain(error));
        let mesh = self
            .mesh
            .get()
            .ok_or_else(|| NoAnswer("the node starts".to_owned()))?;
        if self.context.mesh.incarnation(&member.node) != Some(member.incarnation) {
            let text = format!("{member} is not there, or its disk is another one now");
            return Err(NoAnswer(text));
        }
        let answer = mesh
            .call(member.node, partition, request.encode(), patience)
            .await;
        let answer = answer.map_err(|error| no_answer(&error))?;
        let answer = GroupAnswer::decode(&answer).map_err(|error| no_answer(&error))?;
        if matches!(answer, GroupAnswer::Installed(_)) {
            self.context.groups.counts().note_snapshot_sent();
        }
        Ok(answer)
    }

    fn tell(&self, member: MemberId, committed: CommittedUpto) {
        self.tell_committed(member, committed);
    }
}

impl VoteKeeper for RegionGroups {
    fn saw(&self, partition: PartitionId, epoch: Epoch) {
        self.saw(partition, epoch);
    }

    fn may_vote(&self, partition: PartitionId, candidate: Epoch) -> bool {
        self.may_vote(partition, candidate)
    }

    fn voted(&self, partition: PartitionId, is_granted: bool) {
        self.voted(partition, is_granted);
    }

    fn lacks_entries(&self, partition: PartitionId) {
        self.lacks_entries(partition);
    }

    fn floor(&self) -> Hlc {
        self.floor()
    }

    fn told(&self, partition: PartitionId, candidate: Epoch, floor: Hlc) {
        self.told(partition, candidate, floor);
    }

    fn adopt(&self, partition: PartitionId, epoch: Epoch) -> Option<Hlc> {
        self.adopt(partition, epoch)
    }

    fn adopted(&self, floor: Hlc, is_durable: bool) {
        self.adopted(floor, is_durable);
    }
}

/// Hands what was agreed on to the partition.
pub(super) struct ToPartition {
    pub(super) context: Arc<NodeContext>,
    pub(super) handle: PartitionHandle,
    /// The snapshot that comes in, between two chunks.
    receiving: Mutex<Option<(SnapshotId, SnapshotReceiver)>>,
}

impl ToPartition {
    pub(super) fn new(context: Arc<NodeContext>, handle: PartitionHandle) -> Self {
        Self {
            context,
            handle,
            receiving: Mutex::default(),
        }
    }

    fn take_receiver(&self, id: SnapshotId) -> Option<SnapshotReceiver> {
        let mut receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, receiver) = receiving.take()?;
        (found == id).then_some(receiver)
    }

    fn put_receiver(&self, id: SnapshotId, receiver: SnapshotReceiver) {
        let mut receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        *receiving = Some((id, receiver));
    }
}

fn has_failed() -> NotApplied {
    NotApplied("the partition has failed and is started again".to_owned())
}

#[async_trait]
impl GroupMachine for ToPartition {
    async fn apply(&self, entries: Vec<Agreed>) -> Result<(), NotApplied> {
        let (done, applied) = tokio::sync::oneshot::channel();
        if !self.handle.send(PartitionMessage::Agreed(entries, done)) {
            return Err(has_failed());
        }
        applied.await.unwrap_or_else(|_| Err(has_failed()))
    }

    async fn stage(&self, id: SnapshotId, chunk: Bytes) -> Result<Option<u32>, NotApplied> {
        let receiver = self.take_receiver(id);
        let place = Place {
            partition: self.handle.partition(),
            count: self.context.identity.partitions,
        };
        let store = Arc::clone(&self.context.store);
        let work = move || {
            let mut receiver = match receiver {
                Some(receiver) => receiver,
                None => SnapshotReceiver::begin(store, place, id)?,
            };
            let due = if chunk.is_empty() {
                receiver.due()
            } else {
                receiver.take(&chunk)?
            };
            Ok::<_, SnapshotError>((receiver, due))
        };
        let not_applied = |error: &dyn std::error::Error| NotApplied(error_chain(error));
        let staged = self.context.blocking.run(work).await;
        let staged = staged.map_err(|error| not_applied(&error))?;
        let (receiver, due) = staged.map_err(|error| not_applied(&error))?;
        self.put_receiver(id, receiver);
        Ok(match due {
            Taken::Next(number) => Some(number),
            Taken::Complete => None,
        })
    }

    async fn install(&self, id: SnapshotId, upto: Option<RaftIndex>) -> Result<(), NotApplied> {
        let receiver = self.take_receiver(id);
        let receiver =
            receiver.ok_or_else(|| NotApplied("the chunks are not all there: send them again".to_owned()))?;
        let (done, installed) = tokio::sync::oneshot::channel();
        let snapshot = Arrived {
            receiver: Box::new(receiver),
            upto,
        };
        if !self.handle.send(PartitionMessage::Install(snapshot, done)) {
            return Err(has_failed());
        }
        installed.await.unwrap_or_else(|_| Err(has_failed()))
    }
}

/// The hub as groups know it.
pub(super) fn keeper(hub: &Arc<RegionGroups>) -> Arc<dyn VoteKeeper> {
    Arc::<RegionGroups>::clone(hub)
}
