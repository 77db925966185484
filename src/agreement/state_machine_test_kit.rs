//! The least state machine that openraft takes, for tests: it keeps how far it is in the store, without an fsync as
//! the real one will, and the groups it was given in memory.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StoredMembership};
use tokio::sync::oneshot;

use super::types::{Applied, Entry, GroupTypes, LogId, SnapshotData, StorageError, StorageIoError};
use crate::model::agreement::NodeRole;
use crate::model::ids::PartitionId;
use crate::model::raft::RaftNodeId;
use crate::ports::store::{Committer, Durability, Family, Store, WriteSet};
use crate::wire::keys::raft;
use crate::wire::raft::{StoredApplied, decode_applied, encode_applied};

type Members = StoredMembership<RaftNodeId, NodeRole>;
type Meta = SnapshotMeta<RaftNodeId, NodeRole>;

#[derive(Clone)]
pub(super) struct TestStateMachine {
    partition: PartitionId,
    store: Arc<dyn Store>,
    committer: Arc<dyn Committer>,
    snapshot: Arc<Mutex<Option<(Meta, SnapshotData)>>>,
}

impl TestStateMachine {
    pub(super) fn new(
        partition: PartitionId,
        store: &Arc<dyn Store>,
        committer: &Arc<dyn Committer>,
    ) -> Self {
        Self {
            partition,
            store: Arc::clone(store),
            committer: Arc::clone(committer),
            snapshot: Arc::default(),
        }
    }

    fn applied(&self) -> StoredApplied {
        let stored = self
            .store
            .get(Family::Raft, &raft::applied(self.partition))
            .unwrap();
        stored.map_or_else(StoredApplied::default, |bytes| decode_applied(&bytes).unwrap())
    }

    fn state(&self) -> (Option<LogId>, Members) {
        let applied = self.applied();
        let members = Members::new(applied.members_from.map(LogId::from), applied.members.into());
        (applied.last.map(LogId::from), members)
    }

    async fn save(&self, applied: &StoredApplied, durability: Durability) -> Result<(), StorageError> {
        let mut set = WriteSet::new();
        set.put(
            Family::Raft,
            &raft::applied(self.partition),
            &encode_applied(applied),
        );
        let (done, written) = oneshot::channel();
        self.committer
            .submit(set, durability, Box::new(move |result| drop(done.send(result))));
        let result = written.await.unwrap();
        result.map_err(|error| StorageIoError::write_state_machine(AnyError::new(&error)).into())
    }

    fn take_snapshot(&self) -> Snapshot<GroupTypes> {
        let (last_log_id, last_membership) = self.state();
        let meta = Meta {
            snapshot_id: last_log_id.map_or_else(String::new, |id| id.to_string()),
            last_log_id,
            last_membership,
        };
        let data = SnapshotData(Bytes::from(encode_applied(&self.applied())));
        *self.snapshot.lock().unwrap() = Some((meta.clone(), data.clone()));
        Snapshot {
            meta,
            snapshot: Box::new(data),
        }
    }
}

impl RaftStateMachine<GroupTypes> for TestStateMachine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Members), StorageError> {
        Ok(self.state())
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut applied = self.applied();
        let mut answers = Vec::new();
        for entry in entries {
            let id = entry.log_id.into();
            applied.last = Some(id);
            if let openraft::EntryPayload::Membership(members) = &entry.payload {
                applied.members_from = Some(id);
                applied.members = members.into();
            }
            answers.push(Applied);
        }
        self.save(&applied, Durability::Deferred).await?;
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotData>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &Meta,
        snapshot: Box<SnapshotData>,
    ) -> Result<(), StorageError> {
        let applied = decode_applied(&snapshot.0).unwrap();
        self.save(&applied, Durability::Synced).await?;
        *self.snapshot.lock().unwrap() = Some((meta.clone(), *snapshot));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<GroupTypes>>, StorageError> {
        let current = self.snapshot.lock().unwrap().clone();
        Ok(current.map(|(meta, data)| Snapshot {
            meta,
            snapshot: Box::new(data),
        }))
    }
}

impl RaftSnapshotBuilder<GroupTypes> for TestStateMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<GroupTypes>, StorageError> {
        Ok(self.take_snapshot())
    }
}
