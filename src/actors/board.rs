//! What partitions show to others without being asked: vectors, digests, where their logs end. Written by each
//! partition after its group is durable, read by shippers, heartbeats, `status` and metrics.
//!
//! Locks are held for copies only, never over an await.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use crate::model::coverage::Coverage;
use crate::model::digest::DigestSum;
use crate::model::hlc::Hlc;
use crate::model::ids::{LogIndex, PartitionCount, PartitionId, RegionId, Seq};
use crate::model::partition::PartitionState;
use crate::model::raft::RaftIndex;
use crate::model::session::SessionToken;
use crate::model::vector::VersionVector;

/// One partition, as of its last durable group.
#[derive(Debug, Clone, Default)]
pub struct PartitionView {
    /// What was applied.
    pub vector: VersionVector,
    /// The highest stamp applied of each region.
    pub stamps: BTreeMap<RegionId, Hlc>,
    /// What the other regions have said of it.
    pub coverage: Coverage,
    /// A local commit is on its way to the disk, and has or will have stamps that nobody knows of yet.
    pub is_preparing: bool,
    /// The digest of its rows.
    pub digest_root: DigestSum,
    /// The last log entry.
    pub applied_index: LogIndex,
    /// The first log entry that is kept.
    pub first_index: LogIndex,
    /// Bytes of its log.
    pub log_bytes: u64,
    /// Entries that it has ever put into the ledger.
    pub losers_written: u64,
    /// Remote commits that wait for others.
    pub held_commits: usize,
    /// Changes that it lacks and that no other region could be got to give, if so.
    pub lacking: Option<String>,
    /// Why it no longer works, if so.
    pub stopped: Option<String>,
    /// Why it refuses writes for now, if so.
    pub write_trouble: Option<String>,
    /// The last entry of its group that is in the rows; zero in a region of one node.
    pub raft_applied: RaftIndex,
}

impl PartitionView {
    /// Takes over a state.
    pub fn update(&mut self, state: &PartitionState, digest_root: DigestSum) {
        self.vector.clone_from(&state.vector);
        self.stamps.clone_from(&state.stamps);
        self.coverage.advance(&self.vector);
        self.is_preparing = false;
        self.digest_root = digest_root;
        self.applied_index = state.applied_index;
        self.first_index = state.first_index;
        self.log_bytes = state.log_bytes;
        self.losers_written = state.losers_written;
    }

    /// Everything of a region with a stamp up to this one was applied. Of the own region everything always is.
    #[must_use]
    pub fn through(&self, region: RegionId) -> Hlc {
        let applied = self.stamps.get(&region).copied().unwrap_or_default();
        applied.max(self.coverage.through(region))
    }

    /// Whether everything that a client has seen was applied.
    #[must_use]
    pub fn covers(&self, token: &SessionToken, own: RegionId) -> bool {
        // `<=`: the stamp itself was applied.
        token
            .iter()
            .all(|(region, stamp)| region == own || stamp <= self.through(region))
    }

    /// Changes of `region`, over its incarnations, that were applied.
    #[must_use]
    pub fn changes_of(&self, region: RegionId) -> Seq {
        self.vector
            .iter()
            .filter(|dot| dot.replica.region == region)
            .map(|dot| dot.seq)
            .sum()
    }
}

/// Called when a partition has appended something; must only send a message.
pub type Subscriber = Box<dyn Fn(PartitionId) + Send + Sync>;

/// All partitions of a node.
pub struct PartitionBoard {
    views: Vec<Mutex<PartitionView>>,
    /// By partition: its view has changed.
    changed: Vec<Notify>,
    /// The highest stamp of an own commit that is durable.
    own_through: AtomicU64,
    /// That has grown.
    own_stamped: Notify,
    subscribers: RwLock<Vec<Subscriber>>,
}

impl std::fmt::Debug for PartitionBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PartitionBoard({})", self.views.len())
    }
}

