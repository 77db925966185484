//! What the durability checker finds, from inside and from outside, and what it excuses.

use atoll::model::change::Delta;
use atoll::wire::values::LedgerEntry;
use bytes::Bytes;

use crate::evidence::{Action, Evidence, Outcome, Shown};

use super::test_cluster::{
    Cluster, add, assert_accepted, assert_found, assert_silent, delete, drop_entries, edit_commits, entry,
    fields, from_outside, last, members, moment, put, record, region,
};

const CHECKER: &str = "durability";

/// Two concurrent writes of one register, the second of which wins, and a write that has seen both.
fn conflict() -> (Evidence, [usize; 3]) {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.set_ahead(1, 100);
    let loser = cluster.act(1, 0, "register/a", put("loser"));
    let winner = cluster.act(2, 1, "register/a", put("winner"));
    cluster.deliver_all();
    let other = cluster.act(1, 0, "register/b", put("other"));
    (cluster.finish(), [loser, winner, other])
}

fn fields_conflict() -> Evidence {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.set_ahead(1, 100);
    cluster.act(1, 0, "map/a", fields(&[("f", "1")], &[]));
    cluster.act(2, 1, "map/a", fields(&[("f", "2")], &[]));
    cluster.finish()
}

#[test]
fn writes_that_win_lose_and_are_superseded_are_kept() {
    assert_accepted(conflict().0);
    assert_accepted(fields_conflict());
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "register/a", put("first"));
    cluster.act(1, 0, "register/a", put("second"));
    cluster.deliver(0, 1, usize::MAX);
    cluster.act(2, 1, "register/a", delete());
    cluster.act(1, 0, "set/a", members(&["m", "n"], &[]));
    cluster.act(1, 0, "set/a", members(&["n"], &["m"]));
    assert_accepted(cluster.finish());
}

#[test]
fn an_acknowledgement_before_the_disk_is_found() {
    let (mut evidence, [loser, ..]) = conflict();
    let ended = evidence.operations[loser].ended.unwrap();
    entry(&mut evidence, loser, "eu").at = ended;
    assert_silent(&evidence, CHECKER);
    entry(&mut evidence, loser, "eu").at = moment(4);
    assert_found(&evidence, CHECKER, "acknowledged before it was durable");
}

#[test]
fn an_acknowledged_write_that_is_in_no_log_is_found() {
    let (mut evidence, [.., other]) = conflict();
    drop_entries(&mut evidence, other, None);
    assert_found(&evidence, CHECKER, "is in no region's log");
    let (mut evidence, [.., other]) = conflict();
    drop_entries(&mut evidence, other, Some("eu"));
    assert_found(&evidence, CHECKER, "is not in the log of its region");
}

#[test]
fn a_write_that_does_not_reach_a_region_is_found() {
    let (mut evidence, [.., other]) = conflict();
    drop_entries(&mut evidence, other, Some("us"));
    last(&mut evidence, "us").vectors.clear();
    assert_found(&evidence, CHECKER, "never reached us");
    let (mut evidence, _) = conflict();
    last(&mut evidence, "us").vectors.values_mut().for_each(|vector| {
        let first = vector.iter().next().unwrap().replica;
        *vector = vector.without(&first);
    });
    assert_found(&evidence, CHECKER, "never reached us");
}

