//! Whom a voter may vote for, by what it has promised before.

use super::*;
use crate::model::ids::Incarnation;

const G: PartitionId = PartitionId(1);
const OTHER: PartitionId = PartitionId(2);

fn at(ms: u64) -> Tick {
    Tick::from_millis(10_000 + ms)
}

fn member(name: &str) -> MemberId {
    MemberId {
        node: name.parse().unwrap(),
        incarnation: Incarnation::FIRST,
    }
}

fn epoch(term: u64, leader: &str) -> Epoch {
    Epoch {
        term,
        leader: member(leader),
    }
}

/// A voter that has started long ago.
fn voter() -> VotePromises {
    VotePromises::new(Tick::default())
}

fn heartbeat(votes: &mut VotePromises, now: Tick, leader: &str, term: u64) -> Vec<PartitionId> {
    votes.acknowledge(now, member(leader), &[(G, term)].into())
}

fn grant(votes: &mut VotePromises, now: Tick, epoch: Epoch) -> bool {
    let may = votes.ask(now, G, epoch);
    if may {
        votes.settle(G, true);
    }
    may
}

#[test]
fn a_promise_holds_for_a_second_and_only_for_its_groups() {
    let mut votes = voter();
    assert!(heartbeat(&mut votes, at(0), "a", 5).is_empty());
    assert!(!votes.ask(at(999), G, epoch(6, "b")));
    assert!(votes.ask(at(0), OTHER, epoch(6, "b")));
    assert!(votes.ask(at(1000), G, epoch(6, "b")));
}

#[test]
fn each_heartbeat_prolongs_the_promise() {
    let mut votes = voter();
    heartbeat(&mut votes, at(0), "a", 5);
    heartbeat(&mut votes, at(700), "a", 5);
    assert!(!votes.ask(at(1699), G, epoch(6, "b")));
    assert!(votes.ask(at(1700), G, epoch(6, "b")));
}

#[test]
fn the_promise_does_not_bind_towards_the_leader_itself() {
    let mut votes = voter();
    heartbeat(&mut votes, at(0), "a", 5);
    assert!(grant(&mut votes, at(1), epoch(6, "a")));
}

#[test]
fn who_has_started_votes_for_nobody_for_a_second() {
    let mut votes = VotePromises::new(at(0));
    assert!(!votes.ask(at(999), G, epoch(6, "b")));
    assert!(votes.ask(at(1000), G, epoch(6, "b")));
}

#[test]
fn an_old_leader_gets_no_promise_in_groups_with_a_later_vote() {
    let mut votes = voter();
    assert!(grant(&mut votes, at(0), epoch(6, "b")));
    let leads = [(G, 5), (OTHER, 5)].into();
    assert_eq!(votes.acknowledge(at(1), member("a"), &leads), [G]);
    assert!(heartbeat(&mut votes, at(2), "b", 6).is_empty());
}

#[test]
fn a_stored_vote_counts_after_a_restart() {
    let mut votes = VotePromises::new(at(0));
    votes.saw(G, epoch(6, "b"));
    votes.saw(G, epoch(4, "c"));
    assert_eq!(heartbeat(&mut votes, at(1), "a", 5), [G]);
}

#[test]
fn two_leaders_of_one_term_are_told_apart() {
    let mut votes = voter();
    assert!(grant(&mut votes, at(0), epoch(6, "b")));
    assert_eq!(
        heartbeat(&mut votes, at(1), "a", 6),
        [G],
        "b's vote is the later one"
    );
    assert!(heartbeat(&mut votes, at(2), "c", 6).is_empty());
}

#[test]
fn a_vote_that_is_being_stored_counts_until_it_is_refused() {
    let mut votes = voter();
    assert!(votes.ask(at(0), G, epoch(6, "b")));
    assert_eq!(heartbeat(&mut votes, at(1), "a", 5), [G]);
    assert!(!votes.ask(at(2), G, epoch(7, "c")), "one at a time");
    votes.settle(G, false);
    assert!(heartbeat(&mut votes, at(3), "a", 5).is_empty());
}

#[test]
fn votes_go_forward_only_and_may_be_repeated() {
    let mut votes = voter();
    assert!(grant(&mut votes, at(0), epoch(6, "b")));
    assert!(!votes.ask(at(1), G, epoch(6, "a")));
    assert!(grant(&mut votes, at(2), epoch(6, "b")));
    assert!(grant(&mut votes, at(3), epoch(6, "c")));
}

#[test]
fn a_leader_that_gives_up_frees_its_voters_in_that_leadership() {
    let mut votes = voter();
    assert!(heartbeat(&mut votes, at(0), "a", 5).is_empty());
    assert!(!votes.ask(at(1), G, epoch(6, "b")));
    // Neither the word of another one nor one about another leadership.
    votes.release(G, epoch(5, "c"));
    votes.release(G, epoch(4, "a"));
    assert!(!votes.ask(at(2), G, epoch(6, "b")));
    votes.release(G, epoch(5, "a"));
    assert!(grant(&mut votes, at(3), epoch(6, "b")));
}

#[test]
fn a_late_word_does_not_free_from_a_later_promise() {
    let mut votes = voter();
    assert!(heartbeat(&mut votes, at(0), "a", 5).is_empty());
    assert!(heartbeat(&mut votes, at(1), "a", 7).is_empty());
    votes.release(G, epoch(5, "a"));
    assert!(!votes.ask(at(2), G, epoch(8, "b")));
}
