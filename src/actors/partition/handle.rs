//! How others reach a partition.

use std::sync::{Arc, PoisonError, RwLock};

use ractor::{ActorId, ActorRef};
use tokio::sync::oneshot;

use crate::actors::partition::message::PartitionMessage;
use crate::actors::region::{Admission, RegionError};
use crate::model::agreement::Epoch;
use crate::model::idempotency::Decision;
use crate::model::ids::PartitionId;
use crate::model::request::Submission;

/// A partition's address. It stays the same when the partition fails and is started again.
#[derive(Debug, Clone)]
pub struct PartitionHandle {
    partition: PartitionId,
    actor: Arc<RwLock<ActorRef<PartitionMessage>>>,
}

impl PartitionHandle {
    /// The handle of a running actor.
    #[must_use]
    pub fn new(partition: PartitionId, actor: ActorRef<PartitionMessage>) -> Self {
        Self {
            partition,
            actor: Arc::new(RwLock::new(actor)),
        }
    }

    /// From here on another actor is meant: the one before has failed.
    pub(crate) fn replace(&self, actor: ActorRef<PartitionMessage>) {
        *self.actor.write().unwrap_or_else(PoisonError::into_inner) = actor;
    }

    fn actor(&self) -> ActorRef<PartitionMessage> {
        self.actor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The actor that is meant now.
    pub(crate) fn actor_id(&self) -> ActorId {
        self.actor().get_id()
    }

    /// Which partition.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Makes writes; see [`PartitionMessage::Write`].
    ///
    /// # Errors
    /// What the partition answers, or that it has stopped.
    pub async fn write(&self, submission: Submission, admission: Admission) -> Result<Decision, RegionError> {
        self.write_in(None, submission, admission).await
    }

    /// The same, in one leadership only, if one is given.
    ///
    /// # Errors
    /// As [`Self::write`]; [`RegionError::NotLeader`] where that leadership is over.
    pub async fn write_in(
        &self,
        only_in: Option<Epoch>,
        submission: Submission,
        admission: Admission,
    ) -> Result<Decision, RegionError> {
        let (reply, answer) = oneshot::channel();
        self.actor()
            .cast(PartitionMessage::Write {
                submission,
                only_in,
                admission,
                reply,
            })
            .map_err(|_| self.has_failed(false))?;
        answer.await.map_err(|_| self.has_failed(true))?
    }

    /// Sends a message; false when the partition has stopped.
    pub fn send(&self, message: PartitionMessage) -> bool {
        self.actor().cast(message).is_ok()
    }

    /// Waits until everything that was admitted is finished, and what was agreed on is in the rows.
    ///
    /// # Errors
    /// When the partition has failed, or its store does not answer, so that what it was at may still be written.
    pub async fn drain(&self) -> Result<(), RegionError> {
        let (done, finished) = oneshot::channel();
        if !self.send(PartitionMessage::Drain(done)) {
            return Err(self.has_failed(false));
        }
        let drained = finished.await.map_err(|_| self.has_failed(false))?;
        drained.map_err(|why| RegionError::Unavailable {
            reason: format!("partition {}: {why}", self.partition),
            outcome_unknown: false,
        })
    }

    fn has_failed(&self, outcome_unknown: bool) -> RegionError {
        RegionError::Unavailable {
            reason: format!(
                "partition {} of this node has failed and is started again by itself: try again; if that does not help, the node's log says why, and a restart of the node is the next thing to try",
                self.partition
            ),
            outcome_unknown,
        }
    }
}
