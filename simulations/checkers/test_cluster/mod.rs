//! A cluster for the tests of the checkers: regions that execute operations with the store's own model, exchange commits
//! in any causal order, and leave evidence. No clock, no network, no disk: whoever uses it says what happens next.
//!
//! That its histories are accepted shows that the checkers raise no false alarm about what the model does.

mod actions;
mod edits;
mod region;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atoll::model::change::Commit;
use atoll::model::digest::{Digest, RowExchange, RowHasher, combined_root};
use atoll::model::hlc::Hlc;
use atoll::model::ids::{Incarnation, LogIndex, PartitionCount, PartitionId, RegionId, ReplicaId};
use atoll::model::partition::{Standing, standing};
use atoll::model::placement::partition_of;
use atoll::model::record::RecordId;
use atoll::model::request::WriteRequest;
use atoll::model::vector::Dot;
use atoll::model::workspace::{Preparation, Workspace};
use atoll::wire::keys::names::NameKey;
use atoll::wire::keys::row::RowKey;
use atoll::wire::values::{encode_row, encode_summary};

use crate::evidence::{
    Action, Advertised, Answer, BatchId, ClientId, Evidence, FinalRegion, Logged, Moment, Operation,
    OperationId, Outcome, SessionId, Settled,
};

pub(crate) use actions::{add, add_if, delete, fields, members, members_if, moment, put, put_if, record};
pub(crate) use edits::{
    assert_accepted, assert_found, assert_silent, drop_entries, edit_commits, entries, entry, last,
};
use region::{NOW, Region, outcome};

/// How many partitions test clusters have: more than one, so that records are spread.
pub(crate) const PARTITIONS: u32 = 2;

/// The cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    regions: Vec<Region>,
    evidence: Evidence,
    millis: u64,
    order: u64,
    /// By operation: what it came to, once it was executed.
    outcomes: BTreeMap<usize, Outcome>,
    /// What `Action::Put::context` names: the position in here.
    contexts: Vec<Vec<Dot>>,
}

impl Cluster {
    /// Regions that have seen nothing.
    pub(crate) fn new(names: &[&str]) -> Self {
        let region = |name: &&str| Region {
            replica: ReplicaId {
                region: name.parse().unwrap(),
                incarnation: Incarnation::FIRST,
            },
            tables: region::Tables::default(),
            vectors: BTreeMap::new(),
            logs: BTreeMap::new(),
            last_hlc: Hlc(1000),
        };
        Self {
            regions: names.iter().map(region).collect(),
            evidence: Evidence::default(),
            millis: 0,
            order: 0,
            outcomes: BTreeMap::new(),
            contexts: Vec::new(),
        }
    }

    /// Lets a millisecond pass.
    pub(crate) fn tick(&mut self) -> Moment {
        self.millis += 1;
        moment(self.millis)
    }

    /// Sets the clock of a region ahead.
    pub(crate) fn set_ahead(&mut self, region: usize, stamps: u64) {
        let region = &mut self.regions[region];
        region.last_hlc = region.last_hlc.plus(stamps);
    }

    /// Sends an operation.
    pub(crate) fn start(&mut self, client: u16, region: usize, name: &str, action: Action) -> usize {
        let started = self.tick();
        let id = self.evidence.operations.len();
        self.evidence.operations.push(Operation {
            promise: crate::evidence::Promise::Region,
            id: OperationId(u32::try_from(id).unwrap()),
            client: ClientId(client),
            session: SessionId(u32::from(client) * 10 + u32::try_from(region).unwrap()),
            batch: None,
            region: self.regions[region].replica.region,
            record: record(name),
            action,
            started,
            ended: None,
            outcome: Outcome::Unknown { status: None },
        });
        id
    }

    /// The region of the operations executes them together: writes of one partition in one commit.
    pub(crate) fn execute(&mut self, ids: &[usize]) {
        let at = self.tick();
        for partition in partitions() {
            let mine = ids.iter().copied().filter(|id| {
                let operation = &self.evidence.operations[*id];
                self.place(&operation.record) == partition
            });
            let mine: Vec<usize> = mine.collect();
            let writes = mine
                .iter()
                .copied()
                .filter(|id| self.operation(*id).action.is_write());
            let writes: Vec<usize> = writes.collect();
            if !writes.is_empty() {
                self.commit(at, partition, &writes);
            }
            for id in mine.into_iter().filter(|id| !writes.contains(id)) {
                let region = &self.regions[self.region_of(id)];
                let outcome = Outcome::Done(region.read(self.operation(id)));
                self.outcomes.insert(id, outcome);
            }
        }
    }

