//! When a lease holds: what was sent when, to whom it was told, and who counts.

use super::*;
use crate::model::ids::Incarnation;

const G: PartitionId = PartitionId(1);

fn at(ms: u64) -> Tick {
    Tick::from_millis(ms)
}

fn member(number: u32) -> MemberId {
    MemberId {
        node: "n".parse().unwrap(),
        incarnation: Incarnation(number),
    }
}

fn three() -> Voters {
    Voters::new([1, 2, 3].map(member).into())
}

/// A leader in term 5 whose heartbeat at that time two of three have acknowledged.
fn leased(sent_ms: u64) -> LeaderLeases {
    let mut leases = LeaderLeases::default();
    leases.lead(G, 5);
    let number = leases.send(at(sent_ms));
    leases.acknowledged(member(1), number, &[]);
    leases.acknowledged(member(2), number, &[]);
    leases
}

#[test]
fn a_lease_counts_from_when_the_heartbeat_was_sent() {
    let leases = leased(1000);
    assert!(leases.holds(at(1799), G, 5, &three()));
    assert!(!leases.holds(at(1800), G, 5, &three()));
}

#[test]
fn a_minority_is_no_lease() {
    let mut leases = LeaderLeases::default();
    leases.lead(G, 5);
    let number = leases.send(at(0));
    leases.acknowledged(member(1), number, &[]);
    assert!(!leases.holds(at(1), G, 5, &three()));
    leases.acknowledged(member(9), number, &[]);
    assert!(
        !leases.holds(at(1), G, 5, &three()),
        "who does not vote does not count"
    );
}

#[test]
fn a_majority_counts_by_its_oldest_word() {
    let mut leases = leased(0);
    let number = leases.send(at(500));
    leases.acknowledged(member(1), number, &[]);
    assert!(!leases.holds(at(900), G, 5, &three()));
    leases.acknowledged(member(3), number, &[]);
    assert!(leases.holds(at(1299), G, 5, &three()));
}

#[test]
fn excepted_groups_get_no_lease() {
    let mut leases = LeaderLeases::default();
    leases.lead(G, 5);
    leases.lead(PartitionId(2), 9);
    let number = leases.send(at(0));
    leases.acknowledged(member(1), number, &[]);
    assert_eq!(leases.acknowledged(member(2), number, &[G]), [PartitionId(2)]);
    assert!(!leases.holds(at(1), G, 5, &three()));
    assert!(leases.holds(at(1), PartitionId(2), 9, &three()));
}

#[test]
fn a_heartbeat_from_before_the_leadership_does_not_count() {
    let mut leases = LeaderLeases::default();
    let before = leases.send(at(0));
    leases.lead(G, 5);
    assert!(leases.acknowledged(member(1), before, &[]).is_empty());
    leases.acknowledged(member(2), before, &[]);
    assert!(!leases.holds(at(1), G, 5, &three()));
}

#[test]
fn a_new_term_and_a_resignation_end_the_lease() {
    let mut leases = leased(0);
    assert!(!leases.holds(at(1), G, 6, &three()));
    leases.lead(G, 6);
    assert!(!leases.holds(at(1), G, 5, &three()) && !leases.holds(at(1), G, 6, &three()));
    let mut leases = leased(0);
    leases.resign(G);
    assert!(!leases.holds(at(1), G, 5, &three()) && leases.leads().is_empty());
}

#[test]
fn an_acknowledgement_that_comes_late_or_twice_changes_nothing() {
    let mut leases = leased(0);
    let number = leases.send(at(700));
    leases.acknowledged(member(1), number, &[]);
    leases.acknowledged(member(2), number, &[]);
    leases.acknowledged(member(2), HeartbeatNumber(1), &[]);
    leases.acknowledged(member(3), HeartbeatNumber(77), &[]);
    assert!(leases.holds(at(1499), G, 5, &three()));
}

#[test]
fn a_change_of_membership_needs_both_majorities() {
    let leases = leased(0);
    let next = [2, 3, 4].map(member);
    let joint = Voters::joint([1, 2, 3].map(member).into(), next.into());
    assert!(!leases.holds(at(1), G, 5, &joint));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut leases = LeaderLeases::default();
    for _ in 0..10_000 {
        leases.send(at(5));
    }
    assert!(leases.sent.len() <= SENT_MAX);
    leases.send(at(5 + LEASE_MS));
    assert_eq!(leases.sent.len(), 1);
}
