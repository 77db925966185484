//! A partition on disk: its rows as the model reads them, and groups of commits as one atomic write.
//!
//! Invariant 2: log entries, rows, listing index, ledger, digest leaves and `applied_index` of a group are in the same
//! write set; after a crash all of them are there or none.

mod group;
mod load;
mod log;
mod outcomes;
mod rows;
mod snapshot_install;
mod snapshot_receiver;
mod snapshot_source;
mod snapshot_stream;
#[cfg(test)]
mod snapshot_test_kit;

pub use group::{GroupBuilder, GroupError, SealedGroup};
pub use load::{LoadError, LoadedPartition, load};
pub use log::{LogEntry, commits_from, entries_from, marks_from};
pub use outcomes::expired_outcomes;
pub use rows::{ReadError, StoredRows};
pub use snapshot_install::{finish_install, finish_installs};
pub use snapshot_receiver::{Installed, SnapshotError, SnapshotReceiver, Taken, discard as discard_snapshot};
pub use snapshot_source::{SentChunk, SnapshotSource, SourceError};
pub use snapshot_stream::{Contradiction, Place};
