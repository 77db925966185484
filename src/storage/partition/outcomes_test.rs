//! Remembered outcomes through groups over a store: repeats, expiry, limits, and that all of it is one write.

use std::sync::Arc;

use super::*;
use crate::model::change::ConflictPolicy;
use crate::model::digest::{Digest, RowHasher};
use crate::model::hlc::Hlc;
use crate::model::idempotency::{Decision, Fingerprint, Idempotency, IdempotencyKey, Verdict};
use crate::model::ids::{Incarnation, Key, ReplicaId};
use crate::model::partition::PartitionState;
use crate::model::request::{Operation, Precondition, Submission, WriteEffect, WriteRequest};
use crate::ports::store::Durability;
use crate::storage::MemoryStore;
use crate::storage::partition::GroupBuilder;

const PARTITION: PartitionId = PartitionId(3);
const DAY: u64 = limits::IDEMPOTENCY_SECONDS * 1_000_000;

struct Partition {
    store: Arc<MemoryStore>,
    state: PartitionState,
}

fn at(micros: u64) -> WallTime {
    WallTime::from_micros(micros)
}

impl Partition {
    fn new() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            state: PartitionState::new(PARTITION),
        }
    }

    fn group<T>(&mut self, now: WallTime, work: impl FnOnce(&mut GroupBuilder<'_>) -> T) -> (T, usize) {
        let rows = StoredRows {
            store: self.store.as_ref(),
            partition: PARTITION,
        };
        let mut group = GroupBuilder::new(self.state.clone(), &rows);
        let done = work(&mut group);
        let sealed = group.seal(&mut Digest::default(), &RowHasher::default(), now);
        let mutations = sealed.set.iter().count();
        self.store.write(&[sealed.set], Durability::Synced).unwrap();
        self.state = sealed.state;
        (done, mutations)
    }

    fn submit(&mut self, now: WallTime, submissions: &[Submission]) -> (Vec<Verdict>, usize) {
        let hlc = Hlc(self.state.last_hlc.0 + 1000);
        let origin = ReplicaId {
            region: "us".parse().unwrap(),
            incarnation: Incarnation::FIRST,
        };
        let all: Vec<&Submission> = submissions.iter().collect();
        self.group(now, |group| group.add_local(origin, hlc, now, &all).unwrap())
    }

    fn sweep(&mut self, now: WallTime) -> usize {
        let expired = expired_outcomes(self.store.as_ref(), PARTITION, now).unwrap();
        self.group(now, |group| group.forget_outcomes(&expired, now).unwrap());
        expired.len()
    }

    /// How much is remembered, as counted and as found.
    fn tallies(&self) -> (IdempotencyTally, IdempotencyTally) {
        let rows = StoredRows {
            store: self.store.as_ref(),
            partition: PARTITION,
        };
        let counted = Outcomes::new(&rows).tally().unwrap();
        let mut found = IdempotencyTally::default();
        for (range, counts) in [
            (OutcomeKey::range(PARTITION), true),
            (OutcomeTimeKey::range(PARTITION), false),
        ] {
            let mut visit = |key: &[u8], value: &[u8]| {
                found.records += u64::from(counts);
                found.bytes += (key.len() + value.len()) as u64;
                ControlFlow::Continue(())
            };
            let store = &self.store;
            store
                .scan(Family::Idempotency, &range.from, &range.to, &mut visit)
                .unwrap();
        }
        (counted, found)
    }
}

fn add(key: &str, amount: i64, fingerprint: u8) -> Submission {
    Submission {
        writes: vec![WriteRequest {
            namespace: "shop".parse().unwrap(),
            key: Key::new("n").unwrap(),
            policy: ConflictPolicy::Lww,
            precondition: Precondition::None,
            operation: Operation::AddCounter { amount },
        }],
        idempotency: Some(Idempotency {
            key: IdempotencyKey::new(key).unwrap(),
            fingerprint: Fingerprint([fingerprint; 32]),
        }),
    }
}

fn value(verdict: &Verdict) -> (i128, bool) {
    let Verdict::Decided(Decision {
        outcome: Ok(answers),
        is_repeat,
    }) = verdict
    else {
        panic!("{verdict:?}");
    };
    let WriteEffect::Counter { value } = answers[0].effect else {
        panic!("{answers:?}");
    };
    (value, *is_repeat)
}

#[test]
fn a_repeat_in_the_same_group_and_in_a_later_one_is_told_the_first_outcome() {
    let mut partition = Partition::new();
    let (verdicts, _) = partition.submit(at(1), &[add("a", 3, 1), add("a", 3, 1), add("b", 1, 2)]);
    let values: Vec<_> = verdicts.iter().map(value).collect();
    assert_eq!(values, [(3, false), (3, true), (4, false)]);
    let (verdicts, mutations) = partition.submit(at(2), &[add("a", 3, 1)]);
    assert_eq!(value(&verdicts[0]), (3, true));
    assert_eq!(mutations, 0, "a repeat writes nothing");
    let (counted, found) = partition.tallies();
    assert_eq!((counted, counted.records), (found, 2));
}

