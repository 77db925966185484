//! Random clients and a random network for [`super::harness_test`].

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;

use super::harness_test::World;
use crate::model::change::{ConflictPolicy, Content};
use crate::model::ids::{Key, SubKey};
use crate::model::record::{RecordId, RecordType};
use crate::model::request::{Operation, Precondition, WriteRequest};
use crate::model::rows::Row;
use crate::model::vector::Dot;

/// What one client asks for. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Put(u8, ConflictPolicy),
    /// With the siblings of a replica as its context, those whose bits are set; the replica can be another one.
    PutBack(u8, ConflictPolicy, Index, u8),
    Delete(u8, ConflictPolicy),
    Add(u8, i64),
    /// Only of counters beyond the first, which is left for the reference.
    Reset(u8),
    Set(u8, Vec<u8>, Vec<u8>),
    Map(u8, Vec<u8>, Vec<u8>),
}

/// What happens next in the world.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Write(Index, Vec<Act>),
    /// Mostly of something new to the target, sometimes of anything.
    Deliver(Index, Index, bool),
    /// Everything that the source has goes to the target.
    Sync(Index, Index),
    Wait(u64),
    /// The replica's region is admitted anew.
    Readmit(Index),
}

pub(super) fn policies() -> impl Strategy<Value = ConflictPolicy> + Clone {
    prop_oneof![
        Just(ConflictPolicy::Lww),
        Just(ConflictPolicy::Siblings),
        Just(ConflictPolicy::Custom)
    ]
}

fn acts(policy: impl Strategy<Value = ConflictPolicy> + Clone + 'static) -> impl Strategy<Value = Act> {
    let parts = || prop::collection::vec(0_u8..3, 0..3);
    let put_back = (0_u8..2, policy.clone(), any::<Index>(), any::<u8>());
    prop_oneof![
        3 => (0_u8..2, policy.clone()).prop_map(|(key, policy)| Act::Put(key, policy)),
        3 => put_back.prop_map(|(key, policy, reader, mask)| Act::PutBack(key, policy, reader, mask)),
        2 => (0_u8..2, policy).prop_map(|(key, policy)| Act::Delete(key, policy)),
        3 => (0_u8..2, -50_i64..50).prop_map(|(key, amount)| Act::Add(key, amount)),
        1 => Just(Act::Reset(1)),
        4 => (0_u8..2, parts(), parts()).prop_map(|(key, add, remove)| Act::Set(key, add, remove)),
        4 => (0_u8..2, parts(), parts()).prop_map(|(key, set, remove)| Act::Map(key, set, remove)),
    ]
}

pub(super) fn steps(
    policy: impl Strategy<Value = ConflictPolicy> + Clone + 'static,
) -> impl Strategy<Value = Vec<Step>> {
    let write = (any::<Index>(), prop::collection::vec(acts(policy), 1..4));
    let step = prop_oneof![
        10 => write.prop_map(|(replica, acts)| Step::Write(replica, acts)),
        8 => (any::<Index>(), any::<Index>(), prop::bool::weighted(0.8))
            .prop_map(|(target, commit, is_new)| Step::Deliver(target, commit, is_new)),
        4 => (any::<Index>(), any::<Index>()).prop_map(|(source, target)| Step::Sync(source, target)),
        2 => (0_u64..400).prop_map(Step::Wait),
        1 => any::<Index>().prop_map(Step::Readmit),
    ];
    prop::collection::vec(step, 1..40)
}

/// Told of everything that happens, in order.
pub(super) trait Witness {
    /// Right before a replica is asked.
    fn will_write(&mut self, _world: &World, _replica: usize, _requests: &[WriteRequest]) {}
    /// Right after, if there was something to change.
    fn wrote(&mut self, _world: &World, _replica: usize, _commit: usize) {}
    /// After a replica has applied commits of others that one delivery has let through.
    fn applied(&mut self, _world: &World, _replica: usize, _commits: &[usize]) {}
}

impl Witness for () {}

/// Lets everything happen, then brings everything to everybody.
pub(super) fn run(replicas: usize, steps: &[Step], witness: &mut impl Witness) -> World {
    let mut world = World::new(replicas);
    for (number, step) in steps.iter().enumerate() {
        take(&mut world, number, step, witness);
    }
    for target in 0..replicas {
        for commit in 0..world.commits.len() {
            deliver(&mut world, target, commit, witness);
        }
    }
    world.settle();
    world
}

