//! What the tests of a group's log share: entries, and machines with either store that crash.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::RaftLogStorage;
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader};
use tempfile::TempDir;

use super::log::GroupLog;
use super::types::{EncodedGroup, Entry, LogId};
use crate::model::ids::{Incarnation, PartitionId};
use crate::model::raft::RaftNodeId;
use crate::ports::blocking::BlockingWork;
use crate::ports::store::{Committer, Store};
use crate::storage::rocks_test_kit::{killed_copy, open};
use crate::storage::{GroupCommitter, MemoryStore, SilentObserver};

pub(super) const PARTITION: PartitionId = PartitionId(3);

pub(super) fn node(name: &str) -> RaftNodeId {
    RaftNodeId::new(name.parse().unwrap(), Incarnation(1))
}

pub(super) fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, node("n1")), index)
}

pub(super) fn entry_of(term: u64, index: u64, group: Bytes) -> Entry {
    Entry {
        log_id: id(term, index),
        payload: EntryPayload::Normal(EncodedGroup(group)),
    }
}

pub(super) fn entry(term: u64, index: u64) -> Entry {
    entry_of(term, index, Bytes::from(format!("group {index} of term {term}")))
}

pub(super) fn entries(term: u64, indexes: std::ops::Range<u64>) -> Vec<Entry> {
    indexes.map(|index| entry(term, index)).collect()
}

pub(super) fn log_on(
    partition: PartitionId,
    store: &Arc<dyn Store>,
    committer: &Arc<dyn Committer>,
) -> GroupLog {
    GroupLog::new(
        partition,
        Arc::clone(store),
        Arc::clone(committer),
        BlockingWork::AtOnce,
    )
}

pub(super) async fn all(log: &mut GroupLog) -> Vec<Entry> {
    log.try_get_log_entries(..).await.unwrap()
}

/// The ids of the last purged and of the last entry.
pub(super) async fn ends(log: &mut GroupLog) -> (Option<LogId>, Option<LogId>) {
    let state = log.get_log_state().await.unwrap();
    (state.last_purged_log_id, state.last_log_id)
}

/// A store with a committer that loses its power on demand.
pub(super) struct Machine {
    pub(super) store: Arc<dyn Store>,
    pub(super) committer: Arc<dyn Committer>,
    disk: Disk,
}

enum Disk {
    Memory(MemoryStore),
    Rocks(TempDir),
}

impl Machine {
    pub(super) fn in_memory(memory: &MemoryStore) -> Self {
        Self::start(Arc::new(memory.clone()), Disk::Memory(memory.clone()))
    }

    pub(super) fn on_rocks() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    fn in_folder(folder: TempDir) -> Self {
        let path: &Path = folder.path();
        let store = open(path).0;
        Self::start(Arc::new(store), Disk::Rocks(folder))
    }

    fn start(store: Arc<dyn Store>, disk: Disk) -> Self {
        let committer = GroupCommitter::start(Arc::clone(&store), Arc::new(SilentObserver)).unwrap();
        Self {
            store,
            committer: Arc::new(committer),
            disk,
        }
    }

    /// One on each store.
    pub(super) fn on_both() -> [Self; 2] {
        [Self::in_memory(&MemoryStore::new()), Self::on_rocks()]
    }

    pub(super) fn log(&self, partition: PartitionId) -> GroupLog {
        log_on(partition, &self.store, &self.committer)
    }

    /// As it is after a crash: of what is in memory nothing was written behind the last sync; of the files of the other
    /// store all that was written is there, as after the end of the process alone.
    pub(super) fn crash(self) -> Self {
        match &self.disk {
            Disk::Memory(memory) => {
                memory.crash(0);
                Self::in_memory(memory)
            }
            Disk::Rocks(folder) => Self::in_folder(killed_copy(folder.path())),
        }
    }
}
