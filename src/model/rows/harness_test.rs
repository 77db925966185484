//! A cluster in miniature for tests of convergence: replicas with their own clock, rows, inbox and ledger, commits that
//! reach them in any order and more than once, and beside them the truth about who had seen what, kept without vectors.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::change::{Change, Commit, Delta};
use crate::model::digest::{Digest, RowExchange, RowHasher};
use crate::model::hlc::{HybridClock, WallTime};
use crate::model::ids::{PartitionId, RegionId, ReplicaId};
use crate::model::partition::PartitionState;
use crate::model::record::{RecordId, RowId, Version};
use crate::model::replication::inbox::{Inbox, Taken};
use crate::model::request::{WriteAnswer, WriteRefusal, WriteRequest};
use crate::model::rows::Row;
use crate::model::tick::Tick;
use crate::model::vector::Dot;
use crate::model::workspace::{Exchange, Overlay, Preparation, RecordedLoser, RowSource, Summary, Workspace};
use crate::wire::codec::DecodeError;
use crate::wire::keys::row::RowKey;
use crate::wire::values;

const PARTITION: PartitionId = PartitionId(0);

/// Rows and summaries as they would stand on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) rows: BTreeMap<RowId, Vec<u8>>,
    pub(super) summaries: BTreeMap<RecordId, Vec<u8>>,
}

impl RowSource for Tables {
    type Error = DecodeError;

    fn row(&self, id: &RowId) -> Result<Option<Row>, DecodeError> {
        let decode = |bytes: &Vec<u8>| values::decode_row(id.record.record_type, bytes);
        self.rows.get(id).map(decode).transpose()
    }

    fn summary(&self, id: &RecordId) -> Result<Option<Summary>, DecodeError> {
        let decode = |bytes: &Vec<u8>| values::decode_summary(bytes);
        self.summaries.get(id).map(decode).transpose()
    }
}

/// One region's replica of the partition.
pub(super) struct Replica {
    pub(super) id: ReplicaId,
    pub(super) tables: Tables,
    pub(super) ledger: Vec<RecordedLoser>,
    pub(super) state: PartitionState,
    pub(super) digest: Digest,
    /// Positions in [`World::commits`].
    pub(super) applied: BTreeSet<usize>,
    inbox: Inbox,
    clock: HybridClock,
    skew_ms: u64,
    hasher: RowHasher,
}

impl Replica {
    pub(super) fn new(id: ReplicaId, skew_ms: u64) -> Self {
        Self {
            id,
            tables: Tables::default(),
            ledger: Vec::new(),
            state: PartitionState::new(PARTITION),
            digest: Digest::default(),
            applied: BTreeSet::new(),
            inbox: Inbox::default(),
            clock: HybridClock::new(Duration::from_millis(500)),
            skew_ms,
            hasher: RowHasher::default(),
        }
    }

    /// A row of a record, decoded.
    pub(super) fn row(&self, id: &RowId) -> Option<Row> {
        self.tables.row(id).unwrap()
    }

    /// The digest of a full scan.
    pub(super) fn scanned_digest(&self) -> Digest {
        let mut digest = Digest::default();
        for (id, bytes) in &self.tables.rows {
            let key = RowKey::encode(PARTITION, id);
            let row = RowExchange {
                key: &key,
                before: None,
                after: Some(bytes),
            };
            digest.exchange(&self.hasher, &row);
        }
        digest
    }

    fn wall(&self, now_ms: u64) -> WallTime {
        WallTime::from_millis(now_ms + self.skew_ms)
    }

    fn store(&mut self, overlay: Overlay) {
        for (id, Exchange { before, after }) in overlay.rows {
            let key = RowKey::encode(PARTITION, &id);
            let before = before.map(|row| values::encode_row(&row));
            let after = after.map(|row| values::encode_row(&row));
            assert_eq!(
                self.tables.rows.get(&id),
                before.as_ref(),
                "stored rows round-trip"
            );
            let row = RowExchange {
                key: &key,
                before: before.as_deref(),
                after: after.as_deref(),
            };
            self.digest.exchange(&self.hasher, &row);
            put(&mut self.tables.rows, id, after);
        }
        for (id, exchange) in overlay.summaries {
            let after = exchange.after.map(|summary| values::encode_summary(&summary));
            put(&mut self.tables.summaries, id, after);
        }
        self.ledger.extend(overlay.losers);
    }

