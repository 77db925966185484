//! What the checker of counters finds, from inside and from outside, and what it excuses.

use atoll::model::change::Delta;

use crate::evidence::{Action, Evidence, Outcome, Shown};

use super::test_cluster::{
    Cluster, add, assert_accepted, assert_found, assert_silent, edit_commits, from_outside, moment, record,
};

const CHECKER: &str = "counters";

fn show(evidence: &mut Evidence, total: i64) {
    for last in evidence.finals.values_mut() {
        last.reads.insert(record("counter/a"), Shown::Total(total));
    }
}

/// 3 and 4 in eu, -1 in us, and a reset in eu that has seen 3 alone: 3 are left.
fn reset() -> Evidence {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "counter/a", add(3));
    cluster.act(2, 1, "counter/a", add(-1));
    cluster.act(1, 0, "counter/a", Action::Reset);
    cluster.act(1, 0, "counter/a", add(4));
    cluster.finish()
}

#[test]
fn sums_with_resets_and_unknown_outcomes_are_accepted() {
    let evidence = reset();
    let last = evidence.finals.values().next().unwrap();
    assert_eq!(last.reads[&record("counter/a")], Shown::Total(3));
    assert_accepted(evidence);
    for is_done in [true, false] {
        let mut cluster = Cluster::new(&["eu", "us"]);
        cluster.act(1, 0, "counter/a", add(3));
        let unknown = cluster.start(2, 1, "counter/a", add(5));
        cluster.forget(unknown);
        if is_done {
            cluster.execute(&[unknown]);
        }
        assert_accepted(cluster.finish());
    }
}

#[test]
fn a_sum_that_is_too_low_or_too_high_is_found_though_all_regions_agree() {
    for total in [2, 4, 6, 0] {
        let mut evidence = reset();
        show(&mut evidence, total);
        assert_found(&evidence, CHECKER, "come to 3");
    }
}

#[test]
fn totals_that_do_not_add_what_was_asked_are_found() {
    // Two additions of one group that both started from the same total.
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "counter/a", add(3));
    let second = cluster.act(2, 0, "counter/a", add(4));
    let mut evidence = cluster.finish();
    edit_commits(&mut evidence, second, |commit| {
        commit.changes[0].delta = Delta::CounterTotals {
            increments: 4,
            decrements: 0,
        };
    });
    show(&mut evidence, 4);
    assert_found(&evidence, CHECKER, "come to 7");
    assert_found(&evidence, "durability", "is something else");
}

#[test]
fn an_addition_that_nobody_asked_for_or_that_was_done_twice_is_found() {
    let mut cluster = Cluster::new(&["eu"]);
    let unknown = cluster.start(2, 0, "counter/a", add(5));
    cluster.execute(&[unknown]);
    cluster.forget(unknown);
    let mut evidence = cluster.finish();
    assert_silent(&evidence, CHECKER);
    let started = evidence.operations[unknown].started;
    evidence.operations[unknown].started = moment(90);
    assert_found(&evidence, CHECKER, "adds 5, which nobody asked for");
    evidence.operations[unknown].started = started;
    evidence.operations[unknown].outcome = Outcome::Refused {
        status: 503,
        code: "unavailable".to_owned(),
    };
    assert_found(&evidence, CHECKER, "adds 5, which nobody asked for");

    let mut cluster = Cluster::new(&["eu"]);
    let id = cluster.act(2, 0, "counter/a", add(5));
    let mut evidence = cluster.finish();
    edit_commits(&mut evidence, id, |commit| {
        commit.hlc = atoll::model::hlc::Hlc(commit.hlc.0 - 1);
        commit.changes.insert(
            0,
            atoll::model::change::Change {
                record: record("counter/a"),
                delta: Delta::CounterTotals {
                    increments: 0,
                    decrements: 5,
                },
            },
        );
    });
    assert_found(&evidence, CHECKER, "adds -5, which nobody asked for");
}

