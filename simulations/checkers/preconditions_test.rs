//! What the checker of linearizability finds of preconditions on members and counters, and what it must leave alone.

use crate::evidence::{Action, Condition, Evidence, Outcome, Shown};

use super::test_cluster::{Cluster, add, add_if, assert_accepted, assert_found, members, members_if, moment};

const CHECKER: &str = "linearizability";

fn create(member: &str) -> Action {
    members_if(&[member], &[], Condition::Absent)
}

fn contains(member: &str) -> Action {
    Action::Contains {
        member: member.to_owned(),
    }
}

fn demand(evidence: &mut Evidence, id: usize, demanded: Condition) {
    match &mut evidence.operations[id].action {
        Action::Add { condition, .. } | Action::ChangeMembers { condition, .. } => *condition = demanded,
        other => panic!("{other:?} demands nothing"),
    }
}

fn refusal() -> Outcome {
    Outcome::Refused {
        status: 412,
        code: "precondition_failed".to_owned(),
    }
}

#[test]
fn of_two_creates_of_a_member_the_second_that_is_done_is_found() {
    let mut cluster = Cluster::new(&["eu"]);
    let group = [
        cluster.start(1, 0, "set/a", create("m")),
        cluster.start(2, 0, "set/a", create("n")),
        // Of a store without this bug only an add on no condition is done here.
        cluster.start(3, 0, "set/a", members(&["m"], &[])),
    ];
    cluster.execute(&group);
    for id in group {
        cluster.end(id);
    }
    let mut evidence = cluster.finish();
    demand(&mut evidence, group[2], Condition::Absent);
    assert_found(
        &evidence,
        CHECKER,
        "its precondition did not hold: right before change",
    );
    demand(&mut evidence, group[2], Condition::Present);
    assert_accepted(evidence);
}

#[test]
fn a_member_is_created_again_after_it_was_removed_and_each_of_them_has_a_tag() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "set/a", create("m"));
    cluster.act(1, 1, "set/a", create("m"));
    cluster.deliver_all();
    let both = cluster.act(2, 0, "set/a", contains("m"));
    let tag = cluster.answer(both).tag.clone().unwrap();
    assert!(tag.contains('+'), "{tag}");
    let by_tag = || Condition::Tag(tag.clone());
    let refused = cluster.act(1, 0, "set/a", create("m"));
    let removal = cluster.act(1, 0, "set/a", members_if(&[], &["m"], by_tag()));
    let nothing = cluster.act(1, 0, "set/a", members_if(&[], &["m"], Condition::Absent));
    let again = cluster.act(1, 0, "set/a", create("m"));
    let late = cluster.act(2, 0, "set/a", members_if(&[], &["m"], by_tag()));
    let evidence = cluster.finish();
    for id in [refused, late] {
        assert_eq!(evidence.operations[id].answer(), None);
    }
    for (id, wrong) in [
        (removal, Condition::Absent),
        (removal, Condition::Tag("\"us@1:1\"".to_owned())),
        (again, Condition::Present),
        (again, by_tag()),
        (nothing, Condition::Present),
        (nothing, by_tag()),
    ] {
        let mut evidence = copy(&evidence);
        demand(&mut evidence, id, wrong);
        let saying = if id == nothing {
            "so its precondition did not hold"
        } else {
            "its precondition did not hold"
        };
        assert_found(&evidence, CHECKER, saying);
    }
    for (id, right) in [(refused, Condition::Present), (late, Condition::Present)] {
        let mut evidence = copy(&evidence);
        demand(&mut evidence, id, right);
        assert_found(&evidence, CHECKER, "though its precondition held all the time");
    }
    for id in [both, again] {
        let mut evidence = copy(&evidence);
        if let Outcome::Done(answer) = &mut evidence.operations[id].outcome {
            answer.tag = Some("\"us@1:1\"".to_owned());
        }
        assert_found(&evidence, CHECKER, "shows");
    }
    assert_accepted(evidence);
}

#[test]
fn a_compare_and_add_of_a_value_that_was_gone_is_found() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "counter/a", add_if(5, Condition::Absent));
    let read = cluster.act(1, 0, "counter/a", Action::Count);
    let tag = cluster.answer(read).tag.clone().unwrap();
    let first = cluster.act(1, 0, "counter/a", add_if(1, Condition::Tag(tag.clone())));
    let second = cluster.act(2, 0, "counter/a", add_if(1, Condition::Tag(tag.clone())));
    let lost = cluster.act(2, 0, "counter/a", add(1));
    let back = cluster.act(2, 0, "counter/a", add(-2));
    let evidence = cluster.finish();
    assert!(evidence.operations[first].answer().is_some());
    assert_eq!(evidence.operations[second].answer(), None);
    for wrong in [Condition::Tag(tag.clone()), Condition::Absent] {
        let mut evidence = copy(&evidence);
        demand(&mut evidence, lost, wrong);
        assert_found(&evidence, CHECKER, "its precondition did not hold");
    }
    let mut wrong = copy(&evidence);
    demand(&mut wrong, second, Condition::Present);
    assert_found(&wrong, CHECKER, "though its precondition held all the time");
    // The value came back: it must not have its tag again, but nobody can say what tag it should have.
    let mut wrong = copy(&evidence);
    if let Outcome::Done(answer) = &mut wrong.operations[lost].outcome {
        assert_eq!(answer.shown, Shown::Total(7));
        answer.tag = Some(tag);
    }
    assert_found(&wrong, CHECKER, "with which");
    assert!(evidence.operations[back].answer().is_some());
    assert_accepted(evidence);
}

#[test]
fn a_create_that_was_refused_before_anybody_had_touched_the_member_is_found() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "set/a", members(&["other"], &[]));
    let counted = cluster.act(1, 0, "counter/a", add_if(1, Condition::Absent));
    let created = cluster.act(1, 0, "set/a", create("m"));
    let evidence = cluster.finish();
    for (id, started) in [(counted, 1), (created, 1)] {
        let mut evidence = copy(&evidence);
        let operation = &mut evidence.operations[id];
        operation.outcome = refusal();
        operation.started = moment(started);
        operation.ended = Some(moment(started));
        assert_found(&evidence, CHECKER, "though its precondition held all the time");
    }
    assert_accepted(evidence);
}

fn copy(evidence: &Evidence) -> Evidence {
    Evidence {
        operations: evidence.operations.clone(),
        logged: evidence.logged.clone(),
        ..Evidence::default()
    }
}