#[test]
fn another_request_under_a_remembered_key_is_told_so_and_not_made() {
    let mut partition = Partition::new();
    let (verdicts, _) = partition.submit(at(1), &[add("a", 3, 1), add("a", 4, 2)]);
    assert!(matches!(&verdicts[1], Verdict::KeyReused { key } if key.as_str() == "a"));
    let (verdicts, mutations) = partition.submit(at(2), &[add("a", 4, 2)]);
    assert!(matches!(&verdicts[0], Verdict::KeyReused { .. }));
    assert_eq!(mutations, 0);
}

#[test]
fn a_write_that_changes_nothing_and_one_that_is_refused_are_remembered() {
    let mut partition = Partition::new();
    let mut nothing = add("a", 0, 1);
    nothing.writes[0].operation = Operation::UpdateSet {
        add: Vec::new(),
        remove: vec![crate::model::ids::SubKey::new("x").unwrap()],
    };
    let mut refused = add("b", 0, 2);
    refused.writes[0].operation = Operation::DeleteRegister;
    refused.writes[0].precondition = Precondition::Exists;
    let all = [nothing, refused];
    let (first, mutations) = partition.submit(at(1), &all);
    assert!(mutations > 0);
    let (again, _) = partition.submit(at(2), &all);
    for (first, again) in first.iter().zip(&again) {
        let (Verdict::Decided(first), Verdict::Decided(again)) = (first, again) else {
            panic!("{first:?} {again:?}");
        };
        assert_eq!(first.outcome, again.outcome);
        assert!(!first.is_repeat && again.is_repeat);
    }
}

#[test]
fn what_has_expired_is_forgotten_whether_swept_away_or_not() {
    let mut partition = Partition::new();
    partition.submit(at(10), &[add("a", 1, 1), add("b", 1, 2)]);
    partition.submit(at(20), &[add("c", 1, 3)]);
    let (verdicts, _) = partition.submit(at(DAY + 10), &[add("a", 1, 9)]);
    assert_eq!(
        value(&verdicts[0]),
        (4, false),
        "also another request may use it now"
    );
    let (counted, found) = partition.tallies();
    assert_eq!((counted, counted.records), (found, 3));
    assert_eq!(partition.sweep(at(DAY + 10)), 1, "b; a is new and c younger");
    let (counted, found) = partition.tallies();
    assert_eq!((counted, counted.records), (found, 2));
    assert_eq!(partition.sweep(at(DAY + 10)), 0);
    assert_eq!(partition.sweep(at(3 * DAY)), 2);
    assert_eq!(
        partition.tallies(),
        (IdempotencyTally::default(), IdempotencyTally::default())
    );
}

#[test]
fn a_sweep_that_was_planned_before_a_key_was_used_again_leaves_the_new_outcome() {
    let mut partition = Partition::new();
    partition.submit(at(10), &[add("a", 1, 1)]);
    let now = at(DAY + 10);
    let expired = expired_outcomes(partition.store.as_ref(), PARTITION, now).unwrap();
    partition.submit(now, &[add("a", 1, 1)]);
    partition.group(now, |group| group.forget_outcomes(&expired, now).unwrap());
    let (verdicts, _) = partition.submit(now, &[add("a", 1, 1)]);
    assert_eq!(value(&verdicts[0]), (2, true));
    let (counted, found) = partition.tallies();
    assert_eq!((counted, counted.records), (found, 1));
}

#[test]
fn a_partition_that_remembers_too_much_says_so_and_still_answers_repeats() {
    let mut partition = Partition::new();
    partition.submit(at(1), &[add("a", 1, 1)]);
    let full = IdempotencyTally {
        records: limits::IDEMPOTENCY_RECORDS_MAX,
        bytes: 5,
    };
    let mut set = WriteSet::new();
    set.put(
        Family::Idempotency,
        &tally(PARTITION),
        &stored::encode_tally(full),
    );
    partition.store.write(&[set], Durability::Synced).unwrap();
    let mut without_key = add("-", 5, 1);
    without_key.idempotency = None;
    let (verdicts, _) = partition.submit(at(2), &[add("b", 1, 1), add("a", 1, 1), without_key]);
    assert_eq!(verdicts[0], Verdict::RemembersTooMuch(full));
    assert_eq!(value(&verdicts[1]), (1, true));
    assert_eq!(value(&verdicts[2]), (6, false));
}