    fn apply(&mut self, commit: &Commit, now_ms: u64) {
        let bytes = values::encode_commit(commit);
        let commit = values::decode_commit(&bytes).expect("what was encoded is accepted");
        self.clock
            .observe(self.wall(now_ms), commit.last_hlc())
            .expect("skews are within the drift");
        let mut workspace = Workspace::new(&self.tables);
        workspace.apply(&commit).unwrap();
        let overlay = workspace.into_overlay();
        self.store(overlay);
        self.state
            .advance(&commit, bytes.len() as u64)
            .expect("the inbox gives out what comes next");
    }

    fn prepare(&mut self, requests: &[WriteRequest], now_ms: u64) -> (Vec<Answer>, Option<Commit>) {
        let count: usize = requests
            .iter()
            .map(|request| request.operation.changes_max())
            .sum();
        let wall = self.wall(now_ms);
        let hlc = self.clock.stamp(wall, count.max(1) as u64);
        let mut preparation = Preparation::begin(self.id, &self.state.vector, hlc, wall);
        let mut workspace = Workspace::new(&self.tables);
        let answers = requests.iter();
        let answers = answers
            .map(|request| preparation.execute(&mut workspace, request).unwrap())
            .collect();
        let prepared = effects(&workspace.into_overlay());
        let commit = preparation.finish();
        let mut replay = Workspace::new(&self.tables);
        if let Some(commit) = &commit {
            replay.apply(commit).unwrap();
            self.state.advance(commit, 0).expect("a local commit is next");
        }
        let overlay = replay.into_overlay();
        assert_eq!(prepared, effects(&overlay), "a replay does what was prepared");
        self.store(overlay);
        (answers, commit)
    }
}

type Answer = Result<WriteAnswer, WriteRefusal>;

type Effects = (
    BTreeMap<RowId, Option<Row>>,
    BTreeMap<RecordId, Option<Summary>>,
    Vec<RecordedLoser>,
);

/// What an overlay changes, what was only looked at left out.
fn effects(overlay: &Overlay) -> Effects {
    let rows = overlay.rows.iter().filter(|(_, e)| e.before != e.after);
    let summaries = overlay.summaries.iter().filter(|(_, e)| e.before != e.after);
    (
        rows.map(|(id, e)| (id.clone(), e.after.clone())).collect(),
        summaries.map(|(id, e)| (id.clone(), e.after.clone())).collect(),
        overlay.losers.clone(),
    )
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

/// A write that a client was told to have been made.
pub(super) struct Acknowledged {
    pub(super) request: WriteRequest,
    pub(super) version: Version,
    pub(super) commit: usize,
}

/// All replicas, all commits, and who had seen what.
pub(super) struct World {
    pub(super) replicas: Vec<Replica>,
    pub(super) commits: Vec<Commit>,
    /// For each commit those that its origin had applied.
    pub(super) seen: Vec<BTreeSet<usize>>,
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) now_ms: u64,
}

/// What one commit does to one record.
pub(super) struct Event<'a> {
    pub(super) commit: usize,
    pub(super) position: usize,
    pub(super) dot: Dot,
    pub(super) version: Version,
    pub(super) delta: &'a Delta,
}

impl World {
    /// Regions named so that their order is not that of their positions, with clocks that differ or tie.
    pub(super) fn new(replicas: usize) -> Self {
        let places = [("m", 0), ("b", 0), ("z", 350), ("a", 350)]
            .into_iter()
            .take(replicas);
        let replicas = places.map(|(region, skew_ms)| Replica::new(replica_id(region), skew_ms));
        Self {
            replicas: replicas.collect(),
            commits: Vec::new(),
            seen: Vec::new(),
            acknowledged: Vec::new(),
            now_ms: 1_000_000,
        }
    }

