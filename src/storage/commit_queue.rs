//! What waits for the committer, and how one group of it is written. [`GroupCommitter`](super::GroupCommitter) does it on
//! a thread; simulation does the same on its own clock.
//!
//! What waits is bounded in number and bytes; beyond that the submitter hears [`StoreError::Overloaded`] at once.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::model::limits;
use crate::ports::store::{Committer, Completion, Durability, Store, StoreError, WriteSet};

struct Submitted {
    set: WriteSet,
    durability: Durability,
    done: Completion,
}

#[derive(Default)]
struct Waiting {
    submitted: VecDeque<Submitted>,
    bytes: usize,
    closed: bool,
    /// The thread sleeps: only then is a wake-up, a system call, worth its price.
    idle: bool,
}

/// The sets that wait for a committer: [`GroupCommitter`](super::GroupCommitter) serves one on a thread, simulation on its own clock.
#[derive(Default)]
pub struct CommitQueue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

impl std::fmt::Debug for CommitQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CommitQueue({} sets)", self.waiting().0)
    }
}

impl CommitQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // The queue is consistent between any two statements under the lock: a panic elsewhere does not spoil it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sets wait, and their bytes.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.submitted.len(), waiting.bytes)
    }

    /// Takes no more sets.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// The next group, if anything waits.
    pub fn take(&self) -> Option<Group> {
        Self::gather(&mut self.lock())
    }

    /// Waits for the next group; `None` when closed and drained.
    pub(super) fn wait(&self) -> Option<Group> {
        let mut waiting = self.lock();
        loop {
            if let Some(group) = Self::gather(&mut waiting) {
                return Some(group);
            }
            if waiting.closed {
                return None;
            }
            waiting.idle = true;
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle = false;
        }
    }

    fn gather(waiting: &mut Waiting) -> Option<Group> {
        let mut group = Group::default();
        let mut bytes = 0;
        while let Some(next) = waiting.submitted.front() {
            // The first goes whatever its size; of the others, those that fit the limit exactly still do (`>`).
            if !group.sets.is_empty() && bytes + next.set.size_bytes() > limits::COMMIT_GROUP_BYTES_MAX {
                break;
            }
            bytes += next.set.size_bytes();
            let next = waiting.submitted.pop_front().expect("it was looked at just now");
            group.sets.push(next.set);
            group.endings.push(Ending {
                durability: next.durability,
                done: next.done,
            });
        }
        waiting.bytes -= bytes;
        (!group.sets.is_empty()).then_some(group)
    }

    fn enqueue(&self, submitted: Submitted) -> Result<(), (Completion, StoreError)> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err((submitted.done, StoreError::Closed));
        }
        let (waiting_sets, waiting_bytes) = (waiting.submitted.len(), waiting.bytes);
        let bytes = waiting_bytes + submitted.set.size_bytes();
        // A set that is larger than the whole bound goes when nothing else waits.
        let too_many_bytes = bytes > limits::COMMIT_QUEUE_BYTES_MAX && waiting_sets > 0;
        if waiting_sets >= limits::COMMIT_QUEUE_SETS_MAX || too_many_bytes {
            return Err((
                submitted.done,
                StoreError::Overloaded {
                    waiting_sets,
                    waiting_bytes,
                },
            ));
        }
        waiting.submitted.push_back(submitted);
        waiting.bytes = bytes;
        let wake = waiting.idle;
        waiting.idle = false;
        drop(waiting);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }
}

impl Committer for CommitQueue {
    fn submit(&self, set: WriteSet, durability: Durability, done: Completion) {
        let submitted = Submitted {
            set,
            durability,
            done,
        };
        if let Err((done, error)) = self.enqueue(submitted) {
            complete(done, Err(error));
        }
    }
}

/// Sets that are written together, with one fsync if any of them needs it.
#[derive(Default)]
pub struct Group {
    sets: Vec<WriteSet>,
    /// Of each set.
    endings: Vec<Ending>,
}

/// What its submitter wants for a set.
struct Ending {
    durability: Durability,
    done: Completion,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Group({} sets)", self.sets.len())
    }
}

impl Group {
    /// What is written, in order.
    #[must_use]
    pub fn sets(&self) -> &[WriteSet] {
        &self.sets
    }

    /// How the group is written: synced if any of its sets asks for that. The others are then safe as well, which costs
    /// nothing.
    #[must_use]
    pub fn durability(&self) -> Durability {
        let all = self.endings.iter().map(|ending| ending.durability);
        all.fold(Durability::Deferred, Durability::stricter)
    }

    /// Writes the sets; [`Group::complete`] passes the outcome on.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        write(store, &self.sets, self.durability())
    }

    /// Calls the completions with the outcome of [`Group::write`].
    pub fn complete(self, store: &dyn Store, result: &Result<(), StoreError>) {
        let full = matches!(result, Err(StoreError::DiskFull { .. }));
        let retry_trims = full && self.sets.len() > 1;
        for (set, ending) in self.sets.iter().zip(self.endings) {
            // A trim must not fail for the company it is in: it is what makes room.
            let result = if retry_trims && set.is_trim() {
                write(store, std::slice::from_ref(set), ending.durability)
            } else {
                result.clone()
            };
            complete(ending.done, result);
        }
    }
}

/// Writes; a panic of the store must not leave the submitters without an answer.
fn write(store: &dyn Store, sets: &[WriteSet], durability: Durability) -> Result<(), StoreError> {
    catch_unwind(AssertUnwindSafe(|| store.write(sets, durability))).unwrap_or_else(|panic| {
        let detail = format!("the store panicked: {}", panic_text(panic.as_ref()));
        tracing::error!(detail, "a group was not written");
        Err(StoreError::OutcomeUnknown {
            path: PathBuf::from("the data folder"),
            detail,
        })
    })
}

/// Calls a completion. One that panics is a bug of its owner, which must not cost all others the committer.
fn complete(done: Completion, result: Result<(), StoreError>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(move || done(result))) {
        tracing::error!(
            panic = panic_text(panic.as_ref()),
            "the completion of a write panicked"
        );
    }
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
#[path = "commit_queue_test.rs"]
mod tests;