#[test]
fn what_was_logged_is_what_was_asked() {
    let (mut evidence, [.., other]) = conflict();
    edit_commits(&mut evidence, other, |commit| {
        if let Delta::Register {
            content: Some(content),
            ..
        } = &mut commit.changes[0].delta
        {
            content.payload = Bytes::from_static(b"something else");
        }
    });
    assert_found(&evidence, CHECKER, "is something else");

    let mut cluster = Cluster::new(&["eu"]);
    let set = cluster.act(1, 0, "set/a", members(&["m", "n"], &[]));
    let map = cluster.act(1, 0, "map/a", fields(&[("f", "1")], &[]));
    let counter = cluster.act(1, 0, "counter/a", add(2));
    let dropped = cluster.act(1, 0, "set/a", Action::DropSet);
    let evidence = cluster.finish();
    for (id, action) in [
        (set, members(&["m", "o"], &[])),
        (set, members(&["l", "m", "n"], &[])),
        (map, fields(&[("f", "2")], &[])),
        (map, fields(&[("g", "1")], &[])),
        (counter, add(3)),
        (counter, Action::Reset),
        (dropped, members(&[], &["o"])),
    ] {
        let mut evidence = Evidence {
            operations: evidence.operations.clone(),
            logged: evidence.logged.clone(),
            ..Evidence::default()
        };
        assert_silent(&evidence, CHECKER);
        evidence.operations[id].action = action;
        assert_found(&evidence, CHECKER, "is something else");
    }
}

#[test]
fn an_answer_without_a_version_is_found_where_there_must_be_one() {
    let (mut evidence, [loser, ..]) = conflict();
    let Outcome::Done(answer) = &mut evidence.operations[loser].outcome else {
        panic!("it was done");
    };
    answer.version = None;
    assert_found(&evidence, CHECKER, "without a version");
}

#[test]
fn losers_are_in_the_ledgers_of_all_regions_with_their_bytes() {
    for (evidence, name) in [(conflict().0, "register"), (fields_conflict(), "map")] {
        for region_name in ["eu", "us"] {
            let mut evidence = Evidence {
                operations: evidence.operations.clone(),
                logged: evidence.logged.clone(),
                finals: evidence.finals.clone(),
                settled: evidence.settled.clone(),
                ..Evidence::default()
            };
            let losers = &mut last(&mut evidence, region_name).losers;
            losers[0].value = Some(Bytes::from_static(b"other"));
            assert_found(
                &evidence,
                CHECKER,
                &format!("in the ledger of {region_name} with other bytes"),
            );
            last(&mut evidence, region_name).losers.clear();
            assert_found(&evidence, CHECKER, &format!("not in the ledger of {region_name}"));
            assert_found(&evidence, CHECKER, &format!("of {name} shop/a"));
        }
    }
}

#[test]
fn a_ledger_holds_nothing_made_up() {
    let (mut evidence, _) = conflict();
    let last = last(&mut evidence, "us");
    let made_up = LedgerEntry {
        record: record("register/other"),
        ..last.losers[0].clone()
    };
    last.losers.push(made_up);
    assert_found(&evidence, CHECKER, "the ledger of us has what nobody has written");
}

#[test]
fn a_loser_that_a_later_write_had_seen_is_in_the_ledgers_of_those_who_compared() {
    let mut cluster = Cluster::new(&["ap", "eu", "us"]);
    cluster.set_ahead(2, 100);
    let loser = cluster.act(1, 1, "register/a", put("loser"));
    cluster.act(2, 2, "register/a", put("winner"));
    // ap gets the loser first and supersedes it; then comes the winner, which loses in its turn.
    cluster.deliver(1, 0, usize::MAX);
    cluster.set_ahead(0, 1000);
    cluster.act(3, 0, "register/a", put("later"));
    let mut evidence = cluster.finish();
    let version = evidence.operations[loser].answer().unwrap().version.unwrap();
    let has_lost = |evidence: &Evidence, name: &str| {
        let losers = &evidence.finals[&region(name)].losers;
        losers.iter().any(|entry| entry.loser == version)
    };
    assert!(!has_lost(&evidence, "ap") && has_lost(&evidence, "us"));
    last(&mut evidence, "us")
        .losers
        .retain(|entry| entry.loser != version);
    assert_found(&evidence, CHECKER, "not in the ledger of us");
}

