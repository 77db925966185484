//! Many seeds: runs them on all cores, says how it goes, and what was found and reached.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atoll::model::mutation::Mutation;

use crate::corpus;
use crate::mix::Mix;
use crate::run::{Report, run};

/// The last events that a failed seed shows.
const EVENTS_SHOWN: usize = 60;
/// A campaign of so many seeds must have reached everything in [`REQUIRED`].
const SEEDS_THAT_REACH_ALL: u64 = 1000;
/// The same for [`REQUIRED_OF_GROUPS`], which is common there.
const SEEDS_THAT_REACH_ALL_OF_GROUPS: u64 = 40;

/// What proves nothing when it is never met.
const REQUIRED: [&str; 62] = [
    // Conflicts, as the checkers find them in the logs.
    "concurrent register writes under lww",
    "concurrent register writes under siblings",
    "delete against concurrent put",
    "member added against concurrent remove",
    "concurrent values of a field",
    "field set against concurrent remove",
    "counter reset against concurrent add",
    "concurrent counter resets",
    "siblings shown",
    "siblings written back with a context",
    "ledger entry",
    // Requests.
    "write of unknown outcome was done",
    "write of unknown outcome was not done",
    "write refused, nothing done",
    "precondition met",
    "precondition refused",
    "preconditions raced",
    "precondition on a member or counter met",
    "precondition on a member or counter refused",
    "write found nothing to change",
    "outcome unknown to the client",
    "batch made",
    "batch refused for one of its operations",
    "pair of a batch listed",
    "repeat told the first outcome",
    "write of unknown outcome repeated until it was decided",
    // Replication.
    "commit of several changes",
    "commit of several records",
    "commits logged in another order than elsewhere",
    "dependency came later than what depends on it was made",
    "commit held until its dependencies came",
    "batch delivered twice",
    "gap asked of its origin",
    "gap asked of a relay",
    "remote stamp refused",
    "rewind asked for: disk",
    "link quarantined",
    // Faults.
    "commit of a second incarnation",
    "new incarnation after a torn write",
    "crash with no write under way",
    "crash lost the write under way",
    "crash tore the write under way",
    "crash kept the write under way, unanswered",
    "write of unknown outcome was lost",
    "write of unknown outcome was made",
    "disk full",
    "disk stalled",
    "process frozen",
    "partition started again",
    "clock jumped",
    "link cut in both directions",
    "link cut in one direction",
    "connections broken",
    "link paused",
    // Homes.
    "home handed over",
    "home handed over by the next life of the old one",
    "strong operation answered by a new home",
    "operation refused while a new home takes over",
    // Health.
    "region degraded",
    "region unhealthy",
    "region recovering",
    "region healthy again",
];

/// The same of regions of several nodes, besides what is there with one node each and has happened in all campaigns.
const REQUIRED_OF_GROUPS: [&str; 18] = [
    "partition led anew",
    "partition led by two nodes, as one of them believes",
    "commits refused by a node that does not lead",
    "chunk of a snapshot stored",
    // Nodes that come and go.
    "node added",
    "node drained",
    "node removed",
    "node replaced by another",
    "node with an emptied disk taken in again",
    "region of one node became one of three",
    "region shrunk to one node",
    "nodes of a region changed under faults",
    "voters of two sets agree for a time",
    "change of a node refused",
    "configuration read again",
    "removed node answered nothing",
    // Homes.
    "home handed over",
    "strong operation answered by a new home",
];

/// Runs one seed and shows everything.
pub fn repeat(
    seed: u64,
    nodes: u64,
    bug: Option<Mutation>,
    logs: Option<tracing::Level>,
    trace: Option<&Path>,
) -> bool {
    let mix = match bug {
        Some(bug) => corpus::mix(seed, nodes, bug),
        None => Mix::draw_with_nodes(seed, nodes),
    };
    println!("{mix:#?}");
    if let Some(logs) = logs {
        tracing_subscriber::fmt()
            .with_max_level(logs)
            .without_time()
            .init();
    }
    let report = run(&mix, bug);
    show_failure(&report);
    if let Some(path) = trace
        && let Err(error) = std::fs::write(path, report.trace.join("\n"))
    {
        println!("the events cannot be written to {}: {error}", path.display());
        return false;
    }
    println!(
        "seed {seed}: {} operations, {} commits, {:.1} s simulated, history {}",
        report.operations,
        report.commits,
        report.simulated.as_secs_f64(),
        report.hash
    );
    show_situations(&report.situations);
    report.violations.is_empty()
}

/// Runs some seeds; true when nothing was found.
pub fn seeds(first: u64, nodes: u64, count: u64) -> bool {
    campaign(first, nodes, Some(count), None)
}

