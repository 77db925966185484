//! Who is given up, and by whom; and in a simulated region whose clocks differ: a dead leader is replaced in time, and a
//! living one is not.

use proptest::prelude::*;

use super::*;
use crate::model::agreement::cluster_test::{Break, World};
use crate::model::ids::Incarnation;

const G: PartitionId = PartitionId(1);

fn at(ms: u64) -> Tick {
    Tick::from_millis(ms)
}

fn members() -> [MemberId; 3] {
    [1, 2, 3].map(|number| MemberId {
        node: "n".parse().unwrap(),
        incarnation: Incarnation(number),
    })
}

/// Node 3 hears node 1, which leads, until `leader_ms`, and node 2 until 3 s; node 2 says whom it suspects.
fn heard(leader_ms: u64, suspects: &[MemberId]) -> Liveness {
    let [first, second, third] = members();
    let mut liveness = Liveness::new(third, members(), at(0));
    for ms in (100..=3000).step_by(100) {
        if ms <= leader_ms {
            liveness.heard(at(ms), first, [G].into(), BTreeSet::new());
        }
        liveness.heard(
            at(ms),
            second,
            BTreeSet::new(),
            suspects.iter().copied().collect(),
        );
    }
    liveness
}

fn is_leaderless(liveness: &Liveness) -> bool {
    liveness.is_leaderless(at(3000), G, &Voters::new(members().into()))
}

#[test]
fn silence_of_a_second_is_suspect() {
    let [first, ..] = members();
    let liveness = heard(1000, &[]);
    assert!(liveness.suspected(at(1999)).is_empty());
    assert_eq!(liveness.suspected(at(2000)), [first].into());
}

#[test]
fn who_was_never_heard_is_suspect_after_a_second_too() {
    let liveness = Liveness::new(members()[0], members(), at(5000));
    assert!(liveness.suspected(at(5999)).is_empty());
    assert_eq!(liveness.suspected(at(6000)).len(), 2);
}

#[test]
fn irregular_heartbeats_make_patient() {
    let [first, second, _] = members();
    let mut liveness = Liveness::new(second, members(), at(0));
    for turn in 1..=50 {
        liveness.heard(at(turn * 900), first, BTreeSet::new(), BTreeSet::new());
    }
    assert!(!liveness.suspected(at(50 * 900 + 1100)).contains(&first));
    assert!(liveness.suspected(at(50 * 900 + 3000)).contains(&first));
}

#[test]
fn a_leader_is_given_up_by_a_majority_only() {
    let [first, ..] = members();
    assert!(!is_leaderless(&heard(3000, &[])));
    assert!(
        !is_leaderless(&heard(1000, &[])),
        "only this node does not hear it"
    );
    assert!(!is_leaderless(&heard(3000, &[first])), "only the other does not");
    assert!(is_leaderless(&heard(1000, &[first])));
}

#[test]
fn the_last_word_of_a_silent_node_does_not_count() {
    let [first, second, third] = members();
    let mut liveness = Liveness::new(third, members(), at(0));
    liveness.heard(at(100), first, [G].into(), BTreeSet::new());
    liveness.heard(at(100), second, BTreeSet::new(), [first].into());
    assert!(!is_leaderless(&liveness));
}

#[test]
fn a_leader_that_hears_nobody_is_given_up_though_it_is_heard() {
    let [first, second, third] = members();
    let mut liveness = heard(2900, &[]);
    liveness.heard(at(3000), first, [G].into(), [second, third].into());
    assert!(!liveness.is_mutual(at(3000), first));
    assert!(is_leaderless(&liveness));
}

#[test]
fn a_leader_that_says_that_it_does_not_lead_is_none() {
    let mut liveness = heard(2900, &[]);
    liveness.heard(at(3000), members()[0], BTreeSet::new(), BTreeSet::new());
    assert!(is_leaderless(&liveness));
}

#[test]
fn unknown_and_former_nodes_are_not_minded() {
    let [first, second, third] = members();
    let mut liveness = heard(1000, &[first]);
    liveness.set_peers([second, third], at(3000));
    assert!(liveness.suspected(at(3000)).is_empty());
    liveness.heard(at(3000), first, [G].into(), BTreeSet::new());
    assert!(is_leaderless(&liveness), "it does not lead here");
    assert!(liveness.is_mutual(at(3000), second), "known as before");
}

/// A region of three that has a leader since a while, and which node it is.
fn settled(seed: u64) -> (World, usize) {
    let mut world = World::new(seed, 3, false, Break::Nothing);
    world.run_until(6000);
    assert!(
        world.elections >= 1 && world.elections <= 2,
        "{}",
        world.elections
    );
    let leader = world.nodes.iter().position(|node| node.leads() == world.elected);
    (world, leader.unwrap())
}

/// The nodes other than that one.
fn others(leader: usize) -> [usize; 2] {
    [(leader + 1) % 3, (leader + 2) % 3]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_dead_leader_is_replaced_within_two_seconds(seed: u64) {
        let (mut world, leader) = settled(seed);
        let before = world.elections;
        world.crash(leader);
        world.run_until(8000);
        prop_assert_eq!(world.elections, before + 1);
        prop_assert!(world.nodes.iter().any(|node| node.leads() == world.elected));
    }

    #[test]
    fn a_node_that_lost_only_its_way_to_the_leader_deposes_nobody(seed: u64) {
        let (mut world, leader) = settled(seed);
        let before = world.elections;
        let other = others(leader)[0];
        world.cuts.insert((leader, other), 60_000_000);
        world.cuts.insert((other, leader), 60_000_000);
        world.run_until(30_000);
        prop_assert_eq!(world.elections, before);
        prop_assert_eq!(world.nodes[leader].leads(), world.elected);
    }

    #[test]
    fn a_leader_that_nobody_reaches_is_replaced(seed: u64) {
        let (mut world, leader) = settled(seed);
        let before = world.elections;
        for other in others(leader) {
            world.cuts.insert((other, leader), 60_000_000);
        }
        world.run_until(12_000);
        prop_assert!(world.elections > before);
        prop_assert_eq!(world.violation, None);
    }

    #[test]
    fn a_leader_that_restarts_soon_leads_on(seed: u64) {
        let (mut world, leader) = settled(seed);
        let before = world.elections;
        world.restart(leader, 300);
        world.run_until(20_000);
        prop_assert_eq!(world.elections, before);
        prop_assert_eq!(world.violation, None);
    }
}
