//! The sending side of a snapshot: one partition as of one moment, as chunks.
//!
//! All calls block on the disk: make them through [`BlockingWork`](crate::ports::blocking::BlockingWork), one at a time. A
//! source holds a view of the store, of which there are few and which ends after some minutes; drop it as soon as the last
//! chunk has arrived. In memory are one page of keys and one chunk, unless a single row is larger.

use bytes::{Bytes, BytesMut};

use crate::model::digest::DigestSum;
use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::mutation::{self, Mutation};
use crate::model::record::RecordId;
use crate::model::vector::VersionVector;
use crate::ports::store::{Family, Page, Store, StoreView};
use crate::storage::partition::rows::ReadError;
use crate::storage::partition::snapshot_stream::{family_of, range_of};
use crate::wire::codec::DecodeError;
use crate::wire::keys::digest::decode_sum;
use crate::wire::keys::ledger::LedgerKey;
use crate::wire::keys::names::NameKey;
use crate::wire::keys::raft;
use crate::wire::keys::row::RowKey;
use crate::wire::raft::{StoredApplied, decode_applied};
use crate::wire::snapshot::{
    Chain, Chunk, ChunkContent, Section, SnapshotEnd, SnapshotId, encode_chunk, push_record,
};
use crate::wire::values::{decode_partition_state, encode_partition_state};

/// Why there is no chunk.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The partition could not be read. After [`StoreError::ViewEnded`](crate::ports::store::StoreError) only another
    /// snapshot helps.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The snapshot ends before it.
    #[error("chunk {number} was asked for, the snapshot has {chunks}")]
    BehindEnd {
        /// What was asked for.
        number: u32,
        /// How many there are.
        chunks: u32,
    },
}

/// An encoded chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentChunk {
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether none follows.
    pub is_last: bool,
}

/// A partition as of one moment.
pub struct SnapshotSource {
    view: Box<dyn StoreView>,
    partition: PartitionId,
    id: SnapshotId,
    applied: StoredApplied,
    /// Of records in a chunk, and of keys and values that are read at once.
    chunk_bytes: usize,
    progress: Progress,
    /// The chunk given last: it may be lost on the way.
    last: Option<SentChunk>,
}

impl std::fmt::Debug for SnapshotSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotSource")
            .field("partition", &self.partition)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SnapshotSource {
    /// The partition as it is now. `id` is drawn by the caller, for this snapshot alone.
    ///
    /// # Errors
    /// When the store has no view to give, or what is stored cannot be decoded.
    pub fn open(store: &dyn Store, partition: PartitionId, id: SnapshotId) -> Result<Self, ReadError> {
        Self::open_with(store, partition, id, limits::SNAPSHOT_CHUNK_BYTES)
    }

    pub(super) fn open_with(
        store: &dyn Store,
        partition: PartitionId,
        id: SnapshotId,
        chunk_bytes: usize,
    ) -> Result<Self, ReadError> {
        let view = store.view()?;
        let applied = view.get_all(Family::Raft, vec![raft::applied(partition).to_vec()])?;
        let applied = applied.into_iter().flatten().next();
        let applied = applied.map(|bytes| decode_applied(&bytes)).transpose()?;
        Ok(Self {
            view,
            partition,
            id,
            applied: applied.unwrap_or_default(),
            chunk_bytes,
            progress: Progress::start(partition, id),
            last: None,
        })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Up to which raft entry it is, and the members as of then.
    #[must_use]
    pub fn applied(&self) -> &StoredApplied {
        &self.applied
    }

    /// The chunk of this number. The next one is read, the one given last is kept; any other is found by reading
    /// everything before it once more.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn chunk(&mut self, number: u32) -> Result<SentChunk, SourceError> {
        if let Some(last) = &self.last
            && number < self.progress.number
        {
            // The one given last is the one before the next.
            if number == self.progress.number - 1 {
                return Ok(last.clone());
            }
            self.progress = Progress::start(self.partition, self.id);
            self.last = None;
        }
        loop {
            let chunks = self.progress.number;
            if self.last.as_ref().is_some_and(|last| last.is_last) {
                return Err(SourceError::BehindEnd { number, chunks });
            }
            let next = self.read_next()?;
            self.last = Some(next.clone());
            if chunks == number {
                return Ok(next);
            }
        }
    }

    fn read_next(&mut self) -> Result<SentChunk, ReadError> {
        let progress = &mut self.progress;
        while progress.stream.len() < self.chunk_bytes && !progress.sections.is_empty() {
            progress.read_page(self.view.as_ref(), self.partition, self.chunk_bytes)?;
        }
        let length = progress.stream.len().min(self.chunk_bytes);
        let is_last = length == 0;
        let content = if is_last {
            ChunkContent::End(SnapshotEnd::new(progress.records, progress.root))
        } else {
            ChunkContent::Records(progress.stream.split_to(length).freeze())
        };
        let number = progress.number;
        progress.chain = progress.chain.after(number, &content);
        progress.number += 1;
        let chunk = Chunk {
            snapshot: self.id,
            partition: self.partition,
            number,
            content,
            chain: progress.chain,
        };
        Ok(SentChunk {
            bytes: encode_chunk(&chunk).into(),
            is_last,
        })
    }
}

