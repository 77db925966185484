//! What the checker of clock promises finds.

use std::collections::BTreeMap;

use atoll::model::hlc::Hlc;
use atoll::model::ids::PartitionId;
use atoll::model::raft::Term;
use atoll::model::replication::leadership::Leads;

use crate::evidence::{ClockPromise, Evidence};

use super::test_cluster::{Cluster, assert_accepted, assert_found, assert_silent, entry, put, region};

const CHECKER: &str = "clock_promises";

/// Two writes of a region, and between them its promise of what it had given out by then.
fn promised() -> (Evidence, PartitionId) {
    let mut cluster = Cluster::new(&["eu", "us"]);
    let first = cluster.act(1, 0, "register/a", put("first"));
    let second = cluster.act(1, 0, "register/a", put("second"));
    let mut evidence = cluster.finish();
    let before = entry(&mut evidence, first, "eu").clone();
    let after = entry(&mut evidence, second, "eu");
    // Room for the promise between the two.
    after.order += 1;
    let order = after.order - 1;
    for later in evidence.logged.iter_mut().filter(|later| later.order > order) {
        later.order += 2;
    }
    // What is told of the second write comes behind it still.
    for later in evidence.advertised.iter_mut().filter(|later| later.order > order) {
        later.order += 3;
    }
    evidence.promised.push(ClockPromise {
        at: before.at,
        order,
        region: region("eu"),
        through: before.commit.last_hlc(),
        leads: Leads::All,
        except: Vec::new(),
    });
    (evidence, before.partition)
}

fn too_much(evidence: &mut Evidence) -> &mut ClockPromise {
    let promise = &mut evidence.promised[0];
    promise.through = Hlc(promise.through.0 + (1 << 40));
    promise
}

#[test]
fn what_was_given_out_may_be_promised() {
    let (evidence, _) = promised();
    assert_accepted(evidence);
}

#[test]
fn a_commit_below_what_was_promised_before_is_found() {
    let (mut evidence, _) = promised();
    too_much(&mut evidence);
    assert_found(&evidence, CHECKER, "after it had promised");
}

#[test]
fn the_promise_of_a_node_counts_for_what_it_leads_but_for_what_it_excepts() {
    let (mut evidence, partition) = promised();
    let term = BTreeMap::from([(partition, Term(3))]);
    too_much(&mut evidence).leads = Leads::These(term);
    assert_found(&evidence, CHECKER, "after it had promised");
    evidence.promised[0].except.push(partition);
    assert_silent(&evidence, CHECKER);
    evidence.promised[0].except.clear();
    evidence.promised[0].leads = Leads::nothing();
    assert_silent(&evidence, CHECKER);
}

#[test]
fn what_was_committed_before_the_promise_and_by_others_is_not_bound() {
    let (mut evidence, _) = promised();
    too_much(&mut evidence).order = u64::MAX;
    assert_silent(&evidence, CHECKER);
    evidence.promised[0].order = 0;
    evidence.promised[0].region = region("us");
    assert_silent(&evidence, CHECKER);
}
