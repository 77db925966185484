//! Puts a staged snapshot into the place of what a partition has, in steps that a crash may fall between.
//!
//! It begins with the mark that all chunks are staged and were looked at. From there it is a function of what is staged: all of
//! the partition goes, all that is staged comes, and then what is staged goes, the mark with it. Only the last write has an
//! fsync: what a crash leaves is a prefix, so that nothing goes before the mark is there, and the mark goes only when
//! everything before it has come. As long as it is there, the steps are done again, from the first.
//!
//! Each step may find what an earlier attempt has left. Listing entries are found through the rows, of the partition's old
//! content and of the new one alike, so they go before the rows, and come after them.

use std::ops::ControlFlow;

use crate::model::ids::{PartitionCount, PartitionId};
use crate::model::limits;
use crate::model::record::RecordId;
use crate::ports::store::{Durability, Family, Store, StoreError, WriteSet};
use crate::storage::partition::snapshot_receiver::{
    SnapshotError, StagedRecords, read_progress, remove_staged,
};
use crate::storage::partition::snapshot_stream::{family_of, range_of};
use crate::wire::codec::DecodeError;
use crate::wire::keys::ledger::LedgerKey;
use crate::wire::keys::names::NameKey;
use crate::wire::keys::row::{KeyRange, RowKey};
use crate::wire::snapshot::Section;

/// Finishes the installations that a crash has interrupted. To be called at a node's start, before anything is read that
/// partitions share.
///
/// # Errors
/// [`SnapshotError`].
pub fn finish_installs(store: &dyn Store, count: PartitionCount) -> Result<(), SnapshotError> {
    (0..count.get()).try_for_each(|partition| finish_install(store, PartitionId(partition)).map(drop))
}

/// Finishes the installation of a snapshot if it was begun, and says whether it was.
///
/// # Errors
/// [`SnapshotError`].
pub fn finish_install(store: &dyn Store, partition: PartitionId) -> Result<bool, SnapshotError> {
    let progress = read_progress(store, partition)?;
    let is_begun = progress.is_some_and(|progress| progress.is_installing);
    if is_begun {
        tracing::info!(%partition, "finishing the installation of a snapshot");
        install(store, partition)?;
    }
    Ok(is_begun)
}

/// The steps, when the mark that it is to be installed was written.
pub(super) fn install(store: &dyn Store, partition: PartitionId) -> Result<(), SnapshotError> {
    remove_names(store, partition)?;
    remove_losers(store, partition)?;
    remove_ranges(store, partition)?;
    let mut staged = StagedRecords::new(store, partition);
    let mut batch = Batch::new(store);
    while let Some(record) = staged.next_record()? {
        let family = family_of(record.section);
        batch.set.put(family, &record.key, &record.value);
        batch.write_if_full()?;
    }
    remove_staged(&mut batch.set, partition);
    let sets = [batch.set];
    Ok(store.write(&sets, Durability::Synced)?)
}

/// Mutations, written whenever they are many.
struct Batch<'a> {
    store: &'a dyn Store,
    set: WriteSet,
}

impl<'a> Batch<'a> {
    fn new(store: &'a dyn Store) -> Self {
        let set = WriteSet::new();
        Self { store, set }
    }

    fn write_if_full(&mut self) -> Result<(), StoreError> {
        // `<`: so many bytes at once are meant.
        if self.set.size_bytes() < limits::SNAPSHOT_CHUNK_BYTES {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if self.set.is_empty() {
            return Ok(());
        }
        let sets = [std::mem::take(&mut self.set)];
        self.store.write(&sets, Durability::Deferred)
    }
}

/// The listing entries of all records that have rows.
fn remove_names(store: &dyn Store, partition: PartitionId) -> Result<(), SnapshotError> {
    let mut last: Option<RecordId> = None;
    remove_found(store, Family::Names, Section::Row, partition, |key| {
        let RowKey { row, .. } = RowKey::decode(key)?;
        if last.as_ref() == Some(&row.record) {
            return Ok(None);
        }
        let name = NameKey::encode(&row.record);
        last = Some(row.record);
        Ok(Some(name))
    })
}

/// What the partition has in the ledger.
fn remove_losers(store: &dyn Store, partition: PartitionId) -> Result<(), SnapshotError> {
    remove_found(store, Family::Losers, Section::Loser, partition, |key| {
        let is_own = LedgerKey::decode(key)?.partition == partition;
        Ok(is_own.then(|| key.to_vec()))
    })
}

/// Removes from `family` what `find` makes of the keys of a section.
fn remove_found(
    store: &dyn Store,
    family: Family,
    section: Section,
    partition: PartitionId,
    mut find: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, DecodeError>,
) -> Result<(), SnapshotError> {
    let Some(KeyRange { from, to }) = range_of(section, partition) else {
        return Ok(());
    };
    let mut batch = Batch::new(store);
    let mut failure: Option<SnapshotError> = None;
    // One scan sees one moment: what is removed on the way does not disturb it.
    store.scan(family_of(section), &from, &to, &mut |key, _| {
        let found = find(key).map_err(SnapshotError::from).and_then(|found| {
            if let Some(found) = found {
                batch.set.delete(family, &found);
            }
            Ok(batch.write_if_full()?)
        });
        match found {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok(()), Err)?;
    Ok(batch.write()?)
}

/// All that is a range of its own, in one write.
fn remove_ranges(store: &dyn Store, partition: PartitionId) -> Result<(), StoreError> {
    let mut set = WriteSet::new();
    let ranges = Section::ALL
        .into_iter()
        .filter(|section| *section != Section::Loser);
    for section in ranges {
        if let Some(range) = range_of(section, partition) {
            set.delete_range(family_of(section), &range.from, &range.to);
        }
    }
    store.write(&[set], Durability::Deferred)
}
