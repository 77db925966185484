//! Named runs that every build goes through: what a drawn mix cannot hold, and the seeds of bugs that were found. A seed
//! draws the same mix only as long as `mix.rs` draws in the same order, so what made a run interesting stands here in
//! full where it can be said.

use std::time::{Duration, Instant};

use atoll::model::limits;

use crate::campaign::show_failure;
use crate::mix::{Faults, Isolation, Mix};
use crate::run::run;
use crate::workload::Workload;

/// A named run.
struct Scenario {
    name: &'static str,
    /// What it shows, or which bug it has found.
    about: &'static str,
    mix: fn() -> Mix,
    /// Situations without which the run has shown nothing.
    must_reach: &'static [&'static str],
    /// Violations of these checkers are part of the scenario.
    expected: &'static [&'static str],
}

const SCENARIOS: [Scenario; 14] = [
    Scenario {
        name: "a-day-apart",
        about: "a region is cut off for 24 hours under load: queues and memory stay bounded, then all converge",
        mix: a_day_apart,
        must_reach: &["link cut off by its scenario"],
        expected: &[],
    },
    Scenario {
        name: "a-token-behind-its-read",
        about: "seed 229: a read shows a group that the board does not show yet, and its token must cover it",
        mix: || Mix::draw(229),
        must_reach: &["commit of several changes"],
        expected: &[],
    },
    Scenario {
        name: "a-home-behind-a-failed-write",
        about: "seed 12: a hand-over lands in a write that was reported as failed, and its region must hear of it",
        mix: || Mix::draw(12),
        must_reach: &["home handed over"],
        expected: &[],
    },
    Scenario {
        name: "lacking-behind-a-failed-write",
        about: "seed 155: what a region lacked lands in a write that was reported as failed, and it is healthy again",
        mix: || Mix::draw(155),
        must_reach: &["home handed over"],
        expected: &[],
    },
    Scenario {
        name: "fetches-in-vain",
        about: "seed 10109: fetches that a heartbeat asks for bring nothing, and what is held gets its turn all the same",
        mix: || Mix::draw(10109),
        must_reach: &["partition started again"],
        expected: &[],
    },
    Scenario {
        name: "a-hand-over-in-vain",
        about: "seed 150 of three nodes: a leader is not succeeded after it has freed everybody, and gets leases again",
        mix: || of_three_nodes(150),
        must_reach: &["partition led anew"],
        expected: &[],
    },
    Scenario {
        name: "a-leader-behind-its-followers",
        about: "seed 71 of three nodes: a leader's disk does not take what others show, and reads of it wait",
        mix: || of_three_nodes(71),
        must_reach: &["write of unknown outcome was lost"],
        expected: &[],
    },
    Scenario {
        name: "a-leader-with-a-full-disk",
        about: "seed 206 of three nodes: what a leader has still to apply and other regions have is not lost",
        mix: || of_three_nodes(206),
        must_reach: &["disk full"],
        expected: &[],
    },
    Scenario {
        name: "a-snapshot-that-comes-late",
        about: "seed 79 of three nodes: entries have brought more than the snapshot, and it is left aside",
        mix: || with_the_same_nodes(79),
        must_reach: &["chunk of a snapshot stored"],
        expected: &[],
    },
    Scenario {
        name: "who-has-just-come",
        about: "seed 28 of three nodes: who has just come is asked who is in the region, and does not know yet",
        mix: || Mix::draw_with_nodes(28, 3),
        must_reach: &["region of one node became one of three"],
        expected: &[],
    },
    Scenario {
        name: "the-last-node-of-a-region",
        about: "seed 16 of three nodes: a node from which all others were removed leads, and says so to other regions",
        mix: || Mix::draw_with_nodes(16, 3),
        must_reach: &["region shrunk to one node"],
        expected: &[],
    },
    Scenario {
        name: "removed-by-strangers",
        about: "seed 29 of three nodes: who was removed while it was away does not know those that are there now",
        mix: || Mix::draw_with_nodes(29, 3),
        must_reach: &["removed node answered nothing"],
        expected: &[],
    },
    Scenario {
        name: "a-follower-that-forgets",
        about: "seed 139 of three nodes: a follower starts again, and asks how far its entries are agreed on",
        mix: || Mix::draw_with_nodes(139, 3),
        must_reach: &["partition led anew"],
        expected: &[],
    },
    Scenario {
        name: "longer-than-the-log",
        about: "a region is cut off until the logs are full: they stay bounded, writes go on, the peer is marked",
        mix: longer_than_the_log,
        must_reach: &["peer needs a resync"],
        // The resync itself is not implemented: the region that was away stays behind, and says so.
        expected: &[
            "convergence",
            "digests",
            "durability",
            "final_state",
            "counters",
            "resurrection",
        ],
    },
];

