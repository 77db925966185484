//! What the checker of batches finds, from inside and from outside.

use crate::evidence::{Action, Evidence, Shown};

use super::test_cluster::{Cluster, add, assert_accepted, assert_found, from_outside, last, put, record};

const CHECKER: &str = "batches";

const LEFT: &str = "register/{p}left";
const RIGHT: &str = "register/{p}right";
const COUNTER: &str = "counter/{p}n";

fn parts(name: &str) -> [(&'static str, Action); 3] {
    [
        (LEFT, put(&format!("{name}-left"))),
        (RIGHT, put(&format!("{name}-right"))),
        (COUNTER, add(1)),
    ]
}

fn make(cluster: &mut Cluster, client: u16, region: usize, name: &str) -> Vec<usize> {
    let ids = cluster.start_batch(client, region, &parts(name));
    cluster.execute(&ids);
    for id in &ids {
        cluster.end(*id);
    }
    ids
}

/// Batches of two regions against each other, one of which never heard what became of its own.
fn concurrent() -> Evidence {
    let mut cluster = Cluster::new(&["eu", "us"]);
    make(&mut cluster, 1, 0, "a");
    cluster.deliver_all();
    make(&mut cluster, 1, 0, "b");
    let unknown = cluster.start_batch(2, 1, &parts("c"));
    cluster.execute(&unknown);
    for id in unknown {
        cluster.forget(id);
    }
    cluster.finish()
}

#[test]
fn batches_that_meet_and_batches_of_unknown_outcome_are_accepted() {
    assert_accepted(concurrent());
}

#[test]
fn a_batch_that_was_made_as_two_commits_is_found() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    let ids = cluster.start_batch(1, 0, &parts("a"));
    cluster.execute(&ids[..1]);
    cluster.execute(&ids[1..]);
    for id in ids {
        cluster.end(id);
    }
    assert_found(&cluster.finish(), CHECKER, "as 2 commits");
}

#[test]
fn half_a_batch_of_unknown_outcome_is_found() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    let ids = cluster.start_batch(1, 0, &parts("a"));
    cluster.execute(&ids[1..]);
    for id in ids {
        cluster.forget(id);
    }
    assert_found(&cluster.finish(), CHECKER, "is in no log");
}

#[test]
fn what_stands_between_the_changes_of_a_batch_is_found() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    let ids = cluster.start_batch(1, 0, &parts("a"));
    let stranger = cluster.start(2, 0, "register/{p}x", put("x"));
    cluster.execute(&[ids[0], stranger, ids[1], ids[2]]);
    for id in ids.into_iter().chain([stranger]) {
        cluster.end(id);
    }
    assert_found(&cluster.finish(), CHECKER, "stands between");
}

#[test]
fn a_pair_of_two_batches_is_found_also_from_outside() {
    let mut evidence = concurrent();
    for name in ["eu", "us"] {
        let shown = Shown::Value("a-left".into());
        last(&mut evidence, name).reads.insert(record(LEFT), shown);
    }
    assert_found(&evidence, CHECKER, "only written together");
    assert_found(&from_outside(evidence), CHECKER, "only written together");
}
