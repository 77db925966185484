//! What the checker of linearizability finds by the logs, and from outside, and what it must leave alone.

use atoll::model::hlc::Hlc;
use bytes::Bytes;

use crate::evidence::{Action, Condition, Evidence, Outcome, Shown};

use super::test_cluster::{
    Cluster, add, assert_accepted, assert_found, assert_silent, delete, entry, fields, from_outside, members,
    moment, put, put_if,
};

const CHECKER: &str = "linearizability";

fn copy(evidence: &Evidence) -> Evidence {
    Evidence {
        operations: evidence.operations.clone(),
        logged: evidence.logged.clone(),
        ..Evidence::default()
    }
}

fn set_shown(evidence: &mut Evidence, id: usize, shown: Shown) {
    if let Outcome::Done(answer) = &mut evidence.operations[id].outcome {
        answer.shown = shown;
        answer.version = None;
        answer.tag = None;
    }
}

fn value(value: &'static str) -> Shown {
    Shown::Value(Bytes::from_static(value.as_bytes()))
}

fn refusal() -> Outcome {
    Outcome::Refused {
        status: 412,
        code: "precondition_failed".to_owned(),
    }
}

/// Writes to a register, with a read after each.
fn register() -> (Evidence, [usize; 6]) {
    let mut cluster = Cluster::new(&["eu"]);
    let ids = [
        cluster.act(1, 0, "register/a", put_if("first", Condition::Absent)),
        cluster.act(2, 0, "register/a", Action::Get),
        cluster.act(1, 0, "register/a", put_if("second", Condition::Present)),
        cluster.act(2, 0, "register/a", Action::Get),
        cluster.act(1, 0, "register/a", delete()),
        cluster.act(2, 0, "register/a", Action::Get),
    ];
    (cluster.finish(), ids)
}

#[test]
fn what_one_client_does_after_the_other_is_accepted() {
    assert_accepted(register().0);
}

#[test]
fn stale_early_and_wrong_reads_are_found() {
    let (evidence, [_, first, _, second, _, third]) = register();
    for is_outside in [false, true] {
        for (id, shown) in [
            (first, Shown::Absent),
            (first, value("second")),
            (second, value("first")),
            (second, Shown::Absent),
            (third, value("second")),
        ] {
            let mut evidence = copy(&evidence);
            set_shown(&mut evidence, id, shown);
            if is_outside {
                assert_found(&from_outside(evidence), CHECKER, "no order of the 6 operations");
            } else {
                assert_found(&evidence, CHECKER, "at no place in its time");
            }
        }
    }
}

#[test]
fn a_read_beside_a_write_may_show_either() {
    let (evidence, [_, _, write, read, ..]) = register();
    for shown in [value("first"), value("second")] {
        let mut evidence = copy(&evidence);
        evidence.operations[read].started = evidence.operations[write].started;
        set_shown(&mut evidence, read, shown);
        assert_silent(&evidence, CHECKER);
        assert_silent(&from_outside(evidence), CHECKER);
    }
}

#[test]
fn of_two_reads_one_after_the_other_the_second_shows_nothing_older() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "register/a", put("old"));
    let write = cluster.start(1, 0, "register/a", put("new"));
    cluster.execute(&[write]);
    cluster.act(2, 0, "register/a", Action::Get);
    let read = cluster.act(3, 0, "register/a", Action::Get);
    cluster.end(write);
    let evidence = cluster.finish();
    assert_silent(&evidence, CHECKER);
    let mut evidence = copy(&evidence);
    set_shown(&mut evidence, read, value("old"));
    assert_found(&evidence, CHECKER, "at no place in its time");
    assert_found(&from_outside(evidence), CHECKER, "no order");
}

#[test]
fn versions_and_tags_of_reads_are_those_of_what_they_show() {
    let (evidence, [_, read, ..]) = register();
    let mut wrong = copy(&evidence);
    if let Outcome::Done(answer) = &mut wrong.operations[read].outcome {
        answer.version.as_mut().unwrap().hlc = Hlc(1);
    }
    assert_found(&wrong, CHECKER, "at no place in its time");
    let mut wrong = copy(&evidence);
    if let Outcome::Done(answer) = &mut wrong.operations[read].outcome {
        answer.tag = Some("\"other\"".to_owned());
    }
    assert_found(&wrong, CHECKER, "at no place in its time");
    let (mut wrong, [write, ..]) = register();
    if let Outcome::Done(answer) = &mut wrong.operations[write].outcome {
        answer.tag = Some("\"other\"".to_owned());
    }
    assert_found(&wrong, CHECKER, "that of what it wrote is");
}