#[test]
fn a_run_that_has_not_settled_is_not_judged_by_its_end() {
    let (mut evidence, _) = conflict();
    evidence.settled = crate::evidence::Settled::NotAsked;
    last(&mut evidence, "us").losers.clear();
    last(&mut evidence, "us").vectors.clear();
    assert_silent(&evidence, CHECKER);
}

// --- from outside

/// What a region shows in the end.
fn show(evidence: &mut Evidence, name: &str, shown: &Shown) {
    for last in evidence.finals.values_mut() {
        last.reads.insert(record(name), shown.clone());
    }
}

#[test]
fn from_outside_a_write_that_is_gone_though_nothing_came_after_it_is_found() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "register/a", put("old"));
    cluster.act(1, 0, "register/a", put("new"));
    let mut evidence = from_outside(cluster.finish());
    show(
        &mut evidence,
        "register/a",
        &Shown::Value(Bytes::from_static(b"old")),
    );
    assert_found(&evidence, CHECKER, "does not show new");
    show(&mut evidence, "register/a", &Shown::Absent);
    assert_found(&evidence, CHECKER, "does not show new");
}

#[test]
fn from_outside_a_loser_must_be_in_a_ledger_if_the_winner_cannot_have_seen_it() {
    let (evidence, _) = conflict();
    let mut evidence = from_outside(evidence);
    // The winner was begun after the loser had ended: it may have seen it.
    evidence.finals.values_mut().for_each(|last| last.losers.clear());
    assert_silent(&evidence, CHECKER);
    let ended = evidence.operations[1].ended;
    evidence.operations[0].started = ended.unwrap();
    evidence.operations[0].ended = ended;
    assert_silent(&evidence, CHECKER);
    evidence.operations[0].started = moment(100);
    evidence.operations[0].ended = Some(moment(101));
    assert_found(&evidence, CHECKER, "does not show loser");
}

#[test]
fn from_outside_a_write_of_higher_version_cannot_have_been_superseded_by_a_lower_one() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.set_ahead(0, 100);
    let high = cluster.start(1, 0, "register/a", put("high"));
    let low = cluster.start(2, 1, "register/a", put("low"));
    cluster.execute(&[high]);
    cluster.execute(&[low]);
    cluster.end(high);
    cluster.end(low);
    let mut evidence = from_outside(cluster.finish());
    assert_silent(&evidence, CHECKER);
    show(
        &mut evidence,
        "register/a",
        &Shown::Value(Bytes::from_static(b"low")),
    );
    assert_found(&evidence, CHECKER, "does not show high");
}

#[test]
fn from_outside_a_delete_of_unknown_outcome_excuses_what_is_gone() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "register/a", put("value"));
    let lost = cluster.start(2, 1, "register/a", delete());
    cluster.forget(lost);
    let mut evidence = from_outside(cluster.finish());
    show(&mut evidence, "register/a", &Shown::Absent);
    assert_silent(&evidence, CHECKER);
}

#[test]
fn from_outside_members_and_fields_that_nobody_can_have_removed_are_there() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "set/a", members(&[], &["m"]));
    cluster.act(1, 0, "set/a", members(&["m"], &[]));
    cluster.act(1, 0, "map/a", fields(&[("f", "1")], &["g"]));
    let mut evidence = from_outside(cluster.finish());
    assert_silent(&evidence, CHECKER);
    show(&mut evidence, "set/a", &Shown::Members(Vec::new()));
    assert_found(&evidence, CHECKER, "does not show m");
    show(&mut evidence, "map/a", &Shown::Fields([].into()));
    assert_found(&evidence, CHECKER, "does not show f = 1");
    // Somebody may have removed them after all.
    let mut removal = evidence.operations[0].clone();
    removal.outcome = Outcome::Unknown { status: None };
    removal.region = region("us");
    evidence.operations.push(removal);
    let mut removal = evidence.operations[2].clone();
    removal.action = Action::DropMap;
    removal.id = crate::evidence::OperationId(9);
    evidence.operations.push(removal);
    assert_silent(&evidence, CHECKER);
}
