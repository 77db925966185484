//! Snapshots from one store to another: what comes over, what does not show, what is refused, and crashes at every write.

use proptest::prelude::*;

use super::*;
use crate::model::digest::RowHasher;
use crate::model::hlc::WallTime;
use crate::storage::MemoryStore;
use crate::storage::partition::snapshot_test_kit::{
    Keys, NEIGHBOURS, PARTITION, SNAPSHOT, Step, StoppingStore, all_chunks, any_steps, copy_of, everything,
    fill, large, parts_of, place, put, take_all,
};
use crate::storage::partition::{LoadedPartition, SnapshotSource, finish_installs, load};
use crate::storage::rocks_test_kit::{killed_copy, open};
use crate::wire::snapshot::{Section, encode_chunk, push_record};

fn loaded(store: &dyn Store) -> LoadedPartition {
    load(store, PARTITION, &RowHasher::default(), WallTime::default()).unwrap()
}

fn source_of(store: &dyn Store, chunk_bytes: usize) -> SnapshotSource {
    SnapshotSource::open_with(store, PARTITION, SNAPSHOT, chunk_bytes).unwrap()
}

fn chunks_of(store: &dyn Store) -> Vec<bytes::Bytes> {
    all_chunks(&mut SnapshotSource::open(store, PARTITION, SNAPSHOT).unwrap())
}

fn begin(store: &Arc<dyn Store>) -> SnapshotReceiver {
    SnapshotReceiver::begin(Arc::clone(store), place(), SNAPSHOT).unwrap()
}

fn install_on(store: &Arc<dyn Store>, chunks: &[bytes::Bytes]) -> Result<Installed, SnapshotError> {
    let mut receiver = SnapshotReceiver::begin(Arc::clone(store), place(), SNAPSHOT)?;
    take_all(&mut receiver, chunks)?;
    receiver.finish()
}

/// The partition is that of the source, and the rest as it was.
fn check_installed(source: &dyn Store, target: &dyn Store, rest_before: &Keys) {
    let (expected, _) = parts_of(source);
    let (found, rest) = parts_of(target);
    assert!(found == expected, "the partition is not that of the source");
    assert!(rest == *rest_before, "something else has changed");
    let (one, other) = (loaded(source), loaded(target));
    assert_eq!(one.state, other.state);
    assert!(one.digest == other.digest);
}

fn round_trip(source: &Arc<dyn Store>, target: &Arc<dyn Store>, steps: &[Vec<Step>; 4], chunk_bytes: usize) {
    fill(source, PARTITION, &steps[0], "n1");
    fill(source, NEIGHBOURS[0], &steps[1], "n1");
    fill(target, PARTITION, &steps[2], "n2");
    for neighbour in NEIGHBOURS {
        fill(target, neighbour, &steps[3], "n2");
    }
    let (_, rest) = parts_of(target.as_ref());
    let mut source_snapshot = source_of(source.as_ref(), chunk_bytes);
    let applied = source_snapshot.applied().clone();
    assert_eq!(applied.last.unwrap().index.0, steps[0].len() as u64);
    let chunks = all_chunks(&mut source_snapshot);
    let installed = install_on(target, &chunks).unwrap();
    check_installed(source.as_ref(), target.as_ref(), &rest);
    assert_eq!(installed.root, loaded(source.as_ref()).digest.root());
    assert_eq!(installed.records, parts_of(source.as_ref()).0.len() as u64);
}

