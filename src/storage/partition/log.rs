//! Reading a partition's log: for shipping, relaying, replay and forgetting.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::model::ids::{LogIndex, PartitionId, Seq};
use crate::model::replication::retention::EntryMark;
use crate::model::vector::Dot;
use crate::ports::store::{Family, Store};
use crate::storage::partition::rows::ReadError;
use crate::wire::codec::DecodeError;
use crate::wire::keys::log::{LogKey, LogSeqKey, decode_log_index};
use crate::wire::values::{self, CommitHeader};

/// An entry of a log, its commit still encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place.
    pub index: LogIndex,
    /// What the commit says of itself.
    pub header: CommitHeader,
    /// The encoded commit.
    pub commit: Bytes,
}

/// Calls `take` with the entries from `first` on until it breaks or the log ends.
///
/// # Errors
/// [`ReadError`].
pub fn entries_from(
    store: &dyn Store,
    partition: PartitionId,
    first: LogIndex,
    mut take: impl FnMut(LogEntry) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let mut failure = None;
    let range = LogKey::range(partition, first, LogIndex(u64::MAX));
    store.scan(
        Family::Log,
        &range.from,
        &range.to,
        &mut |key, value| match decode_entry(key, value) {
            Ok(entry) => take(entry),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn decode_entry(key: &[u8], value: &[u8]) -> Result<LogEntry, DecodeError> {
    let index = LogKey::decode(key)?.index;
    let header = values::peek_commit(value)?;
    Ok(LogEntry {
        index,
        header,
        commit: Bytes::copy_from_slice(value),
    })
}

/// As [`entries_from`], without the commits.
///
/// # Errors
/// [`ReadError`].
pub fn marks_from(
    store: &dyn Store,
    partition: PartitionId,
    first: LogIndex,
    mut take: impl FnMut(EntryMark) -> bool,
) -> Result<(), ReadError> {
    let mut failure = None;
    let range = LogKey::range(partition, first, LogIndex(u64::MAX));
    store.scan(Family::Log, &range.from, &range.to, &mut |key, value| {
        let mark = LogKey::decode(key).and_then(|key| {
            let last = values::peek_commit(value)?.last();
            Ok(EntryMark {
                index: key.index,
                last,
                size_bytes: value.len() as u64,
            })
        });
        match mark {
            Ok(mark) if take(mark) => ControlFlow::Continue(()),
            Ok(_) => ControlFlow::Break(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Calls `take` with the commits of the replica of `first` in the order of their seqs, from the first one that begins at
/// or after `first`, until it breaks or the log has no more. Other replicas' entries are not touched.
///
/// # Errors
/// [`ReadError`].
pub fn commits_from(
    store: &dyn Store,
    partition: PartitionId,
    first: Dot,
    mut take: impl FnMut(LogEntry) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let mut failure: Option<ReadError> = None;
    let range = LogSeqKey::range(partition, first.replica, first.seq, Seq::MAX);
    store.scan(Family::LogSeqs, &range.from, &range.to, &mut |_, value| {
        match entry_at(store, partition, value) {
            Ok(Some(entry)) => take(entry),
            // Forgotten since the index was read: so is everything before it.
            Ok(None) => ControlFlow::Break(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok(()), Err)
}

fn entry_at(store: &dyn Store, partition: PartitionId, index: &[u8]) -> Result<Option<LogEntry>, ReadError> {
    let index = decode_log_index(index)?;
    let Some(commit) = store.get(Family::Log, &LogKey { partition, index }.encode())? else {
        return Ok(None);
    };
    let header = values::peek_commit(&commit)?;
    Ok(Some(LogEntry {
        index,
        header,
        commit,
    }))
}
