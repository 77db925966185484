//! The committer over the in-memory store, and over one whose writes wait for the test.

use std::sync::mpsc;

use bytes::Bytes;

use super::*;
use crate::model::limits;
use crate::ports::store::{Durability, Family, StoreError, StoreView, Visit};
use crate::storage::MemoryStore;

/// Holds each write back until the test lets it go.
struct GatedStore {
    inner: MemoryStore,
    begun: Mutex<mpsc::Sender<usize>>,
    gate: Mutex<mpsc::Receiver<()>>,
}

struct Gate {
    store: Arc<GatedStore>,
    begun: mpsc::Receiver<usize>,
    open: mpsc::Sender<()>,
}

impl Gate {
    fn new() -> Self {
        let (begun_sender, begun) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        let inner = MemoryStore::new();
        let store = GatedStore {
            inner,
            begun: Mutex::new(begun_sender),
            gate: Mutex::new(gate),
        };
        Self {
            store: Arc::new(store),
            begun,
            open,
        }
    }
}

impl Store for GatedStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(family, key)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(family, from, to, visit)
    }

    fn last(&self, family: Family, from: &[u8], to: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        self.inner.last(family, from, to)
    }

    fn view(&self) -> Result<Box<dyn StoreView>, StoreError> {
        self.inner.view()
    }

    fn write(&self, sets: &[WriteSet], durability: Durability) -> Result<(), StoreError> {
        self.begun.lock().unwrap().send(sets.len()).unwrap();
        self.gate.lock().unwrap().recv().unwrap();
        self.inner.write(sets, durability)
    }
}

#[derive(Default)]
struct Reports(Mutex<Vec<GroupReport>>);

impl GroupObserver for Reports {
    fn group_finished(&self, report: &GroupReport) {
        self.0.lock().unwrap().push(*report);
    }
}

fn put(key: &str, bytes: usize) -> WriteSet {
    let mut set = WriteSet::new();
    set.put(Family::Rows, key.as_bytes(), &vec![7; bytes]);
    set
}

fn started(store: Arc<dyn Store>) -> GroupCommitter {
    GroupCommitter::start(store, Arc::new(SilentObserver)).unwrap()
}

type Outcomes = (
    mpsc::Sender<(usize, Result<(), StoreError>)>,
    mpsc::Receiver<(usize, Result<(), StoreError>)>,
);

fn completion(sender: &mpsc::Sender<(usize, Result<(), StoreError>)>, number: usize) -> Completion {
    let sender = sender.clone();
    Box::new(move |result| sender.send((number, result)).unwrap())
}

#[test]
fn what_waits_shares_one_write_and_completes_in_order() {
    let gate = Gate::new();
    let reports = Arc::new(Reports::default());
    let committer = GroupCommitter::start(gate.store.clone(), reports.clone()).unwrap();
    let (sender, outcomes): Outcomes = mpsc::channel();
    committer.submit(put("0", 1), Durability::Synced, completion(&sender, 0));
    assert_eq!(gate.begun.recv().unwrap(), 1);
    for number in 1..=5 {
        committer.submit(
            put(&number.to_string(), 1),
            Durability::Synced,
            completion(&sender, number),
        );
    }
    assert_eq!(committer.waiting(), (5, 10));
    gate.open.send(()).unwrap();
    assert_eq!(gate.begun.recv().unwrap(), 5);
    gate.open.send(()).unwrap();
    let order: Vec<usize> = outcomes
        .iter()
        .take(6)
        .map(|(number, result)| (result.unwrap(), number).1)
        .collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
    let reports = reports.0.lock().unwrap();
    assert_eq!(
        reports.iter().map(|report| report.sets).collect::<Vec<_>>(),
        [1, 5]
    );
    assert_eq!(
        (reports[1].bytes, reports[0].waiting_sets, reports[0].written),
        (10, 5, true)
    );
}

