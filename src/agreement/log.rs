//! The raft log of one partition's group, with its vote and its purge mark, over the store port.
//!
//! What holds, and what openraft 0.9.25 relies on:
//! - Every call returns when its write has ended, and openraft makes one call after the other: a group's writes take effect
//!   in that order, and share fsyncs with those of all other groups.
//! - Entries and votes are synced. Truncations and purges are not, since nobody is told of them: the next entry or vote,
//!   which may rest on them, carries them (what a crash leaves is a prefix). One that was lost is made again: by the leader
//!   that the entries conflict with, and by openraft, whose entries up to what is applied may go at any time.
//! - An entry is readable when it is written, not before; `append` returns then. So what `append` has returned for can be
//!   read, as openraft asks. It costs no time: openraft waits for the fsync right after that call, before anything else.
//! - In memory are only the last entries of which the committer has said that they are written ([`super::recent`]): after a write
//!   of unknown outcome there is nothing to forget. Openraft ends the group after any error, of whatever kind; it may begin again,
//!   with a log that remembers nothing, only when nothing that it has submitted is under way any more.
//!
//! How far the committed entries are applied is not stored here: the rows know, and a mark beside them would be
//! lost or kept with them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::{Bound, ControlFlow, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, LogState, OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::ports::VoteKeeper;
use super::recent::RecentEntries;
use super::types::{Entry, GroupTypes, LogId, StorageError, StorageIoError, Vote, epoch_of};
use crate::model::agreement::{MemberId, NodeRole};
use crate::model::hlc::Hlc;
use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::mutation::{self, Mutation};
use crate::model::raft::{RaftIndex, RaftNodeId, Term};
use crate::ports::blocking::BlockingWork;
use crate::ports::store::{Committer, Durability, Family, Store, StoreError, WriteSet};
use crate::wire::codec::DecodeError;
use crate::wire::keys::meta;
use crate::wire::keys::raft::{self, RaftEntryKey};
use crate::wire::raft::{
    StoredEntry, StoredLogId, StoredMembers, StoredPayload, decode_entry, decode_log_id, decode_vote,
    encode_entry, encode_log_id, encode_stamp, encode_vote,
};

/// Why something of a group could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ReadError {
    /// The store did not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not what was written.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Reads a group's entries.
#[derive(Clone)]
pub struct GroupLogReader {
    partition: PartitionId,
    store: Arc<dyn Store>,
    blocking: BlockingWork,
    recent: RecentEntries,
}

impl GroupLogReader {
    /// The entries from `first` up to, not including, `end`: all, or the first few that have up to `bytes_max` bytes
    /// together, but one at least.
    fn entries(&self, first: RaftIndex, end: RaftIndex, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let range = RaftEntryKey::range(self.partition, first, end);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut damage = None;
        self.store
            .scan(Family::Raft, &range.from, &range.to, &mut |key, value| {
                bytes += value.len();
                // `>`: what fits exactly still does.
                if !entries.is_empty() && bytes > bytes_max {
                    return ControlFlow::Break(());
                }
                match decode_at(key, value) {
                    Ok(entry) => {
                        entries.push(entry.into());
                        ControlFlow::Continue(())
                    }
                    Err(error) => {
                        damage = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
        damage.map_or(Ok(entries), |error| Err(error.into()))
    }

    fn last_entry(&self) -> Result<Option<LogId>, ReadError> {
        let all = RaftEntryKey::range(self.partition, RaftIndex(0), RaftIndex::END);
        let last = self.store.last(Family::Raft, &all.from, &all.to)?;
        let entry = last.map(|(key, value)| decode_at(&key, &value)).transpose()?;
        Ok(entry.map(|entry| entry.id.into()))
    }

    fn purged(&self) -> Result<Option<LogId>, ReadError> {
        let mark = self.store.get(Family::Raft, &raft::purged(self.partition))?;
        let mark = mark.map(|bytes| decode_log_id(&bytes)).transpose()?;
        Ok(mark.map(LogId::from))
    }

    fn vote(&self) -> Result<Option<Vote>, ReadError> {
        let vote = self.store.get(Family::Raft, &raft::vote(self.partition))?;
        let vote = vote.map(|bytes| decode_vote(&bytes)).transpose()?;
        Ok(vote.map(Vote::from))
    }
}

impl RaftLogReader<GroupTypes> for GroupLogReader {
    /// All entries of the range: openraft takes fewer for a hole. It asks for what it has just written, which is in memory
    /// (here, or in the store's), and at its start for 64 at a time.
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        let (first, end) = half_open(&range);
        if let Some(entries) = self.recent.read(first.0, end.0, usize::MAX) {
            return Ok(entries);
        }
        self.entries(first, end, usize::MAX).map_err(read_logs)
    }

    /// What goes into one message to a follower. It may have been written long ago: whoever is on the same thread must
    /// not wait for the disk.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        if let Some(entries) = self.recent.read(start, end, limits::RAFT_READ_BYTES_MAX) {
            return Ok(entries);
        }
        let reader = self.clone();
        let read = self
            .blocking
            .run(move || reader.entries(RaftIndex(start), RaftIndex(end), limits::RAFT_READ_BYTES_MAX));
        match read.await {
            Ok(entries) => entries.map_err(read_logs),
            Err(error) => Err(StorageIoError::read_logs(AnyError::new(&error)).into()),
        }
    }
}

/// A group's log, vote and purge mark.
pub struct GroupLog {
    reader: GroupLogReader,
    committer: Arc<dyn Committer>,
    /// Who must know of votes, and for whom this node's own votes are.
    keeper: Option<(MemberId, Arc<dyn VoteKeeper>)>,
}

impl GroupLog {
    /// That of a partition, as the store has it.
    #[must_use]
    pub fn new(
        partition: PartitionId,
        store: Arc<dyn Store>,
        committer: Arc<dyn Committer>,
        blocking: BlockingWork,
    ) -> Self {
        let reader = GroupLogReader {
            partition,
            store,
            blocking,
            recent: RecentEntries::default(),
        };
        Self {
            reader,
            committer,
            keeper: None,
        }
    }

