//! The store port: ordered column families with atomic, optionally durable writes.
//!
//! Implemented by RocksDB and, for simulation, by an in-memory store that forgets on a crash what was not fsynced.
//! Both pass the suite in `storage/conformance.rs`.

use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;

use crate::model::limits;

/// A column family. The names are persisted: never rename one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Identity, format version, partition states, digests, cursors.
    Meta,
    /// The partition logs, by partition and index.
    Log,
    /// Where in the log a replica's seq stands.
    LogSeqs,
    /// The rows, by partition; see `wire/keys`.
    Rows,
    /// Ordered listing index, by namespace.
    Names,
    /// Conflict ledger.
    Losers,
    /// Outcomes of writes with an idempotency key, by partition.
    Idempotency,
    /// Raft logs, votes and marks, by partition.
    Raft,
    /// Chunks of snapshots that are not installed yet, by partition.
    Staging,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Meta,
        Self::Log,
        Self::LogSeqs,
        Self::Rows,
        Self::Names,
        Self::Losers,
        Self::Idempotency,
        Self::Raft,
        Self::Staging,
    ];

    /// The persisted name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Log => "log",
            Self::LogSeqs => "log_seqs",
            Self::Rows => "rows",
            Self::Names => "names",
            Self::Losers => "losers",
            Self::Idempotency => "idempotency",
            Self::Raft => "raft",
            Self::Staging => "staging",
        }
    }
}

/// One change to one family, as a view into a [`WriteSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation<'a> {
    /// Sets a key.
    Put {
        /// The key.
        key: &'a [u8],
        /// Its new value.
        value: &'a [u8],
    },
    /// Removes a key if it is there.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// Removes all keys `from <= key < to`; none if `from >= to`.
    DeleteRange {
        /// First key removed.
        from: &'a [u8],
        /// First key kept.
        to: &'a [u8],
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Put,
    Delete,
    DeleteRange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Operation {
    family: Family,
    kind: Kind,
    start: usize,
    middle: usize,
    end: usize,
}

/// Mutations that take effect together or not at all, in order. Kept in one buffer: a commit touches half a dozen keys.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct WriteSet {
    operations: Vec<Operation>,
    buffer: Vec<u8>,
}

impl WriteSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.push(family, Kind::Put, key, value);
    }

    /// Removes `key`.
    pub fn delete(&mut self, family: Family, key: &[u8]) {
        self.push(family, Kind::Delete, key, &[]);
    }

    /// Removes all keys `from <= key < to`.
    pub fn delete_range(&mut self, family: Family, from: &[u8], to: &[u8]) {
        self.push(family, Kind::DeleteRange, from, to);
    }

    /// Adds the mutations of another set behind those of this one.
    pub fn append(&mut self, other: Self) {
        let offset = self.buffer.len();
        self.buffer.extend_from_slice(&other.buffer);
        let moved = other.operations.into_iter().map(|operation| Operation {
            start: operation.start + offset,
            middle: operation.middle + offset,
            end: operation.end + offset,
            ..operation
        });
        self.operations.extend(moved);
    }

    fn push(&mut self, family: Family, kind: Kind, first: &[u8], second: &[u8]) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(first);
        let middle = self.buffer.len();
        self.buffer.extend_from_slice(second);
        self.operations.push(Operation {
            family,
            kind,
            start,
            middle,
            end: self.buffer.len(),
        });
    }

    /// The mutations in order.
    pub fn iter(&self) -> impl Iterator<Item = (Family, Mutation<'_>)> {
        self.operations.iter().map(|operation| {
            let first = &self.buffer[operation.start..operation.middle];
            let second = &self.buffer[operation.middle..operation.end];
            let mutation = match operation.kind {
                Kind::Put => Mutation::Put {
                    key: first,
                    value: second,
                },
                Kind::Delete => Mutation::Delete { key: first },
                Kind::DeleteRange => Mutation::DeleteRange {
                    from: first,
                    to: second,
                },
            };
            (operation.family, mutation)
        })
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether this set gives space back: it removes a range and is small. Such a set is let through below the disk
    /// reserve (down to half of it); else a log that filled the disk could never be trimmed.
    #[must_use]
    pub fn is_trim(&self) -> bool {
        self.size_bytes() <= limits::TRIM_BYTES_MAX
            && self
                .operations
                .iter()
                .any(|operation| matches!(operation.kind, Kind::DeleteRange))
    }
}

/// When a write must be safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before `write` returns: it survives power loss.
    Synced,
    /// With the next synced write, or never if the machine stops before (it survives a crash of the process alone). What
    /// is lost is always the end of what was written: a deferred write is there only if all before it are.
    Deferred,
}

