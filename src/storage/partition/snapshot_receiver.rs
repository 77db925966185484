//! The receiving side of a snapshot: chunks are staged until all have come and are in order, and only then take the place of
//! what the partition has.
//!
//! All calls block on the disk: make them through [`BlockingWork`](crate::ports::blocking::BlockingWork), one at a time. Chunks
//! are written without an fsync: what a crash leaves of them is a prefix, from which [`SnapshotReceiver::begin`] goes on. After an error of the store drop the receiver and begin again; nothing that was
//! staged is lost by that.

use std::sync::Arc;

use crate::model::digest::DigestSum;
use crate::model::ids::PartitionId;
use crate::ports::store::{Durability, Family, Store, StoreError, WriteSet};
use crate::storage::partition::snapshot_install::{finish_install, install};
use crate::storage::partition::snapshot_stream::{Contradiction, Inspection, Place};
use crate::wire::codec::DecodeError;
use crate::wire::keys::staging::{self, ChunkKey};
use crate::wire::snapshot::{
    Chain, Chunk, ChunkContent, Record, RecordReader, SnapshotEnd, SnapshotId, StoredProgress, decode_chunk,
    decode_progress, encode_progress,
};

/// Why a snapshot could not be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bytes are not a chunk, or what is staged is not what was written.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A chunk of another snapshot or partition.
    #[error("a chunk of {found:?} of partition {partition} came for {expected:?}")]
    Another {
        /// Whose it is.
        found: SnapshotId,
        /// Of which partition.
        partition: PartitionId,
        /// What is being received.
        expected: SnapshotId,
    },
    /// A chunk is missing before this one, or it comes after the last.
    #[error("chunk {found} came where {expected} was due")]
    OutOfOrder {
        /// Its number.
        found: u32,
        /// What was due.
        expected: u32,
    },
    /// A chunk does not follow those before it: something was changed on the way.
    #[error("chunk {number} does not belong to those before it")]
    Broken {
        /// Its number.
        number: u32,
    },
    /// Not all chunks have come.
    #[error("the snapshot is not complete: chunk {expected} is due")]
    Incomplete {
        /// What is due.
        expected: u32,
    },
    /// All chunks have come, and they are not a snapshot of the partition. They were thrown away.
    #[error("the snapshot contradicts itself")]
    Contradiction(#[from] Contradiction),
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is staged, and this one is due.
    Next(u32),
    /// It was the last: [`SnapshotReceiver::finish`] can be called.
    Complete,
}

/// What a partition has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// The root of its digest.
    pub root: DigestSum,
    /// How many keys.
    pub records: u64,
}

/// Takes in one snapshot.
pub struct SnapshotReceiver {
    store: Arc<dyn Store>,
    place: Place,
    snapshot: SnapshotId,
    /// The number of the chunk that is due.
    next: u32,
    /// Up to that before it.
    chain: Chain,
    end: Option<SnapshotEnd>,
}