    /// Tells of each vote.
    #[must_use]
    pub fn with_keeper(self, own: MemberId, keeper: Arc<dyn VoteKeeper>) -> Self {
        let keeper = Some((own, keeper));
        Self { keeper, ..self }
    }

    /// Writes what a group begins with: who takes part, as entry 0. All members write the same, so that nobody has to be
    /// elected to say so. Where anything is stored already, nothing is written.
    ///
    /// # Errors
    /// What the store says.
    pub(super) async fn found(&mut self, members: &BTreeSet<MemberId>) -> Result<(), StorageError> {
        let last = self.get_log_state().await?.last_log_id;
        if last.is_some() || self.read_vote().await?.is_some() {
            return Ok(());
        }
        let voters: BTreeSet<RaftNodeId> = members.iter().copied().map(RaftNodeId::from).collect();
        let entry = StoredEntry {
            id: StoredLogId {
                term: Term(0),
                leader: RaftNodeId::default(),
                index: RaftIndex(0),
            },
            payload: StoredPayload::Members(StoredMembers {
                nodes: voters.iter().map(|node| (*node, NodeRole::Active)).collect(),
                voters: vec![voters],
            }),
        };
        let (partition, index) = (self.reader.partition, entry.id.index);
        let mut set = WriteSet::new();
        let key = RaftEntryKey { partition, index }.encode();
        set.put(Family::Raft, &key, &encode_entry(&entry));
        self.write(set, Durability::Synced).await.map_err(write_logs)
    }

    /// Before a vote is stored: what must go with it.
    fn about_to_vote(&self, vote: &Vote, set: &mut WriteSet) -> Option<Hlc> {
        let (own, keeper) = self.keeper.as_ref()?;
        let epoch = epoch_of(vote)?;
        keeper.saw(self.reader.partition, epoch);
        if !vote.committed || epoch.leader != *own {
            return None;
        }
        let floor = keeper.adopt(self.reader.partition, epoch)?;
        set.put(Family::Meta, &meta::stamp_floor(), &encode_stamp(floor));
        Some(floor)
    }

    fn has_voted(&self, vote: &Vote, adopted: Option<Hlc>, is_durable: bool) {
        let Some((own, keeper)) = &self.keeper else { return };
        if let Some(floor) = adopted {
            keeper.adopted(floor, is_durable);
        }
        let is_own = epoch_of(vote).is_some_and(|epoch| epoch.leader == *own);
        if is_own && !vote.committed {
            keeper.voted(self.reader.partition, is_durable);
        }
    }

    async fn write(&self, set: WriteSet, durability: Durability) -> Result<(), StoreError> {
        let (done, written) = oneshot::channel();
        let told = Box::new(move |result| drop(done.send(result)));
        self.committer.submit(set, durability, told);
        outcome(written).await
    }
}

impl RaftLogReader<GroupTypes> for GroupLog {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        self.reader.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        self.reader.limited_get_log_entries(start, end).await
    }
}

impl RaftLogStorage<GroupTypes> for GroupLog {
    type LogReader = GroupLogReader;