#[test]
fn a_group_ends_at_its_byte_limit() {
    let gate = Gate::new();
    let committer = started(gate.store.clone());
    let (sender, outcomes): Outcomes = mpsc::channel();
    committer.submit(put("first", 1), Durability::Synced, completion(&sender, 0));
    gate.begun.recv().unwrap();
    let half = limits::COMMIT_GROUP_BYTES_MAX / 2 - 1; // with the one byte of its key, exactly half
    for number in 1..=3 {
        committer.submit(
            put(&number.to_string(), half),
            Durability::Synced,
            completion(&sender, number),
        );
    }
    committer.submit(
        put("4", 2 * limits::COMMIT_GROUP_BYTES_MAX),
        Durability::Synced,
        completion(&sender, 4),
    );
    for expected in [2, 1, 1] {
        gate.open.send(()).unwrap();
        assert_eq!(gate.begun.recv().unwrap(), expected);
    }
    gate.open.send(()).unwrap();
    assert!(outcomes.iter().take(5).all(|(_, result)| result.is_ok()));
}

#[test]
fn a_full_queue_refuses_at_once_and_loses_nothing_that_it_took() {
    let gate = Gate::new();
    let committer = started(gate.store.clone());
    let (sender, outcomes): Outcomes = mpsc::channel();
    committer.submit(put("first", 1), Durability::Synced, completion(&sender, 0));
    gate.begun.recv().unwrap();
    for number in 1..=limits::COMMIT_QUEUE_SETS_MAX {
        committer.submit(
            put(&number.to_string(), 1),
            Durability::Synced,
            completion(&sender, number),
        );
    }
    committer.submit(
        put("over", 1),
        Durability::Synced,
        completion(&sender, usize::MAX),
    );
    let (number, result) = outcomes.recv().unwrap();
    assert_eq!(number, usize::MAX);
    assert!(matches!(
        result,
        Err(StoreError::Overloaded {
            waiting_sets: limits::COMMIT_QUEUE_SETS_MAX,
            ..
        })
    ));
    for _ in 0..2 {
        gate.open.send(()).unwrap();
    }
    assert!(
        outcomes
            .iter()
            .take(limits::COMMIT_QUEUE_SETS_MAX + 1)
            .all(|(_, result)| result.is_ok())
    );
    assert_eq!(gate.store.get(Family::Rows, b"over").unwrap(), None);
}

#[test]
fn closing_writes_what_waits_and_refuses_what_comes_later() {
    let committer = started(Arc::new(MemoryStore::new()));
    let (sender, outcomes): Outcomes = mpsc::channel();
    for number in 0..100 {
        committer.submit(
            put(&number.to_string(), 1),
            Durability::Synced,
            completion(&sender, number),
        );
    }
    committer.close();
    assert_eq!(
        outcomes.try_iter().filter(|(_, result)| result.is_ok()).count(),
        100
    );
    committer.submit(put("late", 1), Durability::Synced, completion(&sender, 100));
    assert_eq!(outcomes.recv().unwrap(), (100, Err(StoreError::Closed)));
    committer.close();
}

#[test]
fn a_failed_group_is_reported_to_all_in_it_and_the_next_goes_on() {
    let store = MemoryStore::new();
    let committer = started(Arc::new(store.clone()));
    let (sender, outcomes): Outcomes = mpsc::channel();
    store.set_full(true);
    committer.submit(put("a", 1), Durability::Synced, completion(&sender, 0));
    assert!(matches!(
        outcomes.recv().unwrap(),
        (0, Err(StoreError::DiskFull { .. }))
    ));
    store.set_full(false);
    committer.submit(put("a", 1), Durability::Synced, completion(&sender, 1));
    assert_eq!(outcomes.recv().unwrap(), (1, Ok(())));
}

