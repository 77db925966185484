//! Snapshots of one partition, as they are sent and staged: a stream of records that is cut into chunks, each bound to all
//! before it by a chain of hashes. Chunks start with a format number of their own.
//!
//! A chunk ends where it is full, also inside a record: rows with siblings are larger than a frame. [`RecordReader`] puts
//! them together again.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::model::digest::DigestSum;
use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::wire::codec::{self, DecodeError};

const CHUNK_FORMAT: u8 = 1;
const PROGRESS_FORMAT: u8 = 1;
const CHAIN_CONTEXT: &str = "atoll 2026 chain of a partition's snapshot v1";
const RECORD: &str = "a record of a snapshot";

/// Names a snapshot of a partition. Drawn for each: two with the same name are the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotId(pub u64);

/// What a record is. The numbers are sent and staged: never renumber one. The order is that of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Section {
    /// The partition's state.
    State = 1,
    /// A leaf of its digest.
    Digest = 2,
    /// How far its group has applied raft entries.
    Applied = 3,
    /// A remembered outcome, its place in the order of time, or how many there are.
    Outcome = 4,
    /// An entry of its log.
    Log = 5,
    /// The place of an entry of its log.
    LogSeq = 6,
    /// An entry of the conflict ledger.
    Loser = 7,
    /// A row.
    Row = 8,
    /// The listing entry of the record whose first row came right before.
    Name = 9,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::State,
        Self::Digest,
        Self::Applied,
        Self::Outcome,
        Self::Log,
        Self::LogSeq,
        Self::Loser,
        Self::Row,
        Self::Name,
    ];

    fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|section| *section as u8 == tag)
    }
}

/// A key of a partition with its value, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub section: Section,
    /// The whole key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
}

/// Section, length of the key, length of the value.
const RECORD_FRONT_BYTES: usize = 1 + 4 + 4;

/// Puts a record at the end of the stream.
pub fn push_record(stream: &mut BytesMut, section: Section, key: &[u8], value: &[u8]) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("keys and values are far under 4 GiB");
    stream.reserve(RECORD_FRONT_BYTES + key.len() + value.len());
    stream.extend_from_slice(&[section as u8]);
    stream.extend_from_slice(&length(key).to_be_bytes());
    stream.extend_from_slice(&length(value).to_be_bytes());
    stream.extend_from_slice(key);
    stream.extend_from_slice(value);
}

/// Gets the records out of the chunks, in whatever pieces they come.
#[derive(Debug, Default)]
pub struct RecordReader {
    rest: BytesMut,
}

impl RecordReader {
    /// Takes the next piece of the stream.
    pub fn feed(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
    }

    /// The next record, if all of it has come.
    ///
    /// # Errors
    /// [`DecodeError`] when it cannot be a record; what follows is lost then.
    pub fn next_record(&mut self) -> Result<Option<Record>, DecodeError> {
        let Some((front, _)) = self.rest.split_first_chunk::<RECORD_FRONT_BYTES>() else {
            return Ok(None);
        };
        let [tag, k0, k1, k2, k3, v0, v1, v2, v3] = *front;
        let section =
            Section::from_tag(tag).ok_or_else(|| DecodeError::new(RECORD, "its kind is unknown"))?;
        let key_len = length(
            u32::from_be_bytes([k0, k1, k2, k3]),
            limits::SNAPSHOT_KEY_BYTES_MAX,
        )?;
        let value_len = length(
            u32::from_be_bytes([v0, v1, v2, v3]),
            limits::SNAPSHOT_VALUE_BYTES_MAX,
        )?;
        if self.rest.len() < RECORD_FRONT_BYTES + key_len + value_len {
            return Ok(None);
        }
        self.rest.advance(RECORD_FRONT_BYTES);
        Ok(Some(Record {
            section,
            key: self.rest.split_to(key_len).freeze(),
            value: self.rest.split_to(value_len).freeze(),
        }))
    }

