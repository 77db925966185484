//! Invariant 18: whoever applies an entry, after it was stored or sent, writes the bytes of the one that has prepared it.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::change::{ConflictPolicy, Content};
use crate::model::idempotency::{Fingerprint, Idempotency, IdempotencyKey, IdempotencyTally};
use crate::model::ids::{Incarnation, Key, PartitionId, RegionId, SubKey};
use crate::model::limits;
use crate::model::record::RecordType;
use crate::model::request::{Operation, Precondition, WriteRequest};
use crate::model::vector::Dot;
use crate::ports::store::{Durability, Store as _};
use crate::storage::MemoryStore;
use crate::storage::partition::expired_outcomes;
use crate::wire::entry::{decode_entry, encode_entry};
use crate::wire::idempotency::encode_tally;
use crate::wire::keys::idempotency::tally;

const PARTITION: PartitionId = PartitionId(3);
const HOUR: u64 = 3600 * 1_000_000;

/// A node with one partition.
struct Node {
    store: Arc<MemoryStore>,
    state: PartitionState,
    digest: Digest,
    replica: ReplicaId,
}

/// What a group is asked to do.
#[derive(Debug, Clone)]
enum Step {
    /// Writes of clients, so many microseconds after the step before.
    Write(u64, Vec<Submission>),
    /// What another region has written meanwhile, and writes of clients behind it.
    Receive(Vec<Submission>, Vec<Submission>),
    /// A look for expired outcomes.
    Sweep(u64),
    /// The log is cut behind so many entries.
    Cut(u64),
}

impl Node {
    fn new(region: &str) -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            state: PartitionState::new(PARTITION),
            digest: Digest::default(),
            replica: ReplicaId {
                region: region.parse::<RegionId>().unwrap(),
                incarnation: Incarnation::FIRST,
            },
        }
    }

    fn group(&mut self, now: WallTime, work: impl FnOnce(&mut GroupBuilder<'_>)) -> SealedGroup {
        let rows = StoredRows {
            store: self.store.as_ref(),
            partition: PARTITION,
        };
        let mut group = GroupBuilder::new(self.state.clone(), &rows);
        work(&mut group);
        let sealed = group.seal(&mut self.digest, &RowHasher::default(), now);
        let set = std::slice::from_ref(&sealed.set);
        self.store.write(set, Durability::Synced).unwrap();
        self.state = sealed.state.clone();
        sealed
    }

    fn write(&mut self, now: WallTime, remote: &[Commit], submissions: &[Submission]) -> SealedGroup {
        let mut hlc = self.state.last_hlc;
        for commit in remote {
            hlc = hlc.max(commit.last_hlc());
        }
        let (replica, all) = (self.replica, submissions.iter().collect::<Vec<_>>());
        self.group(now, |group| {
            for commit in remote {
                group.add_commit(commit).unwrap();
            }
            group.add_local(replica, hlc.plus(1), now, &all).unwrap();
        })
    }

    /// The partition remembers as many outcomes as it may.
    fn is_full_of_outcomes(&self) {
        let mut set = WriteSet::new();
        let full = IdempotencyTally {
            records: limits::IDEMPOTENCY_RECORDS_MAX,
            bytes: 5,
        };
        set.put(Family::Idempotency, &tally(PARTITION), &encode_tally(full));
        self.store.write(&[set], Durability::Synced).unwrap();
    }
}

fn part(number: u8) -> SubKey {
    SubKey::new(&format!("p{number}")).unwrap()
}

fn any_operation() -> impl Strategy<Value = (Operation, ConflictPolicy)> {
    let content = |number: u8| Content {
        content_type: "text/plain".to_owned(),
        payload: vec![number].into(),
        expires_at: None,
    };
    let parts = || proptest::collection::vec((0..3_u8).prop_map(part), 0..3);
    let dot = |seq| Dot {
        replica: Node::new("us").replica,
        seq,
    };
    let operation = prop_oneof![
        (0..9_u8, proptest::option::of(1..9_u64)).prop_map(move |(number, seq)| Operation::PutRegister {
            content: content(number),
            context: seq.map(|seq| vec![dot(seq)]),
        }),
        Just(Operation::DeleteRegister),
        prop_oneof![Just(1_i64), Just(-7), Just(i64::MAX)]
            .prop_map(|amount| Operation::AddCounter { amount }),
        Just(Operation::ResetCounter),
        (parts(), parts()).prop_map(|(add, remove)| Operation::UpdateSet { add, remove }),
        (parts(), parts()).prop_map(|(set, remove)| Operation::UpdateMap {
            set: set.into_iter().map(|field| (field, "1".into())).collect(),
            remove,
        }),
    ];
    let policy = prop_oneof![Just(ConflictPolicy::Lww), Just(ConflictPolicy::Siblings)];
    (operation, policy)
}