impl Durability {
    /// What serves both: one fsync for whoever needs it, none where nobody does.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Deferred, Self::Deferred) => Self::Deferred,
            (Self::Synced, _) | (_, Self::Synced) => Self::Synced,
        }
    }
}

/// Why the store did not do it.
///
/// `Clone`, because one failed group is reported to every set in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the reserve that is kept free on it, is used up. Nothing was written.
    #[error(
        "disk full: {free_bytes} bytes are free and {reserve_bytes} are kept in reserve; free space on the volume of {path}, writes then go on by themselves"
    )]
    DiskFull {
        /// Free on the volume.
        free_bytes: u64,
        /// Kept free by configuration.
        reserve_bytes: u64,
        /// The data folder.
        path: PathBuf,
    },
    /// Stored bytes are not what was written. Names the file where the engine tells it.
    #[error(
        "corrupted data in {path}: {detail}; restore this node from a backup or re-create its region from a peer"
    )]
    Corrupted {
        /// The data folder.
        path: PathBuf,
        /// What the engine found, with the file's name.
        detail: String,
    },
    /// A write failed half-way: whether it is there is known only after the store was reopened, which shows in
    /// [`Store::generation`]. Call [`Store::recover`] until it succeeds, then load again what depends on the write.
    #[error("a write to {path} failed and its outcome is unknown: {detail}")]
    OutcomeUnknown {
        /// The data folder.
        path: PathBuf,
        /// What the engine said.
        detail: String,
    },
    /// A write failed before, and the store was not reopened yet. Nothing was written.
    #[error(
        "the store in {path} must be reopened after a failed write ({detail}); nothing was written, try again in a second"
    )]
    Recovering {
        /// The data folder.
        path: PathBuf,
        /// What keeps it from being reopened now.
        detail: &'static str,
    },
    /// Any other failure of the engine or the file system.
    #[error("the store in {path} failed: {detail}")]
    Engine {
        /// The data folder.
        path: PathBuf,
        /// What the engine said.
        detail: String,
    },
    /// More writes wait than the committer's queue takes. Nothing was written.
    #[error(
        "the write queue is full: {waiting_sets} write sets of {waiting_bytes} bytes wait; try again later"
    )]
    Overloaded {
        /// Write sets that wait.
        waiting_sets: usize,
        /// Their bytes.
        waiting_bytes: usize,
    },
    /// As many views are open as may be.
    #[error("{open} views of the store are open, which is as many as may be; try again when one has ended")]
    TooManyViews {
        /// How many.
        open: usize,
    },
    /// A view was open for too long, or the store was reopened behind it.
    #[error(
        "the view of the store has ended: it was open for too long, or the store was reopened; open another one"
    )]
    ViewEnded,
    /// The store was closed while the call was under way.
    #[error("the store is closed")]
    Closed,
}

/// Sees each key and value of a scan; breaks to end it.
pub type Visit<'a> = &'a mut (dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a);

/// What a view gives of a range at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Keys in byte order, with their values.
    pub entries: Vec<(Bytes, Bytes)>,
    /// Whether the range ends with them. If not, it goes on behind the last key.
    pub is_last: bool,
}

/// A store as of one moment, for reads that take longer than one scan. All methods may block on the disk.
///
/// What is removed meanwhile stays on the disk as long as a view is open. Stores may therefore end one on their own, and
/// have few of them at a time: [`StoreError::ViewEnded`], [`StoreError::TooManyViews`].
pub trait StoreView: Send {
    /// The values of the keys, in the order of these.
    ///
    /// # Errors
    /// [`StoreError::ViewEnded`], and as [`Store::get`].
    fn get_all(&self, family: Family, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// The first of the keys `from <= key < to`: as many as have up to `bytes_max` bytes with their values, but one at least
    /// if there is one.
    ///
    /// # Errors
    /// As [`StoreView::get_all`].
    fn page(&self, family: Family, from: &[u8], to: &[u8], bytes_max: usize) -> Result<Page, StoreError>;
}

/// Gathers a [`Page`].
#[derive(Debug)]
pub(crate) struct PageBuilder {
    page: Page,
    bytes: usize,
    bytes_max: usize,
}

impl PageBuilder {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let page = Page {
            entries: Vec::new(),
            is_last: true,
        };
        Self {
            page,
            bytes: 0,
            bytes_max,
        }
    }

