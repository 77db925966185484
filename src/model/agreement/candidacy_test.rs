//! Whose turn it is.

use super::*;
use crate::model::ids::Incarnation;

fn at(ms: u64) -> Tick {
    Tick::from_millis(ms)
}

fn members() -> [MemberId; 3] {
    [1, 2, 3].map(|number| MemberId {
        node: "n".parse().unwrap(),
        incarnation: Incarnation(number),
    })
}

/// When a voter stands, if it is asked each 50 ms and never wins.
fn turns(place: usize, is_gone: impl Fn(MemberId) -> bool) -> Vec<u64> {
    let mut candidacy = Candidacy::default();
    let looks = (0..2200).step_by(50);
    looks
        .filter(|ms| candidacy.is_due(at(1000 + ms), members()[place], &members(), &is_gone))
        .collect()
}

#[test]
fn voters_stand_one_after_the_other() {
    assert_eq!(turns(0, |_| false), [0, 900, 1800]);
    assert_eq!(turns(1, |_| false), [300, 1500]);
    assert_eq!(turns(2, |_| false), [600, 2100]);
}

#[test]
fn nobody_waits_for_those_that_are_gone() {
    let first = members()[0];
    assert_eq!(turns(1, |voter| voter == first), [0, 900, 1800]);
    assert_eq!(turns(2, |voter| voter == first), [300, 1500]);
}

#[test]
fn who_does_not_vote_does_not_stand() {
    let mut candidacy = Candidacy::default();
    assert!(!candidacy.is_due(at(0), members()[0], &members()[1..], |_| false));
}

#[test]
fn a_leader_ends_the_waiting() {
    let (mut candidacy, [_, second, _]) = (Candidacy::default(), members());
    assert!(!candidacy.is_due(at(0), second, &members(), |_| false));
    candidacy.led();
    assert!(!candidacy.is_due(at(400), second, &members(), |_| false));
    assert!(candidacy.is_due(at(700), second, &members(), |_| false));
}

#[test]
fn who_has_voted_for_another_gives_it_time() {
    let (mut candidacy, [_, second, _]) = (Candidacy::default(), members());
    assert!(!candidacy.is_due(at(0), second, &members(), |_| false));
    candidacy.voted(at(290));
    assert!(!candidacy.is_due(at(300), second, &members(), |_| false));
    assert!(!candidacy.is_due(at(1480), second, &members(), |_| false));
    assert!(candidacy.is_due(at(1490), second, &members(), |_| false));
}

#[test]
fn who_has_voted_at_the_same_moment_stands_at_different_ones() {
    let due = |place: usize| {
        let mut candidacy = Candidacy::default();
        candidacy.voted(at(0));
        let mut looks = (0..5000).step_by(10);
        looks.find(|ms| candidacy.is_due(at(*ms), members()[place], &members(), |_| false))
    };
    assert_eq!([0, 1, 2].map(due), [Some(900), Some(1200), Some(1500)]);
}

#[test]
fn a_node_that_did_not_run_stands_once() {
    let (mut candidacy, [first, ..]) = (Candidacy::default(), members());
    assert!(candidacy.is_due(at(0), first, &members(), |_| false));
    assert!(candidacy.is_due(at(60_000), first, &members(), |_| false));
    assert!(!candidacy.is_due(at(60_100), first, &members(), |_| false));
}

#[test]
fn who_lacks_entries_leaves_the_others_their_turns() {
    let (mut candidacy, [first, ..]) = (Candidacy::default(), members());
    assert!(candidacy.is_due(at(0), first, &members(), |_| false));
    candidacy.lacks_entries();
    assert!(!candidacy.is_due(at(2690), first, &members(), |_| false));
    assert!(candidacy.is_due(at(2700), first, &members(), |_| false));
    candidacy.led();
    assert!(candidacy.is_due(at(3000), first, &members(), |_| false));
}
