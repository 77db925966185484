//! How commits stand to a partition, and which ones it refuses.

use super::*;
use crate::model::change::Delta;
use crate::model::ids::{Incarnation, Key, SubKey};
use crate::model::record::RecordType;
use crate::model::vector::Dot;

fn replica(region: &str) -> ReplicaId {
    ReplicaId {
        region: region.parse().unwrap(),
        incarnation: Incarnation::FIRST,
    }
}

fn vector(entries: &[(&str, Seq)]) -> VersionVector {
    let dots = entries.iter();
    dots.map(|(region, seq)| Dot {
        replica: replica(region),
        seq: *seq,
    })
    .collect()
}

fn commit(origin: &str, first_seq: Seq, changes: usize, deps: &[(&str, Seq)]) -> Commit {
    let record = RecordId::new("shop".parse().unwrap(), RecordType::Set, Key::new("a").unwrap());
    let delta = Delta::MemberAdd {
        member: SubKey::new("m").unwrap(),
    };
    Commit {
        origin: replica(origin),
        first_seq,
        hlc: Hlc(first_seq.saturating_mul(100)),
        deps: vector(deps),
        changes: vec![Change { record, delta }; changes],
    }
}

/// Where the record of [`commit`] belongs; the golden test of placement pins it.
const HOME: PartitionId = PartitionId(33);

fn state(entries: &[(&str, Seq)]) -> PartitionState {
    let mut state = PartitionState::new(HOME);
    state.vector = vector(entries);
    state
}

#[test]
fn standing_says_what_becomes_of_a_commit() {
    let state = state(&[("a", 3), ("b", 1)]);
    for (commit, expected) in [
        (commit("a", 1, 1, &[]), Standing::Duplicate),
        (commit("a", 3, 1, &[]), Standing::Duplicate),
        (commit("a", 1, 3, &[("c", 9)]), Standing::Duplicate),
        (commit("a", 3, 2, &[]), Standing::Overlapping),
        (commit("a", 1, 9, &[]), Standing::Overlapping),
        (commit("a", 4, 2, &[]), Standing::Next),
        (commit("a", 4, 2, &[("b", 1)]), Standing::Next),
        (commit("a", 4, 2, &[("b", 2)]), Standing::Early),
        (commit("a", 5, 1, &[]), Standing::Early),
        (commit("c", 1, 1, &[("a", 3), ("b", 1)]), Standing::Next),
        (commit("c", 1, 1, &[("c", 0)]), Standing::Next),
        (commit("c", 2, 1, &[]), Standing::Early),
        (commit("c", u64::MAX - 1, 1, &[]), Standing::Early),
    ] {
        assert_eq!(state.standing(&commit), expected, "{commit:?}");
    }
}

#[test]
fn an_applied_commit_moves_the_state() {
    let mut state = state(&[("a", 3)]);
    let remote = commit("b", 1, 2, &[("a", 3)]);
    assert_eq!(state.advance(&remote, 70), Ok(LogIndex(1)));
    assert_eq!(state.vector, vector(&[("a", 3), ("b", 2)]));
    assert_eq!(
        state.last_hlc,
        Hlc(101),
        "the stamp of the last change, not of the first"
    );
    assert_eq!((state.log_entries(), state.log_bytes), (1, 70));

    let older = Commit {
        hlc: Hlc(5),
        ..commit("a", 4, 1, &[])
    };
    assert_eq!(state.advance(&older, 30), Ok(LogIndex(2)));
    assert_eq!(state.last_hlc, Hlc(101), "it never moves back");
    assert_eq!((state.log_entries(), state.log_bytes), (2, 100));
}

#[test]
fn a_refused_commit_changes_nothing() {
    let (a, b) = (replica("a"), replica("b"));
    for (commit, refusal) in [
        (
            commit("a", 5, 1, &[]),
            CommitRefusal::Gap {
                origin: a,
                first_seq: 5,
                applied: 3,
            },
        ),
        (
            commit("a", 3, 2, &[]),
            CommitRefusal::Overlap {
                origin: a,
                first_seq: 3,
                last_seq: 4,
                applied: 3,
            },
        ),
        (
            commit("a", 2, 2, &[]),
            CommitRefusal::Overlap {
                origin: a,
                first_seq: 2,
                last_seq: 3,
                applied: 3,
            },
        ),
        (
            commit("b", 1, 1, &[("a", 4)]),
            CommitRefusal::MissingDependencies {
                origin: b,
                first_seq: 1,
            },
        ),
        (
            commit("b", 1, 1, &[("c", 1)]),
            CommitRefusal::MissingDependencies {
                origin: b,
                first_seq: 1,
            },
        ),
    ] {
        let mut state = state(&[("a", 3)]);
        let before = state.clone();
        assert_eq!(state.advance(&commit, 10), Err(refusal));
        assert_eq!(state, before);
    }
}

#[test]
fn own_changes_that_were_lost_are_not_taken_back_under_the_same_name() {
    let count = PartitionCount::new(64).unwrap();
    let state = state(&[("a", 3)]);
    let check = |own: ReplicaId, commit: &Commit| state.check_remote(own, count, commit);
    let second = ReplicaId {
        incarnation: Incarnation(2),
        ..replica("a")
    };
    assert_eq!(check(replica("a"), &commit("a", 3, 1, &[])), Ok(()), "an echo");
    assert_eq!(check(replica("b"), &commit("a", 4, 1, &[])), Ok(()), "another's");
    assert_eq!(
        check(second, &commit("a", 4, 1, &[])),
        Ok(()),
        "of an earlier incarnation"
    );
    let refusal = CommitRefusal::OwnReplica {
        origin: replica("a"),
        first_seq: 4,
        applied: 3,
    };
    assert_eq!(check(replica("a"), &commit("a", 4, 1, &[])), Err(refusal));
    let of_second = Commit {
        origin: second,
        ..commit("a", 1, 1, &[])
    };
    assert!(
        check(replica("a"), &of_second).is_err(),
        "this region has been replaced"
    );
}

#[test]
fn a_commit_of_another_partition_is_refused() {
    let count = PartitionCount::new(64).unwrap();
    let mut sent = commit("b", 1, 2, &[]);
    assert_eq!(state(&[]).check_remote(replica("a"), count, &sent), Ok(()));
    sent.changes[1].record.key = Key::new("b").unwrap();
    let refusal = state(&[]).check_remote(replica("a"), count, &sent).unwrap_err();
    assert!(
        matches!(
            &refusal,
            CommitRefusal::Misplaced {
                partition: HOME,
                home: PartitionId(4),
                ..
            }
        ),
        "{refusal}"
    );
}
