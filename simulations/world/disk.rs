//! A node's disk: the in-memory store, with writes that take time, stall, fail, find no room, and are cut in the middle
//! by a crash. What a write of unknown outcome has left is known to the recorder when the store knows it.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atoll::ports::store::{
    Committer, Completion, Durability, Family, Store, StoreError, StoreView, Visit, WriteSet,
};
use atoll::storage::{CommitQueue, FailedWrite, MemoryStore};
use bytes::Bytes;
use tokio::sync::Notify;

use super::recorder::Recorder;
use super::site::Site;
use super::time::{self, SimClock};
use crate::dice::Dice;
use crate::evidence::Moment;

/// How long writes take.
#[derive(Debug, Clone, Copy)]
pub struct DiskSpeed {
    /// Up to so long until the bytes are with the disk.
    pub write: Duration,
    /// Up to so long until it says that they are safe.
    pub sync: Duration,
}

#[derive(Default)]
struct State {
    /// What was handed to the disk and is not safe.
    unsynced: Option<Vec<WriteSet>>,
    /// Writes since the last synced one, in order: readable, and safe with the next synced one.
    deferred: Vec<Vec<WriteSet>>,
    /// A write failed whose bytes had landed: they are there once the store was reopened.
    landed: Option<Vec<WriteSet>>,
    stalled_until: Moment,
    failure: Option<FailedWrite>,
    generation_seen: u64,
}

/// A node's disk; it outlives the processes.
pub struct SimDisk {
    site: Site,
    memory: MemoryStore,
    state: Mutex<State>,
    dice: Mutex<Dice>,
    speed: DiskSpeed,
    /// Those of its region.
    clocks: Vec<Arc<SimClock>>,
    recorder: Recorder,
}

/// What a crash has left of the write that was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// There was none.
    None,
    /// Nothing of it.
    Nothing,
    /// A part: its checksum is wrong, and it is dropped when the store is opened.
    Torn,
    /// All of it, though nobody was told.
    All,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(
        site: Site,
        speed: DiskSpeed,
        dice: Dice,
        clocks: Vec<Arc<SimClock>>,
        recorder: Recorder,
    ) -> Self {
        Self {
            site,
            memory: MemoryStore::new(),
            state: Mutex::default(),
            dice: Mutex::new(dice),
            speed,
            clocks,
            recorder,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on it, read without any process.
    pub fn contents(&self) -> &MemoryStore {
        &self.memory
    }

    /// Whether bytes are on their way that are not safe.
    pub fn is_writing(&self) -> bool {
        self.lock().unsynced.is_some()
    }

    /// Whether there is room.
    pub fn set_full(&self, is_full: bool) {
        self.memory.set_full(is_full);
    }

    /// Nothing is written until then.
    pub fn stall_until(&self, moment: Moment) {
        let mut state = self.lock();
        state.stalled_until = state.stalled_until.max(moment);
    }

    /// The next write fails, and leaves its bytes or not.
    pub fn fail_next_write(&self, outcome: FailedWrite) {
        // It stays armed while writes are refused for another reason.
        self.lock().failure = Some(outcome);
        self.memory.fail_next_writes(1, outcome);
    }

    /// The process is gone: what was under way is there, or in part, or not. Of what was deferred, so much of the front is
    /// there as chance will have it.
    pub fn crash(&self) -> Leftover {
        let (unsynced, landed, deferred) = {
            let mut state = self.lock();
            state.failure = None;
            let deferred = std::mem::take(&mut state.deferred);
            (state.unsynced.take(), state.landed.take(), deferred)
        };
        let draw = unsynced.as_ref().map(|_| self.dice().below(3));
        // The log keeps the order: what came later is there only if all before it is.
        let keeps_all = landed.is_some() || draw.is_some_and(|draw| draw > 1);
        let kept = if keeps_all || deferred.is_empty() {
            deferred.len()
        } else {
            self.dice().below(deferred.len() as u64 + 1) as usize
        };
        for sets in &deferred[..kept] {
            self.note_durable(sets);
        }
        // A write that has failed and landed is found when the log is replayed. It counts as deferred there.
        self.memory.crash(kept + usize::from(landed.is_some()));
        if let Some(sets) = landed {
            self.note_durable(&sets);
        }
        self.lock().generation_seen = self.memory.generation();
        let (Some(sets), Some(draw)) = (unsynced, draw) else {
            return Leftover::None;
        };
        match draw {
            0 => Leftover::Nothing,
            1 => Leftover::Torn,
            _ => {
                // The disk was not full when it took the bytes.
                match self.memory.write(&sets, Durability::Synced) {
                    Ok(()) => {
                        self.note_durable(&sets);
                        Leftover::All
                    }
                    Err(_) => Leftover::Nothing,
                }
            }
        }
    }

    fn note_durable(&self, sets: &[WriteSet]) {
        let latest = self.clocks.iter().map(|clock| clock.latest()).max();
        self.recorder.durable(self.site, latest.unwrap_or_default(), sets);
    }

    /// What was deferred and what has landed become safe and known when the store was reopened.
    fn note_reopened(&self) {
        let generation = self.memory.generation();
        let safe = {
            let mut state = self.lock();
            if generation == state.generation_seen {
                return;
            }
            state.generation_seen = generation;
            let mut safe = std::mem::take(&mut state.deferred);
            safe.extend(state.landed.take());
            safe
        };
        for sets in &safe {
            self.note_durable(sets);
        }
    }

    /// A write returned: it is safe with all that were deferred before it, or is deferred as well.
    fn note_written(&self, sets: &[WriteSet], durability: Durability) {
        if durability == Durability::Deferred {
            self.lock().deferred.push(sets.to_vec());
            if !self.site.is_alone {
                // Safe already, as the raft entry that it comes from.
                self.note_durable(sets);
            }
            return;
        }
        let deferred = std::mem::take(&mut self.lock().deferred);
        for sets in &deferred {
            self.note_durable(sets);
        }
        self.note_durable(sets);
    }

    async fn write_slowly(&self, sets: &[WriteSet], durability: Durability) {
        loop {
            let stalled_until = self.lock().stalled_until;
            if stalled_until <= time::now() {
                break;
            }
            time::sleep_until(stalled_until).await;
        }
        let (write, sync) = {
            let mut dice = self.dice();
            (dice.up_to(self.speed.write), dice.up_to(self.speed.sync))
        };
        tokio::time::sleep(write).await;
        if durability == Durability::Deferred {
            return;
        }
        self.lock().unsynced = Some(sets.to_vec());
        tokio::time::sleep(sync).await;
        self.lock().unsynced = None;
    }
}

impl Store for SimDisk {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.memory.get(family, key)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.memory.scan(family, from, to, visit)
    }

    fn last(&self, family: Family, from: &[u8], to: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        self.memory.last(family, from, to)
    }

    fn view(&self) -> Result<Box<dyn StoreView>, StoreError> {
        self.memory.view()
    }

    fn write(&self, sets: &[WriteSet], durability: Durability) -> Result<(), StoreError> {
        let result = self.memory.write(sets, durability);
        // A write may have reopened the store first.
        self.note_reopened();
        match &result {
            Ok(()) => self.note_written(sets, durability),
            Err(StoreError::OutcomeUnknown { .. }) => {
                let failure = self.lock().failure.take();
                let outcome = failure.expect("writes fail only when they were told to");
                self.recorder.event(format!(
                    "{} cannot tell whether a write was made: {outcome:?}",
                    self.site
                ));
                self.recorder.reached(match outcome {
                    FailedWrite::Lost => "write of unknown outcome was lost",
                    FailedWrite::Landed => "write of unknown outcome was made",
                });
                if outcome == FailedWrite::Landed {
                    self.lock().landed = Some(sets.to_vec());
                }
            }
            Err(StoreError::DiskFull { .. }) => self.recorder.reached("disk full"),
            Err(_) => {}
        }
        result
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        self.memory.check_writable()
    }

    fn generation(&self) -> u64 {
        self.memory.generation()
    }

    fn recover(&self) -> Result<u64, StoreError> {
        let result = self.memory.recover();
        self.note_reopened();
        result
    }
}