#[test]
fn two_additions_acknowledged_with_one_change_are_found() {
    let mut cluster = Cluster::new(&["eu"]);
    let first = cluster.act(1, 0, "counter/a", add(5));
    let mut evidence = cluster.finish();
    let mut second = evidence.operations[first].clone();
    second.id = crate::evidence::OperationId(1);
    evidence.operations.push(second);
    assert_found(&evidence, CHECKER, "which another addition was acknowledged with");
}

// --- from outside

#[test]
fn from_outside_the_sum_is_exact_where_all_is_known() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "counter/a", add(3));
    cluster.act(2, 1, "counter/a", add(-1));
    let mut evidence = from_outside(cluster.finish());
    assert_silent(&evidence, CHECKER);
    for total in [1, 3] {
        show(&mut evidence, total);
        assert_found(&evidence, CHECKER, "acknowledged are 2");
    }
}

#[test]
fn from_outside_unknown_additions_count_once_or_not_at_all() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "counter/a", add(3));
    for delta in [10, 20] {
        let unknown = cluster.start(2, 1, "counter/a", add(delta));
        cluster.forget(unknown);
    }
    let mut evidence = from_outside(cluster.finish());
    for (total, is_possible) in [
        (3, true),
        (13, true),
        (23, true),
        (33, true),
        (8, false),
        (43, false),
        (0, false),
    ] {
        show(&mut evidence, total);
        if is_possible {
            assert_silent(&evidence, CHECKER);
        } else {
            assert_found(&evidence, CHECKER, "may count or not");
        }
    }
}

#[test]
fn from_outside_a_reset_takes_what_it_has_seen_for_certain_and_leaves_what_came_after_it() {
    // What us adds may or may not be seen by the reset.
    let evidence = from_outside(reset());
    for (total, is_possible) in [
        (3, true),
        (4, true),
        (7, false),
        (6, false),
        (0, false),
        (-1, false),
    ] {
        let mut evidence = Evidence {
            operations: evidence.operations.clone(),
            finals: evidence.finals.clone(),
            settled: evidence.settled.clone(),
            ..Evidence::default()
        };
        show(&mut evidence, total);
        if is_possible {
            assert_silent(&evidence, CHECKER);
        } else {
            assert_found(&evidence, CHECKER, "may count or not");
        }
    }
}

#[test]
fn from_outside_with_very_many_unknown_additions_the_sum_is_still_bracketed() {
    let mut cluster = Cluster::new(&["eu"]);
    for exponent in 0..20 {
        let unknown = cluster.start(2, 0, "counter/a", add(1 << exponent));
        cluster.forget(unknown);
    }
    let mut evidence = from_outside(cluster.finish());
    show(&mut evidence, 1234);
    assert_silent(&evidence, CHECKER);
    for total in [-1, 1 << 20] {
        show(&mut evidence, total);
        assert_found(&evidence, CHECKER, "may count or not");
    }
}

#[test]
fn from_outside_reads_show_what_was_acknowledged_before_and_nothing_twice() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    let first = cluster.act(1, 0, "counter/a", add(3));
    cluster.act(2, 1, "counter/a", add(10));
    let read = cluster.act(1, 0, "counter/a", Action::Count);
    let evidence = from_outside(cluster.finish());
    for (id, total, is_possible) in [
        (read, 3, true),
        (read, 13, true),
        (read, 2, false),
        (read, 14, false),
        (first, 2, false),
        (first, 13, false),
    ] {
        let mut evidence = Evidence {
            operations: evidence.operations.clone(),
            ..Evidence::default()
        };
        if let Outcome::Done(answer) = &mut evidence.operations[id].outcome {
            answer.shown = Shown::Total(total);
        }
        if is_possible {
            assert_silent(&evidence, CHECKER);
        } else {
            assert_found(&evidence, CHECKER, "when it can have been");
        }
    }
}
