//! What requests are answered, alone and inside one group, and what they leave in the commit.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;

use super::*;
use crate::model::change::{ConflictPolicy, Content, Replaces};
use crate::model::hlc::Hlc;
use crate::model::ids::{Incarnation, Key, ReplicaId, SubKey};
use crate::model::limits;
use crate::model::record::RecordType;
use crate::model::request::{Operation, Precondition, WriteAnswer, WriteEffect, WriteRefusal, WriteRequest};
use crate::model::rows::LossReason;
use crate::model::rows::counter::CounterOverflow;
use crate::model::vector::{Dot, VersionVector};

#[derive(Default)]
struct Tables {
    rows: BTreeMap<RowId, Row>,
    summaries: BTreeMap<RecordId, Summary>,
}

impl RowSource for Tables {
    type Error = Infallible;

    fn row(&self, id: &RowId) -> Result<Option<Row>, Infallible> {
        Ok(self.rows.get(id).cloned())
    }

    fn summary(&self, id: &RecordId) -> Result<Option<Summary>, Infallible> {
        Ok(self.summaries.get(id).cloned())
    }
}

impl Tables {
    fn write(&mut self, overlay: Overlay) {
        for (id, exchange) in overlay.rows {
            match exchange.after {
                Some(row) => self.rows.insert(id, row),
                None => self.rows.remove(&id),
            };
        }
        for (id, exchange) in overlay.summaries {
            match exchange.after {
                Some(summary) => self.summaries.insert(id, summary),
                None => self.summaries.remove(&id),
            };
        }
    }
}

/// One region that executes groups, and takes commits of others.
struct Region {
    tables: Tables,
    vector: VersionVector,
    hlc: Hlc,
    /// Of the last group.
    losers: Vec<RecordedLoser>,
}

type Answers = Vec<Result<WriteAnswer, WriteRefusal>>;

const NOW: WallTime = WallTime::from_millis(1000);

fn replica(region: &str) -> ReplicaId {
    ReplicaId {
        region: region.parse().unwrap(),
        incarnation: Incarnation::FIRST,
    }
}

impl Region {
    fn new() -> Self {
        Self {
            tables: Tables::default(),
            vector: VersionVector::new(),
            hlc: Hlc(1000),
            losers: Vec::new(),
        }
    }

    fn execute(&mut self, requests: &[WriteRequest]) -> (Answers, Option<Commit>) {
        self.execute_at(NOW, requests)
    }

    fn execute_at(&mut self, now: WallTime, requests: &[WriteRequest]) -> (Answers, Option<Commit>) {
        self.hlc = self.hlc.plus(10_000);
        let mut preparation = Preparation::begin(replica("us"), &self.vector, self.hlc, now);
        let mut workspace = Workspace::new(&self.tables);
        let answers = requests.iter();
        let answers = answers
            .map(|r| preparation.execute(&mut workspace, r).unwrap())
            .collect();
        let overlay = workspace.into_overlay();
        self.losers.clone_from(&overlay.losers);
        self.tables.write(overlay);
        let commit = preparation.finish();
        if let Some(commit) = &commit {
            self.vector.advance(commit.origin, commit.last_seq());
        }
        (answers, commit)
    }

    fn one(&mut self, request: WriteRequest) -> Result<WriteAnswer, WriteRefusal> {
        self.execute(&[request]).0.remove(0)
    }

    fn effect(&mut self, request: WriteRequest) -> WriteEffect {
        self.one(request).unwrap().effect
    }

    /// A commit of a region that had seen nothing.
    fn receive(&mut self, region: &str, hlc: u64, changes: Vec<Change>) -> Vec<RecordedLoser> {
        let commit = Commit {
            origin: replica(region),
            first_seq: self.vector.get(&replica(region)) + 1,
            hlc: Hlc(hlc),
            deps: VersionVector::new(),
            changes,
        };
        let mut workspace = Workspace::new(&self.tables);
        workspace.apply(&commit).unwrap();
        let overlay = workspace.into_overlay();
        let losers = overlay.losers.clone();
        self.tables.write(overlay);
        self.vector.advance(commit.origin, commit.last_seq());
        losers
    }

    fn summary(&self, record_type: RecordType) -> Option<&Summary> {
        self.tables.summaries.get(&record(record_type))
    }

    fn register(&self) -> &RegisterRow {
        match &self.tables.rows[&record(RecordType::Register).row()] {
            Row::Register(row) => row,
            other => panic!("{other:?} is no register"),
        }
    }
}

fn record(record_type: RecordType) -> RecordId {
    RecordId::new("shop".parse().unwrap(), record_type, Key::new("k").unwrap())
}

