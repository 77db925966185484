//! What the checker of session guarantees finds, from inside and from outside. Sessions of these tests go from region to
//! region with a client, as with a token, so that what is missing can be shown by leaving the waiting out.

use crate::evidence::{Action, Evidence, SessionId};

use super::test_cluster::{
    Cluster, add, assert_found, assert_silent, delete, fields, from_outside, members, moment, put,
};

const CHECKER: &str = "session_guarantees";

/// Each client has one session in all regions.
fn one_session_each(mut evidence: Evidence) -> Evidence {
    for operation in &mut evidence.operations {
        operation.session = SessionId(u32::from(operation.client.0));
    }
    evidence
}

/// Runs a script, with or without the waiting for what the session knows.
fn run(script: impl Fn(&mut Cluster, &dyn Fn(&mut Cluster)), waits: bool) -> Evidence {
    let mut cluster = Cluster::new(&["eu", "us"]);
    let wait = move |cluster: &mut Cluster| {
        if waits {
            cluster.deliver_all();
        }
    };
    script(&mut cluster, &wait);
    one_session_each(cluster.finish())
}

/// Asserts that a script keeps the guarantees with the waiting and breaks them without.
fn assert_needs_waiting(script: impl Fn(&mut Cluster, &dyn Fn(&mut Cluster)), part: &str) {
    assert_silent(&run(&script, true), CHECKER);
    assert_found(&run(&script, false), CHECKER, part);
}

/// The same from outside.
fn assert_needs_waiting_from_outside(script: impl Fn(&mut Cluster, &dyn Fn(&mut Cluster))) {
    assert_silent(&from_outside(run(&script, true)), CHECKER);
    assert_found(&from_outside(run(&script, false)), CHECKER, "told its session of");
}

fn contains(member: &str) -> Action {
    Action::Contains {
        member: member.to_owned(),
    }
}

#[test]
fn a_read_that_lacks_the_sessions_own_write_is_found() {
    let scripts: [(&str, Action, Action); 4] = [
        ("register/a", put("value"), Action::Get),
        ("set/a", members(&["m"], &[]), contains("m")),
        ("map/a", fields(&[("f", "1")], &[]), Action::Fields),
        ("counter/a", add(1), Action::Count),
    ];
    for (name, write, read) in scripts {
        let script = |cluster: &mut Cluster, wait: &dyn Fn(&mut Cluster)| {
            cluster.act(1, 0, name, write.clone());
            wait(cluster);
            cluster.act(1, 1, name, read.clone());
        };
        assert_needs_waiting(script, "shows a state without");
        if name != "counter/a" {
            assert_needs_waiting_from_outside(script);
        }
    }
}

#[test]
fn a_read_that_lacks_what_an_earlier_read_has_shown_is_found() {
    let scripts: [(&str, Action, Action); 4] = [
        ("register/a", put("value"), Action::Get),
        ("set/a", members(&["m"], &[]), Action::Members),
        ("map/a", fields(&[("f", "1")], &[]), Action::Fields),
        ("counter/a", add(1), Action::Count),
    ];
    for (name, write, read) in scripts {
        let script = |cluster: &mut Cluster, wait: &dyn Fn(&mut Cluster)| {
            cluster.act(9, 0, name, write.clone());
            cluster.act(1, 0, name, read.clone());
            wait(cluster);
            cluster.act(1, 1, name, read.clone());
        };
        assert_needs_waiting(script, "shows a state without");
        if name != "counter/a" {
            assert_needs_waiting_from_outside(script);
        }
    }
}

#[test]
fn an_older_value_after_a_newer_one_is_found() {
    let script = |cluster: &mut Cluster, wait: &dyn Fn(&mut Cluster)| {
        cluster.act(9, 0, "register/a", put("old"));
        cluster.deliver_all();
        cluster.act(9, 0, "register/a", put("new"));
        cluster.act(1, 0, "register/a", Action::Get);
        wait(cluster);
        cluster.act(1, 1, "register/a", Action::Get);
    };
    assert_needs_waiting(script, "shows a state without");
    assert_needs_waiting_from_outside(script);
}

#[test]
fn a_write_that_has_not_seen_the_sessions_writes_and_reads_is_found() {
    let writes = |cluster: &mut Cluster, wait: &dyn Fn(&mut Cluster)| {
        cluster.set_ahead(0, 100);
        cluster.act(1, 0, "register/a", put("first"));
        wait(cluster);
        cluster.act(1, 1, "register/a", put("second"));
    };
    assert_needs_waiting(writes, "has not seen");
    assert_needs_waiting_from_outside(writes);
    let follows = |cluster: &mut Cluster, wait: &dyn Fn(&mut Cluster)| {
        cluster.set_ahead(0, 100);
        cluster.act(9, 0, "register/a", put("first"));
        cluster.act(1, 0, "register/a", Action::Get);
        wait(cluster);
        cluster.act(1, 1, "register/a", delete());
    };
    assert_needs_waiting(follows, "has not seen");
    assert_needs_waiting_from_outside(follows);
}

#[test]
fn other_sessions_owe_each_other_nothing() {
    let script = |cluster: &mut Cluster, _: &dyn Fn(&mut Cluster)| {
        cluster.act(1, 0, "register/a", put("value"));
        cluster.act(2, 1, "register/a", Action::Get);
        cluster.act(2, 1, "set/a", members(&["m"], &[]));
        cluster.act(1, 0, "set/a", contains("m"));
    };
    assert_silent(&run(script, false), CHECKER);
    assert_silent(&from_outside(run(script, false)), CHECKER);
}

#[test]
fn operations_that_overlap_owe_each_other_nothing() {
    let script = |cluster: &mut Cluster, _: &dyn Fn(&mut Cluster)| {
        cluster.act(1, 0, "register/a", put("value"));
        cluster.act(1, 1, "register/a", Action::Get);
    };
    let mut evidence = run(script, false);
    assert_found(&evidence, CHECKER, "shows a state without");
    evidence.operations[1].started = moment(1);
    assert_silent(&evidence, CHECKER);
    assert_silent(&from_outside(evidence), CHECKER);
}

#[test]
fn from_outside_a_removal_or_delete_excuses_what_is_not_shown() {
    for (name, write, removal, read) in [
        ("register/a", put("value"), delete(), Action::Get),
        (
            "set/a",
            members(&["m"], &[]),
            members(&[], &["m"]),
            Action::Members,
        ),
        (
            "map/a",
            fields(&[("f", "1")], &[]),
            Action::DropMap,
            Action::Fields,
        ),
    ] {
        let script = |cluster: &mut Cluster, _: &dyn Fn(&mut Cluster)| {
            cluster.act(1, 0, name, write.clone());
            let removal = cluster.start(2, 1, name, removal.clone());
            cluster.forget(removal);
            cluster.act(1, 1, name, read.clone());
        };
        assert_silent(&from_outside(run(script, false)), CHECKER);
        // One that was over before the write was begun excuses nothing.
        let script = |cluster: &mut Cluster, _: &dyn Fn(&mut Cluster)| {
            let early = cluster.start(2, 1, name, removal.clone());
            cluster.refuse(early);
            cluster.act(1, 0, name, write.clone());
            cluster.act(1, 1, name, read.clone());
        };
        assert_found(&from_outside(run(script, false)), CHECKER, "told its session of");
    }
}