/// How far the reading is: a function of the view and of the number of chunks.
struct Progress {
    /// What is still to be read, in order.
    sections: &'static [Section],
    /// The last key read of the first of them.
    after: Option<Bytes>,
    /// The record of the last row.
    record: Option<RecordId>,
    /// Records that are in no chunk yet.
    stream: BytesMut,
    /// The number of the next chunk.
    number: u32,
    chain: Chain,
    records: u64,
    root: DigestSum,
}

impl Progress {
    fn start(partition: PartitionId, id: SnapshotId) -> Self {
        Self {
            sections: &Section::ALL,
            after: None,
            record: None,
            stream: BytesMut::new(),
            number: 0,
            chain: Chain::start(partition, id),
            records: 0,
            root: DigestSum::default(),
        }
    }

    fn read_page(
        &mut self,
        view: &dyn StoreView,
        partition: PartitionId,
        bytes_max: usize,
    ) -> Result<(), ReadError> {
        let Some((section, behind)) = self.sections.split_first() else {
            return Ok(());
        };
        // Listing entries come with the rows.
        let Some(range) = range_of(*section, partition) else {
            self.sections = behind;
            return Ok(());
        };
        let from = self.after.as_ref().map_or(range.from, |last| {
            // The shortest key that is greater: the same and a zero byte.
            let mut from = last.to_vec();
            from.push(0);
            from
        });
        let page = view.page(family_of(*section), &from, &range.to, bytes_max)?;
        self.after = page.entries.last().map(|(key, _)| key.clone());
        if page.is_last {
            self.after = None;
            self.sections = behind;
        }
        match section {
            Section::Row => self.push_rows(view, &page),
            _ => Ok(self.push_all(*section, &page, partition)?),
        }
    }

    fn push_all(&mut self, section: Section, page: &Page, partition: PartitionId) -> Result<(), DecodeError> {
        for (key, value) in &page.entries {
            match section {
                Section::Loser if LedgerKey::decode(key)?.partition != partition => continue,
                Section::State if mutation::is_on(Mutation::SnapshotWithoutVector) => {
                    let mut state = decode_partition_state(value)?;
                    state.vector = VersionVector::default();
                    self.push(section, key, &encode_partition_state(&state));
                    continue;
                }
                Section::Digest => self.root.0 = self.root.0.wrapping_add(decode_sum(value)?.0),
                _ => {}
            }
            self.push(section, key, value);
        }
        Ok(())
    }

    /// Rows, and behind the first of each record its listing entry.
    fn push_rows(&mut self, view: &dyn StoreView, page: &Page) -> Result<(), ReadError> {
        let (mut begins, mut name_keys) = (Vec::with_capacity(page.entries.len()), Vec::new());
        for (key, _) in &page.entries {
            let RowKey { row, .. } = RowKey::decode(key)?;
            let is_first = self.record.as_ref() != Some(&row.record);
            begins.push(is_first);
            if is_first {
                name_keys.push(NameKey::encode(&row.record));
                self.record = Some(row.record);
            }
        }
        let names = view.get_all(Family::Names, name_keys.clone())?;
        let mut names = name_keys.into_iter().zip(names);
        for ((key, value), is_first) in page.entries.iter().zip(begins) {
            self.push(Section::Row, key, value);
            // A deleted register has a row and is not listed.
            if is_first && let Some((name, Some(summary))) = names.next() {
                self.push(Section::Name, &name, &summary);
            }
        }
        Ok(())
    }

    fn push(&mut self, section: Section, key: &[u8], value: &[u8]) {
        push_record(&mut self.stream, section, key, value);
        self.records += 1;
    }
}