    /// Breaks when the page has no room for the key.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> ControlFlow<()> {
        self.bytes += key.len() + value.len();
        // `>`: what fits exactly still does.
        if self.bytes > self.bytes_max && !self.page.entries.is_empty() {
            self.page.is_last = false;
            return ControlFlow::Break(());
        }
        let entry = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        self.page.entries.push(entry);
        ControlFlow::Continue(())
    }

    pub(crate) fn finish(self) -> Page {
        self.page
    }
}

/// Ordered keys and values in families.
///
/// A read sees every write that returned before it began. All methods may block on the disk.
pub trait Store: Send + Sync + 'static {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`StoreError::Corrupted`] and [`StoreError::Engine`].
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Visits the keys `from <= key < to` in byte order, in one consistent view, until `visit` breaks. `visit` may
    /// use the store.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError>;

    /// The last of the keys `from <= key < to`, with its value.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn last(&self, family: Family, from: &[u8], to: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError>;

    /// The store as it is now: every write that has returned is in the view, and none that begins later.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`], and as [`Store::get`].
    fn view(&self) -> Result<Box<dyn StoreView>, StoreError>;

    /// Applies the sets in order, all atomically.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] when nothing was written; [`StoreError::OutcomeUnknown`] when that cannot be told.
    fn write(&self, sets: &[WriteSet], durability: Durability) -> Result<(), StoreError>;

    /// Whether writes would be taken now, as far as can be told without writing.
    ///
    /// # Errors
    /// Why they would not.
    fn check_writable(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Counts how often the store was reopened behind its users' backs after a failed write. When it changes, writes
    /// whose outcome was unknown have become known: state derived from the store must be loaded again.
    fn generation(&self) -> u64 {
        0
    }

    /// Makes the store usable again after [`StoreError::OutcomeUnknown`], if it is not yet, and gives the
    /// generation. Cheap when there is nothing to do. Later writes do the same by themselves.
    ///
    /// # Errors
    /// When it cannot be reopened now; nothing is lost, call again later.
    fn recover(&self) -> Result<u64, StoreError> {
        Ok(self.generation())
    }
}

/// What happened to a submitted write; called exactly once, on the committer's thread (on the submitter's where it is
/// refused at once): it must not block.
pub type Completion = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The group committer: many partitions hand in write sets, all that wait share one fsync, if any of them needs it.
pub trait Committer: Send + Sync + 'static {
    /// Queues `set` to be written, then calls `done`: with `Ok` after the fsync where the set is [`Durability::Synced`].
    /// [`Durability::Deferred`] is for rows that are applied again from a log after a crash: with `Ok` they can be read, and
    /// the next synced set makes them durable. Does not block; a full queue calls `done` with an error. Sets of one caller
    /// take effect in the order submitted, whatever their durability.
    fn submit(&self, set: WriteSet, durability: Durability, done: Completion);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_set_gives_back_what_was_put_in() {
        let mut set = WriteSet::new();
        assert!(set.is_empty());
        set.put(Family::Rows, b"k", b"v");
        set.delete(Family::Names, b"n");
        set.delete_range(Family::Log, b"a", b"b");
        let all: Vec<_> = set.iter().collect();
        assert_eq!(
            all,
            [
                (
                    Family::Rows,
                    Mutation::Put {
                        key: b"k",
                        value: b"v"
                    }
                ),
                (Family::Names, Mutation::Delete { key: b"n" }),
                (Family::Log, Mutation::DeleteRange { from: b"a", to: b"b" }),
            ]
        );
        assert_eq!(set.size_bytes(), 5);
    }

    #[test]
    fn one_that_needs_an_fsync_is_enough() {
        use Durability::{Deferred, Synced};
        assert_eq!(Deferred.stricter(Deferred), Deferred);
        for (one, other) in [(Synced, Deferred), (Deferred, Synced), (Synced, Synced)] {
            assert_eq!(one.stricter(other), Synced);
        }
    }

    #[test]
    fn an_appended_set_comes_after_what_was_there() {
        let (mut set, mut other) = (WriteSet::new(), WriteSet::new());
        set.put(Family::Rows, b"k", b"v");
        other.put(Family::Meta, b"key", b"");
        other.delete(Family::Names, b"n");
        set.append(other);
        let all: Vec<_> = set.iter().collect();
        let expected = [
            (
                Family::Rows,
                Mutation::Put {
                    key: b"k",
                    value: b"v",
                },
            ),
            (
                Family::Meta,
                Mutation::Put {
                    key: b"key",
                    value: b"",
                },
            ),
            (Family::Names, Mutation::Delete { key: b"n" }),
        ];
        assert_eq!(all, expected);
    }
}