#[test]
fn parts_and_totals_are_judged_by_the_log_too() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "set/a", members(&["m", "n"], &[]));
    let all = cluster.act(1, 0, "set/a", Action::Members);
    let one = cluster.act(
        1,
        0,
        "set/a",
        Action::Contains {
            member: "m".to_owned(),
        },
    );
    cluster.act(1, 0, "map/a", fields(&[("f", "1")], &[]));
    let map = cluster.act(1, 0, "map/a", Action::Fields);
    let add = cluster.act(1, 0, "counter/a", add(2));
    let count = cluster.act(1, 0, "counter/a", Action::Count);
    let untouched = cluster.act(1, 0, "counter/b", Action::Count);
    let evidence = cluster.finish();
    assert_silent(&evidence, CHECKER);
    for (id, shown) in [
        // Half of a request is never shown.
        (all, Shown::Members(vec!["m".to_owned()])),
        (
            all,
            Shown::Members(vec!["m".to_owned(), "n".to_owned(), "o".to_owned()]),
        ),
        (one, Shown::Member(false)),
        (map, Shown::Fields([].into())),
        (map, Shown::Fields([("f".to_owned(), "2".to_owned())].into())),
        (count, Shown::Total(3)),
        (add, Shown::Total(3)),
        (untouched, Shown::Total(1)),
    ] {
        let mut evidence = copy(&evidence);
        if let Outcome::Done(answer) = &mut evidence.operations[id].outcome {
            answer.shown = shown;
        }
        assert_found(&evidence, CHECKER, "shows");
    }
}

#[test]
fn a_write_in_the_log_before_it_was_sent_or_before_what_it_follows_is_found() {
    let (mut evidence, [_, _, write, ..]) = register();
    entry(&mut evidence, write, "eu").at = moment(1);
    assert_found(&evidence, CHECKER, "before it was sent");
    // The read has shown the write that comes later in the log.
    let (mut evidence, [first, read, second, ..]) = register();
    let commit = std::sync::Arc::clone(&entry(&mut evidence, second, "eu").commit);
    let other = std::mem::replace(&mut entry(&mut evidence, first, "eu").commit, commit);
    let position = evidence
        .logged
        .iter()
        .rposition(|logged| logged.commit.first_seq == 2)
        .unwrap();
    evidence.logged[position].commit = other;
    let _ = read;
    assert_found(&evidence, CHECKER, "register shop/a");
}

#[test]
fn a_write_whose_precondition_did_not_hold_is_found() {
    let (evidence, [first, _, second, ..]) = register();
    for (id, condition) in [
        (first, Condition::Present),
        (first, Condition::Tag("\"0000000000000001-eu\"".to_owned())),
        (second, Condition::Absent),
        (second, Condition::Tag("\"0000000000000001-eu\"".to_owned())),
    ] {
        let mut evidence = copy(&evidence);
        let is_tag = matches!(condition, Condition::Tag(_));
        if let Action::Put {
            condition: demanded, ..
        } = &mut evidence.operations[id].action
        {
            *demanded = condition;
        }
        assert_found(&evidence, CHECKER, "its precondition did not hold");
        // From outside nobody knows what has that tag, but that it needs something to be there.
        if !(is_tag && id == second) {
            assert_found(&from_outside(evidence), CHECKER, "no order");
        }
    }
}

#[test]
fn a_precondition_that_was_refused_though_it_held_is_found() {
    let (evidence, [first, _, second, _, third, _]) = register();
    for id in [first, second] {
        let mut evidence = copy(&evidence);
        evidence.operations[id].outcome = refusal();
        // The log still has it: that is the finding of another checker.
        let condition = evidence.operations[id].action.condition().clone();
        evidence.operations[id].started = evidence.operations[id].ended.unwrap();
        evidence.operations[id].started = moment(if condition == Condition::Absent { 100 } else { 5 });
        evidence.operations[id].ended = Some(evidence.operations[id].started);
        let _ = third;
        assert_found(&evidence, CHECKER, "though its precondition held all the time");
    }
}

#[test]
fn a_precondition_may_be_refused_for_what_a_write_of_the_same_group_has_done() {
    let mut cluster = Cluster::new(&["eu"]);
    let group = [
        cluster.start(1, 0, "register/a", put("value")),
        cluster.start(2, 0, "register/a", put_if("refused", Condition::Absent)),
        cluster.start(3, 0, "register/a", delete()),
    ];
    cluster.execute(&group);
    for id in group {
        cluster.end(id);
    }
    let evidence = cluster.finish();
    assert!(matches!(
        evidence.operations[1].outcome,
        Outcome::Refused { status: 412, .. }
    ));
    assert_accepted(evidence);
}