impl std::fmt::Debug for SnapshotReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotReceiver")
            .field("place", &self.place)
            .field("snapshot", &self.snapshot)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl SnapshotReceiver {
    /// Begins, or goes on where it was if chunks of this snapshot are staged. Those of another one are thrown away; an
    /// installation that a crash has interrupted is finished first.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn begin(store: Arc<dyn Store>, place: Place, snapshot: SnapshotId) -> Result<Self, SnapshotError> {
        let partition = place.partition;
        finish_install(store.as_ref(), partition)?;
        let mut receiver = Self {
            store,
            place,
            snapshot,
            next: 0,
            chain: Chain::start(partition, snapshot),
            end: None,
        };
        let progress = read_progress(receiver.store.as_ref(), partition)?;
        if progress.is_some_and(|progress| progress.snapshot == snapshot) {
            receiver.go_on()?;
        } else {
            let mut set = WriteSet::new();
            remove_staged(&mut set, partition);
            put_progress(&mut set, partition, snapshot, false);
            receiver.store.write(&[set], Durability::Deferred)?;
        }
        Ok(receiver)
    }

    fn go_on(&mut self) -> Result<(), SnapshotError> {
        let range = ChunkKey::range(self.place.partition);
        if let Some((_, bytes)) = self.store.last(Family::Staging, &range.from, &range.to)? {
            self.note(&decode_chunk(&bytes)?);
        }
        Ok(())
    }

    fn note(&mut self, chunk: &Chunk) {
        self.next = chunk.number + 1;
        self.chain = chunk.chain;
        if let ChunkContent::End(end) = &chunk.content {
            self.end = Some(*end);
        }
    }

    /// What to ask the source for.
    #[must_use]
    pub fn due(&self) -> Taken {
        match self.end {
            Some(_) => Taken::Complete,
            None => Taken::Next(self.next),
        }
    }

    /// Stages a chunk. One that is there already changes nothing.
    ///
    /// # Errors
    /// [`SnapshotError`]; nothing was staged then.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Taken, SnapshotError> {
        let chunk = decode_chunk(bytes)?;
        let partition = self.place.partition;
        if (chunk.snapshot, chunk.partition) != (self.snapshot, partition) {
            return Err(SnapshotError::Another {
                found: chunk.snapshot,
                partition: chunk.partition,
                expected: self.snapshot,
            });
        }
        if chunk.number < self.next {
            return Ok(self.due());
        }
        if chunk.number > self.next || self.end.is_some() {
            return Err(SnapshotError::OutOfOrder {
                found: chunk.number,
                expected: self.next,
            });
        }
        let number = chunk.number;
        if self.chain.after(number, &chunk.content) != chunk.chain {
            return Err(SnapshotError::Broken { number });
        }
        let mut set = WriteSet::new();
        set.put(Family::Staging, &ChunkKey { partition, number }.encode(), bytes);
        self.store.write(&[set], Durability::Deferred)?;
        self.note(&chunk);
        Ok(self.due())
    }

    /// Looks at all that has come, and puts it into the place of what the partition has. When this returns it is durable.
    ///
    /// Nobody may read or write the partition meanwhile, or hold a write set of it that is not durable; afterwards all that
    /// is kept in memory of it must be read again: state, digest, vote of its group, configurations of namespaces.
    ///
    /// # Errors
    /// [`SnapshotError`]. After one of the store the installation may have begun: it ends with the next
    /// [`SnapshotReceiver::begin`], [`finish_install`] or [`load`](super::load()) of the partition, before which nobody may
    /// read it.
    pub fn finish(self) -> Result<Installed, SnapshotError> {
        let Some(end) = self.end else {
            let expected = self.next;
            return Err(SnapshotError::Incomplete { expected });
        };
        let (store, partition) = (self.store.as_ref(), self.place.partition);
        if let Err(contradiction) = self.inspect(&end)? {
            discard(store, partition)?;
            return Err(contradiction.into());
        }
        let mut set = WriteSet::new();
        put_progress(&mut set, partition, self.snapshot, true);
        // Without an fsync: what a crash leaves is a prefix, in which nothing is removed or put without this mark.
        store.write(&[set], Durability::Deferred)?;
        install(store, partition)?;
        Ok(Installed {
            root: end.root(),
            records: end.records,
        })
    }

    /// What is wrong with the staged records, if anything is: they were in order when they came, but not yet looked at.
    fn inspect(&self, end: &SnapshotEnd) -> Result<Result<(), Contradiction>, SnapshotError> {
        let mut inspection = Inspection::new(self.place);
        let mut staged = StagedRecords::new(self.store.as_ref(), self.place.partition);
        loop {
            let looked_at = match staged.next_record() {
                Ok(Some(record)) => inspection.look_at(&record),
                Ok(None) => return Ok(inspection.end(end)),
                Err(SnapshotError::Decode(error)) => Err(error.into()),
                Err(error) => return Err(error),
            };
            if looked_at.is_err() {
                return Ok(looked_at);
            }
        }
    }
}

/// Throws away what is staged of a partition, unless it is being installed.
///
/// # Errors
/// [`SnapshotError`].
pub fn discard(store: &dyn Store, partition: PartitionId) -> Result<(), SnapshotError> {
    match read_progress(store, partition)? {
        Some(progress) if !progress.is_installing => {
            let mut set = WriteSet::new();
            remove_staged(&mut set, partition);
            Ok(store.write(&[set], Durability::Deferred)?)
        }
        _ => Ok(()),
    }
}

pub(super) fn read_progress(
    store: &dyn Store,
    partition: PartitionId,
) -> Result<Option<StoredProgress>, SnapshotError> {
    let bytes = store.get(Family::Staging, &staging::progress(partition))?;
    Ok(bytes.map(|bytes| decode_progress(&bytes)).transpose()?)
}

fn put_progress(set: &mut WriteSet, partition: PartitionId, snapshot: SnapshotId, is_installing: bool) {
    let progress = StoredProgress {
        snapshot,
        is_installing,
    };
    set.put(
        Family::Staging,
        &staging::progress(partition),
        &encode_progress(&progress),
    );
}

/// All that is staged of a partition goes, how far it is as well.
pub(super) fn remove_staged(set: &mut WriteSet, partition: PartitionId) {
    let range = staging::staged_range(partition);
    set.delete_range(Family::Staging, &range.from, &range.to);
}

/// The records in the staged chunks of a partition, one after the other.
pub(super) struct StagedRecords<'a> {
    store: &'a dyn Store,
    next: ChunkKey,
    reader: RecordReader,
}

impl<'a> StagedRecords<'a> {
    pub(super) fn new(store: &'a dyn Store, partition: PartitionId) -> Self {
        Self {
            store,
            next: ChunkKey { partition, number: 0 },
            reader: RecordReader::default(),
        }
    }

    /// The next record; none at the end.
    pub(super) fn next_record(&mut self) -> Result<Option<Record>, SnapshotError> {
        loop {
            if let Some(record) = self.reader.next_record()? {
                return Ok(Some(record));
            }
            let expected = self.next.number;
            let bytes = self.store.get(Family::Staging, &self.next.encode())?;
            let chunk = decode_chunk(&bytes.ok_or(SnapshotError::Incomplete { expected })?)?;
            match chunk.content {
                ChunkContent::Records(piece) => self.reader.feed(&piece),
                ChunkContent::End(_) if self.reader.is_empty() => return Ok(None),
                ChunkContent::End(_) => {
                    let detail = "the snapshot ends inside it";
                    return Err(DecodeError::new("a record of a snapshot", detail).into());
                }
            }
            self.next.number += 1;
        }
    }
}

#[cfg(test)]
#[path = "snapshot_test.rs"]
mod tests;
