//! All commits and changes that are in any region's log, each once, numbered; and the logs as lists of them.
//!
//! A commit is what its origin logged first. That other regions' copies equal it, and that logs are in causal order,
//! is for the checker of causal delivery to say.

use std::collections::{BTreeMap, HashMap};

use atoll::model::change::{Change, Commit, Delta};
use atoll::model::ids::{PartitionId, RegionId, ReplicaId, Seq, SubKey};
use atoll::model::record::{RecordId, Version};
use atoll::model::vector::Dot;

use crate::evidence::{Evidence, Moment};

/// A commit, by the order in which commits were first logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CommitNumber(pub(crate) usize);

/// A change, by the order in which changes were first logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChangeNumber(pub(crate) usize);

/// A register, a counter, a member of a set or a field of a map that any change is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowNumber(pub(crate) usize);

/// A record that any change is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordNumber(pub(crate) usize);

/// A replica that anybody has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReplicaNumber(pub(crate) usize);

/// A commit.
#[derive(Debug)]
pub(crate) struct CommitFacts<'a> {
    /// As it was logged first.
    pub(crate) commit: &'a Commit,
    /// Of which partition.
    pub(crate) partition: PartitionId,
    /// Its origin.
    pub(crate) replica: ReplicaNumber,
    /// Its first change; the others follow.
    pub(crate) first_change: ChangeNumber,
    /// By replica: up to where it had seen changes of others.
    seen: Vec<Seq>,
}

impl CommitFacts<'_> {
    /// Up to where it had seen the changes of another replica.
    pub(crate) fn seen(&self, replica: ReplicaNumber) -> Seq {
        self.seen.get(replica.0).copied().unwrap_or(0)
    }
}

/// A change.
#[derive(Debug)]
pub(crate) struct ChangeFacts<'a> {
    /// The commit that it is part of.
    pub(crate) commit: CommitNumber,
    /// Who made it.
    pub(crate) replica: ReplicaNumber,
    /// Which of its changes.
    pub(crate) seq: Seq,
    /// The version that it gives to what it writes.
    pub(crate) version: Version,
    /// What it is for.
    pub(crate) row: RowNumber,
    /// What it does.
    pub(crate) delta: &'a Delta,
    /// What an addition to a counter adds: its replica's totals less those that it had before.
    pub(crate) amount: i128,
}

/// A row.
#[derive(Debug)]
pub(crate) struct RowFacts<'a> {
    /// The record it belongs to.
    pub(crate) record: RecordNumber,
    /// Its place among the rows of the record.
    pub(crate) place: usize,
    /// Member or field; none for registers and counters.
    pub(crate) sub_key: Option<&'a str>,
    /// All changes for it.
    pub(crate) changes: Vec<ChangeNumber>,
}

/// A record.
#[derive(Debug)]
pub(crate) struct RecordFacts<'a> {
    /// Its name.
    pub(crate) id: &'a RecordId,
    /// The partition of its first change.
    pub(crate) partition: PartitionId,
    /// Its rows.
    pub(crate) rows: Vec<RowNumber>,
}

/// An entry of a region's log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogEntry {
    /// What was logged.
    pub(crate) commit: CommitNumber,
    /// When it became durable.
    pub(crate) at: Moment,
}

/// The logs of one region.
#[derive(Debug, Default)]
pub(crate) struct RegionLogs {
    /// By partition, in log order.
    pub(crate) partitions: BTreeMap<PartitionId, Vec<LogEntry>>,
    /// By commit: its place in the log of its partition, counted from 1; 0 if it is not here.
    places: Vec<usize>,
}

impl RegionLogs {
    /// Where a commit stands in the log of its partition, counted from 1; none if it is not here.
    pub(crate) fn place(&self, commit: CommitNumber) -> Option<usize> {
        self.places.get(commit.0).copied().filter(|place| *place > 0)
    }

    /// The log of a partition.
    pub(crate) fn log(&self, partition: PartitionId) -> &[LogEntry] {
        self.partitions.get(&partition).map_or(&[], Vec::as_slice)
    }

    fn append(&mut self, partition: PartitionId, entry: LogEntry) {
        let log = self.partitions.entry(partition).or_default();
        log.push(entry);
        let place = log.len();
        if self.places.len() <= entry.commit.0 {
            self.places.resize(entry.commit.0 + 1, 0);
        }
        let slot = &mut self.places[entry.commit.0];
        // What is logged a second time stays where it was first.
        if *slot == 0 {
            *slot = place;
        }
    }
}

