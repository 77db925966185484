//! How others reach a partition.

use ractor::ActorRef;
use tokio::sync::oneshot;

use crate::actors::partition::message::PartitionMessage;
use crate::actors::region::{Admission, RegionError};
use crate::model::idempotency::Decision;
use crate::model::ids::PartitionId;
use crate::model::request::Submission;

/// A partition's address.
#[derive(Debug, Clone)]
pub struct PartitionHandle {
    partition: PartitionId,
    actor: ActorRef<PartitionMessage>,
}

impl PartitionHandle {
    /// The handle of a running actor.
    #[must_use]
    pub fn new(partition: PartitionId, actor: ActorRef<PartitionMessage>) -> Self {
        Self { partition, actor }
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
        let (reply, answer) = oneshot::channel();
        let stopped = || RegionError::Unavailable {
            reason: format!(
                "partition {} of this node has stopped; see its log",
                self.partition
            ),
            outcome_unknown: true,
        };
        self.actor
            .cast(PartitionMessage::Write {
                submission,
                admission,
                reply,
            })
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Sends a message; false when the partition has stopped.
    pub fn send(&self, message: PartitionMessage) -> bool {
        self.actor.cast(message).is_ok()
    }

    /// Waits until everything that was admitted is finished.
    pub async fn drain(&self) {
        let (done, finished) = oneshot::channel();
        if self.send(PartitionMessage::Drain(done)) {
            // An error means that the partition has stopped: then nothing is left to finish.
            let _ = finished.await;
        }
    }

    /// Stops the actor after the message that it is at.
    pub fn stop(&self) {
        self.actor.stop(None);
    }
}
