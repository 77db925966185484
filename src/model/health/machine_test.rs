//! Tests of the machine: what each sign does, and properties over all sequences of looks.

use proptest::prelude::*;

use super::*;
use crate::model::tick::Tick;

/// How often a node looks.
const LOOK_MS: u64 = 250;

fn at(ms: u64) -> Tick {
    Tick::from_millis(ms)
}

fn peer(name: &str) -> PeerInput {
    PeerInput {
        region: name.parse().unwrap(),
        is_paused: false,
        quarantined_for_ms: None,
        needs_resync: false,
        phi: Some(0.1),
        has_caught_up: true,
        lag_ms: 0,
        behind_changes: 0,
    }
}

fn good() -> HealthInputs {
    HealthInputs {
        peers: vec![peer("eu"), peer("us")],
        ..HealthInputs::default()
    }
}

/// A machine, its time, and the changes that it has made.
struct Run {
    machine: HealthMachine,
    now_ms: u64,
    changes: Vec<Transition>,
}

impl Run {
    fn new() -> Self {
        Self {
            machine: HealthMachine::new(HealthThresholds::default(), at(0)),
            now_ms: 0,
            changes: Vec::new(),
        }
    }

    fn healthy() -> Self {
        let mut run = Self::new();
        run.look(&good());
        assert_eq!(run.machine.state(), RegionState::Healthy);
        run.changes.clear();
        run
    }

    fn look(&mut self, inputs: &HealthInputs) -> RegionState {
        self.now_ms += LOOK_MS;
        self.changes.extend(self.machine.observe(at(self.now_ms), inputs));
        self.machine.state()
    }

    fn look_for(&mut self, ms: u64, inputs: &HealthInputs) -> RegionState {
        for _ in 0..ms / LOOK_MS {
            self.look(inputs);
        }
        self.machine.state()
    }
}

fn with(change: impl FnOnce(&mut HealthInputs)) -> HealthInputs {
    let mut inputs = good();
    change(&mut inputs);
    inputs
}

fn blocked() -> HealthInputs {
    with(|inputs| inputs.blockers = vec!["the disk is full".to_owned()])
}

#[test]
fn a_start_with_nothing_to_catch_up_is_over_at_the_first_look() {
    Run::healthy();
    let mut run = Run::new();
    assert_eq!(
        run.look(&HealthInputs::default()),
        RegionState::Healthy,
        "it has no peers"
    );
}

#[test]
fn a_start_waits_for_peers_that_are_not_heard_only_so_long() {
    let alone = with(|inputs| inputs.peers.iter_mut().for_each(|peer| peer.phi = None));
    let mut run = Run::new();
    assert_eq!(run.look_for(2750, &alone), RegionState::Recovering);
    assert!(
        run.machine.reasons()[0].contains("eu"),
        "{:?}",
        run.machine.reasons()
    );
    assert_eq!(run.look_for(250, &alone), RegionState::Healthy);
}

#[test]
fn an_empty_region_waits_for_nobody_until_it_hears_that_it_lacks_something() {
    let empty = |change: fn(&mut PeerInput)| {
        with(|inputs| {
            inputs.is_empty = true;
            inputs.peers.iter_mut().for_each(change);
        })
    };
    let alone = empty(|peer| peer.phi = None);
    let lacking = empty(|peer| (peer.has_caught_up, peer.behind_changes) = (false, 9));
    let mut run = Run::new();
    assert_eq!(run.look(&alone), RegionState::Healthy);
    assert_eq!(run.look(&lacking), RegionState::Recovering);
    assert_eq!(run.look(&good()), RegionState::Healthy);
    let mut run = Run::new();
    assert_eq!(
        run.look_for(3000, &alone),
        RegionState::Healthy,
        "a new cluster that is still alone"
    );
    assert_eq!(
        run.look(&lacking),
        RegionState::Healthy,
        "others that come later are not waited for"
    );
}

#[test]
fn a_start_waits_until_what_peers_have_told_is_there() {
    let behind = |changes| {
        with(|inputs| {
            inputs.peers[0].behind_changes = changes;
            inputs.peers[0].has_caught_up = false;
        })
    };
    let mut run = Run::new();
    for changes in (1..100).rev() {
        assert_eq!(run.look_for(1000, &behind(changes)), RegionState::Recovering);
    }
    assert_eq!(run.look(&good()), RegionState::Healthy);
}

