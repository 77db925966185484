//! What the checkers of convergence, digests and bounds find: they look at the end, and at sizes.

use std::time::Duration;

use bytes::Bytes;

use crate::evidence::{Evidence, Gauge, Settled, Shown};

use super::test_cluster::{
    Cluster, add, assert_accepted, assert_found, assert_silent, from_outside, last, moment, put, record,
    region,
};

fn healthy() -> Evidence {
    let mut cluster = Cluster::new(&["ap", "eu", "us"]);
    cluster.act(1, 0, "register/a", put("a"));
    cluster.act(2, 1, "register/b", put("b"));
    cluster.act(3, 2, "counter/a", add(1));
    cluster.finish()
}

#[test]
fn regions_that_agree_are_accepted() {
    assert_accepted(healthy());
}

#[test]
fn each_difference_between_regions_is_found() {
    let checker = "convergence";
    type Edit = fn(&mut Evidence);
    let edits: [(&str, Edit); 7] = [
        ("rows differ: ap has", |evidence| {
            last(evidence, "us").rows.pop_first();
        }),
        ("different bytes for", |evidence| {
            let mut values = last(evidence, "us").rows.values_mut();
            *values.next().unwrap() = Bytes::from_static(b"other");
        }),
        ("listing index differ: us has", |evidence| {
            last(evidence, "ap").names.pop_first();
        }),
        ("vectors differ", |evidence| last(evidence, "us").vectors.clear()),
        ("digest roots differ", |evidence| {
            last(evidence, "us").digest_root = "other".to_owned();
        }),
        ("digests differ", |evidence| {
            last(evidence, "us").digests.pop();
        }),
        ("reads of", |evidence| {
            let reads = &mut last(evidence, "us").reads;
            reads.insert(record("register/a"), Shown::Absent);
        }),
    ];
    for (part, edit) in edits {
        let mut evidence = healthy();
        edit(&mut evidence);
        assert_found(&evidence, checker, part);
        // Nobody waited for it.
        evidence.settled = Settled::NotAsked;
        assert_silent(&evidence, checker);
    }
}

#[test]
fn regions_that_never_settle_are_found() {
    let mut evidence = healthy();
    evidence.settled = Settled::Never {
        bound: Duration::from_secs(30),
        detail: "us lacks a commit".to_owned(),
    };
    assert_found(&evidence, "convergence", "within 30 s: us lacks a commit");
}

#[test]
fn digests_that_are_not_those_of_the_rows_are_found() {
    let checker = "digests";
    type Edit = fn(&mut Evidence);
    let edits: [(&str, Edit); 4] = [
        ("a scan of its rows gives", |evidence| {
            let digests = &mut last(evidence, "eu").scanned_digests;
            digests.swap(0, 1);
        }),
        ("answers 1 digests; it has 2 partitions", |evidence| {
            last(evidence, "eu").digests.pop();
        }),
        ("its digests come to", |evidence| {
            last(evidence, "eu").digest_root = "00".repeat(32);
        }),
        ("no hexadecimal numbers", |evidence| {
            let digests = &mut last(evidence, "eu").digests;
            digests[0] = "nothing".to_owned();
        }),
    ];
    for (part, edit) in edits {
        let mut evidence = healthy();
        edit(&mut evidence);
        assert_found(&evidence, checker, part);
    }
    // Nobody has scanned.
    let mut evidence = from_outside(healthy());
    last(&mut evidence, "eu").digests.clear();
    assert_silent(&evidence, checker);
}

#[test]
fn a_size_over_its_limit_is_found_and_one_at_it_is_not() {
    let gauge = |value| Gauge {
        at: moment(7),
        region: region("eu"),
        name: "held commits",
        value,
        limit: 10,
    };
    let mut evidence = healthy();
    evidence.gauges = vec![gauge(0), gauge(10)];
    assert_silent(&evidence, "bounds");
    evidence.gauges.push(gauge(11));
    assert_found(&evidence, "bounds", "held commits of eu was 11");
}