const HOUR: Duration = Duration::from_secs(3600);

/// Time passes in large steps, so that a day takes seconds.
fn long_mix(seed: u64, think: Duration) -> Mix {
    Mix {
        tick: Duration::from_millis(250),
        heartbeat_ms: 5000,
        regions: 3,
        partitions: 4,
        lanes: 2,
        batch_changes: 100,
        batch_delay_ms: 10,
        delay_ms: (250, 300),
        jitter_ms: 20,
        loss_permille: 0,
        duplicate_permille: 0,
        clock_error_ms: 10,
        drift_ppm: 0, // Without time servers for a day clocks drift beyond any bound, which is another scenario.
        faults: Faults::default(),
        workload: Workload {
            clients: 6,
            keys: 20,
            think,
            registers: 3,
            conditions: 1,
            counters: 2,
            sets: 2,
            maps: 2,
            siblings: 1,
            strong: 1,
            home_writes: false,
            is_alone: true,
            hand_overs: 0,
            majority_percent: 0,
            tokens: false,
            batches: 1,
            keyed_percent: 20,
            conditional_percent: 20,
            reads_percent: 20,
            deletes_percent: 10,
            impatient_percent: 0,
            roaming_percent: 10,
            value_bytes: 0,
        },
        settle_time: Duration::from_secs(600),
        ..Mix::draw(seed)
    }
}

/// With the log of groups as it is outside of simulations.
fn of_three_nodes(seed: u64) -> Mix {
    Mix {
        raft_entries_kept: limits::RAFT_ENTRIES_KEPT,
        ..with_the_same_nodes(seed)
    }
}

/// Three in each region, from the beginning to the end.
fn with_the_same_nodes(seed: u64) -> Mix {
    Mix {
        comings: None,
        ..Mix::draw_with_nodes(seed, 3)
    }
}

fn a_day_apart() -> Mix {
    Mix {
        isolation: Some(Isolation {
            region: 1,
            from: Duration::from_secs(60),
            until: 24 * HOUR + Duration::from_secs(60),
        }),
        duration: 24 * HOUR + Duration::from_secs(120),
        ..long_mix(1, Duration::from_secs(60))
    }
}

fn longer_than_the_log() -> Mix {
    let mut mix = Mix {
        isolation: Some(Isolation {
            region: 1,
            from: Duration::from_secs(10),
            until: HOUR,
        }),
        duration: HOUR,
        settle_time: Duration::from_secs(60),
        ..long_mix(2, Duration::from_secs(8))
    };
    mix.workload.value_bytes = 100_000;
    mix.workload.registers = 30;
    mix
}

/// Runs all; true when each went as it should.
pub(crate) fn run_all() -> bool {
    SCENARIOS.iter().fold(true, |is_well, scenario| {
        let begun = Instant::now();
        let problems = problems_of(scenario);
        let outcome = if problems.is_empty() { "ok" } else { "FAILED" };
        println!(
            "{outcome:<6} {}: {} ({:.1} s)",
            scenario.name,
            scenario.about,
            begun.elapsed().as_secs_f64()
        );
        for problem in &problems {
            println!("       {problem}");
        }
        is_well && problems.is_empty()
    })
}

fn problems_of(scenario: &Scenario) -> Vec<String> {
    let mut report = run(&(scenario.mix)(), None);
    report
        .violations
        .retain(|violation| !scenario.expected.contains(&violation.checker));
    show_failure(&report);
    let mut problems: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    for situation in scenario.must_reach {
        if report.situations.get(situation).is_none_or(|count| *count == 0) {
            problems.push(format!("never reached: {situation}"));
        }
    }
    problems
}
