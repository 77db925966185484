//! Where bytes become durable: the RocksDB store, the in-memory store with crash semantics for simulation, the group
//! committer, and the identity of a data folder.
//!
//! Implements the ports of [`crate::ports::store`]. Apart from [`partition`], it knows nothing of rows, commits or
//! partitions: what the keys and values mean is the business of `wire` and `model`.

mod commit_queue;
mod committer;
pub(crate) mod crc32c;
mod disk_reserve;
mod identity;
mod memory;
pub mod partition;
mod rocks;
mod rocks_errors;
mod rocks_open;
mod rocks_options;
mod rocks_view;
pub(crate) mod torn_tail;
pub(crate) mod wal_tail;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(crate) mod rocks_test_kit;

pub use commit_queue::{CommitQueue, Group};
pub use committer::{GroupCommitter, GroupObserver, GroupReport, SilentObserver};
pub use identity::{
    ExpectedIdentity, FORMAT_VERSION, IDENTITY_KEY, Identity, IdentityError, bump_incarnation,
    check_or_create, read,
};
pub(crate) use identity::{decode as decode_identity, encode as encode_identity};
pub use memory::{FailedWrite, MemoryStore};
pub use rocks::{EngineStats, OpenReport, RocksStore};
pub use rocks_options::RocksConfig;
pub use wal_tail::TruncatedTail;
