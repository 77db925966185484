//! What the tests of the RocksDB store share: opening, writing, and doing harm to files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

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
///
/// Of one moment: a flush that ends while the files are copied would leave a manifest that names tables which the copy does
/// not have. Whoever calls this writes nothing meanwhile, so that what runs in the background comes to its end.
pub(crate) fn killed_copy(folder: &Path) -> TempDir {
    let database = database_folder(folder);
    for _ in 0..100 {
        let before = lengths(&database);
        if let Some(copy) = copied(&database)
            && lengths(&database) == before
        {
            return copy;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the files of {} keep changing", database.display());
}

/// All files with their lengths: RocksDB appends to files, makes new ones and removes old ones, and never changes what is
/// written.
fn lengths(database: &Path) -> BTreeMap<OsString, Option<u64>> {
    let files = fs::read_dir(database).unwrap().map(|entry| entry.unwrap());
    files
        .map(|file| (file.file_name(), file.metadata().ok().map(|found| found.len())))
        .collect()
}

/// `None` if a file went away meanwhile.
fn copied(database: &Path) -> Option<TempDir> {
    let copy = tempfile::tempdir().unwrap();
    let target = database_folder(copy.path());
    fs::create_dir(&target).unwrap();
    for name in lengths(database).keys() {
        match fs::copy(database.join(name), target.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            copied => drop(copied.unwrap()),
        }
    }
    Some(copy)
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
