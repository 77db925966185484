//! `simulate`: seeded runs of whole clusters on simulated clocks, networks and disks, and the checkers that judge them.
//!
//! ```text
//! main ──> campaign ──> run ──> world (driver, network, disks, clocks), workload (clients), chaos (faults)
//!                        └────> checkers ──> evidence
//! ```

#![allow(
    unreachable_pub,
    reason = "a program: nothing outside can reach anything, and `pub` says what other modules may use"
)]

mod campaign;
mod chaos;
mod checkers;
mod corpus;
mod dice;
mod evidence;
mod finals;
mod health;
mod members;
mod mix;
mod nodes;
mod operator;
mod run;
mod scenarios;
mod workload;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Runs whole clusters on simulated clocks, networks and disks, and checks what must be true of them.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// Repeat the run of one seed and show its last events.
    #[arg(long, conflicts_with_all = ["seeds", "minutes"])]
    seed: Option<u64>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many nodes each region has.
    #[arg(long, default_value_t = 1, conflicts_with_all = ["mutations", "scenarios"], value_parser = clap::value_parser!(u64).range(1..=3))]
    nodes: u64,
    /// Run each seed twice, to see that both runs are the same.
    #[arg(long, conflicts_with_all = ["seed", "minutes", "mutations", "scenarios"])]
    twice: bool,
    /// Run for so many minutes instead, from a seed of the clock on.
    #[arg(long, conflicts_with = "seeds")]
    minutes: Option<u64>,
    /// See whether every known bug would be found.
    #[arg(long, conflicts_with_all = ["seed", "minutes"])]
    mutations: bool,
    /// Run the named scenarios: a day apart, and others that no seed draws.
    #[arg(long, conflicts_with_all = ["seed", "minutes", "mutations"])]
    scenarios: bool,
    /// Switch one known bug on, or hunt only that.
    #[arg(long, conflicts_with_all = ["seeds", "minutes", "twice", "scenarios"], value_name = "NAME")]
    bug: Option<String>,
    /// With --seed: write all events into this file.
    #[arg(long, requires = "seed", value_name = "FILE")]
    trace: Option<PathBuf>,
    /// With --seed: show all log lines of the nodes too.
    #[arg(long, requires = "seed", num_args = 0..=1, default_missing_value = "info", value_name = "LEVEL")]
    logs: Option<tracing::Level>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let bug = match arguments.bug.as_deref().map(corpus::named) {
        Some(None) => {
            eprintln!("there is no such bug; `simulate --mutations` lists them");
            return ExitCode::FAILURE;
        }
        Some(found) => found,
        None => None,
    };
    let nodes = arguments.nodes;
    let is_well = match arguments.seed {
        Some(seed) => campaign::repeat(seed, nodes, bug, arguments.logs, arguments.trace.as_deref()),
        None if arguments.twice => campaign::twice(arguments.first, nodes, arguments.seeds),
        None if arguments.mutations || bug.is_some() => corpus::check(bug, nodes),
        None if arguments.scenarios => scenarios::run_all(),
        None => match arguments.minutes {
            Some(minutes) => campaign::for_minutes(nodes, minutes),
            None => campaign::seeds(arguments.first, nodes, arguments.seeds),
        },
    };
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
