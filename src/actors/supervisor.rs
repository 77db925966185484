//! The root of a node's actors. A partition that fails is started again from what is stored, while the others go on; one
//! that fails time and again is stopped, loudly. Other actors that fail are shown and logged.
//!
//! What a failed partition has handed to the committer may still be written. It is loaded again only when that has
//! ended, one way or the other: else it would give the same seqs out twice (invariant 1).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use crate::actors::context::NodeContext;
use crate::actors::error_chain;
use crate::actors::partition::{PartitionActor, PartitionArguments, PartitionHandle};
use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::mutation::{self, Mutation};
use crate::model::restart_budget::{AfterFailure, RestartBudget};
use crate::ports::store::{Durability, StoreError, WriteSet};

/// The root actor.
#[derive(Debug)]
pub struct Supervisor;

/// What the root is told, besides news of its children.
#[derive(Debug)]
pub enum SupervisorMessage {
    /// Look after these partitions.
    Adopt(Arc<[PartitionHandle]>),
    /// What a failed partition had begun to write has ended: start it again.
    Restart(PartitionId),
}

/// What the root knows.
#[derive(Debug)]
pub struct Supervision {
    context: Arc<NodeContext>,
    partitions: Arc<[PartitionHandle]>,
    /// Of partitions that have failed.
    budgets: BTreeMap<PartitionId, RestartBudget>,
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = Supervision;
    type Arguments = Arc<NodeContext>;

    async fn pre_start(
        &self,
        _myself: ActorRef<SupervisorMessage>,
        context: Arc<NodeContext>,
    ) -> Result<Supervision, ActorProcessingErr> {
        Ok(Supervision {
            context,
            partitions: Arc::new([]),
            budgets: BTreeMap::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        supervision: &mut Supervision,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Adopt(partitions) => supervision.partitions = partitions,
            SupervisorMessage::Restart(partition) => supervision.restart(&myself, partition).await,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        supervision: &mut Supervision,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(child, error) = event {
            supervision.note_failure(&myself, &child, &error);
        }
        Ok(())
    }
}

impl Supervision {
    fn partition_of(&self, child: ActorId) -> Option<PartitionId> {
        let mut partitions = self.partitions.iter();
        let found = partitions.find(|handle| handle.actor_id() == child)?;
        Some(found.partition())
    }

    fn note_failure(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        child: &ActorCell,
        error: &ActorProcessingErr,
    ) {
        let region = self.context.identity.region;
        let Some(partition) = self.partition_of(child.get_id()) else {
            tracing::error!(%region, child = %child.get_id(), %error, "an actor failed");
            self.context.failures.note(error.to_string());
            return;
        };
        let budget = self.budgets.entry(partition).or_default();
        if let AfterFailure::Stop(count) = budget.failed(self.context.clock.tick()) {
            let why = format!("it has failed {count} times within a minute, at last with: {error}");
            tracing::error!(%region, %partition, %why, "partition stopped");
            self.context.partitions.update(partition, |view| {
                view.stopped = Some(format!("{why}; restart the node"));
            });
            return;
        }
        tracing::error!(%region, %partition, %error, "a partition has failed; it is started again");
        self.start_later(myself, partition, &error.to_string());
    }

    /// Starts a partition again when nothing of it is on its way to the disk any more.
    fn start_later(&self, myself: &ActorRef<SupervisorMessage>, partition: PartitionId, error: &str) {
        self.context.partitions.update(partition, |view| {
            view.write_trouble = Some(format!("the partition has failed and is started again: {error}"));
        });
        self.context.groups.note_failure(partition, false);
        let (me, context) = (myself.clone(), Arc::clone(&self.context));
        tokio::spawn(async move {
            while !mutation::is_on(Mutation::RestartAtOnce) {
                tokio::time::sleep(Duration::from_millis(limits::PARTITION_RESTART_DELAY_MS)).await;
                match settle(&context).await {
                    Ok(()) => break,
                    Err(error) => {
                        let (region, error) = (context.identity.region, error_chain(&error));
                        tracing::warn!(%region, %partition, %error, "a failed partition waits for the store");
                        tokio::time::sleep(Duration::from_millis(limits::STORE_REOPEN_INTERVAL_MS)).await;
                    }
                }
            }
            // An error means that the node stops.
            let _ = me.cast(SupervisorMessage::Restart(partition));
        });
    }

    async fn restart(&self, myself: &ActorRef<SupervisorMessage>, partition: PartitionId) {
        let arguments = PartitionArguments {
            context: Arc::clone(&self.context),
            partition,
        };
        let (region, store) = (self.context.identity.region, self.context.store.as_ref());
        // What the one before has written last, it may not have shown.
        if let Err(error) = self.context.namespaces.refresh_partition(store, partition) {
            return self.try_again(myself, partition, &error_chain(&error));
        }
        let spawned = PartitionActor::spawn_linked(None, PartitionActor, arguments, myself.get_cell()).await;
        match spawned {
            Ok((actor, _)) => {
                self.partitions[usize::from(partition.0)].replace(actor);
                self.context.groups.note_failure(partition, true);
                self.context.failures.note_restart();
                // A write whose outcome was unknown may have turned out to be there.
                self.context.partitions.announce(partition);
                tracing::info!(%region, %partition, "the partition works again");
            }
            Err(error) => self.try_again(myself, partition, &error.to_string()),
        }
    }

    /// The store may recover: this is tried for as long as the node runs.
    fn try_again(&self, myself: &ActorRef<SupervisorMessage>, partition: PartitionId, error: &str) {
        let region = self.context.identity.region;
        tracing::error!(%region, %partition, %error, "the partition could not be loaded; trying again");
        self.start_later(myself, partition, error);
    }
}

/// Waits until all that was handed to the committer before has been written, or never will be.
///
/// # Errors
/// While that cannot be known.
pub(in crate::actors) async fn settle(context: &NodeContext) -> Result<(), StoreError> {
    let (done, ended) = oneshot::channel();
    let told = Box::new(move |result| {
        let _ = done.send(result);
    });
    // An empty set, behind all that was submitted before. Whatever else becomes of it: when it was not queued, it was not
    // behind anything.
    context
        .committer
        .submit(WriteSet::new(), Durability::Synced, told);
    if let Ok(Err(error @ StoreError::Overloaded { .. })) = ended.await {
        return Err(error);
    }
    // What has landed in a write that was reported as failed shows only once the store was reopened.
    let store = Arc::clone(&context.store);
    match context.blocking.run(move || store.recover()).await {
        Ok(recovered) => recovered.map(drop),
        Err(_) => Err(StoreError::Closed), // The runtime stops.
    }
}
