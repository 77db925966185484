//! What the tests of snapshots share: partitions with all that they can have, all keys of a partition and all others, and
//! stores that stop at a chosen write.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use proptest::prelude::*;

use crate::model::change::{Commit, ConflictPolicy, Content};
use crate::model::digest::{Digest, RowHasher};
use crate::model::hlc::{Hlc, WallTime};
use crate::model::idempotency::{Fingerprint, Idempotency, IdempotencyKey};
use crate::model::ids::{
    Incarnation, Key, LogIndex, Namespace, PartitionCount, PartitionId, ReplicaId, SubKey,
};
use crate::model::partition::PartitionState;
use crate::model::placement::partition_of;
use crate::model::raft::{RaftIndex, RaftNodeId, Term};
use crate::model::replication::retention::Cut;
use crate::model::request::{Operation, Precondition, Submission, WriteRequest};
use crate::ports::store::{Durability, Family, Store, StoreError, StoreView, Visit, WriteSet};
use crate::storage::MemoryStore;
use crate::storage::partition::{GroupBuilder, Place, SnapshotReceiver, SnapshotSource, StoredRows, Taken};
use crate::wire::keys::ledger::LedgerKey;
use crate::wire::keys::names::NameKey;
use crate::wire::keys::raft;
use crate::wire::raft::{StoredApplied, StoredLogId, StoredVote, encode_applied, encode_vote};
use crate::wire::snapshot::SnapshotId;

pub(super) const PARTITION: PartitionId = PartitionId(3);
pub(super) const NEIGHBOURS: [PartitionId; 2] = [PartitionId(2), PartitionId(0)];
pub(super) const SNAPSHOT: SnapshotId = SnapshotId(7);

pub(super) fn place() -> Place {
    Place {
        partition: PARTITION,
        count: PartitionCount::new(4).unwrap(),
    }
}

/// One write of a client.
#[derive(Debug, Clone)]
pub(super) struct Write {
    /// Which of a few records.
    pub(super) record: u8,
    /// What is done.
    pub(super) operation: Operation,
    /// Under which of a few idempotency keys.
    pub(super) idempotency: Option<u8>,
}

/// What happens to a partition.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Clients write.
    Write(Vec<Write>),
    /// Another region has written the same records, without having seen what this one has.
    Concurrent(Vec<Write>),
    /// The log is cut behind so many entries.
    Cut(u64),
}

pub(super) fn put(record: u8, bytes: usize) -> Write {
    let content = Content {
        content_type: "text/plain".to_owned(),
        payload: vec![record; bytes].into(),
        expires_at: None,
    };
    let context = None;
    Write {
        record,
        operation: Operation::PutRegister { content, context },
        idempotency: None,
    }
}

fn any_write() -> impl Strategy<Value = Write> {
    let part = |number: u8| SubKey::new(&format!("p{number}")).unwrap();
    let parts = move || prop::collection::vec((0..4_u8).prop_map(part), 0..4);
    let operation = prop_oneof![
        (0..200_usize).prop_map(|bytes| put(1, bytes).operation),
        Just(Operation::DeleteRegister),
        (1..9_i64).prop_map(|amount| Operation::AddCounter { amount }),
        (parts(), parts()).prop_map(|(add, remove)| Operation::UpdateSet { add, remove }),
        (parts(), parts()).prop_map(|(set, remove)| Operation::UpdateMap {
            set: set.into_iter().map(|field| (field, "1".into())).collect(),
            remove,
        }),
    ];
    (0..5_u8, operation, prop::option::weighted(0.3, 0..4_u8)).prop_map(|(record, operation, idempotency)| {
        Write {
            record,
            operation,
            idempotency,
        }
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let writes = || prop::collection::vec(any_write(), 1..6);
    prop_oneof![
        4 => writes().prop_map(Step::Write),
        2 => writes().prop_map(Step::Concurrent),
        1 => (1..4_u64).prop_map(Step::Cut),
    ]
}

pub(super) fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any_step(), 0..8)
}

/// Writes to one partition of one region.
pub(super) struct Writer {
    store: Arc<dyn Store>,
    partition: PartitionId,
    state: PartitionState,
    digest: Digest,
    replica: ReplicaId,
    now: u64,
}