/// The committer of one life of a process: the real queue and groups, on the simulated disk's time.
pub struct SimCommitter {
    queue: CommitQueue,
    arrived: Notify,
    disk: Arc<SimDisk>,
}

impl SimCommitter {
    /// A committer on a disk; somebody must [`run`](Self::run) it.
    pub fn new(disk: Arc<SimDisk>) -> Self {
        Self {
            queue: CommitQueue::default(),
            arrived: Notify::new(),
            disk,
        }
    }

    /// Writes what comes, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            let Some(group) = self.queue.take() else {
                self.arrived.notified().await;
                continue;
            };
            self.disk.write_slowly(group.sets(), group.durability()).await;
            let result = group.write(self.disk.as_ref());
            // Safe, and nobody has been told: a crash may fall in between.
            let pause = self.disk.dice().percent(10);
            if pause {
                let pause = self.disk.dice().up_to(self.disk.speed.sync);
                tokio::time::sleep(pause).await;
            }
            group.complete(self.disk.as_ref(), &result);
        }
    }
}

impl Committer for SimCommitter {
    fn submit(&self, set: WriteSet, durability: Durability, done: Completion) {
        self.queue.submit(set, durability, done);
        self.arrived.notify_one();
    }
}

/// All keys and values of a family.
pub fn all_of(store: &dyn Store, family: Family) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let mut all = Vec::new();
    store.scan(family, b"", &[0xff; 64], &mut |key, value| {
        all.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(seed: u64) -> SimDisk {
        let speed = DiskSpeed {
            write: Duration::ZERO,
            sync: Duration::ZERO,
        };
        let site = Site {
            region: "eu".parse().unwrap(),
            node: "eu-1".parse().unwrap(),
            is_alone: true,
        };
        let dice = Dice::new(seed, "disk");
        SimDisk::new(site, speed, dice, Vec::new(), Recorder::default())
    }

    fn put(disk: &SimDisk, key: &str, durability: Durability) {
        let mut set = WriteSet::new();
        set.put(Family::Rows, key.as_bytes(), b"v");
        disk.write(&[set], durability).unwrap();
    }

    fn keys(disk: &SimDisk) -> Vec<Bytes> {
        let rows = all_of(disk, Family::Rows).unwrap();
        rows.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_crash_leaves_the_front_of_what_was_deferred_and_all_that_was_synced() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..32 {
            let disk = disk(seed);
            put(&disk, "a", Durability::Deferred);
            put(&disk, "b", Durability::Synced);
            put(&disk, "c", Durability::Deferred);
            put(&disk, "d", Durability::Deferred);
            assert_eq!(keys(&disk).len(), 4);
            disk.crash();
            let left = keys(&disk);
            assert!(
                ["a", "b", "c", "d"].map(Bytes::from).starts_with(&left),
                "{left:?}"
            );
            lengths.insert(left.len());
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [2, 3, 4]);
    }
}