fn any_write() -> impl Strategy<Value = WriteRequest> {
    let condition = prop_oneof![
        4 => Just(Precondition::None),
        1 => Just(Precondition::Exists),
        1 => Just(Precondition::Absent),
    ];
    (any_operation(), condition, 0..3_u8).prop_map(|((operation, policy), condition, key)| {
        // Only what names one row can have a precondition.
        let is_single = match operation.record_type() {
            RecordType::Register | RecordType::Counter => true,
            _ => operation.only_part().is_some(),
        };
        WriteRequest {
            namespace: "shop".parse().unwrap(),
            key: Key::new(&format!("k{key}")).unwrap(),
            policy,
            precondition: if is_single { condition } else { Precondition::None },
            operation,
        }
    })
}

fn any_submissions() -> impl Strategy<Value = Vec<Submission>> {
    let idempotency = (0..3_u8, 0..2_u8).prop_map(|(key, fingerprint)| Idempotency {
        key: IdempotencyKey::new(&format!("i{key}")).unwrap(),
        fingerprint: Fingerprint([fingerprint; 32]),
    });
    let submission = (
        proptest::collection::vec(any_write(), 1..4),
        proptest::option::of(idempotency),
    );
    let submission = submission.prop_map(|(writes, idempotency)| Submission { writes, idempotency });
    proptest::collection::vec(submission, 0..4)
}

fn any_step() -> impl Strategy<Value = Step> {
    // A day makes outcomes expire.
    let pause = || prop_oneof![Just(1), Just(HOUR), Just(24 * HOUR)];
    prop_oneof![
        4 => (pause(), any_submissions()).prop_map(|(pause, all)| Step::Write(pause, all)),
        2 => (any_submissions(), any_submissions()).prop_map(|(theirs, ours)| Step::Receive(theirs, ours)),
        1 => pause().prop_map(Step::Sweep),
        1 => (1..4_u64).prop_map(Step::Cut),
    ]
}

/// Takes a step on the leader, and gives the entry that says what it did.
fn take(leader: &mut Node, other: &mut Node, now: &mut u64, step: Step) -> (Entry, SealedGroup) {
    let mut entry = Entry {
        at: WallTime::default(),
        commits: Vec::new(),
        decided: Vec::new(),
        cut: None,
        aged: Vec::new(),
    };
    if let Step::Write(pause, _) | Step::Sweep(pause) = &step {
        *now += pause;
    }
    let at = WallTime::from_micros(*now);
    entry.at = at;
    let sealed = match step {
        Step::Write(_, submissions) => leader.write(at, &[], &submissions),
        Step::Receive(theirs, ours) => {
            entry.commits = other.write(at, &[], &theirs).made;
            leader.write(at, &entry.commits, &ours)
        }
        Step::Sweep(_) => {
            let aged = expired_outcomes(leader.store.as_ref(), PARTITION, at).unwrap();
            entry.aged.clone_from(&aged);
            leader.group(at, |group| group.forget_outcomes(&aged, at).unwrap())
        }
        Step::Cut(entries) => {
            let first_index =
                LogIndex(leader.state.first_index.0 + entries).min(leader.state.applied_index.next());
            let cut = Cut {
                first_index,
                size_bytes: entries,
                forgotten: leader.state.vector.clone(),
            };
            entry.cut = Some(cut.clone());
            leader.group(at, |group| group.cut_log(&cut))
        }
    };
    entry.commits.extend(sealed.made.iter().cloned());
    entry.decided.clone_from(&sealed.decided);
    (entry, sealed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whoever_applies_an_entry_writes_what_its_leader_has(
        is_full in prop::bool::weighted(0.2),
        steps in proptest::collection::vec(any_step(), 1..12),
    ) {
        let (mut leader, mut follower, mut other) = (Node::new("us"), Node::new("us"), Node::new("eu"));
        let mut now = 25 * HOUR;
        for (count, step) in steps.into_iter().enumerate() {
            if is_full && count == 2 {
                leader.is_full_of_outcomes();
                follower.is_full_of_outcomes();
            }
            let (entry, prepared) = take(&mut leader, &mut other, &mut now, step);
            let entry = decode_entry(&encode_entry(&entry)).unwrap();
            let applied = follower.group(entry.at, |group| group.apply(&entry).unwrap());
            prop_assert_eq!(applied.set, prepared.set);
            prop_assert_eq!(applied.state, prepared.state);
            prop_assert_eq!(applied.system_records, prepared.system_records);
            prop_assert!(follower.digest == leader.digest);
        }
    }
}
