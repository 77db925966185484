//! Sets, maps and counters, decomposed into rows, against the whole types of `crdts`: the same operations, each in the
//! context of its replica, delivered in the same order, show the same at every step at every replica.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use crdts::ctx::{AddCtx, RmCtx};
use crdts::{CmRDT, MVReg, Map, Orswot, PNCounter, VClock, map, mvreg, orswot, pncounter};
use proptest::prelude::*;

use super::actions_test::{Witness, record, run, steps};
use super::harness_test::{Replica, World};
use crate::model::change::ConflictPolicy;
use crate::model::ids::ReplicaId;
use crate::model::record::{RecordId, RecordType};
use crate::model::request::{Operation, WriteRequest};
use crate::model::rows::Row;

type SetModel = Orswot<String, ReplicaId>;
type FieldModel = MVReg<Bytes, ReplicaId>;
type MapModel = Map<String, FieldModel, ReplicaId>;

/// All records of one replica.
#[derive(Clone, Default)]
struct Reference {
    sets: BTreeMap<RecordId, SetModel>,
    maps: BTreeMap<RecordId, MapModel>,
    /// Every dot of a field that was applied, removed ones too: what a writer or remover of the field has seen.
    fields: BTreeMap<(RecordId, String), VClock<ReplicaId>>,
    counters: BTreeMap<RecordId, PNCounter<ReplicaId>>,
}

#[derive(Clone)]
enum Effect {
    Set(RecordId, orswot::Op<String, ReplicaId>),
    Map(RecordId, map::Op<String, FieldModel, ReplicaId>),
    Counter(RecordId, pncounter::Op<ReplicaId>),
}

impl Reference {
    /// Does what a request asks for and answers how others can follow.
    fn execute(&mut self, actor: ReplicaId, request: &WriteRequest) -> Vec<Effect> {
        let record = request.record();
        let mut effects = Vec::new();
        match &request.operation {
            Operation::UpdateSet { add, remove } => {
                for member in remove.iter().map(ToString::to_string) {
                    let set = self.sets.entry(record.clone()).or_default();
                    let context = set.contains(&member).derive_rm_ctx();
                    let op = set.rm(member, context);
                    self.follow(Effect::Set(record.clone(), op), &mut effects);
                }
                for member in add.iter().map(ToString::to_string) {
                    let set = self.sets.entry(record.clone()).or_default();
                    let context = set.contains(&member).derive_add_ctx(actor);
                    let op = set.add(member, context);
                    self.follow(Effect::Set(record.clone(), op), &mut effects);
                }
            }
            Operation::UpdateMap { set, remove } => {
                for field in remove.iter().map(ToString::to_string) {
                    let map = self.maps.entry(record.clone()).or_default();
                    let seen = self.fields.get(&(record.clone(), field.clone()));
                    let context = RmCtx {
                        clock: seen.cloned().unwrap_or_default(),
                    };
                    let op = map.rm(field, context);
                    self.follow(Effect::Map(record.clone(), op), &mut effects);
                }
                for (field, value) in set {
                    let map = self.maps.entry(record.clone()).or_default();
                    let seen = self.fields.get(&(record.clone(), field.to_string()));
                    let effect = map_update(map, field.as_str(), value, (seen, actor));
                    self.follow(Effect::Map(record.clone(), effect), &mut effects);
                }
            }
            Operation::AddCounter { amount } => {
                let counter = self.counters.entry(record.clone()).or_default();
                let step = amount.unsigned_abs();
                let effect = match amount {
                    0.. => counter.inc_many(actor, step),
                    _ => counter.dec_many(actor, step),
                };
                self.follow(Effect::Counter(record, effect), &mut effects);
            }
            _ => {}
        }
        effects
    }

    fn follow(&mut self, effect: Effect, effects: &mut Vec<Effect>) {
        self.apply(&effect);
        effects.push(effect);
    }

    fn apply(&mut self, effect: &Effect) {
        match effect.clone() {
            Effect::Set(record, op) => self.sets.entry(record).or_default().apply(op),
            Effect::Map(record, op) => {
                if let map::Op::Up { dot, key, .. } = &op {
                    let seen = self.fields.entry((record.clone(), key.clone())).or_default();
                    seen.apply(*dot);
                }
                self.maps.entry(record).or_default().apply(op);
            }
            Effect::Counter(record, op) => self.counters.entry(record).or_default().apply(op),
        }
    }
}

/// `crdts` would give the register the clock of the whole map; then a value would outlive its removal when another
/// value of its field was concurrent to that. Nor does the clock of the entry do, which forgets removed dots; then an
/// overwritten value would come back where its writer's remove came first. So the context is all that was seen of the
/// field.
fn map_update(
    map: &MapModel,
    field: &str,
    value: &Bytes,
    (seen, actor): (Option<&VClock<ReplicaId>>, ReplicaId),
) -> map::Op<String, FieldModel, ReplicaId> {
    let AddCtx { dot, .. } = map.read_ctx().derive_add_ctx(actor);
    let mut clock = seen.cloned().unwrap_or_default();
    clock.apply(dot);
    let write = |register: &FieldModel, context: AddCtx<ReplicaId>| -> mvreg::Op<Bytes, ReplicaId> {
        register.write(value.clone(), context)
    };
    map.update(field.to_owned(), AddCtx { clock, dot }, write)
}