fn request(operation: Operation) -> WriteRequest {
    WriteRequest {
        namespace: "shop".parse().unwrap(),
        key: Key::new("k").unwrap(),
        policy: ConflictPolicy::Lww,
        precondition: Precondition::None,
        operation,
    }
}

fn content(text: &str) -> Content {
    Content {
        content_type: "text/plain".to_owned(),
        payload: Bytes::copy_from_slice(text.as_bytes()),
        expires_at: None,
    }
}

fn put(text: &str) -> WriteRequest {
    request(Operation::PutRegister {
        content: content(text),
        context: None,
    })
}

fn put_back(text: &str, context: Vec<Dot>) -> WriteRequest {
    let operation = Operation::PutRegister {
        content: content(text),
        context: Some(context),
    };
    WriteRequest {
        policy: ConflictPolicy::Siblings,
        ..request(operation)
    }
}

fn when(precondition: Precondition, request: WriteRequest) -> WriteRequest {
    WriteRequest {
        precondition,
        ..request
    }
}

fn parts(names: &[&str]) -> Vec<SubKey> {
    names.iter().map(|name| SubKey::new(name).unwrap()).collect()
}

fn set(add: &[&str], remove: &[&str]) -> WriteRequest {
    request(Operation::UpdateSet {
        add: parts(add),
        remove: parts(remove),
    })
}

fn map(put: &[&str], remove: &[&str]) -> WriteRequest {
    let values = parts(put)
        .into_iter()
        .map(|field| (field, Bytes::from_static(b"1")));
    request(Operation::UpdateMap {
        set: values.collect(),
        remove: parts(remove),
    })
}

fn add(amount: i64) -> WriteRequest {
    request(Operation::AddCounter { amount })
}

fn counted(added: usize, removed: usize) -> WriteEffect {
    WriteEffect::Parts { added, removed }
}

fn value(value: i128) -> WriteEffect {
    WriteEffect::Counter { value }
}

#[path = "workspace_precondition_test.rs"]
mod preconditions;
#[path = "workspace_register_test.rs"]
mod registers;

#[test]
fn a_set_says_how_many_came_new_and_went() {
    let mut region = Region::new();
    assert_eq!(region.effect(set(&["a", "b"], &[])), counted(2, 0));
    assert_eq!(region.effect(set(&["b", "c"], &["a", "x"])), counted(1, 1));
    assert_eq!(
        region.summary(RecordType::Set),
        Some(&Summary::Parts { count: 2 })
    );
    assert_eq!(
        region.effect(set(&["b"], &["b"])),
        counted(1, 1),
        "removed, then added: it is there"
    );
    assert_eq!(
        region.summary(RecordType::Set),
        Some(&Summary::Parts { count: 2 })
    );
    assert_eq!(
        region.effect(set(&["d", "d"], &["c", "c"])),
        counted(1, 1),
        "named twice, counted once"
    );
    assert_eq!(region.effect(set(&[], &["b", "d"])), counted(0, 2));
    assert_eq!(region.summary(RecordType::Set), None);
    assert!(region.tables.rows.is_empty(), "removed members leave nothing");
}

#[test]
fn a_map_counts_every_field_that_was_set() {
    let mut region = Region::new();
    assert_eq!(region.effect(map(&["f", "g"], &[])), counted(2, 0));
    assert_eq!(region.effect(map(&["f"], &["g", "x"])), counted(1, 1));
    assert_eq!(
        region.summary(RecordType::Map),
        Some(&Summary::Parts { count: 1 })
    );
    assert_eq!(region.effect(map(&[], &["f"])), counted(0, 1));
    assert_eq!(
        (region.summary(RecordType::Map), region.tables.rows.len()),
        (None, 0)
    );
}

#[test]
fn what_changes_nothing_makes_no_commit() {
    for request in [
        set(&[], &[]),
        set(&[], &["absent"]),
        map(&[], &[]),
        map(&[], &["absent"]),
    ] {
        let mut region = Region::new();
        let (answers, commit) = region.execute(&[request]);
        let nothing = WriteAnswer {
            version: None,
            tag: None,
            effect: counted(0, 0),
        };
        assert_eq!((answers, commit), (vec![Ok(nothing)], None));
    }
    assert_eq!(Region::new().execute(&[]).1, None);
}

#[test]
fn a_group_sees_its_own_earlier_writes() {
    let mut region = Region::new();
    let (answers, commit) = region.execute(&[
        add(5),
        add(-2),
        set(&["a"], &[]),
        set(&["a"], &[]),
        set(&[], &["a"]),
    ]);
    let effects: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().effect).collect();
    assert_eq!(
        effects,
        [value(5), value(3), counted(1, 0), counted(0, 0), counted(0, 1)]
    );
    assert_eq!(commit.unwrap().changes.len(), 5);
    assert_eq!(region.summary(RecordType::Set), None);
}