#[test]
fn a_trim_is_written_although_the_disk_is_too_full_for_its_group() {
    let gate = Gate::new();
    let committer = started(gate.store.clone());
    let (sender, outcomes): Outcomes = mpsc::channel();
    committer.submit(put("old", 1), Durability::Synced, completion(&sender, 0));
    gate.begun.recv().unwrap();
    let mut trim = WriteSet::new();
    trim.delete_range(Family::Rows, b"o", b"p");
    committer.submit(put("new", 1), Durability::Synced, completion(&sender, 1));
    committer.submit(trim, Durability::Synced, completion(&sender, 2));
    gate.open.send(()).unwrap();
    assert_eq!(outcomes.recv().unwrap(), (0, Ok(())));
    gate.store.inner.set_full(true);
    for _ in 0..2 {
        gate.begun.recv().unwrap();
        gate.open.send(()).unwrap();
    }
    assert!(matches!(
        outcomes.recv().unwrap(),
        (1, Err(StoreError::DiskFull { .. }))
    ));
    assert_eq!(outcomes.recv().unwrap(), (2, Ok(())));
    assert_eq!(gate.store.get(Family::Rows, b"old").unwrap(), None);
}

#[test]
fn a_completion_that_panics_harms_nobody_else() {
    let committer = started(Arc::new(MemoryStore::new()));
    let (sender, outcomes): Outcomes = mpsc::channel();
    committer.submit(
        put("a", 1),
        Durability::Synced,
        Box::new(|_| panic!("a bug of the submitter, expected in this test")),
    );
    committer.submit(put("b", 1), Durability::Synced, completion(&sender, 1));
    assert_eq!(outcomes.recv().unwrap(), (1, Ok(())));
}

#[test]
fn a_completion_may_submit_and_may_drop_the_committer() {
    let committer = Arc::new(started(Arc::new(MemoryStore::new())));
    let (sender, outcomes): Outcomes = mpsc::channel();
    let in_completion = Arc::clone(&committer);
    let handed = Arc::new(Mutex::new(Some(in_completion)));
    let last = Arc::clone(&handed);
    committer.submit(
        put("a", 1),
        Durability::Synced,
        Box::new(move |_| {
            let committer = last.lock().unwrap().take().unwrap();
            committer.submit(put("b", 1), Durability::Synced, completion(&sender, 1));
        }),
    );
    drop(committer);
    assert_eq!(outcomes.recv().unwrap(), (1, Ok(())));
}

#[test]
fn a_group_of_the_queue_is_written_and_completed_by_whoever_takes_it() {
    let store = MemoryStore::new();
    let queue = CommitQueue::default();
    let (sender, outcomes): Outcomes = mpsc::channel();
    queue.submit(put("a", 1), Durability::Synced, completion(&sender, 0));
    queue.submit(put("b", 1), Durability::Synced, completion(&sender, 1));
    let group = queue.take().unwrap();
    assert_eq!((group.sets().len(), queue.waiting()), (2, (0, 0)));
    assert!(queue.take().is_none());
    let result = group.write(&store);
    assert!(outcomes.try_recv().is_err());
    group.complete(&store, &result);
    assert_eq!(
        outcomes.try_iter().collect::<Vec<_>>(),
        [(0, Ok(())), (1, Ok(()))]
    );
    store.crash(0);
    assert!(store.get(Family::Rows, b"b").unwrap().is_some());
}

#[test]
fn the_thread_writes_a_group_as_strictly_as_its_strictest_set() {
    let gate = Gate::new();
    let reports = Arc::new(Reports::default());
    let committer = GroupCommitter::start(gate.store.clone(), reports.clone()).unwrap();
    let (sender, outcomes): Outcomes = mpsc::channel();
    committer.submit(put("a", 1), Durability::Deferred, completion(&sender, 0));
    gate.begun.recv().unwrap();
    committer.submit(put("b", 1), Durability::Deferred, completion(&sender, 1));
    committer.submit(put("c", 1), Durability::Synced, completion(&sender, 2));
    gate.open.send(()).unwrap();
    assert_eq!(outcomes.recv().unwrap(), (0, Ok(())));
    assert_eq!(gate.store.inner.deferred_writes(), 1);
    gate.open.send(()).unwrap();
    assert_eq!(outcomes.iter().take(2).count(), 2);
    assert_eq!(gate.store.inner.deferred_writes(), 0);
    let reports = reports.0.lock().unwrap();
    let durabilities: Vec<_> = reports.iter().map(|report| report.durability).collect();
    assert_eq!(durabilities, [Durability::Deferred, Durability::Synced]);
}
