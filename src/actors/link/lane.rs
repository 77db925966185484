//! The receiving end of a lane: receipts that go back to the sender. Kept by partition, so that many acknowledgements
//! become one and the memory is bounded by the number of partitions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::actors::context::NodeContext;
use crate::actors::link::board::LinkBoard;
use crate::actors::link::peer_node::PeerNode;
use crate::actors::partition::Receipts;
use crate::model::ids::PartitionId;
use crate::model::vector::VersionVector;
use crate::ports::link::{FrameSender, LinkError};
use crate::wire::messages::{Message, RewindReason};

/// How long a link stays quarantined after the last stamp that was refused: the sender tries again each second.
pub(crate) const QUARANTINE: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Waiting {
    applied: BTreeMap<PartitionId, VersionVector>,
    rewinds: BTreeMap<PartitionId, Message>,
}

/// Receipts of one lane.
pub(super) struct LaneReceipts {
    context: Arc<NodeContext>,
    link: Arc<LinkBoard>,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

impl LaneReceipts {
    pub(super) fn new(context: Arc<NodeContext>, link: Arc<LinkBoard>) -> Self {
        Self {
            context,
            link,
            waiting: Mutex::new(Waiting::default()),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends receipts until the lane is gone.
    pub(super) async fn run(&self, sender: &mut dyn FrameSender) -> Result<(), LinkError> {
        loop {
            self.changed.notified().await;
            let waiting = std::mem::take(&mut *self.lock());
            // Acknowledgements first: a rewind goes by the same vector.
            if !waiting.applied.is_empty() {
                let vectors = waiting.applied.into_iter().collect();
                sender.send(Message::Acknowledge { vectors }.encode()).await?;
            }
            for rewind in waiting.rewinds.into_values() {
                sender.send(rewind.encode()).await?;
            }
        }
    }

    fn note_refusal(&self, partition: PartitionId, reason: RewindReason, detail: &str) {
        let (link, own) = (&self.link, self.context.identity.region);
        let PeerNode { region: peer, node } = link.peer();
        let now = self.context.clock.tick();
        match reason {
            RewindReason::Clock => {
                if !link.is_quarantined(now) {
                    tracing::warn!(%own, %peer, %node, %partition, %detail, "link quarantined: stamps from the future are refused");
                }
                link.quarantine(
                    now.plus(QUARANTINE),
                    format!("commits of {peer} refused: {detail}"),
                );
            }
            RewindReason::Poison => {
                tracing::error!(%own, %peer, %node, %partition, %detail, "a commit cannot be applied: this partition's lane stops, the others go on");
                link.note_error(format!("partition {partition} stopped: {detail}"), false);
            }
            RewindReason::Full | RewindReason::Storage | RewindReason::NotLeader => {
                tracing::debug!(%own, %peer, %node, %partition, ?reason, %detail, "a commit was put off");
            }
        }
    }
}

impl Receipts for LaneReceipts {
    fn applied(&self, partition: PartitionId, vector: VersionVector) {
        self.lock().applied.insert(partition, vector);
        self.changed.notify_one();
    }

    fn rewind(&self, partition: PartitionId, vector: VersionVector, reason: RewindReason, detail: String) {
        self.note_refusal(partition, reason, &detail);
        self.lock().rewinds.insert(
            partition,
            Message::Rewind {
                partition,
                vector,
                reason,
                detail,
            },
        );
        self.changed.notify_one();
    }
}
