//! What the checker of causal delivery finds.

use std::sync::Arc;

use atoll::model::hlc::Hlc;
use atoll::model::ids::LogIndex;
use atoll::model::vector::VersionVector;

use crate::evidence::Evidence;

use super::test_cluster::{
    Cluster, assert_accepted, assert_found, drop_entries, edit_commits, entries, entry, put,
};

const CHECKER: &str = "causal_delivery";

/// Three writes to one register, each by another region that has seen those before.
fn chain() -> (Evidence, [usize; 3]) {
    let mut cluster = Cluster::new(&["ap", "eu", "us"]);
    let mut act = |client, region: usize, value| {
        let id = cluster.act(client, region, "register/a", put(value));
        cluster.deliver_all();
        id
    };
    let ids = [act(1, 0, "first"), act(2, 1, "second"), act(3, 2, "third")];
    (cluster.finish(), ids)
}

/// Two writes of one region, and then one of another that has seen neither.
fn row() -> (Evidence, [usize; 3]) {
    let mut cluster = Cluster::new(&["eu", "us"]);
    let ids = [
        cluster.act(1, 0, "register/a", put("first")),
        cluster.act(1, 0, "register/a", put("second")),
        cluster.act(2, 1, "register/a", put("third")),
    ];
    (cluster.finish(), ids)
}

/// Exchanges two entries of a region's log; their times and indexes stay.
fn swap(evidence: &mut Evidence, first: usize, second: usize, region: &str) {
    let first = entries(evidence, first, Some(region))[0];
    let second = entries(evidence, second, Some(region))[0];
    let commit = Arc::clone(&evidence.logged[first].commit);
    evidence.logged[first].commit = Arc::clone(&evidence.logged[second].commit);
    evidence.logged[second].commit = commit;
}

#[test]
fn logs_in_causal_order_are_accepted_whatever_the_order_of_what_is_concurrent() {
    assert_accepted(chain().0);
    let (mut evidence, [_, second, third]) = row();
    assert_accepted(row().0);
    swap(&mut evidence, second, third, "eu");
    super::test_cluster::assert_silent(&evidence, "watermarks");
}

#[test]
fn a_commit_before_its_dependency_is_found() {
    let (mut evidence, [first, second, _]) = chain();
    swap(&mut evidence, first, second, "us");
    assert_found(&evidence, CHECKER, "on which it depends");
}

#[test]
fn gaps_duplicates_overlaps_and_wrong_order_are_found() {
    let (mut evidence, [first, ..]) = row();
    drop_entries(&mut evidence, first, Some("us"));
    assert_found(&evidence, CHECKER, "leaves a gap after seq 0");
    let (mut evidence, [first, second, _]) = row();
    swap(&mut evidence, first, second, "us");
    assert_found(&evidence, CHECKER, "leaves a gap after seq 0");
    assert_found(&evidence, CHECKER, "was logged before: seq 2 was reached");
    let (mut evidence, [first, ..]) = row();
    let again = evidence.logged[entries(&evidence, first, Some("us"))[0]].clone();
    evidence.logged.push(again);
    assert_found(&evidence, CHECKER, "was logged before");
    let (mut evidence, [_, second, _]) = row();
    edit_commits(&mut evidence, second, |commit| {
        commit.first_seq = 1;
        commit.changes.push(commit.changes[0].clone());
    });
    assert_found(&evidence, CHECKER, "overlaps what was logged up to seq 1");
}

#[test]
fn an_index_that_is_left_out_or_used_twice_is_found() {
    for index in [1, 4] {
        let (mut evidence, [_, second, _]) = row();
        entry(&mut evidence, second, "us").index = LogIndex(index);
        assert_found(&evidence, CHECKER, "follows index");
    }
}

#[test]
fn a_commit_that_another_region_has_logged_first_is_found() {
    let (mut evidence, [first, ..]) = row();
    let copy = entries(&evidence, first, Some("us"))[0];
    let copy = evidence.logged.remove(copy);
    evidence.logged.insert(0, copy);
    assert_found(&evidence, CHECKER, "before it was at its origin");
}

#[test]
fn a_copy_that_differs_is_found() {
    let (mut evidence, [first, ..]) = row();
    let copy = entry(&mut evidence, first, "us");
    Arc::make_mut(&mut copy.commit).hlc = Hlc(77);
    assert_found(&evidence, CHECKER, "differs from what its origin has logged");
}

#[test]
fn dependencies_that_are_less_or_other_than_what_was_seen_are_found() {
    let (mut evidence, [_, second, _]) = chain();
    edit_commits(&mut evidence, second, |commit| commit.deps = VersionVector::new());
    assert_found(&evidence, CHECKER, "but its origin had logged");
    let (mut evidence, [_, second, _]) = chain();
    edit_commits(&mut evidence, second, |commit| {
        commit.deps.advance(commit.origin, 1);
    });
    assert_found(&evidence, CHECKER, "depends on its own replica");
}

#[test]
fn a_stamp_that_is_not_above_all_that_was_logged_is_found() {
    let (mut evidence, [first, second, _]) = chain();
    let stamp = evidence.operations[first].answer().unwrap().version.unwrap().hlc;
    for position in entries(&evidence, second, None) {
        Arc::make_mut(&mut evidence.logged[position].commit).hlc = stamp;
    }
    assert_found(&evidence, CHECKER, "was logged there before");
}