fn four_times_any_steps() -> impl Strategy<Value = [Vec<Step>; 4]> {
    [any_steps(), any_steps(), any_steps(), any_steps()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_installed_is_what_the_source_had(steps in four_times_any_steps(), chunk_bytes in 1..2_000_usize) {
        let new = || -> Arc<dyn Store> { Arc::new(MemoryStore::new()) };
        round_trip(&new(), &new(), &steps, chunk_bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn what_is_installed_on_real_files_is_what_the_source_had(
        steps in four_times_any_steps(),
        chunk_bytes in 100..2_000_usize,
    ) {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, other] = folders.each_ref().map(|folder| -> Arc<dyn Store> { Arc::new(open(folder.path()).0) });
        round_trip(&one, &other, &steps, chunk_bytes);
    }
}

#[test]
fn a_partition_that_has_nothing_empties_that_of_the_receiver() {
    let (source, target): (Arc<dyn Store>, _) = (Arc::new(MemoryStore::new()), large("n2", &[10, 20]));
    let (_, rest) = parts_of(target.as_ref());
    let chunks = chunks_of(source.as_ref());
    assert_eq!(chunks.len(), 1);
    install_on(&target, &chunks).unwrap();
    check_installed(source.as_ref(), target.as_ref(), &rest);
    assert!(parts_of(target.as_ref()).0.is_empty());
}

#[test]
fn what_is_written_during_the_export_does_not_show() {
    let source = large("n1", &[300_000; 6]);
    let before = copy_of(source.as_ref());
    let mut snapshot = SnapshotSource::open(source.as_ref(), PARTITION, SNAPSHOT).unwrap();
    let first = snapshot.chunk(0).unwrap();
    // Another history: rows, names, losers and outcomes come, go and change.
    let mut remove = WriteSet::new();
    for ((family, key), _) in parts_of(source.as_ref()).0 {
        remove.delete(family, &key);
    }
    source.write(&[remove], Durability::Synced).unwrap();
    fill(
        &source,
        PARTITION,
        &[Step::Write(vec![put(1, 77), put(9, 78)])],
        "n9",
    );
    let chunks = all_chunks(&mut snapshot);
    assert_eq!(chunks[0], first.bytes);
    assert!(chunks.len() > 3);
    let target = large("n2", &[10]);
    let (_, rest) = parts_of(target.as_ref());
    install_on(&target, &chunks).unwrap();
    check_installed(&before, target.as_ref(), &rest);
}

#[test]
fn a_source_gives_any_chunk_again_and_says_where_it_ends() {
    let store = large("n1", &[100, 200, 300]);
    let mut source = source_of(store.as_ref(), 150);
    let chunks = all_chunks(&mut source);
    let last = u32::try_from(chunks.len()).unwrap() - 1;
    for number in [last, last, 0, 0, 1, 5, 2, last - 1, last] {
        let again = source.chunk(number).unwrap();
        assert_eq!(again.bytes, chunks[usize::try_from(number).unwrap()], "{number}");
        assert_eq!(again.is_last, number == last);
    }
    for number in [last + 1, u32::MAX] {
        let error = source.chunk(number).unwrap_err();
        assert!(
            error.to_string().ends_with(&format!("has {}", last + 1)),
            "{error}"
        );
    }
}

#[test]
fn a_receiver_goes_on_where_it_was_and_begins_anew_for_another_snapshot() {
    let source = large("n1", &[100, 200, 300]);
    let chunks = all_chunks(&mut source_of(source.as_ref(), 150));
    let memory = copy_of(large("n2", &[10]).as_ref());
    let target: Arc<dyn Store> = Arc::new(memory.clone());
    let (_, rest) = parts_of(target.as_ref());
    let mut receiver = begin(&target);
    for (number, chunk) in (1..).zip(&chunks[..4]) {
        assert_eq!(receiver.take(chunk), Ok(Taken::Next(number)));
    }
    assert_eq!(receiver.take(&chunks[1]), Ok(Taken::Next(4)), "again");
    assert_eq!(begin(&target).due(), Taken::Next(4));
    // The mark of the beginning and two chunks have reached the disk.
    memory.crash(3);
    assert_eq!(begin(&target).due(), Taken::Next(2));
    let mut receiver = begin(&target);
    take_all(&mut receiver, &chunks).unwrap();
    assert_eq!(begin(&target).due(), Taken::Complete);
    let another = SnapshotId(8);
    // Twice: the second goes on where the first was, which is at the beginning.
    for _ in 0..2 {
        let receiver = SnapshotReceiver::begin(Arc::clone(&target), place(), another).unwrap();
        assert_eq!(receiver.due(), Taken::Next(0));
    }
    assert_eq!(
        begin(&target).due(),
        Taken::Next(0),
        "the chunks of the first are gone"
    );
    install_on(&target, &chunks).unwrap();
    check_installed(source.as_ref(), target.as_ref(), &rest);
}

#[test]
fn what_is_staged_is_thrown_away_on_demand() {
    let source = large("n1", &[100, 200]);
    let chunks = chunks_of(source.as_ref());
    let target = large("n2", &[10]);
    let before = everything(target.as_ref());
    take_all(&mut begin(&target), &chunks).unwrap();
    assert_ne!(everything(target.as_ref()), before);
    discard(target.as_ref(), PARTITION).unwrap();
    assert_eq!(everything(target.as_ref()), before);
}

#[test]
fn a_chunk_that_is_damaged_cut_off_out_of_order_or_another_s_is_refused_and_not_staged() {
    let source = large("n1", &[100, 200]);
    let chunks = all_chunks(&mut source_of(source.as_ref(), 150));
    let target = large("n2", &[10]);
    let mut receiver = begin(&target);
    receiver.take(&chunks[0]).unwrap();
    let staged = everything(target.as_ref());
    let good = &chunks[1];
    for place in 0..good.len() {
        let mut bad = good.to_vec();
        bad[place] ^= 0x10;
        assert!(receiver.take(&bad).is_err(), "byte {place}");
        assert!(receiver.take(&good[..place]).is_err(), "cut at {place}");
    }
    assert_eq!(
        receiver.take(&chunks[2]),
        Err(SnapshotError::OutOfOrder {
            found: 2,
            expected: 1
        })
    );
    // The same number and place, of a partition with other content.
    let stranger = all_chunks(&mut source_of(large("n1", &[101, 200]).as_ref(), 150));
    assert_eq!(
        receiver.take(&stranger[1]),
        Err(SnapshotError::Broken { number: 1 })
    );
    let snapshot = SnapshotId(9);
    let mut another = SnapshotSource::open_with(source.as_ref(), PARTITION, snapshot, 150).unwrap();
    let error = receiver.take(&another.chunk(1).unwrap().bytes).unwrap_err();
    assert!(matches!(error, SnapshotError::Another { found, .. } if found == snapshot));
    let mut neighbour = SnapshotSource::open_with(source.as_ref(), NEIGHBOURS[0], SNAPSHOT, 150).unwrap();
    let error = receiver.take(&neighbour.chunk(1).unwrap().bytes).unwrap_err();
    assert!(matches!(error, SnapshotError::Another { partition, .. } if partition == NEIGHBOURS[0]));
    assert_eq!(everything(target.as_ref()), staged);
    assert_eq!(receiver.due(), Taken::Next(1));
    let error = receiver.finish().unwrap_err();
    assert_eq!(error, SnapshotError::Incomplete { expected: 1 });
    // All of that has done no harm.
    install_on(&target, &chunks).unwrap();
}

/// Chunks of records that `change` makes of those of a partition, in a chain of their own.
fn forged(store: &dyn Store, change: impl FnOnce(&mut Vec<Record>, &mut SnapshotEnd)) -> Vec<bytes::Bytes> {
    let (mut reader, mut records, mut end) = (RecordReader::default(), Vec::new(), None);
    for chunk in chunks_of(store) {
        match decode_chunk(&chunk).unwrap().content {
            ChunkContent::Records(piece) => reader.feed(&piece),
            ChunkContent::End(told) => end = Some(told),
        }
    }
    while let Some(record) = reader.next_record().unwrap() {
        records.push(record);
    }
    let mut end = end.unwrap();
    change(&mut records, &mut end);
    let mut stream = bytes::BytesMut::new();
    for record in &records {
        push_record(&mut stream, record.section, &record.key, &record.value);
    }
    chained(stream.freeze(), end)
}

/// One chunk with this stream, and the end.
fn chained(stream: bytes::Bytes, end: SnapshotEnd) -> Vec<bytes::Bytes> {
    let contents = [ChunkContent::Records(stream), ChunkContent::End(end)];
    let mut chain = Chain::start(PARTITION, SNAPSHOT);
    let chunks = (0..).zip(contents).map(|(number, content)| {
        chain = chain.after(number, &content);
        let chunk = Chunk {
            snapshot: SNAPSHOT,
            partition: PARTITION,
            number,
            content,
            chain,
        };
        encode_chunk(&chunk).into()
    });
    chunks.collect()
}

fn position(records: &[Record], section: Section) -> usize {
    records
        .iter()
        .position(|record| record.section == section)
        .unwrap()
}

fn refusal_of(change: impl FnOnce(&mut Vec<Record>, &mut SnapshotEnd)) -> Contradiction {
    let source = large("n1", &[100, 200]);
    let chunks = forged(source.as_ref(), change);
    let target = large("n2", &[10]);
    let before = everything(target.as_ref());
    let error = install_on(&target, &chunks).unwrap_err();
    assert_eq!(everything(target.as_ref()), before, "nothing of it is left");
    let SnapshotError::Contradiction(contradiction) = error else {
        panic!("{error}");
    };
    contradiction
}

#[test]
fn a_forged_chain_without_a_change_is_taken() {
    let (source, target) = (large("n1", &[100, 200]), large("n2", &[10]));
    install_on(&target, &forged(source.as_ref(), |_, _| {})).unwrap();
}

#[test]
fn records_that_do_not_fit_the_digest_or_the_count_are_thrown_away_before_they_show() {
    let section = Section::Row;
    let changed_row = refusal_of(|records, _| {
        let place = position(records, section);
        let mut value = records[place].value.to_vec();
        *value.last_mut().unwrap() ^= 1;
        records[place].value = value.into();
    });
    assert!(
        matches!(changed_row, Contradiction::Digest { .. }),
        "{changed_row}"
    );
    let changed_root = refusal_of(|_, end| *end = SnapshotEnd::new(end.records, DigestSum(1)));
    assert!(matches!(changed_root, Contradiction::Digest { expected, .. } if expected == DigestSum(1)));
    let moved_leaf = refusal_of(|records, _| {
        let place = position(records, Section::Digest);
        let free = (0..=u8::MAX)
            .map(|low| {
                let mut key = records[place].key.to_vec();
                *key.last_mut().unwrap() = low;
                bytes::Bytes::from(key)
            })
            .find(|key| records.iter().all(|record| record.key != *key));
        records[place].key = free.unwrap();
    });
    assert!(matches!(moved_leaf, Contradiction::Digest { .. }), "{moved_leaf}");
    let lost = refusal_of(|records, _| drop(records.remove(position(records, Section::Loser))));
    assert!(matches!(lost, Contradiction::Count { found, expected } if found + 1 == expected));
    let unreadable = refusal_of(|records, _| records[0].value = bytes::Bytes::from_static(b"\xff"));
    assert!(matches!(unreadable, Contradiction::Decode(_)), "{unreadable}");
}

#[test]
fn a_stream_that_ends_inside_a_record_is_thrown_away() {
    let source = large("n1", &[100, 200]);
    for tail in [&b""[..], b"\x08", b"\x08\0\0\0\x01\0\0\0\x09k"] {
        let mut contents = forged(source.as_ref(), |_, _| {})
            .into_iter()
            .map(|chunk| decode_chunk(&chunk).unwrap().content);
        let (Some(ChunkContent::Records(stream)), Some(ChunkContent::End(end))) =
            (contents.next(), contents.next())
        else {
            panic!("one chunk and the end");
        };
        let chunks = chained([&stream, tail].concat().into(), end);
        let target = large("n2", &[10]);
        let before = everything(target.as_ref());
        let result = install_on(&target, &chunks);
        if tail.is_empty() {
            result.unwrap();
            continue;
        }
        let is_refused = matches!(
            result,
            Err(SnapshotError::Contradiction(Contradiction::Decode(_)))
        );
        assert!(is_refused, "{result:?}");
        assert_eq!(everything(target.as_ref()), before);
    }
}

#[test]
fn keys_of_another_partition_are_refused_in_every_section() {
    let neighbour = large("n1", &[100, 200]);
    let theirs = {
        let mut source = SnapshotSource::open(neighbour.as_ref(), NEIGHBOURS[0], SNAPSHOT).unwrap();
        let (mut reader, mut records) = (RecordReader::default(), Vec::new());
        for chunk in all_chunks(&mut source) {
            if let ChunkContent::Records(piece) = decode_chunk(&chunk).unwrap().content {
                reader.feed(&piece);
            }
        }
        while let Some(record) = reader.next_record().unwrap() {
            records.push(record);
        }
        records
    };
    let sections = Section::ALL
        .into_iter()
        .filter(|section| *section != Section::Outcome);
    for section in sections {
        let theirs = &theirs[position(&theirs, section)];
        let refusal = refusal_of(|records, _| {
            let place = position(records, section);
            records[place] = theirs.clone();
        });
        match section {
            Section::Name => assert_eq!(refusal, Contradiction::Unlisted),
            _ => assert_eq!(refusal, Contradiction::Misplaced { section }),
        }
    }
    // A row under this partition's number whose record belongs to another one.
    let section = Section::Row;
    let refusal = refusal_of(|records, _| {
        let place = position(records, section);
        let stranger = &theirs[position(&theirs, section)];
        let own = [&PARTITION.0.to_be_bytes()[..], &stranger.key[2..]].concat();
        records[place].key = own.into();
    });
    assert_eq!(refusal, Contradiction::Misplaced { section });
    let refusal = refusal_of(|records, _| {
        let outcome = Record {
            section: Section::Outcome,
            key: vec![0, 2, 3].into(),
            value: bytes::Bytes::new(),
        };
        records.insert(0, outcome);
    });
    let section = Section::Outcome;
    assert_eq!(refusal, Contradiction::Misplaced { section });
}

/// What a crash leaves of the deferred writes.
const KEPT: [fn(usize) -> usize; 3] = [|_| 0, |all| all / 2, |all| all];

#[test]
fn a_crash_at_any_write_leaves_the_old_partition_or_leads_to_the_new_one() {
    let (source, old) = (large("n1", &[300_000; 6]), large("n2", &[200_000; 8]));
    let chunks = chunks_of(source.as_ref());
    let (old_partition, rest) = parts_of(old.as_ref());
    let (mut writes, mut is_done, mut stopped_installs) = (0, false, 0);
    while !is_done {
        for kept in KEPT {
            let memory = copy_of(old.as_ref());
            let target: Arc<dyn Store> = Arc::new(memory.clone());
            let stopping = StoppingStore::after(writes, Arc::clone(&target));
            is_done = install_on(&stopping, &chunks).is_ok();
            memory.crash(kept(memory.deferred_writes()));
            let progress = read_progress(target.as_ref(), PARTITION).unwrap();
            let is_installing = progress.is_some_and(|progress| progress.is_installing);
            if is_installing {
                stopped_installs += 1;
                finish_installs(target.as_ref(), place().count).unwrap();
            } else if !is_done {
                assert!(
                    parts_of(target.as_ref()).0 == old_partition,
                    "after {writes} writes"
                );
                load_changes_nothing(target.as_ref());
                install_on(&target, &chunks).unwrap();
            }
            check_installed(source.as_ref(), target.as_ref(), &rest);
        }
        writes += 1;
    }
    assert!(writes > 10 && stopped_installs > 5, "{writes} {stopped_installs}");
}

fn load_changes_nothing(store: &dyn Store) {
    let before = everything(store);
    loaded(store);
    assert!(everything(store) == before);
}

#[test]
fn an_installation_that_is_interrupted_again_and_again_ends_when_the_partition_is_loaded() {
    let (source, old) = (large("n1", &[300_000; 6]), large("n2", &[200_000; 8]));
    let chunks = chunks_of(source.as_ref());
    let (_, rest) = parts_of(old.as_ref());
    let target: Arc<dyn Store> = Arc::new(copy_of(old.as_ref()));
    let mut receiver = begin(&target);
    take_all(&mut receiver, &chunks).unwrap();
    let mut set = WriteSet::new();
    put_progress(&mut set, PARTITION, SNAPSHOT, true);
    target.write(&[set], Durability::Synced).unwrap();
    let mut writes = 0;
    loop {
        for kept in KEPT {
            let memory = copy_of(target.as_ref());
            let again: Arc<dyn Store> = Arc::new(memory.clone());
            // Twice at this write, with what the first has left.
            for _ in 0..2 {
                let stopping = StoppingStore::after(writes, Arc::clone(&again));
                let _ = finish_install(stopping.as_ref(), PARTITION);
                memory.crash(kept(memory.deferred_writes()));
            }
            loaded(again.as_ref());
            check_installed(source.as_ref(), again.as_ref(), &rest);
            load_changes_nothing(again.as_ref());
        }
        let stopping = StoppingStore::after(writes, Arc::new(copy_of(target.as_ref())));
        if finish_install(stopping.as_ref(), PARTITION).is_ok() {
            break;
        }
        writes += 1;
    }
    assert!(writes > 5, "{writes}");
}

#[test]
fn what_is_installed_is_durable_when_that_is_told() {
    let source = large("n1", &[300_000; 6]);
    let memory = copy_of(large("n2", &[10]).as_ref());
    let target: Arc<dyn Store> = Arc::new(memory.clone());
    let (_, rest) = parts_of(target.as_ref());
    install_on(&target, &chunks_of(source.as_ref())).unwrap();
    assert_eq!(memory.deferred_writes(), 0);
    memory.crash(0);
    check_installed(source.as_ref(), target.as_ref(), &rest);
}

#[test]
fn real_files_that_are_left_at_a_write_lead_to_the_new_partition() {
    let (source, old) = (large("n1", &[300_000; 6]), large("n2", &[200_000; 8]));
    let chunks = chunks_of(source.as_ref());
    let (_, rest) = parts_of(old.as_ref());
    for writes in (0..).step_by(3) {
        let folder = tempfile::tempdir().unwrap();
        let target: Arc<dyn Store> = Arc::new(open(folder.path()).0);
        let mut set = WriteSet::new();
        for ((family, key), value) in everything(old.as_ref()) {
            set.put(family, &key, &value);
        }
        target.write(&[set], Durability::Synced).unwrap();
        let result = install_on(&StoppingStore::after(writes, Arc::clone(&target)), &chunks);
        let copy = killed_copy(folder.path());
        let restarted: Arc<dyn Store> = Arc::new(open(copy.path()).0);
        if result.is_err() {
            install_on(&restarted, &chunks).unwrap();
        }
        check_installed(source.as_ref(), restarted.as_ref(), &rest);
        if result.is_ok() {
            break;
        }
    }
}

#[test]
fn what_is_being_installed_is_not_thrown_away() {
    let source = large("n1", &[100]);
    let target = large("n2", &[10]);
    let (_, rest) = parts_of(target.as_ref());
    take_all(&mut begin(&target), &chunks_of(source.as_ref())).unwrap();
    let mut set = WriteSet::new();
    put_progress(&mut set, PARTITION, SNAPSHOT, true);
    target.write(&[set], Durability::Synced).unwrap();
    discard(target.as_ref(), PARTITION).unwrap();
    // Also the begin of another snapshot finishes it first.
    SnapshotReceiver::begin(Arc::clone(&target), place(), SnapshotId(8)).unwrap();
    discard(target.as_ref(), PARTITION).unwrap();
    check_installed(source.as_ref(), target.as_ref(), &rest);
}
