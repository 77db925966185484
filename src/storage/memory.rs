//! The store in memory, with the crash semantics of a disk: for simulation and for unit tests of what sits on the port.
//!
//! Keeps what is synced apart from what only the live process sees. [`MemoryStore::crash`] forgets the writes that were
//! not synced, but for a prefix that the caller chooses, as a disk may have written back some of them. Faults are injected
//! by the caller. Deterministic: no clock, no randomness, ordered maps.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::ports::store::{
    Durability, Family, Mutation, Page, PageBuilder, Store, StoreError, StoreView, Visit, WriteSet,
};

type Rows = BTreeMap<Bytes, Bytes>;

/// All families. The maps are shared with scans under way and with views, and copied when written to meanwhile.
#[derive(Debug, Default, Clone)]
struct Tables(BTreeMap<Family, Arc<Rows>>);

impl Tables {
    fn rows(&self, family: Family) -> Arc<Rows> {
        self.0.get(&family).cloned().unwrap_or_default()
    }

    fn apply(&mut self, sets: &[WriteSet]) {
        for (family, mutation) in sets.iter().flat_map(WriteSet::iter) {
            let rows = Arc::make_mut(self.0.entry(family).or_default());
            match mutation {
                Mutation::Put { key, value } => {
                    rows.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                }
                Mutation::Delete { key } => {
                    rows.remove(key);
                }
                Mutation::DeleteRange { from, to } if from < to => {
                    let removed: Vec<Bytes> = rows
                        .range::<[u8], _>(half_open(from, to))
                        .map(|(key, _)| key.clone())
                        .collect();
                    for key in removed {
                        rows.remove(&key);
                    }
                }
                Mutation::DeleteRange { .. } => {}
            }
        }
    }
}

/// How an injected failure leaves the write that it hits; the writer sees [`StoreError::OutcomeUnknown`] either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedWrite {
    /// It is not there after the store was reopened.
    Lost,
    /// It had reached the log, and is there after the store was reopened.
    Landed,
}

#[derive(Debug, Default)]
struct State {
    /// What reads see.
    live: Tables,
    /// What survives a loss of power.
    synced: Tables,
    /// Writes since then, in order: what is neither lost nor safe.
    deferred: Vec<Vec<WriteSet>>,
    full: bool,
    failures: Vec<FailedWrite>,
    /// A write failed: the next one reopens the store first.
    suspect: bool,
    generation: u64,
}

impl State {
    fn sync(&mut self) {
        for sets in self.deferred.drain(..) {
            self.synced.apply(&sets);
        }
    }

    /// As RocksDB does: replays the log, and keeps what it found for good.
    fn reopen(&mut self) {
        self.sync();
        self.live = self.synced.clone();
        self.suspect = false;
        self.generation += 1;
    }
}

/// A store without a disk. Clones share the data, so that a "restarted" node finds it again.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses power: of the deferred writes, the first `keep_deferred` happen to be on the disk, the others are gone. All
    /// synced ones are there. Counts as a reopening.
    pub fn crash(&self, keep_deferred: usize) {
        let mut state = self.state();
        state.deferred.truncate(keep_deferred);
        state.failures.clear();
        state.reopen();
    }

    /// How many deferred writes a crash may take or leave now.
    #[must_use]
    pub fn deferred_writes(&self) -> usize {
        self.state().deferred.len()
    }

    /// While set, writes (but for trims) are refused with [`StoreError::DiskFull`].
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// The next `count` writes fail with [`StoreError::OutcomeUnknown`]; the store then recovers as RocksDB's does.
    pub fn fail_next_writes(&self, count: usize, outcome: FailedWrite) {
        self.state().failures = vec![outcome; count];
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, so that a poisoned lock means a panic elsewhere in a test.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn half_open<'a>(from: &'a [u8], to: &'a [u8]) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (Bound::Included(from), Bound::Excluded(to))
}

fn nowhere() -> PathBuf {
    PathBuf::from("memory")
}

