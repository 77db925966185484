//! The store over real files: the conformance suite, crashes, damaged files.

use std::fs;
use std::ops::ControlFlow;

use tempfile::TempDir;

use super::*;
use crate::storage::conformance::{self, Lab};
use crate::storage::rocks_open::database_folder;
use crate::storage::rocks_test_kit::{
    CONFIG, flip, keys, killed_copy, newest, open, open_error, put, put_of,
};

struct RocksLab {
    folder: TempDir,
    store: Option<RocksStore>,
}

impl Lab for RocksLab {
    fn store(&self) -> &dyn Store {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.folder = killed_copy(self.folder.path());
        self.store = Some(open(self.folder.path()).0);
    }
}

#[test]
fn the_rocks_store_is_a_store() {
    conformance::check(&|| {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(open(folder.path()).0);
        Box::new(RocksLab { folder, store })
    });
}

#[test]
fn a_folder_from_before_a_family_existed_is_opened_and_gets_it() {
    for newer in [Family::Idempotency, Family::Raft, Family::Staging] {
        open_a_folder_without(newer);
    }
}

fn open_a_folder_without(newer: Family) {
    let folder = tempfile::tempdir().unwrap();
    let database = database_folder(folder.path());
    fs::create_dir(&database).unwrap();
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let older = Family::ALL
        .iter()
        .filter(|family| **family != newer)
        .map(|family| family.name());
    let engine = rocksdb::DB::open_cf(&options, &database, older).unwrap();
    let rows = engine.cf_handle(Family::Rows.name()).unwrap();
    engine.put_cf(rows, "k", "v").unwrap();
    drop(engine);
    let (store, report) = open(folder.path());
    assert!(!report.created);
    assert_eq!(keys(&store), ["k"]);
    let mut set = WriteSet::new();
    set.put(newer, b"key", b"value");
    store.write(&[set], Durability::Synced).unwrap();
    drop(store);
    let (store, _) = open(folder.path());
    let found = store.get(newer, b"key").unwrap();
    assert_eq!(found.as_deref(), Some(&b"value"[..]));
}

#[test]
fn a_new_folder_is_created_and_found_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b");
    let (store, report) = open(&folder);
    assert_eq!(
        report,
        OpenReport {
            truncated_tail: None,
            created: true
        }
    );
    put(&store, "k", b"v");
    drop(store);
    let (store, report) = open(&folder);
    assert_eq!(
        report,
        OpenReport {
            truncated_tail: None,
            created: false
        }
    );
    assert_eq!(keys(&store), ["k"]);
}

#[test]
fn synced_writes_survive_a_kill_also_in_tables_and_several_logs() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    for round in 0..6 {
        put(&store, &format!("k{round}"), &vec![round; 1024 * 1024 * 2]);
    }
    let db = store.engine().unwrap();
    db.flush_cf(handle(&db, Family::Rows)).unwrap();
    put(&store, "last", b"v");
    let copy = killed_copy(folder.path());
    let (copied, report) = open(copy.path());
    assert_eq!(report.truncated_tail, None);
    assert_eq!(keys(&copied), ["k0", "k1", "k2", "k3", "k4", "k5", "last"]);
    assert_eq!(
        copied.get(Family::Rows, b"k3").unwrap().unwrap(),
        vec![3; 1024 * 1024 * 2]
    );
}

#[test]
fn deferred_writes_survive_a_clean_close() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    store.write(&[put_of(b"k", b"v")], Durability::Deferred).unwrap();
    drop(store);
    assert_eq!(keys(&open(folder.path()).0), ["k"]);
}

#[test]
fn a_torn_last_write_is_dropped_and_reported_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    put(&store, "a", b"1");
    put(&store, "b", b"2");
    let before = fs::metadata(newest(folder.path(), "log")).unwrap().len();
    // Spans several blocks of the log: cuts fall into headers, payloads and between fragments.
    put(&store, "torn", &vec![7; 100_000]);
    let after = fs::metadata(newest(folder.path(), "log")).unwrap().len();
    for cut in [
        before + 1,
        before + 6,
        before + 7,
        before + 50,
        32 * 1024,
        32 * 1024 + 3,
        65_536 + 9000,
        after - 1,
    ] {
        let copy = killed_copy(folder.path());
        let log = newest(copy.path(), "log");
        fs::File::options()
            .write(true)
            .open(&log)
            .unwrap()
            .set_len(cut)
            .unwrap();
        let (copied, report) = open(copy.path());
        assert_eq!(
            report.truncated_tail,
            Some(TruncatedTail {
                file: log,
                bytes: cut - before
            }),
            "cut at {cut}"
        );
        assert_eq!(keys(&copied), ["a", "b"]);
        put(&copied, "c", b"3");
        drop(copied);
        let (copied, again) = open(copy.path());
        assert_eq!(
            again.truncated_tail, report.truncated_tail,
            "it is told until it is forgotten"
        );
        copied.forget_torn_tail().unwrap();
        drop(copied);
        let (copied, report) = open(copy.path());
        assert_eq!((report.truncated_tail, keys(&copied).len()), (None, 3));
    }
}

