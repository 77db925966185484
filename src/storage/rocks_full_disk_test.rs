//! Full disks and failed writes: what is refused, what goes on, and how the store comes back without a restart.

use std::fs;
use std::ops::ControlFlow;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::storage::rocks_test_kit::{CONFIG, keys, open, put, put_of};

#[test]
fn a_full_disk_refuses_writes_and_nothing_else_until_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    put(&store, "a", b"1");
    store.set_disk_reserve_bytes(u64::MAX);
    let error = store
        .write(&[put_of(b"b", b"2")], Durability::Synced)
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::DiskFull {
                reserve_bytes: u64::MAX,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(keys(&store), ["a"]);
    store.set_disk_reserve_bytes(0);
    put(&store, "b", b"2");
    assert_eq!(keys(&store), ["a", "b"]);
    assert_eq!(store.generation(), 1);
}

#[test]
fn a_suspect_store_is_reopened_before_the_next_write_and_counts_its_generation() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    put(&store, "a", b"1");
    store.suspect.store(true, Ordering::Release);
    put(&store, "b", b"2");
    assert_eq!((store.generation(), keys(&store).len()), (2, 2));
    // Again at once: the pause between attempts is kept, nothing is written, and recovery comes by itself. Where this
    // thread itself pauses for as long, it is once more.
    let (error, generation) = loop {
        let generation = store.generation();
        store.suspect.store(true, Ordering::Release);
        match store.write(&[put_of(b"b", b"3")], Durability::Synced) {
            Err(error) => break (error, generation),
            Ok(()) => assert_eq!(store.generation(), generation + 1),
        }
    };
    assert!(matches!(error, StoreError::Recovering { .. }), "{error}");
    assert_eq!(keys(&store), ["a", "b"]);
    std::thread::sleep(Duration::from_millis(limits::STORE_REOPEN_INTERVAL_MS));
    assert_eq!(store.recover().unwrap(), generation + 1);
    put(&store, "c", b"3");
}

#[test]
fn reopening_gives_way_to_a_scan_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    put(&store, "a", b"1");
    store.suspect.store(true, Ordering::Release);
    let mut visit = |_: &[u8], _: &[u8]| {
        assert!(matches!(store.recover(), Err(StoreError::Recovering { .. })));
        ControlFlow::Break(())
    };
    store.scan(Family::Rows, b"", b"\xff", &mut visit).unwrap();
    std::thread::sleep(Duration::from_millis(limits::STORE_REOPEN_INTERVAL_MS));
    assert_eq!(store.recover().unwrap(), 2);
    assert_eq!(keys(&store), ["a"]);
}

/// A small volume of its own, where the machine lets us mount one.
struct SmallVolume(TempDir);

impl SmallVolume {
    fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(folder))
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// Writes until the store refuses; gives the error and how many writes were acknowledged.
///
/// Not faster than the store flushes. A write that finds too much waiting to be flushed is held back by the engine, and when
/// the flush fails for want of space meanwhile, it never comes back, whatever space there is: the engine's own recovery
/// waits for that writer (`DBImpl::DelayWrite` here, `DBImpl::ResumeImpl` there).
fn fill(store: &RocksStore, from: u32) -> (StoreError, u32) {
    for number in from.. {
        while is_flushing(store) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Incompressible, so that tables take what logs take.
        let value: Vec<u8> = (0..200_000u32)
            .map(|n| (n ^ number).wrapping_mul(2_654_435_761).to_be_bytes()[1])
            .collect();
        if let Err(error) = store.write(&[put_of(&number.to_be_bytes(), &value)], Durability::Synced) {
            return (error, number);
        }
    }
    unreachable!("the volume is finite")
}

/// Whether something waits to be flushed and no flush has failed.
fn is_flushing(store: &RocksStore) -> bool {
    let db = store.engine().unwrap();
    let waiting = db.property_int_value_cf(handle(&db, Family::Rows), "rocksdb.num-immutable-mem-table");
    let failed = db.property_int_value("rocksdb.background-errors");
    waiting.unwrap() > Some(0) && failed.unwrap() == Some(0)
}

fn count(store: &RocksStore) -> u32 {
    let mut count = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        count += 1;
        ControlFlow::Continue(())
    };
    store.scan(Family::Rows, b"", &[0xff; 5], &mut visit).unwrap();
    count
}

/// `memtable_bytes` decides what hits the end of the disk: a flush or the write-ahead log.
fn a_disk_fills_up_and_gets_space_again(memtable_bytes: usize) {
    let Some(volume) = SmallVolume::mount(96) else {
        println!("skipped: mounting a small volume is not allowed here");
        return;
    };
    let ballast = volume.0.path().join("ballast");
    fs::write(&ballast, vec![1; 64 * 1024 * 1024]).unwrap();
    let folder = volume.0.path().join("data");
    let config = RocksConfig {
        memtable_bytes,
        ..CONFIG
    };
    let (store, _) = RocksStore::open(&folder, config).unwrap();
    let (error, acknowledged) = fill(&store, 0);
    println!("after {acknowledged} writes: {error}");
    assert!(matches!(error, StoreError::OutcomeUnknown { .. }), "{error}");
    assert!(count(&store) >= acknowledged, "reads go on");
    // Where there is too little space, recovery is not tried; were it tried and failed, reads would still go on.
    if store.recover().is_err() {
        assert!(count(&store) >= acknowledged, "reads go on");
        if store.reopen().is_err() {
            assert!(count(&store) >= acknowledged, "reads go on");
        }
    }
    fs::remove_file(&ballast).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = store.write(&[put_of(b"after", b"v")], Durability::Synced) {
        println!("not yet: {error}");
        assert!(Instant::now() < deadline, "{error}");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(store.generation() > 1);
    for number in 0..acknowledged {
        assert!(
            store.get(Family::Rows, &number.to_be_bytes()).unwrap().is_some(),
            "{number} was acknowledged"
        );
    }
    drop(store);
    let (store, _) = open(&folder);
    assert!(count(&store) > acknowledged);
    drop(store);
}

#[test]
fn a_flush_that_hits_the_end_of_the_disk_is_recovered_from_without_a_restart() {
    a_disk_fills_up_and_gets_space_again(CONFIG.memtable_bytes);
}

#[test]
fn a_log_that_hits_the_end_of_the_disk_is_recovered_from_without_a_restart() {
    a_disk_fills_up_and_gets_space_again(256 * 1024 * 1024);
}

#[test]
fn a_reserve_keeps_the_disk_from_filling_up() {
    let Some(volume) = SmallVolume::mount(96) else {
        println!("skipped: mounting a small volume is not allowed here");
        return;
    };
    let config = RocksConfig {
        disk_reserve_bytes: 48 * 1024 * 1024,
        ..CONFIG
    };
    let (store, _) = RocksStore::open(volume.0.path(), config).unwrap();
    let (error, acknowledged) = fill(&store, 0);
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert_eq!(
        count(&store),
        acknowledged,
        "nothing of the refused write is there"
    );
    assert_eq!(store.generation(), 1);
    drop(store);
}
