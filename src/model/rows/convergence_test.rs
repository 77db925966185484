//! Whatever clients do and in whatever order commits arrive, replicas end with the same bytes, and with what a
//! definition says that looks only at the set of all changes and at who had seen what.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::actions_test::{Step, policies, run, steps};
use super::harness_test::{Acknowledged, Event, World};
use crate::model::change::{ConflictPolicy, Delta, Replaces};
use crate::model::hlc::WallTime;
use crate::model::record::{RecordId, RowId, Version};
use crate::model::request::Operation;
use crate::model::rows::Row;
use crate::model::vector::Dot;
use crate::model::workspace::Summary;
use crate::wire::values;

/// A permutation of `0..len`.
fn shuffled(len: usize, mut seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    for end in (1..len).rev() {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        order.swap(end, usize::try_from(seed >> 33).unwrap() % (end + 1));
    }
    order
}

fn all_replicas_hold_the_same(world: &World) {
    let first = &world.replicas[0];
    assert_eq!(
        first.digest,
        first.scanned_digest(),
        "the digest is that of a full scan"
    );
    for other in &world.replicas[1..] {
        assert_eq!(
            other.tables, first.tables,
            "rows and summaries of {} and {}",
            other.id, first.id
        );
        assert_eq!(other.digest, first.digest);
        assert_eq!(other.state.vector, first.state.vector);
    }
}

fn order_does_not_matter(world: &World, seed: u64) {
    for turn in 0..4 {
        let observer = world.observer(&shuffled(world.commits.len(), seed.wrapping_add(turn)));
        assert_eq!(observer.tables, world.replicas[0].tables);
        assert_eq!(observer.digest, world.replicas[0].digest);
    }
}

fn summaries_are_those_of_the_rows(world: &World) {
    let tables = &world.replicas[0].tables;
    let mut recomputed: BTreeMap<RecordId, Summary> = BTreeMap::new();
    for (id, bytes) in &tables.rows {
        let summary = match values::decode_row(id.record.record_type, bytes).unwrap() {
            Row::Register(row) => match row.visible(WallTime::from_millis(1)).next() {
                None => continue,
                Some((version, content)) => Summary::Register {
                    size_bytes: content.payload.len() as u64,
                    content_type: content.content_type.clone(),
                    version: version.version(),
                    expires_at: None,
                },
            },
            Row::Counter(_) => Summary::Counter,
            Row::Member(_) | Row::Field(_) => match recomputed.get(&id.record) {
                Some(Summary::Parts { count }) => Summary::Parts { count: count + 1 },
                _ => Summary::Parts { count: 1 },
            },
        };
        recomputed.insert(id.record.clone(), summary);
    }
    let stored = tables.summaries.iter();
    let stored: BTreeMap<_, _> = stored
        .map(|(id, bytes)| (id.clone(), values::decode_summary(bytes).unwrap()))
        .collect();
    assert_eq!(stored, recomputed);
}

/// Versions that have a place in the row, lowest rank first.
fn specified_versions(world: &World, events: &[Event<'_>]) -> Vec<(Version, Dot)> {
    let highest = events.iter().map(|e| (e.version, e.dot)).max();
    let stays = |event: &&Event<'_>| {
        let Delta::Register { policy, .. } = event.delta else {
            panic!("not a register's")
        };
        let is_shown = *policy != ConflictPolicy::Lww || Some((event.version, event.dot)) == highest;
        is_shown && !events.iter().any(|later| replaces(world, later, event))
    };
    let mut versions: Vec<_> = events.iter().filter(stays).map(|e| (e.version, e.dot)).collect();
    versions.sort();
    versions
}

fn replaces(world: &World, later: &Event<'_>, earlier: &Event<'_>) -> bool {
    let names = match later.delta {
        Delta::Register {
            replaces: Replaces::Seen,
            ..
        } => true,
        Delta::Register {
            replaces: Replaces::Exactly(dots),
            ..
        } => dots.contains(&earlier.dot),
        _ => panic!("not a register's"),
    };
    names && world.sees(later, earlier)
}

/// Adds or values that nothing later on the same part has seen, in the order of time.
fn specified_parts(world: &World, events: &[Event<'_>]) -> Vec<(Version, Dot)> {
    let stays = |event: &&Event<'_>| {
        let puts = matches!(event.delta, Delta::MemberAdd { .. } | Delta::FieldPut { .. });
        puts && !events.iter().any(|later| world.sees(later, event))
    };
    let mut versions: Vec<_> = events.iter().filter(stays).map(|e| (e.version, e.dot)).collect();
    versions.sort();
    versions
}