    /// Whether nothing of a record is left over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

fn length(told: u32, bytes_max: usize) -> Result<usize, DecodeError> {
    let told = usize::try_from(told).unwrap_or(usize::MAX);
    // `<=`: the longest there may be is no longer than that.
    if told <= bytes_max {
        Ok(told)
    } else {
        let detail = format!("{told} bytes are announced, {bytes_max} are the most there can be");
        Err(DecodeError::new(RECORD, detail))
    }
}

/// How a snapshot ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEnd {
    /// How many records there are.
    pub records: u64,
    /// The root of the partition's digest.
    root: u128,
}

impl SnapshotEnd {
    /// That of so many records, whose rows have this sum.
    #[must_use]
    pub fn new(records: u64, root: DigestSum) -> Self {
        Self {
            records,
            root: root.0,
        }
    }

    /// The root of the partition's digest.
    #[must_use]
    pub fn root(&self) -> DigestSum {
        DigestSum(self.root)
    }
}

/// What is in a chunk. The order is that of the numbers that are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChunkContent {
    /// The next piece of the stream of records.
    Records(Bytes),
    /// Nothing follows.
    End(SnapshotEnd),
}

/// A hash over all chunks up to one: the last is one over the whole snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain([u8; 32]);

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({})", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl Chain {
    /// Before the first chunk.
    #[must_use]
    pub fn start(partition: PartitionId, snapshot: SnapshotId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CHAIN_CONTEXT);
        hasher.update(&partition.0.to_be_bytes());
        hasher.update(&snapshot.0.to_be_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// After one more chunk.
    #[must_use]
    pub fn after(&self, number: u32, content: &ChunkContent) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&number.to_be_bytes());
        match content {
            ChunkContent::Records(bytes) => hasher.update(&[0]).update(bytes),
            ChunkContent::End(end) => hasher
                .update(&[1])
                .update(&end.records.to_be_bytes())
                .update(&end.root.to_be_bytes()),
        };
        Self(*hasher.finalize().as_bytes())
    }
}

/// A piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Of which.
    pub snapshot: SnapshotId,
    /// Of which partition.
    pub partition: PartitionId,
    /// Its place; counts from 0.
    pub number: u32,
    /// What is in it.
    pub content: ChunkContent,
    /// The hash over it and all before it.
    pub chain: Chain,
}

/// The bytes of a chunk.
#[must_use]
pub fn encode_chunk(chunk: &Chunk) -> Vec<u8> {
    codec::encode_versioned(CHUNK_FORMAT, chunk)
}

/// Reads what [`encode_chunk`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_chunk(bytes: &[u8]) -> Result<Chunk, DecodeError> {
    const WHAT: &str = "a chunk of a snapshot";
    let chunk: Chunk = codec::decode_versioned(WHAT, CHUNK_FORMAT, bytes)?;
    if chunk.number == u32::MAX {
        // Whoever reads it counts on to the next.
        return Err(DecodeError::new(WHAT, "its number is out of range"));
    }
    match &chunk.content {
        ChunkContent::Records(records) if records.is_empty() => {
            Err(DecodeError::new(WHAT, "nothing is in it"))
        }
        // `>`: a full one is in order.
        ChunkContent::Records(records) if records.len() > limits::SNAPSHOT_CHUNK_BYTES => {
            Err(DecodeError::new(WHAT, "it is too large"))
        }
        _ => Ok(chunk),
    }
}

/// How far a partition is with a snapshot that it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProgress {
    /// Which.
    pub snapshot: SnapshotId,
    /// Whether all of it is there and in order: from then on it takes the place of what the partition has.
    pub is_installing: bool,
}

/// The bytes of a progress.
#[must_use]
pub fn encode_progress(progress: &StoredProgress) -> Vec<u8> {
    codec::encode_versioned(PROGRESS_FORMAT, progress)
}

/// Reads what [`encode_progress`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_progress(bytes: &[u8]) -> Result<StoredProgress, DecodeError> {
    codec::decode_versioned("how far a snapshot is", PROGRESS_FORMAT, bytes)
}

#[cfg(test)]
#[path = "snapshot_test.rs"]
mod tests;
