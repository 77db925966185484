//! No lease outlives an election and no commit breaks a clock promise, whatever clocks, network and crashes do; and the
//! simulation that says so finds each rule that is broken.

use proptest::prelude::*;

use super::cluster_test::{Break, Violation, World};
use crate::model::hlc::Hlc;

/// In simulated milliseconds.
const RUN_MS: u64 = 20_000;
/// With which broken rules are looked for; most are found by one of the first fifty.
const SEEDS: u64 = 400;

fn run(seed: u64, nodes: usize, broken: Break) -> World {
    let mut world = World::new(seed, nodes, true, broken);
    world.run_until(RUN_MS);
    world
}

/// Asserts that one of the seeds finds the broken rule by that violation.
#[track_caller]
fn finds(broken: Break, violation: Violation) {
    let finds = |seed: &u64| {
        let nodes = if seed.is_multiple_of(2) { 3 } else { 5 };
        run(*seed, nodes, broken).violation == Some(violation)
    };
    let found = (0..SEEDS).find(finds);
    println!("{broken:?}: {violation:?} with seed {found:?}");
    assert!(found.is_some(), "{broken:?} was not found with {SEEDS} seeds");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn leases_and_promises_are_kept(seed: u64, nodes in prop::sample::select(vec![2_usize, 3, 4, 5])) {
        prop_assert_eq!(run(seed, nodes, Break::Nothing).violation, None);
    }
}

#[test]
fn the_simulation_elects_leases_promises_and_commits() {
    let (mut elections, mut leased, mut commits, mut promising) = (0, 0, 0, 0);
    for seed in 0..20 {
        let world = run(seed, 3, Break::Nothing);
        elections += world.elections;
        leased += world.leased_looks;
        commits += world.commits;
        promising += u64::from(world.promised > Hlc::ZERO);
    }
    assert!(
        elections > 25 && leased > 10_000 && commits > 500 && promising > 10,
        "{elections} {leased} {commits}"
    );
}

#[test]
fn a_lease_that_counts_from_the_receipt_is_found() {
    finds(Break::CountReceipt, Violation::Lease);
}

#[test]
fn a_lease_that_is_too_long_is_found() {
    finds(Break::LongLease, Violation::Lease);
}

#[test]
fn a_clock_that_stands_still_is_found() {
    finds(Break::ClockStandsStill, Violation::Lease);
}

#[test]
fn a_vote_right_after_a_restart_is_found() {
    finds(Break::VoteAfterRestart, Violation::Lease);
}

#[test]
fn a_restart_that_forgets_its_vote_is_found() {
    finds(Break::ForgetVote, Violation::Lease);
}

#[test]
fn an_acknowledgement_that_excepts_nothing_is_found() {
    finds(Break::AcknowledgeOldLeader, Violation::Lease);
}

#[test]
fn a_promise_beside_a_vote_that_is_being_stored_is_found() {
    finds(Break::PromiseWhileStoring, Violation::Lease);
}

#[test]
fn a_vote_for_oneself_that_breaks_a_promise_is_found() {
    finds(Break::OwnVoteIsFree, Violation::Lease);
}

#[test]
fn floors_that_are_not_stored_are_found() {
    finds(Break::FloorForgotten, Violation::Stamp);
}

#[test]
fn floors_that_are_acknowledged_before_they_are_durable_are_found() {
    finds(Break::FloorNotDurable, Violation::Stamp);
}

/// What decision 0018 said at first: each node minds its own floor only.
#[test]
fn votes_that_do_not_tell_floors_are_found() {
    finds(Break::FloorNotTold, Violation::Stamp);
}

#[test]
fn promises_without_a_majority_are_found() {
    finds(Break::PromiseAlone, Violation::Stamp);
}

#[test]
fn a_leader_that_does_not_store_what_it_promises_is_found() {
    finds(Break::LeaderStoresNothing, Violation::Stamp);
}

#[test]
fn floors_that_are_told_and_not_stored_are_found() {
    finds(Break::FloorNotAdopted, Violation::Stamp);
}