impl Store for MemoryStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.state().live.rows(family).get(key).cloned())
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let rows = self.state().live.rows(family);
        for (key, value) in rows.range::<[u8], _>(half_open(from, to)) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, family: Family, from: &[u8], to: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        if from >= to {
            return Ok(None);
        }
        let rows = self.state().live.rows(family);
        let last = rows.range::<[u8], _>(half_open(from, to)).next_back();
        Ok(last.map(|(key, value)| (key.clone(), value.clone())))
    }

    fn view(&self) -> Result<Box<dyn StoreView>, StoreError> {
        Ok(Box::new(MemoryView(self.state().live.clone())))
    }

    fn write(&self, sets: &[WriteSet], durability: Durability) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.full && (sets.is_empty() || !sets.iter().all(WriteSet::is_trim)) {
            return Err(StoreError::DiskFull {
                free_bytes: 0,
                reserve_bytes: 0,
                path: nowhere(),
            });
        }
        if state.suspect {
            state.reopen();
        }
        if let Some(outcome) = state.failures.pop() {
            if outcome == FailedWrite::Landed {
                state.deferred.push(sets.to_vec());
            }
            state.suspect = true;
            return Err(StoreError::OutcomeUnknown {
                path: nowhere(),
                detail: "injected failure".to_owned(),
            });
        }
        state.live.apply(sets);
        state.deferred.push(sets.to_vec());
        if durability == Durability::Synced {
            state.sync();
        }
        Ok(())
    }

    fn generation(&self) -> u64 {
        self.state().generation
    }

    fn recover(&self) -> Result<u64, StoreError> {
        let mut state = self.state();
        if state.suspect {
            if state.full {
                return Err(StoreError::DiskFull {
                    free_bytes: 0,
                    reserve_bytes: 0,
                    path: nowhere(),
                });
            }
            state.reopen();
        }
        Ok(state.generation)
    }
}

/// The maps as they were. Never ends: it pins no files.
struct MemoryView(Tables);

impl StoreView for MemoryView {
    fn get_all(&self, family: Family, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Bytes>>, StoreError> {
        let rows = self.0.rows(family);
        Ok(keys.iter().map(|key| rows.get(key.as_slice()).cloned()).collect())
    }

    fn page(&self, family: Family, from: &[u8], to: &[u8], bytes_max: usize) -> Result<Page, StoreError> {
        let mut page = PageBuilder::new(bytes_max);
        if from < to {
            let rows = self.0.rows(family);
            for (key, value) in rows.range::<[u8], _>(half_open(from, to)) {
                if page.add(key, value).is_break() {
                    break;
                }
            }
        }
        Ok(page.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::{self, Lab};

    struct MemoryLab(MemoryStore);

    impl Lab for MemoryLab {
        fn store(&self) -> &dyn Store {
            &self.0
        }

        fn reopen(&mut self) {
            self.0.crash(0);
        }
    }

    fn put(key: &[u8]) -> Vec<WriteSet> {
        let mut set = WriteSet::new();
        set.put(Family::Rows, key, b"v");
        vec![set]
    }

    fn keys(store: &MemoryStore) -> Vec<Bytes> {
        store.state().live.rows(Family::Rows).keys().cloned().collect()
    }

    #[test]
    fn the_memory_store_is_a_store() {
        conformance::check(&|| Box::new(MemoryLab(MemoryStore::new())));
    }

    #[test]
    fn a_crash_keeps_synced_writes_and_the_chosen_prefix_of_the_others() {
        let store = MemoryStore::new();
        store.write(&put(b"a"), Durability::Deferred).unwrap();
        store.write(&put(b"b"), Durability::Synced).unwrap();
        for key in [b"c", b"d", b"e"] {
            store.write(&put(key), Durability::Deferred).unwrap();
        }
        assert_eq!(store.deferred_writes(), 3);
        assert_eq!(keys(&store).len(), 5);
        store.crash(1);
        assert_eq!(keys(&store), [&b"a"[..], b"b", b"c"]);
        store.crash(0);
        assert_eq!(keys(&store), [&b"a"[..], b"b", b"c"]);
        assert_eq!(store.generation(), 2);
    }

    #[test]
    fn a_full_store_reads_and_trims_and_writes_again_when_there_is_space() {
        let store = MemoryStore::new();
        store.write(&put(b"a"), Durability::Synced).unwrap();
        store.set_full(true);
        assert!(matches!(
            store.write(&put(b"b"), Durability::Synced),
            Err(StoreError::DiskFull { .. })
        ));
        assert_eq!(keys(&store), [&b"a"[..]]);
        let mut trim = WriteSet::new();
        trim.delete_range(Family::Rows, b"a", b"b");
        store.write(&[trim], Durability::Synced).unwrap();
        store.set_full(false);
        store.write(&put(b"b"), Durability::Synced).unwrap();
        assert_eq!(keys(&store), [&b"b"[..]]);
    }

    #[test]
    fn a_write_of_unknown_outcome_becomes_known_when_the_generation_counts_on() {
        for (outcome, expected) in [(FailedWrite::Lost, 1), (FailedWrite::Landed, 2)] {
            let store = MemoryStore::new();
            store.write(&put(b"a"), Durability::Deferred).unwrap();
            store.fail_next_writes(1, outcome);
            let error = store.write(&put(b"b"), Durability::Synced).unwrap_err();
            assert!(matches!(error, StoreError::OutcomeUnknown { .. }));
            assert_eq!((store.generation(), keys(&store).len()), (0, 1));
            assert_eq!(store.recover().unwrap(), 1);
            assert_eq!(keys(&store).len(), expected);
            store.write(&put(b"c"), Durability::Synced).unwrap();
        }
    }
}
