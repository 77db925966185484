//! The store on RocksDB: one database per data folder, in `db/` of it; the rest of the folder is left to others.
//!
//! Invariants (numbers of docs/architecture.md):
//! - 10: a write that returned under [`Durability::Synced`] is there after any crash, or the next open is refused.
//! - 12: a write that was refused ([`StoreError::DiskFull`]) left nothing behind.
//! - 14: after a write whose outcome is unknown, no further write is taken until the database was reopened, which replays what
//!   reached the log; [`Store::generation`] then counts on. RocksDB's own resumption is not used: it may keep a write
//!   in memory that the log has lost.
//!
//! It must not interpret keys or values. Views have threads of their own (`rocks_view.rs`), nothing else has.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions, WriteBatch, WriteOptions};

use super::disk_reserve::DiskReserve;
use super::rocks_errors;
use super::rocks_open::{self, Opened};
use super::rocks_options::{Resources, RocksConfig};
use super::rocks_view::Views;
use super::torn_tail;
use super::wal_tail::TruncatedTail;
use crate::model::limits;
use crate::ports::store::{Durability, Family, Mutation, Store, StoreError, StoreView, Visit, WriteSet};

/// What was found when the store was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// An incomplete last write that was dropped, now or at an earlier open, since [`RocksStore::forget_torn_tail`].
    pub truncated_tail: Option<TruncatedTail>,
    /// Whether the store is new.
    pub created: bool,
}

/// How the engine is doing; for metrics and status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Rows not yet flushed, in bytes.
    pub memtable_bytes: u64,
    /// Indexes and filters outside the block cache, in bytes.
    pub table_readers_bytes: u64,
    /// What the block cache holds, in bytes.
    pub block_cache_bytes: u64,
    /// What compactions still have to rewrite, in bytes (an estimate).
    pub pending_compaction_bytes: u64,
    /// What the tables take on disk, in bytes.
    pub table_files_bytes: u64,
    /// Whether writes wait for flushes or compactions.
    pub is_write_stopped: bool,
    /// Flushes and compactions that failed since the last open.
    pub background_errors: u64,
    /// Free on the volume, in bytes.
    pub free_bytes: u64,
    /// Kept free on it, in bytes.
    pub reserve_bytes: u64,
}

/// The store in one data folder.
pub struct RocksStore {
    folder: PathBuf,
    resources: Resources,
    reserve: DiskReserve,
    /// `None` only while it is being reopened, or after that failed. The lock is held for the clone of the pointer, and
    /// for writing while reopening.
    engine: RwLock<Option<Arc<DB>>>,
    /// A write failed half-way: the database has to be reopened before the next.
    suspect: AtomicBool,
    /// When reopening was last tried; held while it is.
    reopening: Mutex<Option<Instant>>,
    generation: AtomicU64,
    views: Views,
}

