//! What the checker of the final state finds: also what all regions have wrong in the same way.

use atoll::model::record::RecordType;
use bytes::Bytes;

use crate::evidence::{Evidence, Operation, Shown};

use super::test_cluster::{
    Cluster, add, assert_accepted, assert_found, drop_entries, edit_commits, fields, members, put, record,
};

const CHECKER: &str = "final_state";

fn everything() -> Evidence {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "register/a", put("eu"));
    cluster.act(2, 1, "register/a", put("us"));
    cluster.act(1, 0, "siblings/a", put("eu"));
    cluster.act(2, 1, "siblings/a", put("us"));
    cluster.act(1, 0, "counter/a", add(3));
    cluster.act(2, 1, "counter/a", add(-1));
    cluster.act(1, 0, "set/a", members(&["m", "n"], &[]));
    cluster.act(2, 1, "map/a", fields(&[("f", "1"), ("g", "2")], &[]));
    cluster.finish()
}

/// Changes all regions in the same way.
fn edit(evidence: &mut Evidence, edit: impl Fn(&mut crate::evidence::FinalRegion)) {
    evidence.finals.values_mut().for_each(edit);
}

#[test]
fn what_the_logs_come_to_is_accepted() {
    assert_accepted(everything());
}

#[test]
fn a_row_that_differs_lacks_or_is_made_up_is_found_though_all_regions_agree() {
    let types = [
        RecordType::Register,
        RecordType::Counter,
        RecordType::Set,
        RecordType::Map,
    ];
    for record_type in types {
        let is_it = |key: &Bytes| {
            let key = atoll::wire::keys::row::RowKey::decode(key).unwrap();
            key.row.record.record_type == record_type
        };
        let mut evidence = everything();
        edit(&mut evidence, |last| last.rows.retain(|key, _| !is_it(key)));
        assert_found(&evidence, CHECKER, "has no row for");

        let mut evidence = everything();
        alter_last(&mut evidence, record_type);
        assert_found(&evidence, CHECKER, "its changes come to");
    }
    let mut evidence = everything();
    let write = evidence.operations.len() - 1;
    drop_entries(&mut evidence, write, None);
    assert_found(&evidence, CHECKER, "holds a row that no change has left");
}

/// Makes the last write of a type another one, or none, in all logs, so that what it has left is too much.
fn alter_last(evidence: &mut Evidence, record_type: RecordType) {
    let is_it = |operation: &Operation| operation.record.record_type == record_type;
    let id = evidence.operations.iter().rposition(is_it).unwrap();
    if record_type == RecordType::Counter {
        drop_entries(evidence, id, None);
    } else {
        edit_commits(evidence, id, |commit| commit.first_seq += 100);
    }
}

#[test]
fn a_row_that_does_not_decode_is_found() {
    let mut evidence = everything();
    edit(&mut evidence, |last| {
        let first = last.rows.values_mut().next().unwrap();
        *first = Bytes::from_static(b"\xff\xff");
    });
    assert_found(&evidence, CHECKER, "does not decode");
}

#[test]
fn a_listing_that_does_not_fit_the_rows_is_found() {
    let mut evidence = everything();
    edit(&mut evidence, |last| {
        last.names.pop_first();
    });
    assert_found(&evidence, CHECKER, "as None");
    let mut evidence = everything();
    edit(&mut evidence, |last| {
        let values: Vec<Bytes> = last.names.values().cloned().collect();
        for value in last.names.values_mut() {
            *value = values[0].clone();
        }
    });
    assert_found(&evidence, CHECKER, "its rows come to");
    let mut evidence = everything();
    edit(&mut evidence, |last| {
        last.names
            .insert(Bytes::from_static(b"\x04shop\x01other"), Bytes::from_static(b"x"));
    });
    assert_found(&evidence, CHECKER, "records; there are");
}

#[test]
fn reads_that_do_not_fit_the_logs_are_found() {
    for (name, shown) in [
        ("register/a", Shown::Absent),
        ("register/a", Shown::Value(Bytes::from_static(b"eu"))),
        ("siblings/a", Shown::Value(Bytes::from_static(b"us"))),
        ("counter/a", Shown::Total(3)),
        ("set/a", Shown::Members(vec!["m".to_owned()])),
        (
            "set/a",
            Shown::Members(vec!["m".to_owned(), "n".to_owned(), "o".to_owned()]),
        ),
        ("map/a", Shown::Fields([("f".to_owned(), "1".to_owned())].into())),
        ("register/new", Shown::Value(Bytes::from_static(b"eu"))),
    ] {
        let mut evidence = everything();
        edit(&mut evidence, |last| {
            last.reads.insert(record(name), shown.clone());
        });
        assert_found(&evidence, CHECKER, "shows");
    }
}

#[test]
fn a_namespace_that_keeps_siblings_and_one_that_does_not_differ() {
    let evidence = everything();
    let last = evidence.finals.values().next().unwrap();
    assert!(matches!(last.reads[&record("siblings/a")], Shown::Siblings(_)));
    assert!(matches!(last.reads[&record("register/a")], Shown::Value(_)));
}
