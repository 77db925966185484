//! A group's log on both stores: what survives, what is reported when, and what is refused.

use std::error::Error;

use bytes::Bytes;
use futures_util::FutureExt;
use openraft::storage::RaftLogStorageExt;
use tokio::task::JoinSet;

use super::*;
use crate::agreement::log_test_kit::{
    Machine, PARTITION, all, ends, entries, entry, entry_of, id, log_on, node,
};
use crate::ports::store::Completion;
use crate::storage::{CommitQueue, FailedWrite, MemoryStore};

/// All that an error says, with its sources.
fn text(error: &StorageError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn entries_vote_and_purge_mark_survive_a_crash() {
    for machine in Machine::on_both() {
        let mut log = machine.log(PARTITION);
        assert_eq!(ends(&mut log).await, (None, None));
        assert_eq!(log.read_vote().await.unwrap(), None);
        log.blocking_append(entries(1, 0..10)).await.unwrap();
        log.purge(id(1, 3)).await.unwrap();
        log.truncate(id(1, 8)).await.unwrap();
        log.blocking_append(entries(2, 8..9)).await.unwrap();
        let vote = Vote::new_committed(3, node("n2"));
        log.save_vote(&vote).await.unwrap();

        let machine = machine.crash();
        let mut log = machine.log(PARTITION);
        assert_eq!(log.read_vote().await.unwrap(), Some(vote));
        assert_eq!(ends(&mut log).await, (Some(id(1, 3)), Some(id(2, 8))));
        let expected = [entries(1, 4..8), entries(2, 8..9)].concat();
        assert_eq!(all(&mut log).await, expected);
    }
}

#[tokio::test]
async fn an_entry_is_reported_after_its_sync_and_readable_when_it_is_written() {
    let memory = MemoryStore::new();
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    let queue = Arc::new(CommitQueue::default());
    let committer: Arc<dyn Committer> = queue.clone();
    let mut log = log_on(PARTITION, &store, &committer);
    let mut reader = log_on(PARTITION, &store, &committer);

    let mut append = Box::pin(log.blocking_append(entries(1, 0..2)));
    assert!((&mut append).now_or_never().is_none());
    let group = queue.take().unwrap();
    assert_eq!(group.durability(), Durability::Synced);
    assert!(all(&mut reader).await.is_empty());
    assert!((&mut append).now_or_never().is_none());
    let result = group.write(store.as_ref());
    assert_eq!(memory.deferred_writes(), 0);
    assert_eq!(all(&mut reader).await, entries(1, 0..2));
    assert!(
        (&mut append).now_or_never().is_none(),
        "the committer has not said so"
    );
    group.complete(store.as_ref(), &result);
    append.await.unwrap();
    memory.crash(0);
    assert_eq!(all(&mut reader).await, entries(1, 0..2));
}

#[tokio::test]
async fn what_was_just_written_is_read_from_memory_and_what_was_cut_off_is_not() {
    let machine = Machine::in_memory(&MemoryStore::new());
    let (mut log, mut other) = (machine.log(PARTITION), machine.log(PARTITION));
    log.blocking_append(entries(1, 0..6)).await.unwrap();
    let mut reader = log.get_log_reader().await;
    // Behind the back of the first one.
    other.truncate(id(1, 0)).await.unwrap();
    assert!(other.try_get_log_entries(0..6).await.unwrap().is_empty());
    assert_eq!(log.try_get_log_entries(1..6).await.unwrap(), entries(1, 1..6));
    assert_eq!(
        reader.limited_get_log_entries(4, 6).await.unwrap(),
        entries(1, 4..6)
    );

    log.purge(id(1, 1)).await.unwrap();
    log.truncate(id(1, 4)).await.unwrap();
    assert!(log.try_get_log_entries(3..5).await.unwrap().is_empty());
    assert!(reader.limited_get_log_entries(1, 3).await.unwrap().is_empty());
    assert_eq!(log.try_get_log_entries(2..4).await.unwrap(), entries(1, 2..4));
    log.blocking_append(entries(2, 4..5)).await.unwrap();
    let expected = [entries(1, 3..4), entries(2, 4..5)].concat();
    assert_eq!(reader.limited_get_log_entries(3, 5).await.unwrap(), expected);
}

/// Reports what no sync has made safe.
struct LyingCommitter(MemoryStore);

impl Committer for LyingCommitter {
    fn submit(&self, set: WriteSet, _: Durability, done: Completion) {
        done(self.0.write(&[set], Durability::Deferred));
    }
}

#[tokio::test]
async fn a_committer_that_reports_before_the_sync_is_found_out_by_a_crash() {
    let memory = MemoryStore::new();
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    let committer: Arc<dyn Committer> = Arc::new(LyingCommitter(memory.clone()));
    let mut log = log_on(PARTITION, &store, &committer);
    log.blocking_append(entries(1, 0..2)).await.unwrap();
    log.save_vote(&Vote::new(1, node("n1"))).await.unwrap();
    memory.crash(0);
    assert!(all(&mut log).await.is_empty());
    assert_eq!(log.read_vote().await.unwrap(), None);
}

#[tokio::test]
async fn truncations_and_purges_cost_no_fsync_and_are_safe_with_the_next_entry_or_vote() {
    for is_carried in [false, true] {
        let memory = MemoryStore::new();
        let machine = Machine::in_memory(&memory);
        let mut log = machine.log(PARTITION);
        log.blocking_append(entries(1, 0..6)).await.unwrap();
        log.purge(id(1, 1)).await.unwrap();
        log.truncate(id(1, 4)).await.unwrap();
        assert_eq!(memory.deferred_writes(), 2);
        assert_eq!(all(&mut log).await, entries(1, 2..4));
        if is_carried {
            log.save_vote(&Vote::new(2, node("n2"))).await.unwrap();
        }
        let machine = machine.crash();
        let mut log = machine.log(PARTITION);
        let (left, purged) = if is_carried {
            (entries(1, 2..4), Some(id(1, 1)))
        } else {
            (entries(1, 0..6), None)
        };
        assert_eq!(all(&mut log).await, left);
        assert_eq!(ends(&mut log).await.0, purged);
    }
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_not_reported_as_made_and_other_groups_go_on() {
    for (outcome, left) in [(FailedWrite::Lost, 0), (FailedWrite::Landed, 2)] {
        let memory = MemoryStore::new();
        let machine = Machine::in_memory(&memory);
        let (mut log, mut other) = (machine.log(PARTITION), machine.log(PartitionId(4)));
        memory.fail_next_writes(1, outcome);
        let error = log.blocking_append(entries(1, 0..2)).await.unwrap_err();
        assert!(
            text(&error).contains("its outcome is unknown"),
            "{}",
            text(&error)
        );
        memory.recover().unwrap();
        assert_eq!(all(&mut log).await.len(), left);
        other.blocking_append(entries(1, 0..3)).await.unwrap();

        memory.fail_next_writes(1, outcome);
        let error = log.save_vote(&Vote::new(1, node("n1"))).await.unwrap_err();
        assert!(
            text(&error).contains("its outcome is unknown"),
            "{}",
            text(&error)
        );
        memory.recover().unwrap();
        assert_eq!(log.read_vote().await.unwrap().is_some(), left > 0);
        assert_eq!(all(&mut other).await.len(), 3);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_entries_and_votes_but_neither_purges_nor_truncations() {
    let memory = MemoryStore::new();
    let machine = Machine::in_memory(&memory);
    let mut log = machine.log(PARTITION);
    log.blocking_append(entries(1, 0..10)).await.unwrap();
    memory.set_full(true);
    let error = log.blocking_append(entries(1, 10..11)).await.unwrap_err();
    assert!(text(&error).contains("disk full"), "{}", text(&error));
    assert!(log.save_vote(&Vote::new(1, node("n1"))).await.is_err());
    log.purge(id(1, 4)).await.unwrap();
    log.truncate(id(1, 8)).await.unwrap();
    assert_eq!(all(&mut log).await, entries(1, 5..8));
    memory.set_full(false);
    log.blocking_append(entries(1, 8..9)).await.unwrap();
    assert_eq!(all(&mut log).await, entries(1, 5..9));
}

#[tokio::test]
async fn what_is_submitted_to_a_closed_committer_is_refused() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let queue = CommitQueue::default();
    queue.close();
    let mut log = log_on(PARTITION, &store, &(Arc::new(queue) as Arc<dyn Committer>));
    let error = log.blocking_append(entries(1, 0..1)).await.unwrap_err();
    assert!(text(&error).contains("closed"), "{}", text(&error));
    let error = log.purge(id(1, 1)).await.unwrap_err();
    assert!(text(&error).contains("closed"), "{}", text(&error));
}

#[tokio::test]
async fn a_purge_may_go_beyond_all_entries_and_never_goes_back() {
    for machine in Machine::on_both() {
        let mut log = machine.log(PARTITION);
        log.blocking_append(entries(1, 0..5)).await.unwrap();
        // As after a snapshot was installed.
        log.purge(id(4, 20)).await.unwrap();
        assert_eq!(ends(&mut log).await, (Some(id(4, 20)), Some(id(4, 20))));
        assert!(all(&mut log).await.is_empty());
        log.purge(id(1, 7)).await.unwrap();
        log.purge(id(4, 20)).await.unwrap();
        assert_eq!(ends(&mut log).await, (Some(id(4, 20)), Some(id(4, 20))));
        log.blocking_append(entries(4, 21..24)).await.unwrap();
        log.purge(id(4, 21)).await.unwrap();
        assert_eq!(ends(&mut log).await, (Some(id(4, 21)), Some(id(4, 23))));
        let machine = machine.crash();
        let mut log = machine.log(PARTITION);
        assert_eq!(all(&mut log).await.last(), Some(&entry(4, 23)));
    }
}

#[tokio::test]
async fn ranges_of_every_shape_are_read() {
    for machine in Machine::on_both() {
        let mut log = machine.log(PARTITION);
        log.blocking_append(entries(1, 0..10)).await.unwrap();
        let excluded = (Bound::Excluded(7), Bound::Unbounded);
        assert_eq!(
            log.try_get_log_entries(excluded).await.unwrap(),
            entries(1, 8..10)
        );
        assert_eq!(log.try_get_log_entries(3..=5).await.unwrap(), entries(1, 3..6));
        assert_eq!(log.try_get_log_entries(..2).await.unwrap(), entries(1, 0..2));
        assert_eq!(log.try_get_log_entries(8..99).await.unwrap(), entries(1, 8..10));
        assert!(log.try_get_log_entries(5..5).await.unwrap().is_empty());
        assert!(log.try_get_log_entries(10..).await.unwrap().is_empty());
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        let inverted = log.try_get_log_entries(5..3).await.unwrap();
        assert!(inverted.is_empty());
    }
}

#[tokio::test]
async fn one_message_to_a_follower_carries_a_bounded_number_of_bytes_and_one_entry_at_least() {
    for machine in Machine::on_both() {
        let mut log = machine.log(PARTITION);
        let third = Bytes::from(vec![7; limits::RAFT_READ_BYTES_MAX / 3 - 100]);
        let large = Bytes::from(vec![8; limits::RAFT_READ_BYTES_MAX + 1]);
        let mut written: Vec<_> = (0..5).map(|index| entry_of(1, index, third.clone())).collect();
        written.push(entry_of(1, 5, large));
        written.push(entry(1, 6));
        log.blocking_append(written.clone()).await.unwrap();
        let mut reader = log.get_log_reader().await;
        assert_eq!(reader.limited_get_log_entries(0, 7).await.unwrap(), written[0..3]);
        assert_eq!(reader.limited_get_log_entries(1, 2).await.unwrap(), written[1..2]);
        assert_eq!(reader.limited_get_log_entries(3, 7).await.unwrap(), written[3..5]);
        assert_eq!(reader.limited_get_log_entries(5, 7).await.unwrap(), written[5..6]);
        assert!(reader.limited_get_log_entries(3, 3).await.unwrap().is_empty());
        assert_eq!(log.try_get_log_entries(0..7).await.unwrap(), written);
    }
}

#[tokio::test]
async fn what_is_damaged_is_an_error_and_not_a_hole() {
    let memory = MemoryStore::new();
    let machine = Machine::in_memory(&memory);
    let mut log = machine.log(PARTITION);
    log.blocking_append(entries(1, 0..3)).await.unwrap();
    let key = RaftEntryKey {
        partition: PARTITION,
        index: RaftIndex(2),
    };
    let other = encode_entry(&entry(1, 1).into());
    for (damage, expected) in [
        (&b"\x01"[..], "a raft entry cannot be decoded"),
        (&other, "entry 1 stands at 2"),
    ] {
        let mut set = WriteSet::new();
        set.put(Family::Raft, &key.encode(), damage);
        memory.write(&[set], Durability::Synced).unwrap();
        let error = log.try_get_log_entries(0..3).await.unwrap_err();
        assert!(text(&error).contains(expected), "{}", text(&error));
        assert!(log.limited_get_log_entries(0, 3).await.is_err());
        assert!(log.get_log_state().await.is_err());
        assert_eq!(log.try_get_log_entries(0..2).await.unwrap(), entries(1, 0..2));
    }
    let mut set = WriteSet::new();
    set.put(Family::Raft, &raft::vote(PARTITION), b"");
    set.put(Family::Raft, &raft::purged(PARTITION), b"");
    memory.write(&[set], Durability::Synced).unwrap();
    assert!(log.read_vote().await.is_err());
    assert!(log.purge(id(1, 1)).await.is_err());
}

const PARTITIONS: u16 = 64;

/// What a partition's log is to hold at the end.
fn expected_of(partition: u16) -> (Option<LogId>, Vec<Entry>) {
    let term = u64::from(partition) + 1;
    match partition % 3 {
        0 => (None, entries(term, 0..1000)),
        1 => (Some(id(term, 499)), entries(term, 500..1000)),
        _ => (
            None,
            [entries(term, 0..900), entries(term + 1, 900..950)].concat(),
        ),
    }
}

async fn fill(mut log: GroupLog, partition: u16) {
    let term = u64::from(partition) + 1;
    for batch in 0..100 {
        let batch = entries(term, batch * 10..batch * 10 + 10);
        log.blocking_append(batch).await.unwrap();
    }
    match partition % 3 {
        0 => {}
        1 => log.purge(id(term, 499)).await.unwrap(),
        _ => {
            log.truncate(id(term, 900)).await.unwrap();
            log.blocking_append(entries(term + 1, 900..950)).await.unwrap();
        }
    }
    log.save_vote(&Vote::new(term, node("n1"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_groups_share_a_committer_and_touch_nothing_of_each_other() {
    for machine in Machine::on_both() {
        let mut groups = JoinSet::new();
        for partition in 0..PARTITIONS {
            groups.spawn(fill(machine.log(PartitionId(partition)), partition));
        }
        while let Some(ended) = groups.join_next().await {
            ended.unwrap();
        }
        let machine = machine.crash();
        for partition in 0..PARTITIONS {
            let mut log = machine.log(PartitionId(partition));
            let (purged, left) = expected_of(partition);
            assert_eq!(ends(&mut log).await.0, purged, "{partition}");
            assert!(all(&mut log).await == left, "{partition}");
            let vote = log.read_vote().await.unwrap().unwrap();
            assert_eq!(vote.leader_id.term, u64::from(partition) + 1);
        }
    }
}
