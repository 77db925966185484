//! What the checker of phantom writes finds.

use bytes::Bytes;

use crate::evidence::{Action, Condition, Evidence, Outcome, Shown};

use super::test_cluster::{
    Cluster, assert_accepted, assert_found, assert_silent, edit_commits, fields, from_outside, last, members,
    moment, put, put_if, record,
};

const CHECKER: &str = "phantom_writes";

fn refused() -> Outcome {
    Outcome::Refused {
        status: 503,
        code: "unavailable".to_owned(),
    }
}

/// One operation of each kind that writes, and reads of all.
fn all_kinds() -> (Evidence, Vec<usize>) {
    let mut cluster = Cluster::new(&["eu", "us"]);
    let writes = vec![
        cluster.act(1, 0, "register/a", put("value")),
        cluster.act(
            1,
            0,
            "register/b",
            Action::Delete {
                condition: Condition::None,
            },
        ),
        cluster.act(1, 0, "counter/a", Action::Reset),
        cluster.act(1, 0, "set/a", members(&["m", "n"], &[])),
        cluster.act(1, 0, "set/a", members(&[], &["m"])),
        cluster.act(1, 0, "map/a", fields(&[("f", "1"), ("g", "2")], &[])),
        cluster.act(1, 0, "map/a", fields(&[], &["f"])),
        cluster.act(1, 0, "set/a", Action::DropSet),
        cluster.act(1, 0, "map/a", Action::DropMap),
    ];
    (cluster.finish(), writes)
}

#[test]
fn what_was_asked_for_is_accepted_also_if_nobody_knows_the_outcome() {
    let (evidence, writes) = all_kinds();
    for id in writes {
        let mut evidence = Evidence {
            operations: evidence.operations.clone(),
            logged: evidence.logged.clone(),
            ..Evidence::default()
        };
        evidence.operations[id].outcome = Outcome::Unknown { status: None };
        assert_silent(&evidence, CHECKER);
    }
    assert_accepted(evidence);
}

#[test]
fn what_was_refused_and_is_in_a_log_is_found() {
    let (evidence, writes) = all_kinds();
    for id in writes {
        let mut evidence = Evidence {
            operations: evidence.operations.clone(),
            logged: evidence.logged.clone(),
            ..Evidence::default()
        };
        evidence.operations[id].outcome = refused();
        assert_found(&evidence, CHECKER, "does what nobody asked for in eu");
    }
}

#[test]
fn a_write_that_was_done_twice_is_found() {
    for action in [put("value"), members(&["m"], &[]), fields(&[("f", "1")], &[])] {
        let name = match action {
            Action::Put { .. } => "register/a",
            Action::ChangeMembers { .. } => "set/a",
            _ => "map/a",
        };
        let mut cluster = Cluster::new(&["eu"]);
        let id = cluster.act(1, 0, name, action);
        let mut evidence = cluster.finish();
        edit_commits(&mut evidence, id, |commit| {
            commit.changes.push(commit.changes[0].clone());
        });
        assert_found(&evidence, CHECKER, "or not so often");
    }
}

#[test]
fn a_write_in_the_log_before_it_was_sent_is_found() {
    let mut cluster = Cluster::new(&["eu"]);
    let id = cluster.act(1, 0, "register/a", put("value"));
    let mut evidence = cluster.finish();
    evidence.operations[id].started = moment(50);
    assert_found(&evidence, CHECKER, "by then");
}

#[test]
fn a_write_of_another_region_than_was_asked_is_found() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    let id = cluster.act(1, 0, "register/a", put("value"));
    let mut evidence = cluster.finish();
    evidence.operations[id].region = super::test_cluster::region("us");
    assert_found(&evidence, CHECKER, "nobody asked for in eu");
}

#[test]
fn what_was_shown_and_never_written_is_found() {
    let (evidence, _) = all_kinds();
    for (name, shown) in [
        ("register/a", Shown::Value(Bytes::from_static(b"other"))),
        ("set/a", Shown::Members(vec!["other".to_owned()])),
        ("map/a", Shown::Fields([("f".to_owned(), "3".to_owned())].into())),
        (
            "map/a",
            Shown::Fields([("other".to_owned(), "1".to_owned())].into()),
        ),
    ] {
        let mut evidence = Evidence {
            operations: evidence.operations.clone(),
            finals: evidence.finals.clone(),
            ..Evidence::default()
        };
        last(&mut evidence, "us").reads.insert(record(name), shown);
        assert_found(&evidence, CHECKER, "which nobody has written");
    }
}

#[test]
fn a_value_written_in_another_way_is_the_same_json() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "map/a", fields(&[("f", "{\"a\": [1, 2]}")], &[]));
    let read = cluster.act(1, 0, "map/a", Action::Fields);
    let mut evidence = cluster.finish();
    let fields = Shown::Fields([("f".to_owned(), "{\"a\":[1,2]}".to_owned())].into());
    if let Outcome::Done(answer) = &mut evidence.operations[read].outcome {
        answer.shown = fields.clone();
    }
    last(&mut evidence, "eu").reads.insert(record("map/a"), fields);
    assert_accepted(evidence);
}

#[test]
fn a_read_that_shows_what_was_written_after_it_or_refused_is_found() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "register/a", put("value"));
    cluster.act(1, 0, "set/a", members(&["m"], &[]));
    let get = cluster.act(2, 0, "register/a", Action::Get);
    let contains = cluster.act(
        2,
        0,
        "set/a",
        Action::Contains {
            member: "m".to_owned(),
        },
    );
    let evidence = from_outside(cluster.finish());
    for (write, read) in [(0, get), (1, contains)] {
        let mut evidence = Evidence {
            operations: evidence.operations.clone(),
            ..Evidence::default()
        };
        assert_silent(&evidence, CHECKER);
        evidence.operations[write].started = moment(90);
        evidence.operations[write].ended = Some(moment(91));
        assert_found(&evidence, CHECKER, "which nobody had begun to write");
        evidence.operations[write].outcome = refused();
        evidence.operations[write].started = moment(0);
        assert_found(&evidence, CHECKER, "which nobody had begun to write");
        let _ = read;
    }
}

#[test]
fn a_refused_precondition_leaves_nothing() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "register/a", put("value"));
    cluster.act(1, 0, "register/a", put_if("never", Condition::Absent));
    assert_accepted(cluster.finish());
}
