//! Whether a group is written with an fsync, and that nothing else depends on it, over the in-memory store.

use std::sync::mpsc;

use super::*;
use crate::ports::store::Family;
use crate::storage::MemoryStore;

type Outcome = (usize, Result<(), StoreError>);

fn put(key: &str) -> WriteSet {
    let mut set = WriteSet::new();
    set.put(Family::Rows, key.as_bytes(), b"v");
    set
}

fn completion(sender: &mpsc::Sender<Outcome>, number: usize) -> Completion {
    let sender = sender.clone();
    Box::new(move |result| sender.send((number, result)).unwrap())
}

fn delete(key: &str) -> WriteSet {
    let mut set = WriteSet::new();
    set.delete(Family::Rows, key.as_bytes());
    set
}

/// Writes what waits as one group, as a committer would.
fn write_group(queue: &CommitQueue, store: &MemoryStore) -> Durability {
    let group = queue.take().unwrap();
    let durability = group.durability();
    let result = group.write(store);
    group.complete(store, &result);
    durability
}

#[test]
fn a_group_of_deferred_sets_is_readable_without_an_fsync_and_safe_with_the_next_synced_one() {
    let (store, queue) = (MemoryStore::new(), CommitQueue::default());
    let (sender, outcomes) = mpsc::channel();
    for number in 0..2 {
        queue.submit(
            put(&number.to_string()),
            Durability::Deferred,
            completion(&sender, number),
        );
    }
    assert_eq!(write_group(&queue, &store), Durability::Deferred);
    let told: Vec<_> = outcomes.try_iter().collect();
    assert_eq!(told, [(0, Ok(())), (1, Ok(()))]);
    assert!(store.get(Family::Rows, b"0").unwrap().is_some());
    assert_eq!(store.deferred_writes(), 1, "one write, and no fsync");
    store.crash(0);
    assert!(store.get(Family::Rows, b"0").unwrap().is_none());

    for (key, durability) in [("a", Durability::Deferred), ("b", Durability::Synced)] {
        queue.submit(put(key), durability, completion(&sender, 2));
        assert_eq!(write_group(&queue, &store), durability);
    }
    store.crash(0);
    assert!(store.get(Family::Rows, b"a").unwrap().is_some());
}

#[test]
fn one_synced_set_makes_its_whole_group_synced_wherever_it_stands() {
    for synced in 0..3 {
        let (store, queue) = (MemoryStore::new(), CommitQueue::default());
        let (sender, outcomes) = mpsc::channel();
        for number in 0..3 {
            let durability = if number == synced {
                Durability::Synced
            } else {
                Durability::Deferred
            };
            queue.submit(put(&number.to_string()), durability, completion(&sender, number));
        }
        assert_eq!(write_group(&queue, &store), Durability::Synced);
        assert_eq!((outcomes.try_iter().count(), store.deferred_writes()), (3, 0));
        store.crash(0);
        for number in 0..3 {
            let found = store.get(Family::Rows, number.to_string().as_bytes());
            assert!(found.unwrap().is_some(), "{number} of a group synced by {synced}");
        }
    }
}

#[test]
fn sets_take_effect_in_the_order_submitted_whatever_their_durability() {
    use Durability::{Deferred, Synced};
    for durabilities in [[Deferred, Synced], [Synced, Deferred], [Deferred, Deferred]] {
        let (store, queue) = (MemoryStore::new(), CommitQueue::default());
        let (sender, outcomes) = mpsc::channel();
        queue.submit(put("k"), durabilities[0], completion(&sender, 0));
        queue.submit(delete("k"), durabilities[1], completion(&sender, 1));
        queue.submit(put("l"), durabilities[0], completion(&sender, 2));
        write_group(&queue, &store);
        let order: Vec<usize> = outcomes.try_iter().map(|(number, _)| number).collect();
        assert_eq!(order, [0, 1, 2]);
        assert!(store.get(Family::Rows, b"k").unwrap().is_none());
        assert!(store.get(Family::Rows, b"l").unwrap().is_some());
    }
}

#[test]
fn a_trim_that_is_written_without_its_group_is_written_as_it_was_asked_for() {
    for (durability, deferred) in [(Durability::Deferred, 1), (Durability::Synced, 0)] {
        let (store, queue) = (MemoryStore::new(), CommitQueue::default());
        let (sender, outcomes) = mpsc::channel();
        let mut trim = WriteSet::new();
        trim.delete_range(Family::Rows, b"a", b"b");
        queue.submit(put("a"), Durability::Synced, completion(&sender, 0));
        write_group(&queue, &store);
        store.set_full(true);
        queue.submit(put("b"), Durability::Synced, completion(&sender, 1));
        queue.submit(trim, durability, completion(&sender, 2));
        write_group(&queue, &store);
        let written: Vec<_> = outcomes.try_iter().map(|(_, result)| result.is_ok()).collect();
        assert_eq!(written, [true, false, true]);
        assert_eq!(store.deferred_writes(), deferred);
        assert!(store.get(Family::Rows, b"a").unwrap().is_none());
    }
}