impl PartitionBoard {
    /// A board of empty partitions.
    #[must_use]
    pub fn new(count: PartitionCount) -> Self {
        let views = count
            .ids()
            .map(|_| Mutex::new(PartitionView::default()))
            .collect();
        let changed = count.ids().map(|_| Notify::new()).collect();
        Self {
            views,
            changed,
            own_through: AtomicU64::new(0),
            own_stamped: Notify::new(),
            subscribers: RwLock::new(Vec::new()),
        }
    }

    fn lock(&self, partition: PartitionId) -> MutexGuard<'_, PartitionView> {
        self.views[usize::from(partition.0)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of one partition's view.
    #[must_use]
    pub fn view(&self, partition: PartitionId) -> PartitionView {
        self.lock(partition).clone()
    }

    /// Reads from one partition's view.
    pub fn read<T>(&self, partition: PartitionId, read: impl FnOnce(&PartitionView) -> T) -> T {
        read(&self.lock(partition))
    }

    /// Changes one partition's view.
    pub fn update(&self, partition: PartitionId, change: impl FnOnce(&mut PartitionView)) {
        change(&mut self.lock(partition));
        self.changed[usize::from(partition.0)].notify_waiters();
    }

    /// Waits until a partition's view is as wanted; the caller bounds the time.
    pub async fn wait_until(&self, partition: PartitionId, mut holds: impl FnMut(&PartitionView) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed[usize::from(partition.0)].notified());
            // Before the look: a change after it is not missed.
            changed.as_mut().enable();
            if self.read(partition, &mut holds) {
                return;
            }
            changed.await;
        }
    }

    /// A local commit is about to take stamps. To be called before it does: what is promised to other regions rests on
    /// it.
    pub fn begin_preparing(&self, partition: PartitionId) {
        self.lock(partition).is_preparing = true;
    }

    /// An own commit with this stamp is durable.
    pub fn note_own_stamp(&self, stamp: Hlc) {
        let before = self.own_through.fetch_max(stamp.0, Ordering::AcqRel);
        if before < stamp.0 {
            self.own_stamped.notify_waiters();
        }
    }

    /// Waits until an own commit with this stamp or a higher one is durable; the caller bounds the time.
    pub async fn wait_for_own_stamp(&self, stamp: Hlc) {
        loop {
            let mut grown = std::pin::pin!(self.own_stamped.notified());
            // Before the look: a stamp after it is not missed.
            grown.as_mut().enable();
            if stamp <= self.own_through() {
                return;
            }
            grown.await;
        }
    }

    /// The highest stamp of an own commit that is durable. Whatever takes a stamp from now on gets a greater one, also
    /// after a restart; partitions that were preparing already may have lower ones.
    #[must_use]
    pub fn own_through(&self) -> Hlc {
        Hlc(self.own_through.load(Ordering::Acquire))
    }

    /// Tells the subscribers that a partition has appended something.
    pub fn announce(&self, partition: PartitionId) {
        for subscriber in self
            .subscribers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            subscriber(partition);
        }
    }

    /// Registers a subscriber for good.
    pub fn subscribe(&self, subscriber: Subscriber) {
        self.subscribers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(subscriber);
    }

    /// All partitions.
    pub fn ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..u16::try_from(self.views.len()).expect("at most 1024 partitions")).map(PartitionId)
    }

    /// The vectors of all partitions that have applied something.
    #[must_use]
    pub fn vectors(&self) -> Vec<(PartitionId, VersionVector)> {
        let all = self
            .ids()
            .map(|partition| (partition, self.read(partition, |view| view.vector.clone())));
        all.filter(|(_, vector)| !vector.is_empty()).collect()
    }

    /// How many changes of `vector` a partition has not applied.
    #[must_use]
    pub fn lacking(&self, partition: PartitionId, vector: &VersionVector) -> u64 {
        self.read(partition, |view| vector.changes_beyond(&view.vector))
    }

    /// Bytes of all logs.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.ids()
            .map(|partition| self.read(partition, |view| view.log_bytes))
            .sum()
    }
}
