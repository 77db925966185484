//! What the tests of the RocksDB store share: opening, writing, and doing harm to files.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::ports::store::{Durability, Family, Store, StoreError, WriteSet};
use crate::storage::rocks_open::database_folder;
use crate::storage::{OpenReport, RocksConfig, RocksStore};

pub(crate) const CONFIG: RocksConfig = RocksConfig {
    block_cache_bytes: 8 * 1024 * 1024,
    memtable_bytes: 8 * 1024 * 1024,
    disk_reserve_bytes: 0,
};

pub(crate) fn open(folder: &Path) -> (RocksStore, OpenReport) {
    RocksStore::open(folder, CONFIG).unwrap()
}

pub(crate) fn open_error(folder: &Path) -> StoreError {
    match RocksStore::open(folder, CONFIG) {
        Ok((_, report)) => panic!("opened: {report:?}"),
        Err(error) => error,
    }
}

pub(crate) fn put_of(key: &[u8], value: &[u8]) -> WriteSet {
    let mut set = WriteSet::new();
    set.put(Family::Rows, key, value);
    set
}

pub(crate) fn put(store: &RocksStore, key: &str, value: &[u8]) {
    store
        .write(&[put_of(key.as_bytes(), value)], Durability::Synced)
        .unwrap();
}

pub(crate) fn keys(store: &RocksStore) -> Vec<String> {
    let mut keys = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        keys.push(String::from_utf8(key.to_vec()).unwrap());
        ControlFlow::Continue(())
    };
    store.scan(Family::Rows, b"", b"\xff", &mut visit).unwrap();
    keys
}

/// What a kill would leave: the files as they are now, in a folder of their own.
pub(crate) fn killed_copy(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let database = database_folder(copy.path());
    fs::create_dir(&database).unwrap();
    for entry in fs::read_dir(database_folder(folder)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), database.join(entry.file_name())).unwrap();
    }
    copy
}

pub(crate) fn newest(folder: &Path, extension: &str) -> PathBuf {
    let entries = fs::read_dir(database_folder(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .max()
        .unwrap()
}

pub(crate) fn flip(file: &Path, offset: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[offset] ^= 0x40;
    fs::write(file, bytes).unwrap();
}