/// All that was logged.
#[derive(Debug, Default)]
pub(crate) struct Journal<'a> {
    /// All commits.
    pub(crate) commits: Vec<CommitFacts<'a>>,
    /// All changes.
    pub(crate) changes: Vec<ChangeFacts<'a>>,
    /// All rows.
    pub(crate) rows: Vec<RowFacts<'a>>,
    /// All records.
    pub(crate) records: Vec<RecordFacts<'a>>,
    /// All logs.
    pub(crate) logs: BTreeMap<RegionId, RegionLogs>,
    replicas: Vec<ReplicaId>,
    replica_numbers: HashMap<ReplicaId, ReplicaNumber>,
    commit_numbers: HashMap<(PartitionId, ReplicaNumber, Seq), CommitNumber>,
    record_numbers: HashMap<&'a RecordId, RecordNumber>,
    row_numbers: HashMap<(RecordNumber, Option<&'a str>), RowNumber>,
    versions: HashMap<(RecordNumber, Version), ChangeNumber>,
}

impl<'a> Journal<'a> {
    /// Reads all logs.
    pub(crate) fn new(evidence: &'a Evidence) -> Self {
        let mut journal = Self::default();
        for logged in &evidence.logged {
            let commit = journal.take_commit(logged.partition, &logged.commit);
            let entry = LogEntry {
                commit,
                at: logged.at,
            };
            let logs = journal.logs.entry(logged.region).or_default();
            logs.append(logged.partition, entry);
        }
        journal.work_out_amounts();
        journal
    }

    // --- getters