impl Writer {
    fn new(store: Arc<dyn Store>, partition: PartitionId, region: &str) -> Self {
        Self {
            store,
            partition,
            state: PartitionState::new(partition),
            digest: Digest::default(),
            replica: ReplicaId {
                region: region.parse().unwrap(),
                incarnation: Incarnation::FIRST,
            },
            now: 1_000_000,
        }
    }

    fn group(&mut self, work: impl FnOnce(&mut GroupBuilder<'_>, WallTime)) -> Vec<Commit> {
        self.now += 1_000;
        let now = WallTime::from_micros(self.now);
        let (store, partition) = (self.store.as_ref(), self.partition);
        let rows = StoredRows { store, partition };
        let mut group = GroupBuilder::new(self.state.clone(), &rows);
        work(&mut group, now);
        let sealed = group.seal(&mut self.digest, &RowHasher::default(), now);
        self.store.write(&[sealed.set], Durability::Synced).unwrap();
        self.state = sealed.state;
        sealed.made
    }

    fn write(&mut self, writes: &[Write]) -> Vec<Commit> {
        let (replica, hlc) = (self.replica, Hlc(self.state.last_hlc.0 + 1000));
        let submissions: Vec<_> = writes
            .iter()
            .map(|write| submission(self.partition, write))
            .collect();
        let all: Vec<_> = submissions.iter().collect();
        self.group(|group, now| drop(group.add_local(replica, hlc, now, &all).unwrap()))
    }

    fn take(&mut self, other: &mut Self, step: &Step) {
        match step {
            Step::Write(writes) => drop(self.write(writes)),
            Step::Concurrent(writes) => {
                let commits = other.write(writes);
                let add = |group: &mut GroupBuilder<'_>, _| {
                    commits
                        .iter()
                        .for_each(|commit| group.add_commit(commit).unwrap());
                };
                self.group(add);
            }
            Step::Cut(entries) => {
                let state = &self.state;
                let first_index = LogIndex(state.first_index.0 + entries).min(state.applied_index.next());
                let cut = Cut {
                    first_index,
                    size_bytes: 1,
                    forgotten: Default::default(),
                };
                self.group(|group, _| group.cut_log(&cut));
            }
        }
    }
}

/// The key of a record of a partition.
fn key_in(namespace: &Namespace, partition: PartitionId, record: u8) -> Key {
    let tagged = (0..).map(|tag| Key::new(&format!("{{{tag}}}k{record}")).unwrap());
    let mut own = tagged.filter(|key| partition_of(namespace, key, place().count) == partition);
    own.next().unwrap()
}

fn submission(partition: PartitionId, write: &Write) -> Submission {
    let namespace: Namespace = ["shop", "shops"][usize::from(write.record % 2)].parse().unwrap();
    let idempotency = write.idempotency.map(|key| Idempotency {
        key: IdempotencyKey::new(&format!("i{key}")).unwrap(),
        fingerprint: Fingerprint([key; 32]),
    });
    Submission {
        writes: vec![WriteRequest {
            key: key_in(&namespace, partition, write.record),
            namespace,
            policy: ConflictPolicy::Lww,
            precondition: Precondition::None,
            operation: write.operation.clone(),
        }],
        idempotency,
    }
}

/// A partition to which the steps have happened, with a mark of how far its group is, and what is not part of a snapshot.
pub(super) fn fill(store: &Arc<dyn Store>, partition: PartitionId, steps: &[Step], node: &str) -> Writer {
    let mut writer = Writer::new(Arc::clone(store), partition, "us");
    let mut other = Writer::new(Arc::new(MemoryStore::new()), partition, "eu");
    for step in steps {
        writer.take(&mut other, step);
    }
    let leader = RaftNodeId::new(node.parse().unwrap(), Incarnation(1));
    let id = StoredLogId {
        term: Term(1),
        leader,
        index: RaftIndex(steps.len() as u64),
    };
    let applied = StoredApplied {
        last: Some(id),
        ..StoredApplied::default()
    };
    let vote = StoredVote {
        term: Term(1),
        leader,
        is_committed: true,
    };
    let mut set = WriteSet::new();
    set.put(Family::Raft, &raft::applied(partition), &encode_applied(&applied));
    set.put(Family::Raft, &raft::vote(partition), &encode_vote(&vote));
    store.write(&[set], Durability::Synced).unwrap();
    writer
}

