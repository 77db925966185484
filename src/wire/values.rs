//! What stands under the storage keys: rows, summaries, log entries, partition states, ledger entries. Each starts with
//! a format number of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::change::{Change, Commit};
use crate::model::hlc::{Hlc, WallTime};
use crate::model::ids::{LogIndex, PartitionId, ReplicaId, Seq};
use crate::model::partition::PartitionState;
use crate::model::record::{RecordType, RowId, Version};
use crate::model::rows::{CounterRow, FieldRow, LossReason, MemberRow, RegisterRow, Row};
use crate::model::vector::{Dot, VersionVector};
use crate::model::workspace::{RecordedLoser, Summary};
use crate::wire::codec::{self, DecodeError};

const ROW_FORMAT: u8 = 1;
const SUMMARY_FORMAT: u8 = 1;
const COMMIT_FORMAT: u8 = 1;
const PARTITION_STATE_FORMAT: u8 = 2;
/// Before stamps were kept for each region.
const PARTITION_STATE_FORMAT_1: u8 = 1;
const LEDGER_FORMAT: u8 = 1;

/// The bytes of a row. They go into the digest: equal rows have equal bytes.
#[must_use]
pub fn encode_row(row: &Row) -> Vec<u8> {
    match row {
        Row::Register(row) => codec::encode_versioned(ROW_FORMAT, row),
        Row::Counter(row) => codec::encode_versioned(ROW_FORMAT, row),
        Row::Member(row) => codec::encode_versioned(ROW_FORMAT, row),
        Row::Field(row) => codec::encode_versioned(ROW_FORMAT, row),
    }
}

/// Reads what [`encode_row`] wrote of a record of this type.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_row(record_type: RecordType, bytes: &[u8]) -> Result<Row, DecodeError> {
    Ok(match record_type {
        RecordType::Register => Row::Register(codec::decode_versioned::<RegisterRow>(
            "a register row",
            ROW_FORMAT,
            bytes,
        )?),
        RecordType::Counter => Row::Counter(codec::decode_versioned::<CounterRow>(
            "a counter row",
            ROW_FORMAT,
            bytes,
        )?),
        RecordType::Set => Row::Member(codec::decode_versioned::<MemberRow>(
            "a set row",
            ROW_FORMAT,
            bytes,
        )?),
        RecordType::Map => Row::Field(codec::decode_versioned::<FieldRow>(
            "a map row",
            ROW_FORMAT,
            bytes,
        )?),
    })
}

#[derive(Serialize, Deserialize)]
enum StoredSummary {
    Register {
        size_bytes: u64,
        content_type: String,
        version: Version,
        expires_at: Option<WallTime>,
    },
    Counter,
    Parts {
        count: u64,
    },
}

/// The bytes of a summary.
#[must_use]
pub fn encode_summary(summary: &Summary) -> Vec<u8> {
    let stored = match summary.clone() {
        Summary::Register {
            size_bytes,
            content_type,
            version,
            expires_at,
        } => StoredSummary::Register {
            size_bytes,
            content_type,
            version,
            expires_at,
        },
        Summary::Counter => StoredSummary::Counter,
        Summary::Parts { count } => StoredSummary::Parts { count },
    };
    codec::encode_versioned(SUMMARY_FORMAT, &stored)
}

/// Reads what [`encode_summary`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_summary(bytes: &[u8]) -> Result<Summary, DecodeError> {
    Ok(
        match codec::decode_versioned("a summary", SUMMARY_FORMAT, bytes)? {
            StoredSummary::Register {
                size_bytes,
                content_type,
                version,
                expires_at,
            } => Summary::Register {
                size_bytes,
                content_type,
                version,
                expires_at,
            },
            StoredSummary::Counter => Summary::Counter,
            StoredSummary::Parts { count } => Summary::Parts { count },
        },
    )
}

/// The bytes of a commit: the same in the log and between regions, so that shipping copies them as they are.
#[must_use]
pub fn encode_commit(commit: &Commit) -> Vec<u8> {
    codec::encode_versioned(COMMIT_FORMAT, commit)
}

/// Reads what [`encode_commit`] wrote, and checks what a peer could have made up.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_commit(bytes: &[u8]) -> Result<Commit, DecodeError> {
    let commit: Commit = codec::decode_versioned("a commit", COMMIT_FORMAT, bytes)?;
    let error = |detail: &str| Err(DecodeError::new("a commit", detail));
    if commit.changes.is_empty() {
        return error("it has no changes");
    }
    if commit.first_seq == 0
        || commit
            .first_seq
            .checked_add(commit.changes.len() as u64)
            .is_none()
    {
        return error("its seqs are out of range");
    }
    if commit.hlc.0.checked_add(commit.changes.len() as u64).is_none() {
        return error("its stamps are out of range");
    }
    if commit.deps.get(&commit.origin) != 0 {
        return error("it depends on its own origin");
    }
    if !commit.changes.iter().all(Change::fits) {
        return error("it has a change that does not fit the type of its record");
    }
    Ok(commit)
}

/// What a commit's bytes say about it before its changes are decoded: the front of [`Commit`], field by field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitHeader {
    /// The replica whose changes these are.
    pub origin: ReplicaId,
    /// The seq of the first.
    pub first_seq: Seq,
    /// The stamp of the first.
    pub hlc: Hlc,
    /// What its origin had seen.
    pub deps: VersionVector,
    /// How many changes follow: the length that stands before a list.
    pub changes: u64,
}

impl CommitHeader {
    /// The last change.
    #[must_use]
    pub fn last(&self) -> Dot {
        Dot {
            replica: self.origin,
            seq: self.first_seq + self.changes - 1,
        }
    }
}

