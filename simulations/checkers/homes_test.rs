//! What is asked of homes: whoever answers has everything that homes before it have answered.

use crate::evidence::{Action, Condition, Evidence, Outcome, Promise};

use super::situations::count;
use super::test_cluster::{Cluster, assert_accepted, assert_found, assert_silent, from_outside, put, put_if};

/// What a script does, all of it at homes.
fn at_homes(script: impl Fn(&mut Cluster)) -> Evidence {
    let mut cluster = Cluster::new(&["eu", "us"]);
    script(&mut cluster);
    let mut evidence = cluster.finish();
    for operation in &mut evidence.operations {
        operation.promise = Promise::Home;
    }
    evidence
}

fn of_one_region_each(mut evidence: Evidence) -> Evidence {
    for operation in &mut evidence.operations {
        operation.promise = Promise::Region;
    }
    evidence
}

#[test]
fn a_new_home_that_has_what_the_old_one_has_answered_is_accepted_and_counted() {
    let evidence = at_homes(|cluster| {
        cluster.act(1, 0, "register/a", put("one"));
        cluster.act(1, 0, "register/b", put("beside"));
        cluster.deliver_all();
        cluster.act(2, 1, "register/a", Action::Get);
        cluster.act(2, 1, "register/a", put_if("two", Condition::Present));
        cluster.deliver_all();
        cluster.act(1, 0, "register/a", Action::Get);
    });
    assert_eq!(count(&evidence)["strong operation answered by a new home"], 2);
    assert_accepted(evidence);
}

#[test]
fn a_new_home_that_does_not_show_what_the_old_one_has_acknowledged_is_found() {
    let evidence = at_homes(|cluster| {
        cluster.act(1, 0, "register/a", put("one"));
        cluster.act(2, 1, "register/a", Action::Get);
    });
    assert_found(&evidence, "linearizability", "shows Absent");
    assert_found(&from_outside(evidence), "linearizability", "");
    let shown_before = at_homes(|cluster| {
        cluster.act(1, 0, "register/a", put("one"));
        cluster.act(3, 0, "register/a", Action::Get);
        cluster.act(2, 1, "register/a", Action::Get);
    });
    assert_found(&shown_before, "linearizability", "shows Absent");
    // Two regions that answer for themselves may differ.
    assert_silent(&of_one_region_each(shown_before), "linearizability");
}

#[test]
fn a_write_at_a_new_home_comes_after_what_the_old_one_has_acknowledged() {
    let evidence = at_homes(|cluster| {
        cluster.act(1, 0, "register/a", put("one"));
        cluster.act(2, 1, "register/a", put_if("two", Condition::Absent));
    });
    assert_found(
        &evidence,
        "linearizability",
        "were known to be visible before it began",
    );
    assert_silent(&of_one_region_each(evidence), "linearizability");
}

#[test]
fn operations_at_two_homes_at_the_same_time_may_be_in_either_order() {
    let evidence = at_homes(|cluster| {
        let read = cluster.start(2, 1, "register/a", Action::Get);
        cluster.execute(&[read]);
        cluster.act(1, 0, "register/a", put("one"));
        cluster.end(read);
    });
    assert_silent(&evidence, "linearizability");
}

#[test]
fn what_nobody_has_answered_may_have_been_done_at_any_home_but_not_twice() {
    let unanswered = |twice: bool| {
        let mut evidence = at_homes(|cluster| {
            cluster.act(1, 1, "register/a", put("one"));
            if twice {
                cluster.act(1, 1, "register/a", put("one"));
            }
        });
        let eu = "eu".parse().unwrap();
        evidence.operations.truncate(1);
        evidence.operations[0].region = eu;
        evidence.operations[0].outcome = Outcome::Unknown { status: None };
        evidence
    };
    assert_silent(&unanswered(false), "phantom_writes");
    assert_found(&unanswered(true), "phantom_writes", "or not so often");
    let of_a_region = of_one_region_each(unanswered(false));
    assert_found(&of_a_region, "phantom_writes", "nobody asked for");
}