/// Keys and values with their families.
pub(super) type Keys = BTreeMap<(Family, Bytes), Bytes>;

pub(super) fn everything(store: &dyn Store) -> Keys {
    let mut all = Keys::new();
    for family in Family::ALL {
        let mut visit = |key: &[u8], value: &[u8]| {
            let key = (family, Bytes::copy_from_slice(key));
            all.insert(key, Bytes::copy_from_slice(value));
            ControlFlow::Continue(())
        };
        store.scan(family, b"", &[u8::MAX; 64], &mut visit).unwrap();
    }
    all
}

/// Whether a key is a part of the partition, found in another way than snapshots do.
fn is_of_partition(family: Family, key: &[u8]) -> bool {
    let own = PARTITION.0.to_be_bytes();
    match family {
        Family::Meta => matches!(key[0], 2 | 3) && key[1..3] == own,
        Family::Log | Family::LogSeqs | Family::Rows | Family::Idempotency => key[..2] == own,
        Family::Names => {
            let NameKey(id) = NameKey::decode(key).unwrap();
            partition_of(&id.namespace, &id.key, place().count) == PARTITION
        }
        Family::Losers => LedgerKey::decode(key).unwrap().partition == PARTITION,
        Family::Raft => key == raft::applied(PARTITION),
        Family::Staging => false,
    }
}

/// What a store has of the partition, and what beside it.
pub(super) fn parts_of(store: &dyn Store) -> (Keys, Keys) {
    everything(store)
        .into_iter()
        .partition(|((family, key), _)| is_of_partition(*family, key))
}

/// All chunks of a source, from the first on.
pub(super) fn all_chunks(source: &mut SnapshotSource) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    loop {
        let number = u32::try_from(chunks.len()).unwrap();
        let chunk = source.chunk(number).unwrap();
        chunks.push(chunk.bytes);
        if chunk.is_last {
            return chunks;
        }
    }
}

/// Takes the chunks from the one that is due to the last.
pub(super) fn take_all(
    receiver: &mut SnapshotReceiver,
    chunks: &[Bytes],
) -> Result<(), crate::storage::partition::SnapshotError> {
    while let Taken::Next(number) = receiver.due() {
        receiver.take(&chunks[usize::try_from(number).unwrap()])?;
    }
    Ok(())
}

/// A store that makes so many writes and no more, as if the machine had stopped.
pub(super) struct StoppingStore {
    inner: Arc<dyn Store>,
    left: AtomicUsize,
}

impl StoppingStore {
    pub(super) fn after(writes: usize, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        let left = AtomicUsize::new(writes);
        Arc::new(Self { inner, left })
    }
}

impl Store for StoppingStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(family, key)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(family, from, to, visit)
    }

    fn last(&self, family: Family, from: &[u8], to: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        self.inner.last(family, from, to)
    }

    fn view(&self) -> Result<Box<dyn StoreView>, StoreError> {
        self.inner.view()
    }

    fn write(&self, sets: &[WriteSet], durability: Durability) -> Result<(), StoreError> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(StoreError::Closed);
        }
        self.left.store(left - 1, Ordering::SeqCst);
        self.inner.write(sets, durability)
    }
}

/// Another store in memory with the same content, all of it synced.
pub(super) fn copy_of(store: &dyn Store) -> MemoryStore {
    let copy = MemoryStore::new();
    let mut set = WriteSet::new();
    for ((family, key), value) in everything(store) {
        set.put(family, &key, &value);
    }
    copy.write(&[set], Durability::Synced).unwrap();
    copy
}

/// A partition of some MiB beside two others: rows larger than a chunk's rest, several chunks, several writes each.
pub(super) fn large(node: &str, sizes: &[usize]) -> Arc<dyn Store> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let writes = |sizes: &[usize]| -> Vec<Step> {
        let numbered = sizes.iter().zip(0_u8..);
        numbered
            .flat_map(|(size, record)| {
                [
                    Step::Write(vec![put(record, *size)]),
                    Step::Concurrent(vec![put(record, 10)]),
                ]
            })
            .collect()
    };
    fill(&store, PARTITION, &writes(sizes), node);
    for neighbour in NEIGHBOURS {
        fill(&store, neighbour, &writes(&[5, 7]), node);
    }
    store
}
