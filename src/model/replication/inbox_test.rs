//! The inbox: order, dependencies, what is missing, and how its room is shared.

use super::inbox::{Inbox, Missing, Offered, Taken};
use crate::model::change::{Change, Commit, Delta};
use crate::model::hlc::Hlc;
use crate::model::ids::{Incarnation, Key, RegionId, ReplicaId, Seq, SubKey};
use crate::model::limits;
use crate::model::record::{RecordId, RecordType};
use crate::model::tick::Tick;
use crate::model::vector::{Dot, VersionVector};

fn replica(region: &str) -> ReplicaId {
    ReplicaId {
        region: region.parse().unwrap(),
        incarnation: Incarnation::FIRST,
    }
}

fn vector(entries: &[(&str, Seq)]) -> VersionVector {
    entries
        .iter()
        .map(|(region, seq)| Dot {
            replica: replica(region),
            seq: *seq,
        })
        .collect()
}

fn commit(origin: &str, first_seq: Seq, changes: usize, deps: &[(&str, Seq)]) -> Commit {
    let record = RecordId::new("ns".parse().unwrap(), RecordType::Set, Key::new("k").unwrap());
    let change = Change {
        record,
        delta: Delta::MemberAdd {
            member: SubKey::new("m").unwrap(),
        },
    };
    Commit {
        origin: replica(origin),
        first_seq,
        hlc: Hlc(first_seq),
        deps: vector(deps),
        changes: vec![change; changes],
    }
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

const NOW: Tick = Tick::from_millis(1000);

fn drain(inbox: &mut Inbox, mut vector: VersionVector) -> Vec<(String, Seq)> {
    let mut order = Vec::new();
    while let Some(Taken::Next(commit, _)) = inbox.take_next(&vector) {
        vector.advance(commit.origin, commit.last_seq());
        order.push((commit.origin.region.to_string(), commit.first_seq));
    }
    order
}

#[test]
fn commits_come_out_in_order_whatever_order_they_came_in() {
    let mut inbox = Inbox::default();
    let at = vector(&[]);
    for commit in [
        commit("b", 1, 1, &[("a", 3)]),
        commit("a", 3, 1, &[]),
        commit("a", 1, 2, &[]),
    ] {
        assert_eq!(inbox.offer(&at, commit, region("b"), NOW), Ok(Offered::Held));
    }
    let order = drain(&mut inbox, at);
    assert_eq!(order, [("a".into(), 1), ("a".into(), 3), ("b".into(), 1)]);
    assert!(inbox.is_empty());
    assert_eq!(inbox.size_bytes(), 0);
}

#[test]
fn what_was_applied_is_a_duplicate_and_what_was_applied_in_part_is_refused() {
    let mut inbox = Inbox::default();
    let at = vector(&[("a", 2)]);
    assert_eq!(
        inbox.offer(&at, commit("a", 1, 2, &[]), region("a"), NOW),
        Ok(Offered::Duplicate)
    );
    assert!(
        inbox
            .offer(&at, commit("a", 2, 2, &[]), region("a"), NOW)
            .is_err()
    );
}

#[test]
fn a_commit_waits_for_its_dependencies_and_names_them() {
    let mut inbox = Inbox::default();
    let at = vector(&[("a", 1)]);
    inbox
        .offer(&at, commit("b", 1, 1, &[("a", 3)]), region("b"), NOW)
        .unwrap();
    assert!(inbox.take_next(&at).is_none());
    assert!(
        inbox.missing(&at, Tick::from_millis(1099), 100).is_empty(),
        "too early to ask"
    );
    let missing = inbox.missing(&at, Tick::from_millis(1100), 100);
    let expected = Missing {
        replica: replica("a"),
        first_seq: 2,
        last_seq: 3,
        holder: region("b"),
    };
    assert_eq!(missing, [expected]);
}

#[test]
fn a_gap_is_asked_for_up_to_what_is_held() {
    let mut inbox = Inbox::default();
    let at = vector(&[]);
    inbox
        .offer(&at, commit("a", 5, 1, &[]), region("a"), NOW)
        .unwrap();
    inbox
        .offer(&at, commit("a", 6, 1, &[]), region("a"), NOW)
        .unwrap();
    let missing = inbox.missing(&at, Tick::from_millis(5000), 100);
    let expected = Missing {
        replica: replica("a"),
        first_seq: 1,
        last_seq: 4,
        holder: region("a"),
    };
    assert_eq!(missing, [expected]);
}

#[test]
fn a_full_inbox_still_takes_the_next_in_order() {
    let mut inbox = Inbox::default();
    let at = vector(&[]);
    // Behind a hole, so half of the room.
    for seq in 0..limits::HELD_COMMITS_MAX as u64 / 2 {
        inbox
            .offer(&at, commit("a", seq + 2, 1, &[]), region("a"), NOW)
            .unwrap();
    }
    let beyond = commit("a", 1_000_000, 1, &[]);
    assert_eq!(inbox.offer(&at, beyond, region("a"), NOW), Ok(Offered::Full));
    assert_eq!(
        inbox.offer(&at, commit("a", 1, 1, &[]), region("a"), NOW),
        Ok(Offered::Held)
    );
    assert_eq!(drain(&mut inbox, at).len(), limits::HELD_COMMITS_MAX / 2 + 1);
}

#[test]
fn a_region_that_fills_its_share_leaves_room_for_those_it_depends_on() {
    let mut inbox = Inbox::for_peers(2);
    let at = vector(&[]);
    let share = limits::HELD_COMMITS_MAX as u64 / 2;
    // Each commit of one region depends on the one of the other, in turns, and the first region arrives first.
    for seq in 1..=share {
        let commit = commit("a", seq, 1, &[("b", seq)]);
        assert_eq!(inbox.offer(&at, commit, region("a"), NOW), Ok(Offered::Held));
    }
    let beyond = commit("a", share + 1, 1, &[("b", share + 1)]);
    assert_eq!(inbox.offer(&at, beyond, region("a"), NOW), Ok(Offered::Full));
    for seq in 1..=share {
        let commit = commit("b", seq, 1, &[("a", seq - 1)]);
        assert_eq!(inbox.offer(&at, commit, region("b"), NOW), Ok(Offered::Held));
    }
    assert_eq!(drain(&mut inbox, at).len(), limits::HELD_COMMITS_MAX);
}

#[test]
fn commits_behind_a_hole_leave_room_for_those_that_fill_it() {
    let mut inbox = Inbox::for_peers(2);
    let at = vector(&[]);
    let share = limits::HELD_COMMITS_MAX as u64 / 2;
    let blocked = |seq| commit("a", seq, 1, &[("b", 1)]);
    // What was on its way when the second commit was refused.
    assert_eq!(inbox.offer(&at, blocked(1), region("a"), NOW), Ok(Offered::Held));
    let taken = (3..)
        .take_while(|seq| inbox.offer(&at, blocked(*seq), region("a"), NOW) == Ok(Offered::Held))
        .count() as u64;
    assert_eq!(taken, share / 2 - 1);
    // What is sent again from there.
    assert_eq!(inbox.offer(&at, blocked(2), region("a"), NOW), Ok(Offered::Held));
    let next = taken + 3;
    for seq in next..next + share / 2 - 1 {
        assert_eq!(
            inbox.offer(&at, blocked(seq), region("a"), NOW),
            Ok(Offered::Held),
            "{seq}"
        );
    }
    assert_eq!(
        inbox.offer(&at, blocked(share + 1), region("a"), NOW),
        Ok(Offered::Full)
    );
}

#[test]
fn a_held_commit_that_came_to_overlap_is_given_out_as_refused() {
    let mut inbox = Inbox::default();
    inbox
        .offer(&vector(&[]), commit("a", 3, 2, &[]), region("a"), NOW)
        .unwrap();
    let Some(Taken::Refused(refusal, source)) = inbox.take_next(&vector(&[("a", 3)])) else {
        panic!("it overlaps")
    };
    assert_eq!(
        (source, refusal.to_string().contains("used twice")),
        (region("a"), true)
    );
    assert!(inbox.is_empty());
}

#[test]
fn a_blocked_origin_does_not_block_another() {
    let mut inbox = Inbox::default();
    let at = vector(&[]);
    inbox
        .offer(&at, commit("a", 7, 1, &[]), region("a"), NOW)
        .unwrap();
    inbox
        .offer(&at, commit("c", 1, 1, &[]), region("c"), NOW)
        .unwrap();
    assert_eq!(drain(&mut inbox, at), [("c".into(), 1)]);
    assert_eq!(inbox.len(), 1);
}