    async fn get_log_state(&mut self) -> Result<LogState<GroupTypes>, StorageError> {
        let last_purged_log_id = self.reader.purged().map_err(read_logs)?;
        let last_entry = self.reader.last_entry().map_err(read_logs)?;
        Ok(LogState {
            last_purged_log_id,
            // A snapshot's purge may go beyond all entries.
            last_log_id: last_entry.or(last_purged_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> GroupLogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let mut set = WriteSet::new();
        let value = encode_vote(&(*vote).into());
        if !mutation::is_on(Mutation::ForgetVote) {
            set.put(Family::Raft, &raft::vote(self.reader.partition), &value);
        }
        let adopted = self.about_to_vote(vote, &mut set);
        let written = self.write(set, Durability::Synced).await;
        self.has_voted(vote, adopted, written.is_ok());
        written.map_err(|error| StorageIoError::write_vote(AnyError::new(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        let vote = self.reader.vote();
        vote.map_err(|error| StorageIoError::read_vote(AnyError::new(&error)).into())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<GroupTypes>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut set = WriteSet::new();
        let entries: Vec<Entry> = entries.into_iter().collect();
        for entry in &entries {
            let entry = StoredEntry::from(entry.clone());
            let key = RaftEntryKey {
                partition: self.reader.partition,
                index: entry.id.index,
            };
            set.put(Family::Raft, &key.encode(), &encode_entry(&entry));
        }
        let (done, written) = oneshot::channel();
        let told = Box::new(move |result: Result<(), StoreError>| {
            callback.log_io_completed(result.clone().map_err(std::io::Error::other));
            drop(done.send(result));
        });
        let durability = match mutation::is_on(Mutation::AppendBeforeSync) {
            true => Durability::Deferred,
            false => Durability::Synced,
        };
        self.committer.submit(set, durability, told);
        outcome(written).await.map_err(write_logs)?;
        self.reader.recent.written(entries);
        Ok(())
    }

    /// Removes the entries from `since` on.
    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        self.reader.recent.truncate(since.index);
        let range = RaftEntryKey::range(self.reader.partition, RaftIndex(since.index), RaftIndex::END);
        let mut set = WriteSet::new();
        set.delete_range(Family::Raft, &range.from, &range.to);
        self.write(set, Durability::Deferred).await.map_err(write_logs)
    }

    /// Removes the entries up to `upto`, which it remembers. It counts as a trim, so that a full disk does not refuse it.
    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let purged = self.reader.purged().map_err(read_logs)?;
        // `>=`: again up to the same entry is nothing new, and the mark never moves back.
        if purged.is_some_and(|purged| purged.index >= upto.index) {
            return Ok(());
        }
        self.reader.recent.purge(upto.index);
        // From the last mark on: RocksDB would keep each pair of ranges that overlap.
        let first = purged.map_or(0, |purged| purged.index + 1);
        let range = RaftEntryKey::range(self.reader.partition, RaftIndex(first), RaftIndex(upto.index + 1));
        let mut set = WriteSet::new();
        set.delete_range(Family::Raft, &range.from, &range.to);
        let mark = encode_log_id(&upto.into());
        set.put(Family::Raft, &raft::purged(self.reader.partition), &mark);
        self.write(set, Durability::Deferred).await.map_err(write_logs)
    }
}

/// An entry, if it is the one that its key names.
fn decode_at(key: &[u8], value: &[u8]) -> Result<StoredEntry, DecodeError> {
    let key = RaftEntryKey::decode(key)?;
    let entry = decode_entry(value)?;
    if entry.id.index == key.index {
        Ok(entry)
    } else {
        let detail = format!("entry {} stands at {}", entry.id.index, key.index);
        Err(DecodeError::new("a raft entry", detail))
    }
}

/// What the committer said. It calls each completion, so that only a node that stops drops one.
async fn outcome(written: oneshot::Receiver<Result<(), StoreError>>) -> Result<(), StoreError> {
    written.await.unwrap_or(Err(StoreError::Closed))
}

fn half_open(range: &impl RangeBounds<u64>) -> (RaftIndex, RaftIndex) {
    // Saturating: behind the last index there is no entry, so that nothing is missed.
    let first = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => RaftIndex::END.0,
    };
    (RaftIndex(first), RaftIndex(end))
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn read_logs(error: ReadError) -> StorageError {
    StorageIoError::read_logs(AnyError::new(&error)).into()
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn write_logs(error: StoreError) -> StorageError {
    StorageIoError::write_logs(AnyError::new(&error)).into()
}

#[cfg(test)]
#[path = "log_test.rs"]
mod tests;
