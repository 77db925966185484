//! Loading a partition at start: its state, its digest, and the replay of log entries that are not in the rows yet.

use std::ops::ControlFlow;

use crate::model::digest::{Digest, RowHasher};
use crate::model::hlc::WallTime;
use crate::model::ids::PartitionId;
use crate::model::partition::PartitionState;
use crate::ports::store::{Durability, Family, Store, StoreError};
use crate::storage::partition::group::{GroupBuilder, GroupError};
use crate::storage::partition::log::entries_from;
use crate::storage::partition::rows::{ReadError, StoredRows};
use crate::storage::partition::snapshot_install::finish_install;
use crate::storage::partition::snapshot_receiver::SnapshotError;
use crate::wire::codec::DecodeError;
use crate::wire::keys::digest::{DigestKey, decode_sum};
use crate::wire::keys::meta;
use crate::wire::values;

/// Entries replayed in one write: as many as a group may hold.
const REPLAY_ENTRIES_MAX: usize = 256;

/// Why a partition could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Stored data could not be read.
    #[error("reading partition {partition} failed")]
    Read {
        /// Which.
        partition: PartitionId,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// The installation of a snapshot could not be finished.
    #[error("finishing the installation of a snapshot of partition {partition} failed")]
    Install {
        /// Which.
        partition: PartitionId,
        /// Why.
        #[source]
        source: SnapshotError,
    },
    /// A log entry could not be replayed.
    #[error("replaying the log of partition {partition} failed")]
    Replay {
        /// Which.
        partition: PartitionId,
        /// Why.
        #[source]
        source: GroupError,
    },
    /// Replayed rows could not be written.
    #[error("writing the replayed rows of partition {partition} failed")]
    Write {
        /// Which.
        partition: PartitionId,
        /// Why.
        #[source]
        source: StoreError,
    },
}

/// A partition as it is on disk.
#[derive(Debug)]
pub struct LoadedPartition {
    /// Its state.
    pub state: PartitionState,
    /// The digest of its rows.
    pub digest: Digest,
    /// Log entries that were not in the rows and now are.
    pub replayed_entries: u64,
}

/// Loads a partition and brings its rows up to its log. A snapshot whose installation a crash has interrupted is there
/// before anything is read.
///
/// # Errors
/// [`LoadError`].
pub fn load(
    store: &dyn Store,
    partition: PartitionId,
    hasher: &RowHasher,
    now: WallTime,
) -> Result<LoadedPartition, LoadError> {
    finish_install(store, partition).map_err(|source| LoadError::Install { partition, source })?;
    let read = |source| LoadError::Read { partition, source };
    let state = read_state(store, partition).map_err(read)?;
    let digest = read_digest(store, partition).map_err(read)?;
    let mut loaded = LoadedPartition {
        state,
        digest,
        replayed_entries: 0,
    };
    while replay_some(store, &mut loaded, hasher, now)? {}
    Ok(loaded)
}

fn read_state(store: &dyn Store, partition: PartitionId) -> Result<PartitionState, ReadError> {
    let bytes = store.get(Family::Meta, &meta::partition_state(partition))?;
    let state = bytes
        .map(|bytes| values::decode_partition_state(&bytes))
        .transpose()?;
    Ok(state.unwrap_or_else(|| PartitionState::new(partition)))
}

fn read_digest(store: &dyn Store, partition: PartitionId) -> Result<Digest, ReadError> {
    let mut digest = Digest::default();
    let mut failure: Option<DecodeError> = None;
    let range = DigestKey::partition_range(partition);
    store.scan(Family::Meta, &range.from, &range.to, &mut |key, value| {
        let leaf = DigestKey::decode(key).and_then(|key| Ok((key.leaf, decode_sum(value)?)));
        match leaf {
            Ok((leaf, sum)) if usize::from(leaf.0) < crate::model::digest::LEAF_COUNT => {
                digest.restore_leaf(leaf, sum);
                ControlFlow::Continue(())
            }
            Ok(_) => {
                failure = Some(DecodeError::new("a digest key", "there is no such leaf"));
                ControlFlow::Break(())
            }
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok(digest), |error| Err(error.into()))
}

/// Replays up to [`REPLAY_ENTRIES_MAX`] entries; false when there were none.
fn replay_some(
    store: &dyn Store,
    loaded: &mut LoadedPartition,
    hasher: &RowHasher,
    now: WallTime,
) -> Result<bool, LoadError> {
    let partition = loaded.state.partition;
    let mut entries = Vec::new();
    entries_from(store, partition, loaded.state.applied_index.next(), |entry| {
        entries.push(entry);
        if entries.len() < REPLAY_ENTRIES_MAX {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })
    .map_err(|source| LoadError::Read { partition, source })?;
    if entries.is_empty() {
        return Ok(false);
    }
    let rows = StoredRows { store, partition };
    let mut group = GroupBuilder::new(loaded.state.clone(), &rows);
    for entry in &entries {
        let commit = values::decode_commit(&entry.commit).map_err(|error| LoadError::Read {
            partition,
            source: error.into(),
        })?;
        group
            .replay(&commit, entry.commit.len() as u64)
            .map_err(|source| LoadError::Replay { partition, source })?;
    }
    let sealed = group.seal(&mut loaded.digest, hasher, now);
    store
        .write(std::slice::from_ref(&sealed.set), Durability::Deferred)
        .map_err(|source| LoadError::Write { partition, source })?;
    loaded.state = sealed.state;
    loaded.replayed_entries += entries.len() as u64;
    Ok(true)
}