    /// The client gets the answer.
    pub(crate) fn end(&mut self, id: usize) {
        let ended = self.tick();
        let outcome = self.outcomes.get(&id).cloned();
        let operation = &mut self.evidence.operations[id];
        operation.ended = Some(ended);
        operation.outcome = outcome.unwrap_or(Outcome::Unknown { status: Some(504) });
    }

    /// Sends operations as one batch.
    pub(crate) fn start_batch(&mut self, client: u16, region: usize, parts: &[(&str, Action)]) -> Vec<usize> {
        let ids: Vec<usize> = parts
            .iter()
            .map(|(name, action)| self.start(client, region, name, action.clone()))
            .collect();
        let started = self.operation(ids[0]).started;
        for id in &ids {
            let operation = &mut self.evidence.operations[*id];
            operation.batch = Some(BatchId(u32::try_from(ids[0]).unwrap()));
            operation.started = started;
        }
        ids
    }

    /// The client never hears what became of it.
    pub(crate) fn forget(&mut self, id: usize) {
        let ended = self.tick();
        self.evidence.operations[id].ended = Some(ended);
    }

    /// The region says that it has done nothing. Only for what was not executed.
    pub(crate) fn refuse(&mut self, id: usize) {
        assert!(!self.outcomes.contains_key(&id));
        let ended = self.tick();
        let operation = &mut self.evidence.operations[id];
        operation.ended = Some(ended);
        operation.outcome = Outcome::Refused {
            status: 503,
            code: "unavailable".to_owned(),
        };
    }

    /// Sends an operation, and waits for the answer.
    pub(crate) fn act(&mut self, client: u16, region: usize, name: &str, action: Action) -> usize {
        let id = self.start(client, region, name, action);
        self.execute(&[id]);
        self.end(id);
        id
    }

    /// The answer to an operation.
    pub(crate) fn answer(&self, id: usize) -> &Answer {
        self.operation(id).answer().unwrap()
    }

    /// The entity tags that clients were told, oldest first.
    pub(crate) fn tags(&self) -> Vec<String> {
        let answers = self.evidence.operations.iter().filter_map(Operation::answer);
        answers.filter_map(|answer| answer.tag.clone()).collect()
    }

    /// The context of all versions of a register that a region holds.
    pub(crate) fn context(&mut self, region: usize, name: &str) -> String {
        let row = self.regions[region].tables.register(&record(name));
        self.contexts
            .push(row.versions().iter().map(|version| version.dot).collect());
        (self.contexts.len() - 1).to_string()
    }

    /// One region takes from another's log up to so many commits that it lacks and can apply.
    pub(crate) fn deliver(&mut self, from: usize, to: usize, mut count: usize) {
        for partition in partitions() {
            let log = self.regions[from]
                .logs
                .get(&partition)
                .cloned()
                .unwrap_or_default();
            for commit in log {
                let vector = self.regions[to].vectors.entry(partition).or_default();
                if count > 0 && standing(vector, &commit) == Standing::Next {
                    count -= 1;
                    let at = self.tick();
                    let region = &mut self.regions[to];
                    let mut workspace = Workspace::new(&region.tables);
                    workspace.apply(&commit).unwrap();
                    let overlay = workspace.into_overlay();
                    region.tables.write(overlay);
                    region.last_hlc = region.last_hlc.max(commit.last_hlc());
                    self.log(at, to, partition, commit);
                }
            }
        }
    }

    /// Everybody gets everything.
    pub(crate) fn deliver_all(&mut self) {
        for _ in 0..self.regions.len() {
            for (from, to) in self.pairs() {
                self.deliver(from, to, usize::MAX);
            }
        }
    }

    /// A region tells how far it is.
    pub(crate) fn advertise(&mut self, region: usize) {
        let at = self.tick();
        for (partition, vector) in self.regions[region].vectors.clone() {
            self.order += 1;
            self.evidence.advertised.push(Advertised {
                at,
                order: self.order,
                region: self.regions[region].replica.region,
                partition,
                vector,
            });
        }
    }

    /// Delivers everything and takes down what is there in the end.
    pub(crate) fn finish(mut self) -> Evidence {
        self.deliver_all();
        for region in 0..self.regions.len() {
            self.advertise(region);
            let last = self.last(region);
            let name = self.regions[region].replica.region;
            self.evidence.finals.insert(name, last);
        }
        self.evidence.settled = Settled::After(Duration::from_secs(1));
        self.evidence
    }