#[test]
fn catching_up_that_comes_no_further_ends_as_degraded() {
    let stuck = with(|inputs| {
        inputs.peers[0].behind_changes = 5;
        inputs.peers[0].has_caught_up = false;
    });
    let mut run = Run::new();
    assert_eq!(run.look_for(10_000, &stuck), RegionState::Recovering);
    assert_eq!(run.look_for(500, &stuck), RegionState::Degraded);
}

#[test]
fn what_blocks_writes_is_unhealthy_at_once_and_comes_back_by_recovering() {
    let mut run = Run::healthy();
    assert_eq!(run.look(&blocked()), RegionState::Unhealthy);
    assert_eq!(run.machine.reasons(), ["the disk is full"]);
    assert_eq!(run.look_for(2750, &good()), RegionState::Unhealthy);
    assert_eq!(run.look(&good()), RegionState::Recovering);
    assert_eq!(run.look(&good()), RegionState::Healthy);
    assert!(run.machine.reasons().is_empty());
}

#[test]
fn each_sign_degrades_and_none_of_the_others_makes_unhealthy() {
    let signs: [fn(&mut HealthInputs); 7] = [
        |inputs| inputs.commit.mean_ms = 250,
        |inputs| inputs.lacking = Some("changes are lacking".to_owned()),
        |inputs| inputs.log_percent = 50,
        |inputs| inputs.clock_error_ms = 400,
        |inputs| inputs.peers[0].needs_resync = true,
        |inputs| inputs.peers[0].quarantined_for_ms = Some(0),
        |inputs| (inputs.peers[1].lag_ms, inputs.peers[1].behind_changes) = (10_000, 1),
    ];
    for sign in signs {
        let mut run = Run::healthy();
        let inputs = with(sign);
        assert_eq!(run.look_for(1500, &inputs), RegionState::Degraded, "{inputs:?}");
        assert_eq!(run.look_for(60_000, &inputs), RegionState::Degraded);
        assert_eq!(run.changes.len(), 1);
        assert_eq!(run.look_for(3000, &good()), RegionState::Healthy);
    }
}

#[test]
fn a_stalled_commit_is_unhealthy() {
    let mut run = Run::healthy();
    assert_eq!(
        run.look(&with(|inputs| inputs.commit.oldest_ms = 5000)),
        RegionState::Unhealthy
    );
}

#[test]
fn silent_peers_never_make_this_region_unhealthy() {
    let silence = |count| {
        with(|inputs| {
            for peer in inputs.peers.iter_mut().take(count) {
                (peer.phi, peer.lag_ms, peer.behind_changes) = (Some(40.0), 3_600_000, 1000);
            }
        })
    };
    let mut run = Run::healthy();
    assert_eq!(run.look_for(600_000, &silence(1)), RegionState::Healthy);
    assert_eq!(run.look_for(29_000, &silence(2)), RegionState::Healthy);
    assert_eq!(run.look_for(2_000, &silence(2)), RegionState::Degraded);
    assert_eq!(run.look_for(600_000, &silence(2)), RegionState::Degraded);
    assert_eq!(run.look_for(3_250, &silence(1)), RegionState::Healthy);
}

#[test]
fn a_paused_link_is_no_silence() {
    let mut run = Run::healthy();
    let paused = with(|inputs| {
        for peer in &mut inputs.peers {
            (peer.is_paused, peer.phi) = (true, Some(40.0));
        }
    });
    assert_eq!(run.look_for(600_000, &paused), RegionState::Healthy);
}

#[test]
fn the_calm_of_a_quarantine_that_is_about_to_end_counts() {
    let mut run = Run::healthy();
    for calm_ms in (0..3000).step_by(250) {
        let inputs = with(|inputs| inputs.peers[0].quarantined_for_ms = Some(calm_ms));
        assert_eq!(run.look(&inputs), RegionState::Degraded);
    }
    assert_eq!(run.look(&good()), RegionState::Healthy);
}

#[test]
fn what_swings_around_a_threshold_does_not_flap() {
    for swing in [0, 10, 60, 100] {
        let mut run = Run::healthy();
        for number in 0..4000 {
            let commit_ms = if number % 2 == 0 { 250 + swing } else { 250 - swing };
            run.look(&with(|inputs| inputs.commit.mean_ms = commit_ms));
        }
        assert!(run.changes.len() <= 1, "{swing}: {:?}", run.changes);
    }
}

