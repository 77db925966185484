//! What the resurrection checker finds, from inside and from outside, and what it excuses.

use bytes::Bytes;

use crate::evidence::{Action, Evidence, Outcome, Shown};

use super::test_cluster::{
    Cluster, assert_accepted, assert_found, assert_silent, delete, fields, from_outside, members, put,
    record, region,
};

const CHECKER: &str = "resurrection";

/// Something of each type that is removed in another region than it was added in, and then read there.
fn removed() -> (Evidence, [usize; 4]) {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "register/a", put("value"));
    cluster.act(1, 0, "set/a", members(&["m"], &[]));
    cluster.act(1, 0, "map/a", fields(&[("f", "1")], &[]));
    cluster.deliver(0, 1, usize::MAX);
    // From outside this is what tells that us had the value.
    cluster.act(2, 1, "register/a", Action::Get);
    cluster.act(2, 1, "map/a", Action::Fields);
    cluster.act(2, 1, "register/a", delete());
    cluster.act(2, 1, "set/a", members(&[], &["m"]));
    cluster.act(2, 1, "map/a", fields(&[], &["f"]));
    let reads = [
        cluster.act(3, 1, "register/a", Action::Get),
        cluster.act(4, 1, "set/a", Action::Members),
        cluster.act(
            6,
            1,
            "set/a",
            Action::Contains {
                member: "m".to_owned(),
            },
        ),
        cluster.act(5, 1, "map/a", Action::Fields),
    ];
    (cluster.finish(), reads)
}

fn back() -> [Shown; 4] {
    [
        Shown::Value(Bytes::from_static(b"value")),
        Shown::Members(vec!["m".to_owned()]),
        Shown::Member(true),
        Shown::Fields([("f".to_owned(), "1".to_owned())].into()),
    ]
}

fn copy(evidence: &Evidence) -> Evidence {
    Evidence {
        operations: evidence.operations.clone(),
        logged: evidence.logged.clone(),
        finals: evidence.finals.clone(),
        settled: evidence.settled.clone(),
        ..Evidence::default()
    }
}

fn set_shown(evidence: &mut Evidence, id: usize, shown: &Shown) {
    if let Outcome::Done(answer) = &mut evidence.operations[id].outcome {
        answer.shown = shown.clone();
        answer.version = None;
        answer.tag = None;
    }
}

#[test]
fn what_was_removed_and_stays_away_is_accepted() {
    assert_accepted(removed().0);
    // An add that the remover had not seen, and one after it, are no resurrections.
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "set/a", members(&["m"], &[]));
    cluster.deliver_all();
    cluster.act(1, 0, "set/a", members(&["m"], &[]));
    cluster.act(2, 1, "set/a", members(&[], &["m"]));
    cluster.act(1, 0, "set/a", members(&["n"], &[]));
    cluster.act(1, 0, "set/a", members(&[], &["n"]));
    cluster.act(1, 0, "set/a", members(&["n"], &[]));
    let evidence = cluster.finish();
    let last = evidence.finals.values().next().unwrap();
    assert_eq!(
        last.reads[&record("set/a")],
        Shown::Members(vec!["m".to_owned(), "n".to_owned()])
    );
    assert_accepted(evidence);
}

#[test]
fn what_is_shown_in_the_end_though_it_was_removed_is_found() {
    let (evidence, reads) = removed();
    for (id, shown) in reads.into_iter().zip(back()) {
        if matches!(shown, Shown::Member(_)) {
            continue;
        }
        let mut evidence = copy(&evidence);
        let name = evidence.operations[id].record.clone();
        evidence.finals.values_mut().for_each(|last| {
            last.reads.insert(name.clone(), shown.clone());
        });
        assert_found(&evidence, CHECKER, "in the end eu shows");
    }
}

#[test]
fn what_is_stored_in_the_end_though_it_was_removed_is_found() {
    let before = |remove: bool| {
        let mut cluster = Cluster::new(&["eu"]);
        cluster.act(1, 0, "register/a", put("value"));
        cluster.act(1, 0, "set/a", members(&["m"], &[]));
        cluster.act(1, 0, "map/a", fields(&[("f", "1")], &[]));
        if remove {
            cluster.act(1, 0, "register/a", delete());
            cluster.act(1, 0, "set/a", members(&[], &["m"]));
            cluster.act(1, 0, "map/a", fields(&[], &["f"]));
        }
        cluster.finish()
    };
    let old = before(false);
    for (key, row) in &old.finals[&region("eu")].rows {
        let mut evidence = before(true);
        let rows = &mut evidence.finals.get_mut(&region("eu")).unwrap().rows;
        rows.insert(key.clone(), row.clone());
        assert_found(&evidence, CHECKER, "in the end eu holds");
    }
}

