//! Views of the RocksDB store: a snapshot of the engine each, and the thread that holds it.
//!
//! A snapshot borrows the database, so that nobody can hold both without unsafe code, but a thread that has both on its
//! stack; reads are handed to it. A snapshot keeps what compactions would drop: a view ends after
//! [`limits::STORE_VIEW_MS_MAX`], or when the database is reopened or closed, which it would stand in the way of.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rocksdb::{DB, ReadOptions, Snapshot};

use super::rocks::handle;
use super::rocks_errors;
use crate::model::limits;
use crate::ports::store::{Family, Page, PageBuilder, StoreError, StoreView};

type Read = Box<dyn FnOnce(&Reader<'_>) + Send>;

/// What a view's thread is told. It is never told much: whoever reads waits for the answer.
enum Request {
    Read(Read),
    End,
}

/// A view that is open as long as its thread has the other end of `alive`.
struct OpenView {
    alive: Weak<()>,
    requests: Sender<Request>,
}

/// The views of one store.
#[derive(Default)]
pub(super) struct Views {
    open: Mutex<Vec<OpenView>>,
}

impl Views {
    /// A view of the database as it is now.
    pub(super) fn open(&self, folder: &Path, db: Arc<DB>) -> Result<Box<dyn StoreView>, StoreError> {
        self.open_for(folder, db, Duration::from_millis(limits::STORE_VIEW_MS_MAX))
    }

    fn open_for(&self, folder: &Path, db: Arc<DB>, life: Duration) -> Result<Box<dyn StoreView>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|view| view.alive.strong_count() > 0);
        if open.len() >= limits::STORE_VIEWS_MAX {
            return Err(StoreError::TooManyViews { open: open.len() });
        }
        let (requests, received) = mpsc::channel();
        let (ready, taken) = mpsc::channel();
        let alive = Arc::new(());
        open.push(OpenView {
            alive: Arc::downgrade(&alive),
            requests: requests.clone(),
        });
        drop(open);
        let path = folder.to_owned();
        let serve = move || {
            hold(&db, path, &ready, &received, Instant::now() + life);
            // In this order: who sees that the view has ended finds the database free.
            drop(db);
            drop(alive);
        };
        let thread = std::thread::Builder::new().name("store-view".to_owned());
        thread.spawn(serve).map_err(|error| StoreError::Engine {
            path: folder.to_owned(),
            detail: format!("cannot start the thread of a view: {error}"),
        })?;
        taken.recv().map_err(|_| StoreError::ViewEnded)?;
        Ok(Box::new(RocksView { requests }))
    }

    /// Ends all views, each after the read that it is at.
    pub(super) fn end_all(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for view in open.iter() {
            // One that has ended does not hear it.
            let _ = view.requests.send(Request::End);
        }
    }
}

/// Takes a snapshot, and reads from it what is asked until it is told to end or its time is over.
fn hold(db: &DB, folder: PathBuf, ready: &Sender<()>, requests: &Receiver<Request>, ends_at: Instant) {
    let snapshot = db.snapshot();
    let reader = Reader { db, snapshot, folder };
    if ready.send(()).is_err() {
        return;
    }
    loop {
        let left = ends_at.saturating_duration_since(Instant::now());
        // Also with no time left a request that waits would be received.
        if left.is_zero() {
            return;
        }
        match requests.recv_timeout(left) {
            Ok(Request::Read(read)) => read(&reader),
            Ok(Request::End) | Err(_) => return,
        }
    }
}

/// What a view's thread reads with.
struct Reader<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
    folder: PathBuf,
}

impl Reader<'_> {
    fn get_all(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let family = handle(self.db, family);
        let values = keys.iter().map(|key| {
            let value = self.snapshot.get_pinned_cf_opt(family, key, passing_by());
            let value = value.map_err(|error| rocks_errors::of_read(&self.folder, &error))?;
            Ok(value.map(|value| Bytes::copy_from_slice(&value)))
        });
        values.collect()
    }

    fn page(&self, family: Family, from: &[u8], to: &[u8], bytes_max: usize) -> Result<Page, StoreError> {
        let mut page = PageBuilder::new(bytes_max);
        if from >= to {
            return Ok(page.finish());
        }
        let mut options = passing_by();
        options.set_iterate_upper_bound(to);
        let mut iterator = self
            .snapshot
            .raw_iterator_cf_opt(handle(self.db, family), options);
        iterator.seek(from);
        while let Some((key, value)) = iterator.item() {
            if page.add(key, value).is_break() {
                return Ok(page.finish());
            }
            iterator.next();
        }
        // An iterator ends at the first error as it does at the end of the range.
        iterator
            .status()
            .map_err(|error| rocks_errors::of_read(&self.folder, &error))?;
        Ok(page.finish())
    }
}

/// Blocks that are read once for a view would push those out of the cache that clients read again.
fn passing_by() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options
}

struct RocksView {
    requests: Sender<Request>,
}

impl RocksView {
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = mpsc::channel();
        let read = Box::new(move |reader: &Reader<'_>| drop(answer.send(read(reader))));
        let asked = self.requests.send(Request::Read(read));
        asked.map_err(|_| StoreError::ViewEnded)?;
        // A request that is not answered any more goes away with the thread.
        answered.recv().unwrap_or(Err(StoreError::ViewEnded))
    }
}

impl StoreView for RocksView {
    fn get_all(&self, family: Family, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.read(move |reader| reader.get_all(family, &keys))
    }

    fn page(&self, family: Family, from: &[u8], to: &[u8], bytes_max: usize) -> Result<Page, StoreError> {
        let (from, to) = (from.to_vec(), to.to_vec());
        self.read(move |reader| reader.page(family, &from, &to, bytes_max))
    }
}

impl Drop for RocksView {
    fn drop(&mut self) {
        // The thread may have ended on its own.
        let _ = self.requests.send(Request::End);
    }
}

#[cfg(test)]
#[path = "rocks_view_test.rs"]
mod tests;
