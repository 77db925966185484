//! Batches in the model: one commit or nothing, also beside other writes of a group.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;

use super::*;
use crate::model::change::{Commit, ConflictPolicy, Content, Delta};
use crate::model::hlc::{Hlc, WallTime};
use crate::model::ids::{Incarnation, Key, ReplicaId, SubKey};
use crate::model::record::{RecordId, RowId};
use crate::model::request::{Operation, Precondition, WriteRefusal};
use crate::model::rows::Row;
use crate::model::vector::VersionVector;
use crate::model::workspace::{Overlay, Summary};

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

type Outcomes = Vec<Result<Vec<WriteAnswer>, BatchRefusal>>;

fn execute(tables: &Tables, batches: &[Vec<WriteRequest>]) -> (Outcomes, Option<Commit>, Overlay) {
    execute_after(0, tables, batches)
}

/// As [`execute`], by a region that has made so many changes before.
fn execute_after(
    seq: u64,
    tables: &Tables,
    batches: &[Vec<WriteRequest>],
) -> (Outcomes, Option<Commit>, Overlay) {
    let origin = ReplicaId {
        region: "us".parse().unwrap(),
        incarnation: Incarnation::FIRST,
    };
    let mut vector = VersionVector::new();
    vector.advance(origin, seq);
    let mut preparation = Preparation::begin(origin, &vector, Hlc(1000), WallTime::default());
    let mut workspace = Workspace::new(tables);
    let outcomes = batches.iter();
    let outcomes = outcomes.map(|batch| preparation.execute_all(&mut workspace, batch).unwrap());
    let outcomes = outcomes.collect();
    (outcomes, preparation.finish(), workspace.into_overlay())
}

fn write(key: &str, operation: Operation) -> WriteRequest {
    WriteRequest {
        namespace: "shop".parse().unwrap(),
        key: Key::new(key).unwrap(),
        policy: ConflictPolicy::Lww,
        precondition: Precondition::None,
        operation,
    }
}

fn put(key: &str) -> WriteRequest {
    let content = Content {
        content_type: "t".to_owned(),
        payload: Bytes::from_static(b"x"),
        expires_at: None,
    };
    let context = None;
    write(key, Operation::PutRegister { content, context })
}

fn put_if_there(key: &str) -> WriteRequest {
    WriteRequest {
        precondition: Precondition::Exists,
        ..put(key)
    }
}

fn add_member(key: &str, member: &str) -> WriteRequest {
    let add = vec![SubKey::new(member).unwrap()];
    let remove = Vec::new();
    write(key, Operation::UpdateSet { add, remove })
}

fn changed(overlay: &Overlay) -> usize {
    let rows = overlay.rows.values().filter(|row| row.before != row.after);
    let summaries = overlay.summaries.values();
    rows.count()
        + summaries
            .filter(|summary| summary.before != summary.after)
            .count()
}

#[test]
fn a_batch_becomes_consecutive_changes_of_one_commit() {
    let add = Operation::AddCounter { amount: 2 };
    let batch = vec![put("a"), write("n", add), add_member("s", "x"), put_if_there("a")];
    let (outcomes, commit, _) = execute(&Tables::default(), &[vec![put("z")], batch, vec![put("z")]]);
    let commit = commit.unwrap();
    let keys: Vec<&str> = commit
        .changes
        .iter()
        .map(|change| change.record.key.as_str())
        .collect();
    assert_eq!(keys, ["z", "a", "n", "s", "a", "z"]);
    let answers = outcomes[1].as_ref().unwrap();
    let versions: Vec<_> = answers.iter().map(|answer| answer.version.unwrap().hlc).collect();
    assert_eq!(versions, [Hlc(1001), Hlc(1002), Hlc(1003), Hlc(1004)]);
}

#[test]
fn a_refused_batch_leaves_nothing_and_what_is_beside_it_stays() {
    let refused = vec![
        put("a"),
        put("a"),
        add_member("s", "x"),
        add_member("s", "y"),
        put_if_there("b"),
    ];
    let (outcomes, commit, overlay) = execute(&Tables::default(), std::slice::from_ref(&refused));
    assert_eq!(
        outcomes[0],
        Err(BatchRefusal {
            position: 4,
            refusal: WriteRefusal::PreconditionFailed { current: None }
        })
    );
    assert_eq!(commit, None);
    assert_eq!(changed(&overlay), 0);

    let (_, alone, expected) = execute(&Tables::default(), &[vec![put("a")], vec![add_member("s", "x")]]);
    let (_, beside, found) = execute(
        &Tables::default(),
        &[vec![put("a")], refused, vec![add_member("s", "x")]],
    );
    assert_eq!(beside, alone);
    let changes = |overlay: Overlay| {
        let rows: BTreeMap<_, _> = overlay.rows.into_iter().collect();
        let rows = rows.into_iter().filter(|(_, row)| row.before != row.after);
        rows.map(|(id, row)| (id, row.after)).collect::<Vec<_>>()
    };
    assert_eq!(changes(found), changes(expected));
}

#[test]
fn a_refused_batch_takes_back_what_it_changed_of_what_was_stored() {
    let mut tables = Tables::default();
    let (_, _, overlay) = execute(&tables, &[vec![put("a")], vec![add_member("s", "x")]]);
    for (id, exchange) in overlay.rows {
        tables.rows.extend(exchange.after.map(|row| (id, row)));
    }
    for (id, exchange) in overlay.summaries {
        tables
            .summaries
            .extend(exchange.after.map(|summary| (id, summary)));
    }
    let remove = Operation::UpdateSet {
        add: Vec::new(),
        remove: vec![SubKey::new("x").unwrap()],
    };
    let refused = vec![
        write("a", Operation::DeleteRegister),
        write("s", remove),
        put_if_there("b"),
    ];
    let (_, commit, overlay) = execute_after(2, &tables, &[refused, vec![put_if_there("a")]]);
    let changes = commit.unwrap().changes;
    assert!(matches!(&changes[..], [change] if matches!(change.delta, Delta::Register { .. })));
    assert!(overlay.losers.is_empty());
    let set = RecordId::new(
        "shop".parse().unwrap(),
        crate::model::record::RecordType::Set,
        Key::new("s").unwrap(),
    );
    let summary = &overlay.summaries[&set];
    assert_eq!(summary.before, summary.after);
}
