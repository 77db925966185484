//! The group committer: one thread that writes all the sets that wait with one fsync, or with none if none of them needs it.
//!
//! Invariant 11 (of docs/architecture.md) has two parts:
//! - Sets take effect in the order submitted, and completions are called in that order, each exactly once.
//! - The completion of a synced set is called with `Ok` only after the store has returned from a synced write, that of a
//!   deferred one after it has returned from any.
//!
//! The thread waits for the disk and for nothing else: while it syncs one group, the next one gathers. Nothing delays a lone
//! write.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ports::store::{Committer, Completion, Durability, Store, WriteSet};
use crate::storage::commit_queue::{CommitQueue, Group, panic_text};

/// What happened to one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupReport {
    /// Sets in it.
    pub sets: usize,
    /// Bytes of their keys and values.
    pub bytes: usize,
    /// Of write and fsync together.
    pub duration: Duration,
    /// Whether it was written with an fsync; without one if no set in it needed it.
    pub durability: Durability,
    /// Whether it was written.
    pub written: bool,
    /// Sets that were waiting for the next group when this one was done.
    pub waiting_sets: usize,
}

/// Sees each group; for metrics. Called on the committer's thread before the group's completions: it must not block.
pub trait GroupObserver: Send + Sync + 'static {
    /// A group was written, or was not.
    fn group_finished(&self, report: &GroupReport);
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct SilentObserver;

impl GroupObserver for SilentObserver {
    fn group_finished(&self, _report: &GroupReport) {}
}

/// The committer of a node. Dropping it writes what waits and ends the thread.
pub struct GroupCommitter {
    queue: Arc<CommitQueue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl GroupCommitter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(store: Arc<dyn Store>, observer: Arc<dyn GroupObserver>) -> std::io::Result<Self> {
        let queue = Arc::new(CommitQueue::default());
        let worker = Worker {
            queue: Arc::clone(&queue),
            store,
            observer,
        };
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            queue,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Takes no more sets, writes those that wait, and returns when all their completions were called. From a completion
    /// it returns at once, and the rest happens after it.
    pub fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the committer's thread panicked; writes that waited were not made");
        }
    }

    /// How many sets wait, and their bytes.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        self.queue.waiting()
    }
}

impl Committer for GroupCommitter {
    fn submit(&self, set: WriteSet, durability: Durability, done: Completion) {
        self.queue.submit(set, durability, done);
    }
}

impl Drop for GroupCommitter {
    fn drop(&mut self) {
        self.close();
    }
}

struct Worker {
    queue: Arc<CommitQueue>,
    store: Arc<dyn Store>,
    observer: Arc<dyn GroupObserver>,
}

impl Worker {
    fn run(&self) {
        while let Some(group) = self.queue.wait() {
            let started = Instant::now();
            let result = group.write(self.store.as_ref());
            self.report(&group, started.elapsed(), result.is_ok());
            group.complete(self.store.as_ref(), &result);
        }
    }

    fn report(&self, group: &Group, duration: Duration, written: bool) {
        let (waiting_sets, _) = self.queue.waiting();
        let bytes = group.sets().iter().map(WriteSet::size_bytes).sum();
        let report = GroupReport {
            sets: group.sets().len(),
            bytes,
            duration,
            durability: group.durability(),
            written,
            waiting_sets,
        };
        let observed = catch_unwind(AssertUnwindSafe(|| self.observer.group_finished(&report)));
        if let Err(panic) = observed {
            tracing::error!(
                panic = panic_text(panic.as_ref()),
                "the committer's observer panicked"
            );
        }
    }
}

#[cfg(test)]
#[path = "committer_test.rs"]
mod tests;