fn take(world: &mut World, number: usize, step: &Step, witness: &mut impl Witness) {
    let count = world.replicas.len();
    match step {
        Step::Write(replica, acts) => {
            let replica = replica.index(count);
            let acts = acts.iter().enumerate();
            let requests: Vec<_> = acts
                .map(|(i, act)| request(world, act, &format!("{number}.{i}")))
                .collect();
            witness.will_write(world, replica, &requests);
            if let Some(commit) = world.write(replica, &requests) {
                witness.wrote(world, replica, commit);
            }
        }
        Step::Deliver(target, commit, is_new) => {
            let target = target.index(count);
            let applied = &world.replicas[target].applied;
            let choice: Vec<usize> = (0..world.commits.len())
                .filter(|c| !is_new || !applied.contains(c))
                .collect();
            if !choice.is_empty() {
                deliver(world, target, choice[commit.index(choice.len())], witness);
            }
        }
        Step::Sync(source, target) => {
            for commit in world.replicas[source.index(count)].applied.clone() {
                deliver(world, target.index(count), commit, witness);
            }
        }
        Step::Wait(ms) => world.now_ms += ms,
        Step::Readmit(replica) => {
            let id = &mut world.replicas[replica.index(count)].id;
            id.incarnation.0 += 1;
        }
    }
}

fn deliver(world: &mut World, target: usize, commit: usize, witness: &mut impl Witness) {
    let applied = world.deliver(target, commit);
    witness.applied(world, target, &applied);
}

fn request(world: &World, act: &Act, value: &str) -> WriteRequest {
    let part = |n: &u8| SubKey::new(&format!("part-{n}")).unwrap();
    let parts = |numbers: &[u8]| numbers.iter().map(part).collect::<Vec<_>>();
    let content = || Content {
        content_type: "text/plain".to_owned(),
        payload: Bytes::copy_from_slice(value.as_bytes()),
        expires_at: None,
    };
    let json = Bytes::from(format!("\"{value}\""));
    let (key, policy, operation) = match act {
        Act::Put(key, policy) => (
            *key,
            *policy,
            Operation::PutRegister {
                content: content(),
                context: None,
            },
        ),
        Act::PutBack(key, policy, reader, mask) => {
            let context = Some(siblings(world, *key, reader, *mask));
            (
                *key,
                *policy,
                Operation::PutRegister {
                    content: content(),
                    context,
                },
            )
        }
        Act::Delete(key, policy) => (*key, *policy, Operation::DeleteRegister),
        Act::Add(key, amount) => (
            *key,
            ConflictPolicy::Lww,
            Operation::AddCounter { amount: *amount },
        ),
        Act::Reset(key) => (*key, ConflictPolicy::Lww, Operation::ResetCounter),
        Act::Set(key, add, remove) => {
            let (add, remove) = (parts(add), parts(remove));
            (*key, ConflictPolicy::Lww, Operation::UpdateSet { add, remove })
        }
        Act::Map(key, set, remove) => {
            let set = set.iter().map(|n| (part(n), json.clone())).collect();
            let remove = parts(remove);
            (*key, ConflictPolicy::Lww, Operation::UpdateMap { set, remove })
        }
    };
    WriteRequest {
        namespace: "shop".parse().unwrap(),
        key: Key::new(&format!("key-{key}")).unwrap(),
        policy,
        precondition: Precondition::None,
        operation,
    }
}

/// The record that acts on `key` are about.
pub(super) fn record(record_type: RecordType, key: u8) -> RecordId {
    let key = Key::new(&format!("key-{key}")).unwrap();
    RecordId::new("shop".parse().unwrap(), record_type, key)
}

fn siblings(world: &World, key: u8, reader: &Index, mask: u8) -> Vec<Dot> {
    let reader = &world.replicas[reader.index(world.replicas.len())];
    match reader.row(&record(RecordType::Register, key).row()) {
        Some(Row::Register(row)) => {
            let chosen = row
                .versions()
                .iter()
                .zip(0..8)
                .filter(|(_, bit)| mask & (1 << bit) != 0);
            chosen.map(|(version, _)| version.dot).collect()
        }
        _ => Vec::new(),
    }
}