#[test]
fn a_read_after_the_removal_that_shows_it_is_found() {
    let (evidence, reads) = removed();
    for (id, shown) in reads.into_iter().zip(back()) {
        let mut evidence = copy(&evidence);
        set_shown(&mut evidence, id, &shown);
        assert_found(&evidence, CHECKER, "had removed or replaced before it began");
        assert_found(&evidence, "linearizability", "at no place in its time");
        // While the removal is under way it may still be shown.
        evidence.operations[id].started = evidence.operations[5].started;
        assert_silent(&evidence, CHECKER);
    }
}

#[test]
fn siblings_that_were_replaced_are_not_shown_again() {
    let mut cluster = Cluster::new(&["eu", "us"]);
    cluster.act(1, 0, "siblings/a", put("one"));
    cluster.act(2, 1, "siblings/a", put("two"));
    cluster.deliver_all();
    let siblings = cluster.act(1, 0, "siblings/a", Action::Get);
    let mut action = put("merged");
    if let Action::Put { context, .. } = &mut action {
        *context = Some(cluster.context(0, "siblings/a"));
    }
    cluster.act(1, 0, "siblings/a", action);
    let shown = cluster.answer(siblings).shown.clone();
    let mut evidence = cluster.finish();
    assert_silent(&evidence, CHECKER);
    evidence.finals.values_mut().for_each(|last| {
        last.reads.insert(record("siblings/a"), shown.clone());
    });
    assert_found(&evidence, CHECKER, "shows one of register siblings/a");
}

// --- from outside

#[test]
fn from_outside_what_is_back_in_the_end_is_found() {
    let (evidence, reads) = removed();
    let evidence = from_outside(evidence);
    for (id, shown) in reads.into_iter().zip(back()) {
        if matches!(shown, Shown::Member(_)) {
            continue;
        }
        let mut evidence = copy(&evidence);
        let name = evidence.operations[id].record.clone();
        evidence.finals.values_mut().for_each(|last| {
            last.reads.insert(name.clone(), shown.clone());
        });
        // That us had the member when it removed it is not to be seen from outside.
        if matches!(shown, Shown::Members(_)) {
            assert_silent(&evidence, CHECKER);
            evidence.operations[1].region = region("us");
        }
        assert_found(&evidence, CHECKER, "which was gone after");
        // Had the remover not seen it, it might be there.
        evidence
            .operations
            .retain(|operation| operation.action.is_write());
        if !matches!(shown, Shown::Members(_)) {
            assert_silent(&evidence, CHECKER);
        }
    }
}

#[test]
fn from_outside_a_read_after_the_removal_in_the_same_region_is_found() {
    let (evidence, reads) = removed();
    let evidence = from_outside(evidence);
    for (id, shown) in reads.into_iter().zip(back()) {
        let mut evidence = copy(&evidence);
        evidence.operations[1].region = region("us");
        set_shown(&mut evidence, id, &shown);
        assert_found(&evidence, CHECKER, "which was gone after");
        // In another region the removal may come later.
        evidence.operations[id].region = region("eu");
        assert_silent(&evidence, CHECKER);
    }
}

#[test]
fn from_outside_an_add_of_unknown_outcome_excuses_a_member() {
    let mut cluster = Cluster::new(&["eu"]);
    cluster.act(1, 0, "set/a", members(&["m"], &[]));
    cluster.act(1, 0, "set/a", members(&[], &["m"]));
    let unknown = cluster.start(2, 0, "set/a", members(&["m"], &[]));
    cluster.forget(unknown);
    let mut evidence = from_outside(cluster.finish());
    let shown = Shown::Members(vec!["m".to_owned()]);
    for last in evidence.finals.values_mut() {
        last.reads.insert(record("set/a"), shown.clone());
    }
    assert_silent(&evidence, CHECKER);
    evidence.operations.pop();
    assert_found(&evidence, CHECKER, "which was gone after");
}
