//! The mutation corpus: switches each known bug on and says within how many seeds it is found, and by which checker.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atoll::model::mutation::Mutation;

use crate::mix::{Coming, Comings, Faults, Mix};
use crate::run::run;
use crate::workload::Workload;

/// A bug that so many seeds do not show would be missed in practice: a campaign has a thousand and more.
const SEEDS_MAX: u64 = 400;

/// The bug of a name.
pub fn named(name: &str) -> Option<Mutation> {
    Mutation::ALL.into_iter().find(|bug| format!("{bug:?}") == name)
}

/// Bugs of the groups of a region of several nodes.
const OF_GROUPS: [Mutation; 11] = [
    Mutation::ForgetVote,
    Mutation::AppendBeforeSync,
    Mutation::SnapshotWithoutVector,
    Mutation::ReadWithoutLease,
    Mutation::SkipBarrier,
    Mutation::ForgetToldFloor,
    Mutation::VoteUnlearned,
    Mutation::OneLifeOfAllDisks,
    Mutation::PromiseByNewVoters,
    Mutation::ServeRemoved,
    Mutation::LookAtOwnRows,
];

/// Bugs that are hunted in regions of several nodes, too, which do by other ways what a region of one does.
const OF_BOTH: [Mutation; 1] = [Mutation::HandOverAtOnce];

/// Not found yet in any time that one would wait, and hunted only when asked for: a leader with a slow clock must be elected within
/// milliseconds after a stamp was promised that it has not applied (docs/testing.md).
const ELUSIVE: Mutation = Mutation::ForgetToldFloor;

/// What a bug is looked for in: what the seed draws for regions of so many nodes, three for bugs of groups, with more of what
/// some of them need than seeds draw, so that no hunt takes long.
pub fn mix(seed: u64, nodes: u64, bug: Mutation) -> Mix {
    let nodes = if OF_GROUPS.contains(&bug) { 3 } else { nodes };
    let mut mix = Mix {
        comings: None,
        ..Mix::draw_with_nodes(seed, nodes)
    };
    match bug {
        Mutation::LookAtOwnRows => move_homes(&mut mix),
        Mutation::HandOverAtOnce if nodes > 1 => move_homes(&mut mix),
        // Nodes that were away need snapshots.
        Mutation::SnapshotWithoutVector => mix.raft_entries_kept = 8,
        Mutation::ReadWithoutLease => read_at_old_leaders(&mut mix),
        Mutation::ForgetToldFloor => differ_in_time(&mut mix),
        Mutation::VoteUnlearned => change_nodes(&mut mix, Coming::Replace),
        Mutation::OneLifeOfAllDisks => change_nodes(&mut mix, Coming::Empty),
        Mutation::ServeRemoved => change_nodes(&mut mix, Coming::Remove),
        Mutation::PromiseByNewVoters => {
            read_at_old_leaders(&mut mix);
            mix.comings = only(Coming::Replace);
        }
        _ => {}
    }
    mix
}

fn only(coming: Coming) -> Option<Comings> {
    Some(Comings {
        rate: 100,
        grown: 0,
        only: Some(coming),
    })
}

/// Nodes come and go all the time, and die meanwhile.
fn change_nodes(mix: &mut Mix, coming: Coming) {
    mix.regions = 1;
    mix.partitions = 4;
    mix.comings = only(coming);
    mix.faults = Faults {
        crash: 4,
        cut: 2,
        ..Faults::default()
    };
}

/// Leaders lose the others of their region, and clients go on reading there, who would wait if they wrote.
fn read_at_old_leaders(mix: &mut Mix) {
    mix.regions = 1;
    mix.partitions = 8;
    mix.faults = Faults {
        cut: 3,
        ..Faults::default()
    };
    mix.workload = Workload {
        clients: 16,
        keys: 2,
        think: Duration::from_millis(60),
        registers: 1,
        conditions: 0,
        counters: 0,
        sets: 0,
        maps: 0,
        siblings: 0,
        strong: 0,
        batches: 0,
        hand_overs: 0,
        impatient_percent: 0,
        reads_percent: 93,
        deletes_percent: 0,
        ..mix.workload.clone()
    };
}

/// Homes move all the time, and clients ask them for little else, while disks stall that have writes under way.
fn move_homes(mix: &mut Mix) {
    mix.regions = 2;
    mix.partitions = 8;
    mix.faults = Faults {
        stall: 6,
        slow: 2,
        ..Faults::default()
    };
    mix.workload = Workload {
        clients: 12,
        keys: 4,
        think: Duration::from_millis(20),
        registers: 1,
        counters: 0,
        sets: 0,
        maps: 0,
        siblings: 0,
        batches: 0,
        strong: 20,
        hand_overs: 20,
        impatient_percent: 0,
        reads_percent: 60,
        ..mix.workload.clone()
    };
}

/// Leaders with clocks that are far apart follow each other, and have missed what happened before.
fn differ_in_time(mix: &mut Mix) {
    mix.regions = 2;
    mix.partitions = 8;
    mix.clock_error_ms = 3_000;
    mix.faults = Faults {
        crash: 6,
        cut: 4,
        one_way_cut: 4,
        ..Faults::default()
    };
}

/// Within how many seeds a bug is found, and by what.
struct Found {
    seeds: u64,
    by: String,
    /// What the same seed finds without the bug: nothing, or it was not the bug that was found.
    without: String,
}

/// The checkers that find something.
fn found_by(mix: &Mix, bug: Option<Mutation>) -> String {
    let report = run(mix, bug);
    let checkers = report.violations.iter().map(|violation| violation.checker);
    let mut by: Vec<&str> = checkers.collect();
    by.sort_unstable();
    by.dedup();
    by.join(", ")
}

fn hunt(bug: Mutation, nodes: u64) -> Option<Found> {
    (1..=SEEDS_MAX).find_map(|seeds| {
        let mix = mix(seeds, nodes, bug);
        let by = found_by(&mix, Some(bug));
        (!by.is_empty()).then(|| Found {
            seeds,
            by,
            without: found_by(&mix, None),
        })
    })
}

/// Hunts every bug, or only one, in regions of so many nodes; true when each was found.
pub fn check(only: Option<Mutation>, nodes: u64) -> bool {
    let all = Mutation::ALL.into_iter().filter(|bug| *bug != ELUSIVE);
    let all = all
        .map(|bug| (bug, 1))
        .chain(OF_BOTH.into_iter().map(|bug| (bug, 3)));
    let bugs: Vec<(Mutation, u64)> = only.map_or_else(|| all.collect(), |bug| vec![(bug, nodes)]);
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let missed: Mutex<Vec<Mutation>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((bug, nodes)) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = match nodes {
                        1 => format!("{bug:?}"),
                        nodes => format!("{bug:?} of {nodes} nodes"),
                    };
                    let is_found = match hunt(*bug, *nodes) {
                        Some(Found { seeds, by, without }) if without.is_empty() => {
                            println!("{name:<26} found within {seeds:>3} seeds by {by}");
                            true
                        }
                        Some(Found { seeds, without, .. }) => {
                            println!("{name:<26} seed {seeds} FAILS without it, too: {without}");
                            false
                        }
                        None => {
                            println!("{name:<26} was NOT found in {SEEDS_MAX} seeds");
                            false
                        }
                    };
                    if !is_found {
                        missed.lock().unwrap_or_else(PoisonError::into_inner).push(*bug);
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{} of {} known bugs were found ({} s)",
        bugs.len() - missed.len(),
        bugs.len(),
        begun.elapsed().as_secs()
    );
    missed.is_empty()
}