    /// A group of requests to one replica; answers the position of the commit if there is one.
    pub(super) fn write(&mut self, replica: usize, requests: &[WriteRequest]) -> Option<usize> {
        let now_ms = self.now_ms;
        let origin = &mut self.replicas[replica];
        let (answers, commit) = origin.prepare(requests, now_ms);
        let position = self.commits.len();
        for (request, answer) in requests.iter().zip(answers) {
            if let Some(version) = answer.ok().and_then(|answer| answer.version) {
                self.acknowledged.push(Acknowledged {
                    request: request.clone(),
                    version,
                    commit: position,
                });
            }
        }
        self.commits.push(commit?);
        self.seen.push(origin.applied.clone());
        origin.applied.insert(position);
        Some(position)
    }

    /// Brings a commit to a replica, which applies what it can; answers what it applied, in order.
    pub(super) fn deliver(&mut self, target: usize, commit: usize) -> Vec<usize> {
        deliver(&mut self.replicas[target], &self.commits, commit, self.now_ms)
    }

    /// Brings everything to everybody.
    pub(super) fn settle(&mut self) {
        for target in 0..self.replicas.len() {
            for commit in 0..self.commits.len() {
                self.deliver(target, commit);
            }
            assert!(
                self.replicas[target].inbox.is_empty(),
                "everything could be applied"
            );
        }
    }

    /// A replica that gets all commits in the given order, each twice.
    pub(super) fn observer(&self, order: &[usize]) -> Replica {
        let mut observer = Replica::new(replica_id("observer"), 0);
        for commit in order.iter().flat_map(|commit| [*commit, *commit]) {
            deliver(&mut observer, &self.commits, commit, self.now_ms);
        }
        assert!(observer.inbox.is_empty(), "everything could be applied");
        observer
    }

    /// What was done to each row, in the order of the commits.
    pub(super) fn events(&self) -> BTreeMap<RowId, Vec<Event<'_>>> {
        let mut events: BTreeMap<RowId, Vec<Event<'_>>> = BTreeMap::new();
        for (number, commit) in self.commits.iter().enumerate() {
            for (position, change) in commit.changes.iter().enumerate() {
                let stamped = commit.stamped(position);
                let event = Event {
                    commit: number,
                    position,
                    dot: stamped.dot,
                    version: stamped.version(),
                    delta: &change.delta,
                };
                events
                    .entry(crate::model::workspace::row_of(change))
                    .or_default()
                    .push(event);
            }
        }
        events
    }

    /// Whether `later` was made by somebody who had applied `earlier`.
    pub(super) fn sees(&self, later: &Event<'_>, earlier: &Event<'_>) -> bool {
        match later.commit == earlier.commit {
            true => earlier.position < later.position,
            false => self.seen[later.commit].contains(&earlier.commit),
        }
    }

    /// The change that an acknowledged write has made last.
    pub(super) fn change_of(&self, write: &Acknowledged) -> (usize, &Change) {
        let commit = &self.commits[write.commit];
        let position = usize::try_from(write.version.hlc.0 - commit.hlc.0).unwrap();
        (position, &commit.changes[position])
    }
}

fn deliver(replica: &mut Replica, commits: &[Commit], commit: usize, now_ms: u64) -> Vec<usize> {
    let commit = commits[commit].clone();
    let source = commit.origin.region;
    let tick = Tick::from_millis(now_ms);
    replica
        .inbox
        .offer(&replica.state.vector, commit, source, tick)
        .expect("no seq is used twice");
    let mut applied = Vec::new();
    while let Some(Taken::Next(commit, _)) = replica.inbox.take_next(&replica.state.vector) {
        let name = (commit.origin, commit.first_seq);
        let position = commits
            .iter()
            .position(|c| (c.origin, c.first_seq) == name)
            .unwrap();
        replica.apply(&commit, now_ms);
        assert!(replica.applied.insert(position), "nothing is applied twice");
        applied.push(position);
    }
    applied
}

pub(super) fn replica_id(region: &str) -> ReplicaId {
    let region: RegionId = region.parse().unwrap();
    ReplicaId {
        region,
        incarnation: crate::model::ids::Incarnation::FIRST,
    }
}
