//! What the checker of watermarks finds.

use crate::evidence::Evidence;

use super::test_cluster::{
    Cluster, assert_accepted, assert_found, assert_silent, drop_entries, entry, put, region,
};

const CHECKER: &str = "watermarks";

/// Two writes that another region takes in one by one, and tells of each.
fn told() -> (Evidence, [usize; 2]) {
    let mut cluster = Cluster::new(&["eu", "us"]);
    let ids = [
        cluster.act(1, 0, "register/a", put("first")),
        cluster.act(1, 0, "register/a", put("second")),
    ];
    for _ in 0..2 {
        cluster.deliver(0, 1, 1);
        cluster.advertise(1);
    }
    (cluster.finish(), ids)
}

#[test]
fn vectors_of_what_is_durable_are_accepted() {
    assert_accepted(told().0);
}

#[test]
fn a_vector_that_was_sent_before_the_disk_had_it_is_found() {
    let (mut evidence, [first, _]) = told();
    let order = evidence.advertised[0].order;
    entry(&mut evidence, first, "us").order = order;
    assert_found(&evidence, CHECKER, "us told a peer");
    let (mut evidence, _) = told();
    evidence.advertised[0].order = 0;
    assert_found(&evidence, CHECKER, "when it had 0 changes");
}

#[test]
fn a_vector_that_passes_a_gap_is_found() {
    let (mut evidence, [first, _]) = told();
    drop_entries(&mut evidence, first, Some("us"));
    // The first vector was too much, and the second is no better: what came then lies behind the gap.
    evidence.advertised.remove(0);
    assert_found(&evidence, CHECKER, ":2 of partition");
}

#[test]
fn nothing_is_said_where_nobody_looked_at_the_wire() {
    let (mut evidence, [first, _]) = told();
    drop_entries(&mut evidence, first, Some("us"));
    evidence.advertised.retain(|told| told.region == region("eu"));
    assert_silent(&evidence, CHECKER);
}