/// The header of an encoded commit.
///
/// # Errors
/// [`DecodeError`].
pub fn peek_commit(bytes: &[u8]) -> Result<CommitHeader, DecodeError> {
    match bytes.split_first() {
        Some((&COMMIT_FORMAT, rest)) => {
            let (header, _) = codec::decode_prefix::<CommitHeader>("a commit", rest)?;
            // As in `decode_commit`; `CommitHeader::last` relies on it, also where the disk has changed the bytes.
            if header.changes == 0 || header.first_seq.checked_add(header.changes).is_none() {
                return Err(DecodeError::new("a commit", "its seqs are out of range"));
            }
            Ok(header)
        }
        _ => Err(DecodeError::new("a commit", "its format is unknown")),
    }
}

/// [`PartitionState`] in format 1.
#[derive(Serialize, Deserialize)]
struct PartitionState1 {
    partition: PartitionId,
    applied_index: LogIndex,
    first_index: LogIndex,
    vector: VersionVector,
    last_hlc: Hlc,
    log_bytes: u64,
    losers_written: u64,
}

impl From<PartitionState1> for PartitionState {
    fn from(old: PartitionState1) -> Self {
        Self {
            partition: old.partition,
            applied_index: old.applied_index,
            first_index: old.first_index,
            vector: old.vector,
            last_hlc: old.last_hlc,
            // Promises of the other regions fill the gap as soon as they are heard of.
            stamps: BTreeMap::new(),
            log_bytes: old.log_bytes,
            losers_written: old.losers_written,
        }
    }
}

/// The bytes of a partition's state.
#[must_use]
pub fn encode_partition_state(state: &PartitionState) -> Vec<u8> {
    codec::encode_versioned(PARTITION_STATE_FORMAT, state)
}

/// Reads what [`encode_partition_state`] wrote, and checks what the partition counts on from then on.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_partition_state(bytes: &[u8]) -> Result<PartitionState, DecodeError> {
    const WHAT: &str = "a partition state";
    let state = if bytes.first() == Some(&PARTITION_STATE_FORMAT_1) {
        codec::decode_versioned::<PartitionState1>(WHAT, PARTITION_STATE_FORMAT_1, bytes)?.into()
    } else {
        codec::decode_versioned::<PartitionState>(WHAT, PARTITION_STATE_FORMAT, bytes)?
    };
    // Indexes count from 1, and an empty log begins right after what was applied.
    let end = state.applied_index.0.checked_add(1);
    if end.is_none_or(|end| !(1..=end).contains(&state.first_index.0)) {
        return Err(DecodeError::new(WHAT, "its log begins behind its end"));
    }
    // No commit has the last seq that there is (see `decode_commit`), and the one after what was applied must exist.
    if state.vector.iter().any(|dot| dot.seq == Seq::MAX) {
        return Err(DecodeError::new(WHAT, "its seqs are out of range"));
    }
    Ok(state)
}

/// An entry of the conflict ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The record.
    pub record: crate::model::record::RecordId,
    /// The map field, if it was one.
    pub field: Option<crate::model::ids::SubKey>,
    /// What is visible instead.
    pub winner: Version,
    /// What is not.
    pub loser: Version,
    /// The bytes that lost; none if a delete lost.
    pub value: Option<Bytes>,
    /// Why.
    pub reason: LossReason,
}

impl From<RecordedLoser> for LedgerEntry {
    fn from(recorded: RecordedLoser) -> Self {
        let RecordedLoser {
            row: RowId { record, sub_key },
            loser,
        } = recorded;
        Self {
            record,
            field: sub_key,
            winner: loser.winner,
            loser: loser.loser,
            value: loser.value,
            reason: loser.reason,
        }
    }
}

/// The bytes of a ledger entry.
#[must_use]
pub fn encode_ledger_entry(entry: &LedgerEntry) -> Vec<u8> {
    codec::encode_versioned(LEDGER_FORMAT, entry)
}

/// Reads what [`encode_ledger_entry`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_ledger_entry(bytes: &[u8]) -> Result<LedgerEntry, DecodeError> {
    codec::decode_versioned("a ledger entry", LEDGER_FORMAT, bytes)
}

#[cfg(test)]
mod header_tests {
    use super::*;
    use crate::model::change::{Change, Delta};
    use crate::model::ids::{Incarnation, Key, SubKey};
    use crate::model::record::RecordId;

    #[test]
    fn the_header_is_the_front_of_the_commit() {
        let replica = |region: &str| ReplicaId {
            region: region.parse().unwrap(),
            incarnation: Incarnation(3),
        };
        let record = RecordId::new("ns".parse().unwrap(), RecordType::Set, Key::new("k").unwrap());
        let change = Change {
            record,
            delta: Delta::MemberAdd {
                member: SubKey::new("m").unwrap(),
            },
        };
        let deps: VersionVector = [Dot {
            replica: replica("b"),
            seq: 700,
        }]
        .into_iter()
        .collect();
        let commit = Commit {
            origin: replica("a"),
            first_seq: 300,
            hlc: Hlc(9),
            deps: deps.clone(),
            changes: vec![change; 300],
        };
        let header = peek_commit(&encode_commit(&commit)).unwrap();
        let expected = CommitHeader {
            origin: replica("a"),
            first_seq: 300,
            hlc: Hlc(9),
            deps,
            changes: 300,
        };
        assert_eq!(header, expected);
        assert_eq!(header.last().seq, commit.last_seq());
    }
}

#[cfg(test)]
#[path = "values_test.rs"]
mod tests;