    /// A commit.
    pub(crate) fn commit(&self, number: CommitNumber) -> &CommitFacts<'a> {
        &self.commits[number.0]
    }

    /// A change.
    pub(crate) fn change(&self, number: ChangeNumber) -> &ChangeFacts<'a> {
        &self.changes[number.0]
    }

    /// A row.
    pub(crate) fn row(&self, number: RowNumber) -> &RowFacts<'a> {
        &self.rows[number.0]
    }

    /// A record.
    pub(crate) fn record(&self, number: RecordNumber) -> &RecordFacts<'a> {
        &self.records[number.0]
    }

    /// How many replicas anybody has seen.
    pub(crate) fn replica_count(&self) -> usize {
        self.replicas.len()
    }

    /// The record that a change is for.
    pub(crate) fn record_of(&self, change: ChangeNumber) -> &RecordFacts<'a> {
        self.record(self.row(self.change(change).row).record)
    }

    /// The number of a record; none if nothing was ever logged for it.
    pub(crate) fn record_number(&self, record: &RecordId) -> Option<RecordNumber> {
        self.record_numbers.get(record).copied()
    }

    /// The row of a member or field.
    pub(crate) fn part(&self, record: RecordNumber, part: &str) -> Option<RowNumber> {
        self.row_numbers.get(&(record, Some(part))).copied()
    }

    /// The change that gave a record a version.
    pub(crate) fn change_of(&self, record: &RecordId, version: Version) -> Option<ChangeNumber> {
        let record = self.record_number(record)?;
        self.versions.get(&(record, version)).copied()
    }

    /// The changes of a commit.
    pub(crate) fn changes_of(&self, commit: CommitNumber) -> impl Iterator<Item = ChangeNumber> + use<'a> {
        let facts = self.commit(commit);
        let first = facts.first_change.0;
        (first..first + facts.commit.changes.len()).map(ChangeNumber)
    }

    /// The position of a change in its commit.
    pub(crate) fn position(&self, change: ChangeNumber) -> usize {
        change.0 - self.commit(self.change(change).commit).first_change.0
    }

    /// The name of a change.
    pub(crate) fn dot(&self, change: ChangeNumber) -> Dot {
        let facts = self.change(change);
        Dot {
            replica: self.replicas[facts.replica.0],
            seq: facts.seq,
        }
    }

    /// Whether one change was made with knowledge of another of the same partition.
    pub(crate) fn has_seen(&self, later: ChangeNumber, earlier: ChangeNumber) -> bool {
        let (later, earlier) = (self.change(later), self.change(earlier));
        if later.replica == earlier.replica {
            // `<`: a change has not seen itself.
            return earlier.seq < later.seq;
        }
        // `<=`: vectors name the last seq that was seen.
        earlier.seq <= self.commit(later.commit).seen(earlier.replica)
    }

    /// Whether neither change was made with knowledge of the other.
    pub(crate) fn are_concurrent(&self, one: ChangeNumber, other: ChangeNumber) -> bool {
        one != other && !self.has_seen(one, other) && !self.has_seen(other, one)
    }

    /// The total order of last-write-wins.
    pub(crate) fn rank(&self, change: ChangeNumber) -> (Version, Dot) {
        (self.change(change).version, self.dot(change))
    }

    // --- reading

    fn take_commit(&mut self, partition: PartitionId, commit: &'a Commit) -> CommitNumber {
        let replica = self.take_replica(commit.origin);
        let name = (partition, replica, commit.first_seq);
        if let Some(number) = self.commit_numbers.get(&name) {
            return *number;
        }
        let number = CommitNumber(self.commits.len());
        self.commit_numbers.insert(name, number);
        let mut seen = Vec::new();
        for dot in commit.deps.iter() {
            let other = self.take_replica(dot.replica);
            if seen.len() <= other.0 {
                seen.resize(other.0 + 1, 0);
            }
            seen[other.0] = dot.seq;
        }
        self.commits.push(CommitFacts {
            commit,
            partition,
            replica,
            first_change: ChangeNumber(self.changes.len()),
            seen,
        });
        for (position, change) in commit.changes.iter().enumerate() {
            self.take_change(number, position, change);
        }
        number
    }

    fn take_change(&mut self, commit: CommitNumber, position: usize, change: &'a Change) {
        let number = ChangeNumber(self.changes.len());
        let facts = self.commit(commit);
        let (partition, replica) = (facts.partition, facts.replica);
        let offset = position as u64;
        let (seq, hlc) = (facts.commit.first_seq + offset, facts.commit.hlc.plus(offset));
        let version = Version {
            hlc,
            region: facts.commit.origin.region,
        };
        let record = self.take_record(partition, &change.record);
        let row = self.take_row(record, part_of(&change.delta));
        self.rows[row.0].changes.push(number);
        self.versions.entry((record, version)).or_insert(number);
        self.changes.push(ChangeFacts {
            commit,
            replica,
            seq,
            version,
            row,
            delta: &change.delta,
            amount: 0,
        });
    }

    fn take_replica(&mut self, replica: ReplicaId) -> ReplicaNumber {
        *self.replica_numbers.entry(replica).or_insert_with(|| {
            self.replicas.push(replica);
            ReplicaNumber(self.replicas.len() - 1)
        })
    }

    fn take_record(&mut self, partition: PartitionId, id: &'a RecordId) -> RecordNumber {
        *self.record_numbers.entry(id).or_insert_with(|| {
            self.records.push(RecordFacts {
                id,
                partition,
                rows: Vec::new(),
            });
            RecordNumber(self.records.len() - 1)
        })
    }

    fn take_row(&mut self, record: RecordNumber, sub_key: Option<&'a str>) -> RowNumber {
        *self.row_numbers.entry((record, sub_key)).or_insert_with(|| {
            let number = RowNumber(self.rows.len());
            let siblings = &mut self.records[record.0].rows;
            self.rows.push(RowFacts {
                record,
                place: siblings.len(),
                sub_key,
                changes: Vec::new(),
            });
            siblings.push(number);
            number
        })
    }

    /// A counter's changes carry totals; what each adds is the difference to the one before it of its replica.
    fn work_out_amounts(&mut self) {
        for row in &self.rows {
            let mut additions: Vec<(ReplicaNumber, Seq, ChangeNumber, i128)> = Vec::new();
            for number in &row.changes {
                let change = &self.changes[number.0];
                if let Delta::CounterTotals {
                    increments,
                    decrements,
                } = change.delta
                {
                    let total = i128::from(*increments) - i128::from(*decrements);
                    additions.push((change.replica, change.seq, *number, total));
                }
            }
            additions.sort_unstable();
            let mut before = (None, 0);
            for (replica, _, number, total) in additions {
                let base = if before.0 == Some(replica) { before.1 } else { 0 };
                self.changes[number.0].amount = total - base;
                before = (Some(replica), total);
            }
        }
    }
}

fn part_of(delta: &Delta) -> Option<&str> {
    match delta {
        Delta::Register { .. } | Delta::CounterTotals { .. } | Delta::CounterFloors { .. } => None,
        Delta::MemberAdd { member } | Delta::MemberRemove { member } => Some(SubKey::as_str(member)),
        Delta::FieldPut { field, .. } | Delta::FieldRemove { field } => Some(SubKey::as_str(field)),
    }
}