/// Runs each seed twice; true when both runs had the same history, and nothing was found.
pub fn twice(first: u64, nodes: u64, count: u64) -> bool {
    let mut is_well = true;
    for seed in first..first + count {
        let mix = Mix::draw_with_nodes(seed, nodes);
        let (once, again) = (run(&mix, None), run(&mix, None));
        if once.hash != again.hash {
            let differs = once
                .trace
                .iter()
                .zip(&again.trace)
                .find(|(one, other)| one != other);
            println!("seed {seed} had two histories: {} and {}", once.hash, again.hash);
            if let Some((one, other)) = differs {
                println!("    {one}\n    {other}");
            }
        }
        show_failure(&once);
        is_well &= once.hash == again.hash && once.violations.is_empty();
    }
    let outcome = if is_well {
        "each with the same history"
    } else {
        "FAILED"
    };
    println!("{count} seeds run twice: {outcome}");
    is_well
}

/// Runs seeds for some minutes.
pub fn for_minutes(nodes: u64, minutes: u64) -> bool {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Seeds that nobody has run before, short enough to type.
    campaign(
        since_epoch.as_secs() * 1000,
        nodes,
        None,
        Some(Duration::from_secs(minutes * 60)),
    )
}

fn campaign(first: u64, nodes: u64, count: Option<u64>, time: Option<Duration>) -> bool {
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let end = count.map_or(u64::MAX, |count| first + count);
    let is_over = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (sender, reports) = mpsc::channel::<Report>();
    let mut tally = Tally {
        has_several_nodes: nodes > 1,
        ..Tally::default()
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, is_over) = (sender.clone(), &next, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end
                        || sender
                            .send(run(&Mix::draw_with_nodes(seed, nodes), None))
                            .is_err()
                    {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for report in reports {
            tally.add(&report);
            if tally.runs.is_multiple_of(50) {
                println!(
                    "{} seeds, {} s, {} failed",
                    tally.runs,
                    begun.elapsed().as_secs(),
                    tally.failed.len()
                );
            }
            if time.is_some_and(|time| begun.elapsed() > time) {
                is_over.store(true, Ordering::Relaxed);
            }
        }
    });
    tally.show(begun.elapsed());
    tally.failed.is_empty() && tally.has_reached_all()
}

#[derive(Default)]
struct Tally {
    runs: u64,
    operations: u64,
    commits: u64,
    simulated: Duration,
    situations: BTreeMap<&'static str, u64>,
    failed: Vec<u64>,
    has_several_nodes: bool,
}

impl Tally {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.operations += report.operations as u64;
        self.commits += report.commits as u64;
        self.simulated += report.simulated;
        for (situation, count) in &report.situations {
            *self.situations.entry(situation).or_default() += count;
        }
        if !report.violations.is_empty() {
            if self.failed.len() < 3 {
                show_failure(report);
            }
            self.failed.push(report.seed);
        }
    }

    /// Whether everything was reached that so many runs must reach; says what was not.
    fn has_reached_all(&self) -> bool {
        let is_reached = |name: &&str| self.situations.get(*name).is_some_and(|count| *count > 0);
        let required = match self.has_several_nodes {
            true => REQUIRED_OF_GROUPS.as_slice(),
            false => REQUIRED.as_slice(),
        };
        let missing: Vec<&str> = required
            .iter()
            .copied()
            .filter(|name| !is_reached(name))
            .collect();
        for name in &missing {
            println!("never reached: {name}");
        }
        // Fewer runs need not reach the rare ones.
        missing.is_empty() || self.runs < self.seeds_that_reach_all()
    }

    fn seeds_that_reach_all(&self) -> u64 {
        match self.has_several_nodes {
            true => SEEDS_THAT_REACH_ALL_OF_GROUPS,
            false => SEEDS_THAT_REACH_ALL,
        }
    }

    fn show(&self, took: Duration) {
        show_situations(&self.situations);
        println!(
            "{} seeds in {} s: {} operations, {} commits, {:.1} h simulated",
            self.runs,
            took.as_secs(),
            self.operations,
            self.commits,
            self.simulated.as_secs_f64() / 3600.0
        );
        match self.failed.as_slice() {
            [] => println!("nothing was found"),
            failed => println!("{} seeds failed: {failed:?}", failed.len()),
        }
    }
}

pub fn show_failure(report: &Report) {
    if report.violations.is_empty() {
        return;
    }
    println!("--- seed {} failed; its last events:", report.seed);
    for event in report.trace.iter().rev().take(EVENTS_SHOWN).rev() {
        println!("    {event}");
    }
    for violation in report.violations.iter().take(10) {
        println!("--- {violation}");
    }
    let nodes = match report.nodes {
        1 => String::new(),
        nodes => format!(" --nodes {nodes}"),
    };
    println!(
        "--- repeat it with: scripts/simulate{nodes} --seed {}",
        report.seed
    );
}

fn show_situations(situations: &BTreeMap<&'static str, u64>) {
    println!("situations reached:");
    for (situation, count) in situations {
        println!("{count:>12}  {situation}");
    }
}
