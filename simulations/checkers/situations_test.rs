//! That situations are counted when they occur, and only then. That a random history comes into all of them is shown in
//! `random_test`.

use crate::evidence::{Action, Condition};

use super::situations::count;
use super::test_cluster::{Cluster, add, fields, members, put, put_if};

/// The situations that a script comes into, with their counts.
fn counts(script: impl Fn(&mut Cluster)) -> Vec<(&'static str, u64)> {
    let mut cluster = Cluster::new(&["ap", "eu", "us"]);
    script(&mut cluster);
    let counts = count(&cluster.finish());
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_quiet_run_comes_into_none() {
    assert_eq!(
        counts(|cluster| {
            cluster.act(1, 0, "register/a", put("value"));
            cluster.deliver_all();
            cluster.act(2, 1, "register/a", put("other"));
        }),
        []
    );
}

#[test]
fn conflicts_are_counted_by_kind() {
    let concurrent = |name: &'static str, one: Action, other: Action| {
        counts(move |cluster| {
            cluster.act(1, 0, name, one.clone());
            cluster.act(2, 1, name, other.clone());
        })
        .into_iter()
        // Which comes with every conflict, and with other things.
        .filter(|(name, _)| *name != "commits logged in another order than elsewhere")
        .collect::<Vec<_>>()
    };
    let delete = Action::Delete {
        condition: Condition::None,
    };
    let ledger = ("ledger entry", 3);
    assert_eq!(
        concurrent("register/a", put("one"), put("two")),
        [("concurrent register writes under lww", 1), ledger]
    );
    assert_eq!(
        concurrent("register/a", put("one"), delete),
        [("delete against concurrent put", 1), ledger]
    );
    assert_eq!(
        concurrent("siblings/a", put("one"), put("two")),
        [("concurrent register writes under siblings", 1)]
    );
    assert_eq!(
        concurrent("counter/a", Action::Reset, Action::Reset),
        [("concurrent counter resets", 1)]
    );
    assert_eq!(
        concurrent("counter/a", Action::Reset, add(1)),
        [("counter reset against concurrent add", 1)]
    );
    assert_eq!(
        concurrent("map/a", fields(&[("f", "1")], &[]), fields(&[("f", "2")], &[])),
        [("concurrent values of a field", 1), ledger]
    );
    assert_eq!(
        counts(|cluster| {
            cluster.act(1, 0, "set/a", members(&["m"], &[]));
            cluster.deliver_all();
            cluster.act(1, 0, "set/a", members(&["m"], &[]));
            cluster.act(2, 1, "set/a", members(&[], &["m"]));
        }),
        [
            ("commits logged in another order than elsewhere", 3),
            ("member added against concurrent remove", 1)
        ]
    );
}

#[test]
fn groups_preconditions_and_unknown_outcomes_are_counted() {
    let found = counts(|cluster| {
        let group = [
            cluster.start(1, 0, "register/a", put_if("one", Condition::Absent)),
            cluster.start(2, 0, "register/a", put_if("two", Condition::Absent)),
            cluster.start(3, 0, "register/a", put("three")),
        ];
        cluster.execute(&group);
        cluster.end(group[0]);
        cluster.end(group[1]);
        cluster.forget(group[2]);
        let never = cluster.start(3, 0, "register/a", put("never"));
        cluster.forget(never);
        let refused = cluster.start(3, 0, "register/a", put("refused"));
        cluster.refuse(refused);
        cluster.act(1, 0, "set/a", members(&[], &["m"]));
    });
    assert_eq!(
        found,
        [
            ("commit of several changes", 1),
            ("precondition met", 1),
            ("precondition refused", 1),
            ("preconditions raced", 1),
            ("write found nothing to change", 1),
            ("write of unknown outcome", 2),
            ("write of unknown outcome was done", 1),
            ("write of unknown outcome was not done", 1),
            ("write refused, nothing done", 1),
        ]
    );
}

#[test]
fn a_dependency_that_comes_late_is_counted() {
    let found = counts(|cluster| {
        cluster.act(1, 0, "register/a", put("cause"));
        cluster.deliver(0, 1, usize::MAX);
        cluster.act(2, 1, "register/a", put("effect"));
        cluster.deliver(0, 2, usize::MAX);
        cluster.deliver(1, 2, usize::MAX);
    });
    assert_eq!(
        found,
        [("dependency came later than what depends on it was made", 1)]
    );
}
