//! Which keys make up a partition, in which order a snapshot has them, and to which partition a key belongs.
//!
//! Two families have keys that do not begin with the partition. Listing entries follow from the rows, since each record that
//! is listed has rows: the first row of a record is followed by its listing entry. So nothing of other partitions is read, and
//! no listing entry is ever there without a row that leads to it. Of the ledger all is read, and what others have lost is
//! left out.

use crate::model::digest::{Digest, DigestSum, RowExchange, RowHasher};
use crate::model::ids::{PartitionCount, PartitionId};
use crate::model::placement::partition_of;
use crate::model::record::RecordId;
use crate::ports::store::Family;
use crate::wire::codec::DecodeError;
use crate::wire::keys::digest::{DigestKey, decode_sum};
use crate::wire::keys::ledger::LedgerKey;
use crate::wire::keys::log::{LogKey, LogSeqKey};
use crate::wire::keys::names::NameKey;
use crate::wire::keys::row::{KeyRange, RowKey};
use crate::wire::keys::{idempotency, meta, raft};
use crate::wire::raft::decode_applied;
use crate::wire::snapshot::{Record, Section, SnapshotEnd};
use crate::wire::values::decode_partition_state;

/// A partition of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which.
    pub partition: PartitionId,
    /// How many there are.
    pub count: PartitionCount,
}

/// Where a section is stored.
pub(super) fn family_of(section: Section) -> Family {
    match section {
        Section::State | Section::Digest => Family::Meta,
        Section::Applied => Family::Raft,
        Section::Outcome => Family::Idempotency,
        Section::Log => Family::Log,
        Section::LogSeq => Family::LogSeqs,
        Section::Loser => Family::Losers,
        Section::Row => Family::Rows,
        Section::Name => Family::Names,
    }
}

/// The keys of a section; of the ledger those of all partitions. None for listing entries, which come with the rows.
pub(super) fn range_of(section: Section, partition: PartitionId) -> Option<KeyRange> {
    match section {
        Section::State => Some(single(&meta::partition_state(partition))),
        Section::Digest => Some(DigestKey::partition_range(partition)),
        Section::Applied => Some(single(&raft::applied(partition))),
        Section::Outcome => Some(idempotency::partition_range(partition)),
        Section::Log => Some(LogKey::partition_range(partition)),
        Section::LogSeq => Some(LogSeqKey::partition_range(partition)),
        Section::Loser => Some(LedgerKey::whole_range()),
        Section::Row => Some(RowKey::partition_range(partition)),
        Section::Name => None,
    }
}

fn single(key: &[u8]) -> KeyRange {
    let mut to = key.to_vec();
    to.push(0);
    KeyRange {
        from: key.to_vec(),
        to,
    }
}

/// Why records are not a snapshot of the partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A record does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A key is another partition's.
    #[error("a key of {section:?} belongs to another partition")]
    Misplaced {
        /// What it is.
        section: Section,
    },
    /// A listing entry does not come right after the first row of its record.
    #[error("a listing entry has no row before it")]
    Unlisted,
    /// The rows are not those that the digest was made of.
    #[error("the rows sum up to {found}, the digest says {expected}")]
    Digest {
        /// That of the rows.
        found: DigestSum,
        /// That of the leaves, or what the end tells.
        expected: DigestSum,
    },
    /// There are fewer or more records than the end tells.
    #[error("there are {found} records, {expected} were sent")]
    Count {
        /// How many there are.
        found: u64,
        /// How many the end tells.
        expected: u64,
    },
}

/// Looks at all records of a snapshot before any of them is shown.
pub(super) struct Inspection {
    place: Place,
    hasher: RowHasher,
    /// As its leaves say.
    told: Digest,
    /// Of the rows.
    found: Digest,
    /// The record of the last row.
    record: Option<RecordId>,
    records: u64,
}

impl Inspection {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            hasher: RowHasher::default(),
            told: Digest::default(),
            found: Digest::default(),
            record: None,
            records: 0,
        }
    }

    /// The next record.
    pub(super) fn look_at(&mut self, record: &Record) -> Result<(), Contradiction> {
        self.records += 1;
        let Record { section, key, value } = record;
        let own = self.place.partition;
        let is_in_place = match section {
            Section::State => {
                let state = decode_partition_state(value)?;
                *key == meta::partition_state(own)[..] && state.partition == own
            }
            Section::Digest => {
                let place = DigestKey::decode(key)?;
                self.told.restore_leaf(place.leaf, decode_sum(value)?);
                place.partition == own
            }
            Section::Applied => {
                decode_applied(value)?;
                *key == raft::applied(own)[..]
            }
            Section::Outcome => {
                let range = idempotency::partition_range(own);
                range.from.as_slice() <= key && key < range.to.as_slice()
            }
            Section::Log => LogKey::decode(key)?.partition == own,
            Section::LogSeq => LogSeqKey::decode(key)?.partition == own,
            Section::Loser => LedgerKey::decode(key)?.partition == own,
            Section::Row => self.look_at_row(key, value)?,
            Section::Name => {
                let NameKey(id) = NameKey::decode(key)?;
                if self.record.as_ref() != Some(&id) {
                    return Err(Contradiction::Unlisted);
                }
                true
            }
        };
        let section = *section;
        is_in_place
            .then_some(())
            .ok_or(Contradiction::Misplaced { section })
    }

    fn look_at_row(&mut self, key: &[u8], value: &[u8]) -> Result<bool, DecodeError> {
        let RowKey { partition, row } = RowKey::decode(key)?;
        let exchange = RowExchange {
            key,
            before: None,
            after: Some(value),
        };
        self.found.exchange(&self.hasher, &exchange);
        let home = partition_of(&row.record.namespace, &row.record.key, self.place.count);
        self.record = Some(row.record);
        Ok(partition == self.place.partition && home == partition)
    }

    /// After the last record.
    pub(super) fn end(self, end: &SnapshotEnd) -> Result<(), Contradiction> {
        let (found, expected) = (self.records, end.records);
        if found != expected {
            return Err(Contradiction::Count { found, expected });
        }
        // Leaf by leaf: sums of a forger or of a bug might differ and still have the same root.
        let is_same = self.found == self.told && self.found.root() == end.root();
        if is_same {
            return Ok(());
        }
        let found = self.found.root();
        let expected = if self.told.root() == found {
            end.root()
        } else {
            self.told.root()
        };
        Err(Contradiction::Digest { found, expected })
    }
}