impl RocksStore {
    /// Opens the store in the data folder `folder`, and creates it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupted`] names the damaged file; [`StoreError::Engine`] says so when another process has the
    /// folder; [`StoreError::DiskFull`].
    pub fn open(folder: &Path, config: RocksConfig) -> Result<(Self, OpenReport), StoreError> {
        let resources = Resources::new(config);
        let reserve = DiskReserve::new(folder.to_owned(), config.disk_reserve_bytes);
        let Opened {
            engine,
            truncated_tail,
            created,
        } = rocks_open::open(folder, &resources, &reserve, |tail| torn_tail::mark(folder, tail))?;
        let truncated_tail = match truncated_tail {
            Some(tail) => Some(tail),
            None => torn_tail::marked(folder)?,
        };
        let store = Self {
            folder: folder.to_owned(),
            resources,
            reserve,
            engine: RwLock::new(Some(Arc::new(engine))),
            suspect: AtomicBool::new(false),
            reopening: Mutex::new(None),
            generation: AtomicU64::new(1),
            views: Views::default(),
        };
        Ok((
            store,
            OpenReport {
                truncated_tail,
                created,
            },
        ))
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes away the mark of a torn log end: whoever calls has drawn the consequence, durably.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn forget_torn_tail(&self) -> Result<(), StoreError> {
        torn_tail::forget(&self.folder)
    }

    /// Changes how much of the volume is kept free, in bytes.
    pub fn set_disk_reserve_bytes(&self, bytes: u64) {
        self.reserve.set_reserve_bytes(bytes);
        self.reserve.forget_reading();
    }

    /// How the engine is doing. Costs some microseconds and a system call.
    ///
    /// # Errors
    /// When the store cannot be used now, or the volume cannot be asked.
    pub fn engine_stats(&self) -> Result<EngineStats, StoreError> {
        let db = self.engine()?;
        let sum = |property: &str| -> Result<u64, StoreError> {
            Family::ALL.iter().try_fold(0, |sum, family| {
                let value = db.property_int_value_cf(handle(&db, *family), property);
                let value = value.map_err(|error| rocks_errors::of_read(&self.folder, &error))?;
                Ok(sum + value.unwrap_or(0))
            })
        };
        let database_wide = |property: &str| -> Result<u64, StoreError> {
            let value = db.property_int_value(property);
            Ok(value
                .map_err(|error| rocks_errors::of_read(&self.folder, &error))?
                .unwrap_or(0))
        };
        Ok(EngineStats {
            memtable_bytes: sum("rocksdb.size-all-mem-tables")?,
            table_readers_bytes: sum("rocksdb.estimate-table-readers-mem")?,
            block_cache_bytes: self.resources.cache.get_usage() as u64,
            pending_compaction_bytes: sum("rocksdb.estimate-pending-compaction-bytes")?,
            table_files_bytes: sum("rocksdb.total-sst-files-size")?,
            is_write_stopped: database_wide("rocksdb.is-write-stopped")? != 0,
            background_errors: database_wide("rocksdb.background-errors")?,
            free_bytes: self.reserve.free_bytes()?,
            reserve_bytes: self.reserve.reserve_bytes(),
        })
    }

    fn engine(&self) -> Result<Arc<DB>, StoreError> {
        let current = || self.engine.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(db) = current() {
            return Ok(db);
        }
        // Reopening failed before. Reads try again as well: there may be no more writes.
        self.recover()?;
        current().ok_or(StoreError::Closed)
    }

    #[cfg(test)]
    pub(super) fn database(&self) -> Result<Arc<DB>, StoreError> {
        self.engine()
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut slot = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(db) = slot.take() {
            self.views.end_all();
            match wait_until_unshared(db) {
                Ok(db) => drop(db),
                Err(db) => {
                    *slot = Some(db);
                    return Err(self.not_yet("scans are under way"));
                }
            }
        }
        match rocks_open::open(&self.folder, &self.resources, &self.reserve, |_| Ok(())) {
            Ok(opened) => {
                *slot = Some(Arc::new(opened.engine));
                Ok(())
            }
            Err(error) => {
                // Still suspect, so that no write gets to it. Where even this fails, reads come back here.
                *slot = rocks_open::open_read_only(&self.folder, &self.resources)
                    .ok()
                    .map(Arc::new);
                Err(error)
            }
        }
    }

    fn not_yet(&self, detail: &'static str) -> StoreError {
        StoreError::Recovering {
            path: self.folder.clone(),
            detail,
        }
    }

    fn batch(db: &DB, sets: &[WriteSet]) -> WriteBatch {
        let mut batch = WriteBatch::default();
        for (family, mutation) in sets.iter().flat_map(WriteSet::iter) {
            let family = handle(db, family);
            match mutation {
                Mutation::Put { key, value } => batch.put_cf(family, key, value),
                Mutation::Delete { key } => batch.delete_cf(family, key),
                // RocksDB takes an inverted range into its log, and then fails on it at every start.
                Mutation::DeleteRange { from, to } if from >= to => {}
                Mutation::DeleteRange { from, to } => batch.delete_range_cf(family, from, to),
            }
        }
        batch
    }
}

impl Store for RocksStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let db = self.engine()?;
        let value = db.get_pinned_cf(handle(&db, family), key);
        let value = value.map_err(|error| rocks_errors::of_read(&self.folder, &error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let db = self.engine()?;
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let mut iterator: DBRawIterator<'_> = db.raw_iterator_cf_opt(handle(&db, family), options);
        iterator.seek(from);
        while let Some((key, value)) = iterator.item() {
            if visit(key, value).is_break() {
                return Ok(());
            }
            iterator.next();
        }
        // An iterator ends at the first error as it does at the end of the range.
        iterator
            .status()
            .map_err(|error| rocks_errors::of_read(&self.folder, &error))
    }

    fn last(&self, family: Family, from: &[u8], to: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        if from >= to {
            return Ok(None);
        }
        let db = self.engine()?;
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mut iterator: DBRawIterator<'_> = db.raw_iterator_cf_opt(handle(&db, family), options);
        iterator.seek_to_last();
        if let Some((key, value)) = iterator.item() {
            return Ok(Some((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))));
        }
        iterator
            .status()
            .map_err(|error| rocks_errors::of_read(&self.folder, &error))?;
        Ok(None)
    }