#[test]
fn versions_are_those_of_the_changes() {
    let mut region = Region::new();
    region.one(put("earlier")).unwrap();
    let (answers, commit) = region.execute(&[set(&["a", "b"], &[]), put("x"), set(&[], &["absent"]), add(1)]);
    let commit = commit.unwrap();
    let versions: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.unwrap().version)
        .collect();
    let at = |position| Some(commit.stamped(position).version());
    assert_eq!(versions, [at(1), at(2), None, at(3)]);
    assert_eq!((commit.first_seq, commit.last_seq()), (2, 5));
    assert_eq!(
        commit.deps,
        VersionVector::new(),
        "the origin's own entry is left out"
    );
}

#[test]
fn an_addition_that_would_overflow_is_refused_and_nothing_is_done() {
    let mut region = Region::new();
    let (answers, commit) = region.execute(&[add(i64::MAX), add(i64::MAX), add(2), add(1), add(-5)]);
    let highest = 2 * i128::from(i64::MAX);
    assert_eq!(answers[1].as_ref().unwrap().effect, value(highest));
    assert_eq!(answers[2], Err(CounterOverflow.into()));
    assert_eq!(answers[3].as_ref().unwrap().effect, value(highest + 1));
    assert_eq!(answers[4].as_ref().unwrap().effect, value(highest - 4));
    assert_eq!(commit.unwrap().changes.len(), 4);
}

#[test]
fn a_refused_request_alone_makes_no_commit() {
    let mut region = Region::new();
    region.execute(&[add(i64::MAX), add(i64::MAX), add(1)]);
    let (answers, commit) = region.execute(&[add(1), when(Precondition::Exists, put("x"))]);
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(commit, None);
}

#[test]
fn a_reset_shows_nothing_and_later_additions_count_from_there() {
    let mut region = Region::new();
    let (answers, _) = region.execute(&[add(7), add(-9), request(Operation::ResetCounter), add(4)]);
    assert_eq!(answers[2].as_ref().unwrap().effect, value(0));
    assert_eq!(answers[3].as_ref().unwrap().effect, value(4));
    assert_eq!(region.summary(RecordType::Counter), Some(&Summary::Counter));
}

#[test]
fn a_change_that_does_not_fit_its_record_is_refused() {
    let mismatched = Change {
        record: record(RecordType::Register),
        delta: Delta::MemberAdd {
            member: SubKey::new("m").unwrap(),
        },
    };
    let commit = Commit {
        origin: replica("eu"),
        first_seq: 1,
        hlc: Hlc(1),
        deps: VersionVector::new(),
        changes: vec![mismatched],
    };
    let tables = Tables::default();
    let mut workspace = Workspace::new(&tables);
    assert!(matches!(workspace.apply(&commit), Err(ApplyError::Mismatch(_))));
}

#[test]
fn a_row_of_another_type_is_not_overwritten() {
    let mut region = Region::new();
    region.one(put("x")).unwrap();
    let row = region
        .tables
        .rows
        .remove(&record(RecordType::Register).row())
        .unwrap();
    region.tables.rows.insert(record(RecordType::Counter).row(), row);
    let mut preparation = Preparation::begin(replica("us"), &region.vector, region.hlc, NOW);
    let mut workspace = Workspace::new(&region.tables);
    let result = preparation.execute(&mut workspace, &add(1));
    assert!(matches!(result, Err(ApplyError::Mismatch(_))), "{result:?}");
}

#[test]
fn the_size_of_a_request_covers_that_of_its_changes() {
    let long = "x".repeat(300);
    let context = vec![
        Dot {
            replica: replica("eu"),
            seq: 1
        };
        20
    ];
    for request in [
        put(&long),
        put_back(&long, context),
        set(&[&long, "b"], &["c"]),
        map(&[&long, "b"], &["c"]),
        add(1),
        request(Operation::DeleteRegister),
        request(Operation::ResetCounter),
    ] {
        let mut region = Region::new();
        region.execute(&[set(&["c"], &[]), map(&["c"], &[])]);
        let (announced, changes_max) = (request.size_bytes(), request.operation.changes_max());
        let commit = region.execute(&[request]).1.unwrap();
        let actual: usize = commit.changes.iter().map(Change::size_bytes).sum();
        assert!(actual <= announced, "{actual} > {announced} for {commit:?}");
        assert!(commit.changes.len() <= changes_max);
    }
}