/// Runs the references beside the replicas.
struct Beside {
    references: Vec<Reference>,
    /// For each commit what references do.
    effects: BTreeMap<usize, Vec<Effect>>,
    last: Vec<Effect>,
}

impl Witness for Beside {
    fn will_write(&mut self, world: &World, replica: usize, requests: &[WriteRequest]) {
        let actor = world.replicas[replica].id;
        let reference = &mut self.references[replica];
        self.last = requests
            .iter()
            .flat_map(|request| reference.execute(actor, request))
            .collect();
    }

    fn wrote(&mut self, world: &World, replica: usize, commit: usize) {
        self.effects.insert(commit, std::mem::take(&mut self.last));
        self.compare(&world.replicas[replica], replica);
    }

    fn applied(&mut self, world: &World, replica: usize, commits: &[usize]) {
        for effect in commits.iter().flat_map(|commit| &self.effects[commit]) {
            self.references[replica].apply(effect);
        }
        self.compare(&world.replicas[replica], replica);
    }
}

impl Beside {
    fn compare(&self, replica: &Replica, position: usize) {
        for key in 0..2 {
            self.compare_set(replica, position, &record(RecordType::Set, key));
            self.compare_map(replica, position, &record(RecordType::Map, key));
        }
        self.compare_counter(replica, position, &record(RecordType::Counter, 0));
    }

    fn compare_set(&self, replica: &Replica, position: usize, record: &RecordId) {
        let expected: BTreeSet<String> = self.references[position]
            .sets
            .get(record)
            .map(|set| set.read().val.into_iter().collect())
            .unwrap_or_default();
        let rows = replica.tables.rows.keys().filter(|row| row.record == *record);
        let members: BTreeSet<String> = rows
            .map(|row| row.sub_key.as_ref().unwrap().to_string())
            .collect();
        assert_eq!(members, expected, "{record:?} at {}", replica.id);
    }

    fn compare_map(&self, replica: &Replica, position: usize, record: &RecordId) {
        let mut expected: BTreeMap<String, BTreeSet<Bytes>> = BTreeMap::new();
        if let Some(map) = self.references[position].maps.get(record) {
            for entry in map.iter() {
                let (field, register) = entry.val;
                expected.insert(field.clone(), register.read().val.into_iter().collect());
            }
        }
        let rows = replica.tables.rows.keys().filter(|row| row.record == *record);
        let fields: BTreeMap<String, BTreeSet<Bytes>> = rows
            .map(|id| {
                let Some(Row::Field(row)) = replica.row(id) else {
                    panic!("{id:?} is no field")
                };
                let values = row.versions().iter().map(|version| version.value.clone());
                (id.sub_key.as_ref().unwrap().to_string(), values.collect())
            })
            .collect();
        assert_eq!(fields, expected, "{record:?} at {}", replica.id);
    }

    fn compare_counter(&self, replica: &Replica, position: usize, record: &RecordId) {
        let reference = self.references[position].counters.get(record);
        let expected = reference.map_or_else(|| "0".to_owned(), |counter| counter.read().to_string());
        let value = match replica.row(&record.clone().row()) {
            Some(Row::Counter(row)) => row.value(),
            _ => 0,
        };
        assert_eq!(value.to_string(), expected, "{record:?} at {}", replica.id);
    }
}

proptest! {
    #[test]
    fn rows_show_what_the_whole_types_show(
        replicas in 2_usize..5,
        steps in steps(Just(ConflictPolicy::Lww)),
    ) {
        let mut beside = Beside {
            references: vec![Reference::default(); replicas],
            effects: BTreeMap::new(),
            last: Vec::new(),
        };
        let world = run(replicas, &steps, &mut beside);
        for (position, replica) in world.replicas.iter().enumerate() {
            beside.compare(replica, position);
        }
    }

    #[test]
    fn counters_are_the_sum_of_the_acknowledged_additions(
        replicas in 2_usize..5,
        steps in steps(Just(ConflictPolicy::Lww)),
    ) {
        let world = run(replicas, &steps, &mut ());
        let counter = record(RecordType::Counter, 0);
        let additions = world.acknowledged.iter().filter(|write| write.request.record() == counter);
        let sum: i128 = additions
            .map(|write| match write.request.operation {
                Operation::AddCounter { amount } => i128::from(amount),
                _ => panic!("this counter is never reset"),
            })
            .sum();
        for replica in &world.replicas {
            let value = match replica.row(&counter.clone().row()) {
                Some(Row::Counter(row)) => row.value(),
                _ => 0,
            };
            prop_assert_eq!(value, sum);
        }
    }
}