#[test]
fn preallocated_zeros_at_the_end_of_the_log_are_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    put(&store, "a", b"1");
    let copy = killed_copy(folder.path());
    fs::File::options()
        .write(true)
        .open(newest(copy.path(), "log"))
        .unwrap()
        .set_len(200_000)
        .unwrap();
    let (copied, report) = open(copy.path());
    assert_eq!((report.truncated_tail, keys(&copied).len()), (None, 1));
}

#[test]
fn a_flipped_byte_anywhere_in_acknowledged_records_refuses_the_open_and_names_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let mut ends = Vec::new();
    for key in ["a", "b", "c"] {
        put(&store, key, b"a value of some length");
        ends.push(fs::metadata(newest(folder.path(), "log")).unwrap().len());
    }
    for offset in ends[0]..ends[1] {
        let copy = killed_copy(folder.path());
        let log = newest(copy.path(), "log");
        flip(&log, usize::try_from(offset).unwrap());
        let error = open_error(copy.path());
        assert!(
            matches!(error, StoreError::Corrupted { .. }),
            "byte {offset}: {error}"
        );
        assert!(
            error.to_string().contains(log.to_str().unwrap()),
            "byte {offset}: {error}"
        );
    }
}

#[test]
fn a_flipped_byte_in_a_table_fails_the_read_and_names_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    put(&store, "k", &vec![7; 20_000]);
    let db = store.engine().unwrap();
    db.flush_cf(handle(&db, Family::Rows)).unwrap();
    drop((db, store));
    let table = newest(folder.path(), "sst");
    flip(&table, 30);
    let (store, _) = open(folder.path());
    let name = table.file_name().unwrap().to_str().unwrap();
    for error in [
        store.get(Family::Rows, b"k").unwrap_err(),
        store
            .scan(Family::Rows, b"", b"\xff", &mut |_, _| ControlFlow::Continue(()))
            .unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Corrupted { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_missing_or_damaged_file_refuses_the_open_and_is_named() {
    type Harm = fn(&Path) -> PathBuf;
    let harms: [Harm; 5] = [
        |folder| {
            let current = database_folder(folder).join("CURRENT");
            fs::remove_file(&current).unwrap();
            current
        },
        |folder| {
            let current = database_folder(folder).join("CURRENT");
            fs::write(&current, b"").unwrap();
            current
        },
        |folder| {
            let table = newest(folder, "sst");
            fs::remove_file(&table).unwrap();
            table
        },
        |folder| {
            let table = newest(folder, "sst");
            fs::write(&table, b"too short").unwrap();
            table
        },
        |folder| {
            let current = fs::read_to_string(database_folder(folder).join("CURRENT")).unwrap();
            let manifest = database_folder(folder).join(current.trim());
            let len = fs::metadata(&manifest).unwrap().len();
            flip(&manifest, usize::try_from(len / 2).unwrap());
            manifest
        },
    ];
    for (number, harm) in harms.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = open(folder.path());
        put(&store, "k", b"v");
        let db = store.engine().unwrap();
        db.flush_cf(handle(&db, Family::Rows)).unwrap();
        drop((db, store));
        let harmed = harm(folder.path());
        let error = open_error(folder.path());
        assert!(matches!(error, StoreError::Corrupted { .. }), "{number}: {error}");
        let name = harmed.file_name().unwrap().to_str().unwrap();
        assert!(
            error.to_string().contains(name),
            "{number}: {name} is not in {error}"
        );
    }
}

#[test]
fn a_folder_in_use_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, _) = open(folder.path());
    let error = open_error(folder.path());
    assert!(
        error.to_string().contains("is another atoll process using it?"),
        "{error}"
    );
}

#[test]
fn a_folder_with_families_of_a_newer_version_opens_far_enough_to_be_refused_by_its_identity() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let resources = Resources::new(CONFIG);
    let database = database_folder(folder.path());
    let mut families = resources.families(&[]);
    families.push(rocksdb::ColumnFamilyDescriptor::new(
        "of a newer version",
        rocksdb::Options::default(),
    ));
    drop(DB::open_cf_descriptors(&resources.database(), &database, families).unwrap());
    put(&open(folder.path()).0, "k", b"v");
}

#[test]
fn engine_stats_tell_what_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    put(&store, "k", &vec![7; 1024 * 1024]);
    let stats = store.engine_stats().unwrap();
    assert!(
        stats.memtable_bytes > 1024 * 1024 && stats.free_bytes > 0,
        "{stats:?}"
    );
    assert!(
        !stats.is_write_stopped && stats.background_errors == 0 && stats.table_files_bytes == 0,
        "{stats:?}"
    );
}
