//! What an error of RocksDB means for the store: the one place that reads its messages.
//!
//! RocksDB's errors reach us as text; the kind is its first words, the file is somewhere in it or nowhere. Every error
//! that leaves here names the data folder, and the damaged file where it can be found.

use std::path::Path;

use rocksdb::ErrorKind;

use super::wal_tail;
use crate::ports::store::StoreError;

/// For reads, and for all else that has no better rule.
pub(super) fn of_read(folder: &Path, error: &rocksdb::Error) -> StoreError {
    let detail = error.as_ref().to_owned();
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupted {
            path: folder.to_owned(),
            detail,
        },
        ErrorKind::ShutdownInProgress => StoreError::Closed,
        _ => StoreError::Engine {
            path: folder.to_owned(),
            detail,
        },
    }
}

/// For writes. Only where RocksDB refused the batch before touching the log is the outcome known.
pub(super) fn of_write(folder: &Path, error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        // Found by a compaction or a read before: RocksDB takes no more writes, and reopening would not help.
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotSupported => {
            of_read(folder, error)
        }
        _ => StoreError::OutcomeUnknown {
            path: folder.to_owned(),
            detail: error.as_ref().to_owned(),
        },
    }
}

/// For a failed open of `database` (inside `folder`).
pub(super) fn of_open(folder: &Path, database: &Path, free_bytes: u64, error: &rocksdb::Error) -> StoreError {
    let text = error.as_ref();
    if is_lock_held(text) {
        return StoreError::Engine {
            path: folder.to_owned(),
            detail: format!("it is locked; is another atoll process using it? ({text})"),
        };
    }
    if is_no_space(text) {
        return StoreError::DiskFull {
            free_bytes,
            reserve_bytes: 0,
            path: folder.to_owned(),
        };
    }
    let missing_file = text.contains("No such file or directory");
    if error.kind() == ErrorKind::Corruption || missing_file {
        return StoreError::Corrupted {
            path: folder.to_owned(),
            detail: with_file(database, text),
        };
    }
    of_read(folder, error)
}

/// Adds the damaged log file to a message that names no file: RocksDB says only `checksum mismatch` for those.
fn with_file(database: &Path, text: &str) -> String {
    if [".sst", ".log", "MANIFEST-", "CURRENT", "OPTIONS-"]
        .iter()
        .any(|part| text.contains(part))
    {
        return text.to_owned();
    }
    match wal_tail::find_damage(database) {
        Some(damage) => {
            format!(
                "{text}, in the write-ahead log {} at byte {}",
                damage.file.display(),
                damage.offset
            )
        }
        None => text.to_owned(),
    }
}

fn is_lock_held(text: &str) -> bool {
    // The first when another process holds it, the second when this one does.
    text.contains("While lock file") || text.contains("lock hold by current process")
}

fn is_no_space(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("no space left") || text.contains("disk quota exceeded") || text.contains("enospc")
}