#[test]
fn a_tag_that_a_read_has_shown_is_a_precondition_once() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "register/a", put("first"));
    let read = cluster.act(1, 0, "register/a", Action::Get);
    let tag = cluster.answer(read).tag.clone().unwrap();
    cluster.act(1, 0, "register/a", put_if("second", Condition::Tag(tag.clone())));
    let refused = cluster.act(2, 0, "register/a", put_if("third", Condition::Tag(tag)));
    let evidence = cluster.finish();
    assert!(matches!(
        evidence.operations[refused].outcome,
        Outcome::Refused { .. }
    ));
    assert_silent(&evidence, CHECKER);
    // Had the first of the two been refused, the second would have had to be done.
    let mut wrong = from_outside(copy(&evidence));
    wrong.operations[refused - 1].outcome = refusal();
    assert_found(&wrong, CHECKER, "no order");
    assert_accepted(evidence);
}

#[test]
fn what_a_request_removes_is_gone_before_its_additions() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "set/a", members(&["m", "n"], &[]));
    let change = cluster.act(1, 0, "set/a", members(&["o"], &["m"]));
    let dropped = cluster.act(1, 0, "set/b", members(&["m"], &[]));
    let evidence = cluster.finish();
    assert_silent(&evidence, CHECKER);
    let mut wrong = copy(&evidence);
    wrong.operations[change].action = members(&["o"], &["m", "n"]);
    assert_found(&wrong, CHECKER, "left \"n\" there");
    let _ = dropped;
}

#[test]
fn a_removal_that_found_nothing_though_something_was_there_is_found() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "set/a", members(&["m"], &[]));
    let nothing = cluster.act(1, 0, "set/a", members(&[], &["o"]));
    let evidence = cluster.finish();
    assert_silent(&evidence, CHECKER);
    for action in [members(&[], &["m"]), Action::DropSet] {
        let mut wrong = copy(&evidence);
        wrong.operations[nothing].action = action;
        assert_found(&wrong, CHECKER, "found nothing to remove");
    }
}

#[test]
fn dropping_a_set_leaves_nothing_of_what_was_visible() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "set/a", members(&["m", "n"], &[]));
    let dropped = cluster.act(1, 0, "set/a", members(&[], &["m"]));
    let mut evidence = cluster.finish();
    assert_silent(&evidence, CHECKER);
    evidence.operations[dropped].action = Action::DropSet;
    assert_found(&evidence, CHECKER, "left change");
}

#[test]
fn remote_writes_come_at_any_moment_and_are_judged_by_their_place_in_the_log() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "register/a", put("eu"));
    cluster.act(2, 1, "register/a", put("us"));
    let before = cluster.act(3, 0, "register/a", Action::Get);
    cluster.deliver(1, 0, usize::MAX);
    let after = cluster.act(3, 0, "register/a", Action::Get);
    let evidence = cluster.finish();
    assert_accepted(copy(&evidence));
    for (id, shown) in [(before, value("us")), (after, Shown::Absent)] {
        let mut wrong = copy(&evidence);
        set_shown(&mut wrong, id, shown);
        assert_found(&wrong, CHECKER, "at no place in its time");
        // From outside nobody knows when it came.
        assert_silent(&from_outside(wrong), CHECKER);
    }
    // It was durable, but nobody had yet been shown it: it may become visible a little later.
    let mut late = copy(&evidence);
    let first = late.operations[before].answer().unwrap().clone();
    late.operations[after].outcome = Outcome::Done(first);
    assert_silent(&late, CHECKER);
}

#[test]
fn from_outside_unknown_outcomes_and_siblings_raise_no_alarm() {
    let mut cluster = Cluster::new(&["eu"]);
    let unknown = cluster.start(1, 0, "register/a", put("unknown"));
    cluster.forget(unknown);
    cluster.act(2, 0, "register/a", Action::Get);
    cluster.execute(&[unknown]);
    cluster.act(2, 0, "register/a", Action::Get);
    cluster.act(2, 0, "siblings/a", put("one"));
    let mut action = put("two");
    if let Action::Put { context, .. } = &mut action {
        *context = Some(cluster.context(0, "siblings/b"));
    }
    cluster.act(2, 0, "siblings/a", action);
    cluster.act(2, 0, "siblings/a", Action::Get);
    assert_accepted(cluster.finish());
}
