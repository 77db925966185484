//! Opens the database of a data folder: what must be true before RocksDB may touch it, and what is reported after.
//!
//! Invariant 13: nothing is created over data. RocksDB would take a folder that lost its `CURRENT` for a new one.

use std::fs;
use std::path::{Path, PathBuf};

use rocksdb::DB;

use super::disk_reserve::DiskReserve;
use super::rocks_errors;
use super::rocks_options::Resources;
use super::wal_tail::{self, TruncatedTail, WalTail};
use crate::ports::store::StoreError;

pub(super) fn database_folder(folder: &Path) -> PathBuf {
    folder.join("db")
}

/// Creates the folders, durably: RocksDB syncs what is inside its own, not the entries that lead there.
fn create_folders(folder: &Path, database: &Path) -> Result<(), StoreError> {
    if database.is_dir() {
        return Ok(());
    }
    let failed = |error: std::io::Error| StoreError::Engine {
        path: folder.to_owned(),
        detail: format!("cannot create {}: {error}", database.display()),
    };
    fs::create_dir_all(database).map_err(failed)?;
    for parent in [Some(folder), folder.parent()].into_iter().flatten() {
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        fs::File::open(parent)
            .and_then(|handle| handle.sync_all())
            .map_err(failed)?;
    }
    Ok(())
}

/// RocksDB takes a folder without `CURRENT` for a new one, and would then delete the tables in it as left-overs.
fn refuse_lost_current(folder: &Path, database: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(database).map_err(|error| StoreError::Engine {
        path: folder.to_owned(),
        detail: format!("cannot list {}: {error}", database.display()),
    })?;
    let holds_data = |path: &Path| has_extension(path, "sst") || has_extension(path, "log");
    match entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| holds_data(path))
    {
        Some(orphan) => Err(StoreError::Corrupted {
            path: folder.to_owned(),
            detail: format!(
                "{} is missing although {} is there",
                database.join("CURRENT").display(),
                orphan.display()
            ),
        }),
        None => Ok(()),
    }
}

/// What an open database comes with.
pub(super) struct Opened {
    pub(super) engine: DB,
    pub(super) truncated_tail: Option<TruncatedTail>,
    pub(super) created: bool,
}

/// Opens the database in the data folder, and creates it if there is none. A torn end of its log is told before it is
/// gone.
pub(super) fn open(
    folder: &Path,
    resources: &Resources,
    reserve: &DiskReserve,
    note_torn_tail: impl FnOnce(&TruncatedTail) -> Result<(), StoreError>,
) -> Result<Opened, StoreError> {
    let database = database_folder(folder);
    create_folders(folder, &database)?;
    let created = !database.join("CURRENT").exists();
    if created {
        refuse_lost_current(folder, &database)?;
    }
    let truncated_tail = inspect_log(folder, &database)?;
    // Before RocksDB touches the log: afterwards nothing tells of it.
    truncated_tail.as_ref().map(note_torn_tail).transpose()?;
    let failed = |error: rocksdb::Error| {
        // The reading only tells how full the disk is; the error itself is known without it.
        rocks_errors::of_open(folder, &database, reserve.free_bytes().unwrap_or(0), &error)
    };
    let options = resources.database();
    let existing = if created {
        Vec::new()
    } else {
        DB::list_cf(&options, &database).map_err(failed)?
    };
    let engine =
        DB::open_cf_descriptors(&options, &database, resources.families(&existing)).map_err(failed)?;
    if let Some(tail) = &truncated_tail {
        tracing::warn!(
            file = %tail.file.display(),
            bytes = tail.bytes,
            "the write-ahead log ended inside a record, which was dropped: a write that was under way at the crash and \
             never acknowledged; if nothing crashed, the disk has lost data that it had reported as durable"
        );
    }
    Ok(Opened {
        engine,
        truncated_tail,
        created,
    })
}

/// Opens the database without writing a byte, so that reads go on while it cannot be opened properly.
pub(super) fn open_read_only(folder: &Path, resources: &Resources) -> Result<DB, rocksdb::Error> {
    let database = database_folder(folder);
    let options = resources.database();
    let families = resources.families(&DB::list_cf(&options, &database)?);
    DB::open_cf_descriptors_read_only(&options, &database, families, false)
}

/// What reopening may write, in bytes: what the logs hold becomes tables, with new logs and a new manifest beside them.
pub(super) fn reopening_bytes(folder: &Path) -> u64 {
    const NEW_FILES_BYTES: u64 = 4 * 1024 * 1024;
    let entries = fs::read_dir(database_folder(folder))
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let logs = entries.filter(|entry| has_extension(&entry.path(), "log"));
    NEW_FILES_BYTES
        + logs
            .filter_map(|log| log.metadata().ok())
            .map(|metadata| metadata.len())
            .sum::<u64>()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn inspect_log(folder: &Path, database: &Path) -> Result<Option<TruncatedTail>, StoreError> {
    let tail = wal_tail::inspect(database).map_err(|error| StoreError::Engine {
        path: folder.to_owned(),
        detail: format!("cannot read the write-ahead log: {error}"),
    })?;
    match tail {
        WalTail::Whole => Ok(None),
        WalTail::Truncated(tail) => Ok(Some(tail)),
        WalTail::Damaged(damage) => Err(StoreError::Corrupted {
            path: folder.to_owned(),
            detail: format!(
                "the write-ahead log {} has a damaged record at byte {} with intact ones behind it",
                damage.file.display(),
                damage.offset
            ),
        }),
    }
}