    fn view(&self) -> Result<Box<dyn StoreView>, StoreError> {
        self.views.open(&self.folder, self.engine()?)
    }

    fn write(&self, sets: &[WriteSet], durability: Durability) -> Result<(), StoreError> {
        self.reserve.admit(sets)?;
        self.recover()?;
        let db = self.engine()?;
        let batch = Self::batch(&db, sets);
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        db.write_opt(batch, &options).map_err(|error| {
            let error = rocks_errors::of_write(&self.folder, &error);
            if matches!(error, StoreError::OutcomeUnknown { .. }) {
                self.suspect.store(true, Ordering::Release);
                self.reserve.forget_reading();
            }
            error
        })
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        if self.suspect.load(Ordering::Acquire) {
            return Err(self.not_yet("a write has failed"));
        }
        self.reserve.admit(&[])
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn recover(&self) -> Result<u64, StoreError> {
        if !self.suspect.load(Ordering::Acquire) {
            return Ok(self.generation());
        }
        let mut last_attempt = self.reopening.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.suspect.load(Ordering::Acquire) {
            return Ok(self.generation()); // another thread did it meanwhile
        }
        self.reserve
            .admit_recovery(rocks_open::reopening_bytes(&self.folder))?;
        let interval = Duration::from_millis(limits::STORE_REOPEN_INTERVAL_MS);
        if last_attempt.is_some_and(|at| at.elapsed() < interval) {
            return Err(self.not_yet("it was tried a moment ago"));
        }
        *last_attempt = Some(Instant::now());
        self.reopen()?;
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.suspect.store(false, Ordering::Release);
        tracing::info!(folder = %self.folder.display(), generation, "store reopened after a failed write");
        Ok(generation)
    }
}

impl Drop for RocksStore {
    /// Makes deferred writes durable. A store under suspicion is left as it is: the next open sorts it out.
    fn drop(&mut self) {
        let slot = self.engine.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(db) = slot.take() else { return };
        self.views.end_all();
        if !self.suspect.load(Ordering::Acquire)
            && let Err(error) = db.flush_wal(true)
        {
            tracing::warn!(folder = %self.folder.display(), %error, "deferred writes may be lost: the log was not synced at the end");
        }
        // Whoever opens the folder next must find it free.
        drop(wait_until_unshared(db));
    }
}

pub(super) fn handle(db: &DB, family: Family) -> &ColumnFamily {
    db.cf_handle(family.name())
        .expect("all families are opened or created with the database")
}

/// The database itself once no read uses it any more, or the pointer back after a while.
fn wait_until_unshared(mut db: Arc<DB>) -> Result<DB, Arc<DB>> {
    let deadline = Instant::now() + Duration::from_millis(limits::STORE_REOPEN_WAIT_MS);
    loop {
        db = match Arc::try_unwrap(db) {
            Ok(db) => return Ok(db),
            Err(shared) if Instant::now() >= deadline => return Err(shared),
            Err(shared) => shared,
        };
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
#[path = "rocks_test.rs"]
mod tests;

#[cfg(test)]
#[path = "rocks_full_disk_test.rs"]
mod full_disk_tests;