/// The sum of what was added and what no reset had seen.
fn specified_value(world: &World, record: &RecordId, events: &[Event<'_>]) -> i128 {
    let resets = || {
        events
            .iter()
            .filter(|e| matches!(e.delta, Delta::CounterFloors { .. }))
    };
    let amount_of = |write: &Acknowledged| match write.request.operation {
        Operation::AddCounter { amount } if write.request.record() == *record => {
            let (position, _) = world.change_of(write);
            let event = events
                .iter()
                .find(|e| (e.commit, e.position) == (write.commit, position))
                .unwrap();
            (!resets().any(|reset| world.sees(reset, event))).then_some(i128::from(amount))
        }
        _ => None,
    };
    world.acknowledged.iter().filter_map(amount_of).sum()
}

fn rows_are_what_the_definition_says(world: &World) {
    let replica = &world.replicas[0];
    let mut expected: BTreeSet<RowId> = BTreeSet::new();
    for (id, events) in world.events() {
        let (is_there, row) = (replica.row(&id).is_some(), replica.row(&id));
        let should_be_there = match row {
            Some(Row::Register(row)) => {
                let versions = row.versions().iter().map(|v| (v.version(), v.dot));
                assert_eq!(
                    versions.collect::<Vec<_>>(),
                    specified_versions(world, &events),
                    "{id:?}"
                );
                true
            }
            Some(Row::Counter(row)) => {
                assert_eq!(row.value(), specified_value(world, &id.record, &events), "{id:?}");
                true
            }
            Some(Row::Member(row)) => {
                let mut dots: Vec<Dot> = specified_parts(world, &events)
                    .into_iter()
                    .map(|(_, dot)| dot)
                    .collect();
                dots.sort();
                assert_eq!(row.dots(), dots, "{id:?}");
                !dots.is_empty()
            }
            Some(Row::Field(row)) => {
                let versions: Vec<_> = row.versions().iter().map(|v| (v.version(), v.dot)).collect();
                assert_eq!(versions, specified_parts(world, &events), "{id:?}");
                !versions.is_empty()
            }
            None => {
                assert!(
                    id.record.record_type.has_parts(),
                    "registers and counters stay: {id:?}"
                );
                !specified_parts(world, &events).is_empty()
            }
        };
        assert_eq!(is_there, should_be_there, "{id:?}");
        if should_be_there {
            expected.insert(id);
        }
    }
    let stored: BTreeSet<RowId> = replica.tables.rows.keys().cloned().collect();
    assert_eq!(stored, expected);
}

fn no_acknowledged_write_is_silently_gone(world: &World) {
    let events = world.events();
    for write in &world.acknowledged {
        let (position, change) = world.change_of(write);
        if !matches!(change.delta, Delta::Register { .. } | Delta::FieldPut { .. }) {
            continue;
        }
        let id = crate::model::workspace::row_of(change);
        let shown = match world.replicas[0].row(&id) {
            Some(Row::Register(row)) => row.versions().iter().any(|v| v.version() == write.version),
            Some(Row::Field(row)) => row.shown().is_some_and(|v| v.version() == write.version),
            _ => false,
        };
        let events = &events[&id];
        let event = events
            .iter()
            .find(|e| (e.commit, e.position) == (write.commit, position))
            .unwrap();
        let superseded = events.iter().any(|later| match later.delta {
            Delta::Register { .. } => replaces(world, later, event),
            _ => world.sees(later, event),
        });
        let mut ledgers = world.replicas.iter().flat_map(|replica| &replica.ledger);
        let recorded = ledgers.any(|entry| entry.row == id && entry.loser.loser == write.version);
        assert!(shown || superseded || recorded, "{:?} is gone", write.version);
    }
}

fn a_register_version_that_lost_never_comes_back(world: &World) {
    for entry in world.replicas.iter().flat_map(|replica| &replica.ledger) {
        assert!(entry.loser.winner > entry.loser.loser, "{entry:?}");
        if let Some(Row::Register(row)) = world.replicas[0].row(&entry.row) {
            let lost = |version: Version| version == entry.loser.loser;
            assert!(!row.versions().iter().any(|v| lost(v.version())), "{entry:?}");
        }
    }
}

fn stamps_follow_causality(world: &World) {
    for (commit, seen) in world.commits.iter().zip(&world.seen) {
        for earlier in seen {
            assert!(commit.hlc > world.commits[*earlier].last_hlc());
        }
    }
    let mut versions = BTreeSet::new();
    for commit in &world.commits {
        for position in 0..commit.changes.len() {
            assert!(
                versions.insert(commit.stamped(position).version()),
                "versions are unique"
            );
        }
    }
}

fn check(replicas: usize, steps: &[Step], seed: u64) -> World {
    let world = run(replicas, steps, &mut ());
    stamps_follow_causality(&world);
    all_replicas_hold_the_same(&world);
    order_does_not_matter(&world, seed);
    summaries_are_those_of_the_rows(&world);
    rows_are_what_the_definition_says(&world);
    no_acknowledged_write_is_silently_gone(&world);
    a_register_version_that_lost_never_comes_back(&world);
    world
}

proptest! {
    #[test]
    fn replicas_converge_under_every_policy(
        replicas in 2_usize..5,
        steps in steps(policies()),
        seed in any::<u64>(),
    ) {
        check(replicas, &steps, seed);
    }

    #[test]
    fn under_last_write_wins_one_version_remains(
        replicas in 2_usize..5,
        steps in steps(Just(ConflictPolicy::Lww)),
        seed in any::<u64>(),
    ) {
        let world = check(replicas, &steps, seed);
        for (id, events) in world.events() {
            if let Some(Row::Register(row)) = world.replicas[0].row(&id) {
                let highest = events.iter().map(|event| event.version).max();
                let versions: Vec<_> = row.versions().iter().map(|version| Some(version.version())).collect();
                prop_assert_eq!(versions, [highest]);
            }
        }
    }

    #[test]
    fn under_siblings_nothing_loses(
        replicas in 2_usize..5,
        steps in steps(Just(ConflictPolicy::Siblings)),
        seed in any::<u64>(),
    ) {
        let world = check(replicas, &steps, seed);
        let is_register = |row: &RowId| row.sub_key.is_none();
        for replica in &world.replicas {
            prop_assert!(!replica.ledger.iter().any(|entry| is_register(&entry.row)));
        }
    }
}