/// Looks that hold for a while each: anything that can be found, in any combination.
fn any_inputs() -> impl Strategy<Value = HealthInputs> {
    let any_peer = |name: &'static str| {
        let held = (any::<bool>(), prop::option::of(0_u64..3000), any::<bool>());
        let phi = prop::option::of(0.0..40.0_f64);
        (held, phi, any::<bool>(), 0_u64..20_000, 0_u64..50).prop_map(
            move |(
                (is_paused, quarantined_for_ms, needs_resync),
                phi,
                has_caught_up,
                lag_ms,
                behind_changes,
            )| {
                PeerInput {
                    is_paused,
                    quarantined_for_ms,
                    needs_resync,
                    phi,
                    has_caught_up,
                    lag_ms,
                    behind_changes,
                    ..peer(name)
                }
            },
        )
    };
    let own = (
        (prop::bool::weighted(0.1), any::<bool>()),
        0_u64..6000,
        0_u64..300,
        0_u64..800,
    );
    (own, any_peer("eu"), any_peer("us")).prop_map(
        |(((is_blocked, is_empty), commit_ms, log_percent, clock_error_ms), eu, us)| HealthInputs {
            is_empty,
            blockers: is_blocked
                .then(|| "the disk is full".to_owned())
                .into_iter()
                .collect(),
            commit: CommitDelay {
                mean_ms: commit_ms / 10,
                oldest_ms: commit_ms,
            },
            lacking: None,
            leaderless: None,
            log_percent,
            clock_error_ms,
            peers: vec![eu, us],
        },
    )
}

proptest! {
    #[test]
    fn whatever_happened_a_region_whose_looks_stay_good_becomes_healthy(
        looks in prop::collection::vec((any_inputs(), 1_u64..40), 0..60)
    ) {
        let mut run = Run::new();
        for (inputs, times) in &looks {
            run.look_for(times * LOOK_MS, inputs);
        }
        // Calm in unhealthy, then recovering, which a good look ends; or calm in degraded.
        prop_assert_eq!(run.look_for(4 * 3000, &good()), RegionState::Healthy);
        prop_assert!(run.machine.reasons().is_empty());
    }

    #[test]
    fn no_state_is_left_for_a_better_one_in_less_than_the_calm(
        looks in prop::collection::vec((any_inputs(), 1_u64..8), 0..300)
    ) {
        let mut run = Run::new();
        for (inputs, times) in &looks {
            run.look_for(times * LOOK_MS, inputs);
        }
        let calm_ms = HealthThresholds::default().calm_ms;
        let elapsed_ms = run.now_ms;
        prop_assert!(run.changes.len() as u64 <= 2 + 4 * (elapsed_ms / calm_ms + 1), "{:?}", run.changes);
        for pair in run.changes.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
            // A quarantine brings up to 3 s of calm with it when it is first looked at.
            let is_quarantined = pair[0].reasons.iter().any(|reason| reason.contains("quarantined"));
            if pair[0].to == RegionState::Unhealthy || (pair[0].to == RegionState::Degraded && pair[1].to == RegionState::Healthy && !is_quarantined) {
                let stayed_ms = pair[1].at.millis_since(pair[0].at);
                prop_assert!(stayed_ms >= calm_ms, "{pair:?}");
            }
            prop_assert!(
                pair[1].to != RegionState::Healthy || pair[1].from != RegionState::Unhealthy,
                "unhealthy regions recover first"
            );
            let is_joining = pair[1].at < at(HealthThresholds::default().recovering_silence_ms);
            prop_assert!(pair[1].to != RegionState::Recovering || pair[1].from == RegionState::Unhealthy || is_joining);
        }
    }
}

#[test]
fn partitions_without_a_leader_degrade_when_the_election_takes_too_long() {
    let leaderless = with(|inputs| inputs.leaderless = Some("3 partitions have no leader".to_owned()));
    let mut run = Run::healthy();
    assert_eq!(run.look_for(9_000, &leaderless), RegionState::Healthy);
    assert_eq!(run.look_for(2_000, &leaderless), RegionState::Degraded);
    assert!(
        run.machine.reasons()[0].contains("3 partitions"),
        "{:?}",
        run.machine.reasons()
    );
}
