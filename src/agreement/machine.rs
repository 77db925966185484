//! What openraft applies entries to: the partition, behind [`GroupMachine`]. Here is only the bookkeeping: how far the group
//! is, and who its members are.

use std::sync::Arc;

use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StoredMembership,
};

use super::ports::{Agreed, GroupMachine};
use super::types::{Applied, Entry, GroupTypes, LogId, SnapshotData, StorageError, StorageIoError};
use crate::model::agreement::NodeRole;
use crate::model::ids::PartitionId;
use crate::model::raft::RaftNodeId;
use crate::ports::store::{Family, Store};
use crate::wire::keys::raft;
use crate::wire::raft::{StoredApplied, decode_applied};

type Members = StoredMembership<RaftNodeId, NodeRole>;
type Meta = SnapshotMeta<RaftNodeId, NodeRole>;

/// A partition as openraft sees it.
pub(super) struct StateMachine {
    partition: PartitionId,
    store: Arc<dyn Store>,
    machine: Arc<dyn GroupMachine>,
    /// As of the last entry that was handed on; none before the first.
    applied: Option<StoredApplied>,
}

impl StateMachine {
    pub(super) fn new(partition: PartitionId, store: Arc<dyn Store>, machine: Arc<dyn GroupMachine>) -> Self {
        Self {
            partition,
            store,
            machine,
            applied: None,
        }
    }

    fn stored(&self) -> Result<StoredApplied, StorageError> {
        stored_applied(self.store.as_ref(), self.partition)
    }
}

/// How far a group's entries are in the rows.
pub(super) fn stored_applied(
    store: &dyn Store,
    partition: PartitionId,
) -> Result<StoredApplied, StorageError> {
    let failed = |error: AnyError| StorageError::from(StorageIoError::read_state_machine(error));
    let stored = store.get(Family::Raft, &raft::applied(partition));
    let stored = stored.map_err(|error| failed(AnyError::new(&error)))?;
    let applied = stored.map(|bytes| decode_applied(&bytes)).transpose();
    let applied = applied.map_err(|error| failed(AnyError::new(&error)))?;
    Ok(applied.unwrap_or_default())
}

fn members_of(applied: &StoredApplied) -> Members {
    Members::new(
        applied.members_from.map(LogId::from),
        applied.members.clone().into(),
    )
}

impl RaftStateMachine<GroupTypes> for StateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Members), StorageError> {
        let applied = self.stored()?;
        Ok((applied.last.map(LogId::from), members_of(&applied)))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut applied = match self.applied.take() {
            Some(applied) => applied,
            None => self.stored()?,
        };
        let mut agreed = Vec::new();
        for entry in entries {
            let id = entry.log_id.into();
            applied.last = Some(id);
            if let EntryPayload::Membership(members) = &entry.payload {
                applied.members_from = Some(id);
                applied.members = members.into();
            }
            agreed.push(Agreed {
                entry: entry.into(),
                applied: applied.clone(),
            });
        }
        let count = agreed.len();
        let done = self.machine.apply(agreed).await;
        done.map_err(|error| StorageIoError::write_state_machine(AnyError::new(&error)))?;
        self.applied = Some(applied);
        Ok(vec![Applied; count])
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            partition: self.partition,
            store: Arc::clone(&self.store),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotData>, StorageError> {
        Ok(Box::default())
    }

    /// What came was put into its place, durably, before openraft heard of it: so a crash cannot leave a log that begins
    /// after what is applied.
    async fn install_snapshot(&mut self, meta: &Meta, _: Box<SnapshotData>) -> Result<(), StorageError> {
        self.applied = None;
        let stored = self.stored()?.last.map(LogId::from);
        if stored < meta.last_log_id {
            let error = AnyError::error("it was not put into its place");
            return Err(StorageIoError::write_snapshot(None, error).into());
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<GroupTypes>>, StorageError> {
        let snapshot = current(self.store.as_ref(), self.partition)?;
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}

/// Says what a snapshot would hold: the partition as it is. Nothing is copied before it is sent.
pub(super) struct SnapshotBuilder {
    partition: PartitionId,
    store: Arc<dyn Store>,
}

impl RaftSnapshotBuilder<GroupTypes> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<GroupTypes>, StorageError> {
        current(self.store.as_ref(), self.partition)
    }
}

fn current(store: &dyn Store, partition: PartitionId) -> Result<Snapshot<GroupTypes>, StorageError> {
    let applied = stored_applied(store, partition)?;
    Ok(Snapshot {
        meta: meta_of(&applied),
        snapshot: Box::default(),
    })
}

/// What openraft wants to know of a partition that is so far.
pub(super) fn meta_of(applied: &StoredApplied) -> Meta {
    let last_log_id = applied.last.map(LogId::from);
    Meta {
        snapshot_id: last_log_id.map_or_else(String::new, |id| id.to_string()),
        last_log_id,
        last_membership: members_of(applied),
    }
}