    // --- inside

    fn operation(&self, id: usize) -> &Operation {
        &self.evidence.operations[id]
    }

    fn place(&self, record: &RecordId) -> PartitionId {
        partition_of(
            &record.namespace,
            &record.key,
            PartitionCount::new(PARTITIONS).unwrap(),
        )
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let all = 0..self.regions.len();
        let pairs = all.clone().flat_map(|from| all.clone().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).collect()
    }

    fn region_of(&self, id: usize) -> usize {
        let name = self.operation(id).region;
        let mut regions = self.regions.iter();
        regions.position(|region| region.replica.region == name).unwrap()
    }

    fn log(&mut self, at: Moment, region: usize, partition: PartitionId, commit: Arc<Commit>) {
        self.order += 1;
        let order = self.order;
        let region = &mut self.regions[region];
        region
            .vectors
            .entry(partition)
            .or_default()
            .advance(commit.origin, commit.last_seq());
        let log = region.logs.entry(partition).or_default();
        log.push(Arc::clone(&commit));
        self.evidence.logged.push(Logged {
            at,
            order,
            region: region.replica.region,
            partition,
            index: LogIndex(log.len() as u64),
            commit,
        });
    }

    fn commit(&mut self, at: Moment, partition: PartitionId, ids: &[usize]) {
        let region = self.region_of(ids[0]);
        let requests: Vec<WriteRequest> = ids
            .iter()
            .map(|id| self.regions[region].request(self.operation(*id), &self.contexts))
            .collect();
        let here = &mut self.regions[region];
        let vector = here.vectors.entry(partition).or_default().clone();
        let hlc = here.last_hlc.plus(1);
        let mut preparation = Preparation::begin(here.replica, &vector, hlc, NOW);
        let mut workspace = Workspace::new(&here.tables);
        let results: Vec<_> = requests
            .iter()
            .map(|request| preparation.execute(&mut workspace, request).unwrap())
            .collect();
        let overlay = workspace.into_overlay();
        here.tables.write(overlay);
        if let Some(commit) = preparation.finish() {
            here.last_hlc = commit.last_hlc();
            self.log(at, region, partition, Arc::new(commit));
        }
        for (id, result) in ids.iter().zip(results) {
            let is_put = matches!(self.operation(*id).action, Action::Put { context: None, .. });
            self.outcomes.insert(*id, outcome(result, is_put));
        }
    }

    fn last(&self, region: usize) -> FinalRegion {
        let region = &self.regions[region];
        let mut last = FinalRegion {
            vectors: region.vectors.clone(),
            losers: region.tables.losers.clone(),
            ..FinalRegion::default()
        };
        let hasher = RowHasher::default();
        let mut digests = vec![Digest::default(); PARTITIONS as usize];
        for (id, row) in &region.tables.rows {
            let partition = self.place(&id.record);
            let (key, value) = (RowKey::encode(partition, id), encode_row(row));
            let exchange = RowExchange {
                key: &key,
                before: None,
                after: Some(&value),
            };
            digests[usize::from(partition.0)].exchange(&hasher, &exchange);
            last.rows.insert(key.into(), value.into());
        }
        for (id, summary) in &region.tables.summaries {
            last.names
                .insert(NameKey::encode(id).into(), encode_summary(summary).into());
        }
        let roots: Vec<_> = digests.iter().map(Digest::root).collect();
        last.digests = roots.iter().map(ToString::to_string).collect();
        last.scanned_digests = last.digests.clone();
        let bytes = combined_root(&roots);
        last.digest_root = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for operation in &self.evidence.operations {
            let shown = region.shown(&operation.record);
            last.reads.insert(operation.record.clone(), shown);
        }
        last
    }
}

/// What somebody who cannot look inside has of the same run.
pub(crate) fn from_outside(mut evidence: Evidence) -> Evidence {
    evidence.logged.clear();
    evidence.advertised.clear();
    for last in evidence.finals.values_mut() {
        last.rows.clear();
        last.names.clear();
        last.vectors.clear();
        last.scanned_digests.clear();
    }
    evidence
}

/// The name of a region.
pub(crate) fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn partitions() -> impl Iterator<Item = PartitionId> {
    PartitionCount::new(PARTITIONS).unwrap().ids()
}
