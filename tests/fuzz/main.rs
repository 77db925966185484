//! The fuzzer: seeded mutations of a committed corpus against every parser of bytes from peers, clients and disks.
//!
//! A target must not panic, must not take memory or steps out of proportion to its input, must come back, and must keep
//! what its own comment says. `cargo test` replays the corpus and runs a fixed number of inputs from a fixed seed;
//! `scripts/fuzz` runs for longer. docs/testing.md says how to go on from a failure.
//!
//! ```text
//! main ──> engine ──> mutate, judge (counting_allocator), minimise, watchdog ──> targets ──> region
//!      └─> corpus, seeds
//! ```
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail with the line that unwrapped, as tests do"
)]

mod corpus;
mod engine;
mod judge;
mod long_run;
mod minimise;
mod mutate;
mod planted;
mod random;
mod region;
mod seeds;
mod targets;
mod watchdog;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::Limit;
use crate::targets::{Target, Verdict};

#[global_allocator]
static ALLOCATOR: counting_allocator::CountingAllocator = counting_allocator::CountingAllocator;

/// The seed of every run in `cargo test`: what passes once, passes again.
const SEED: u64 = 1;

/// Inputs for each target in `cargo test`: all together take some seconds on two cores.
const INPUTS_PER_TARGET: u64 = 20_000;

/// Bytes of the corpus in the repository: a thousand inputs of the usual size.
const CORPUS_BYTES_MAX: usize = 200_000;

#[test]
fn the_corpus_is_accepted_and_refused_as_its_names_say() {
    let mut failures = Vec::new();
    let mut total_bytes = 0;
    for target in targets::ALL {
        let entries = corpus::of(target);
        let accepted = entries.iter().filter(|entry| entry.name.starts_with("valid-"));
        assert!(
            accepted.count() > 0,
            "{} has no valid input in its corpus",
            target.name
        );
        for entry in entries {
            total_bytes += entry.bytes.len();
            let expected = match entry.name.split('-').next() {
                Some("valid") => Some(Verdict::Accepted),
                Some("refused") => Some(Verdict::Refused),
                Some("crash") => None,
                _ => panic!(
                    "{}/{}: name it valid-*, refused-* or crash-*",
                    target.name, entry.name
                ),
            };
            match judge::judge(target, &entry.bytes) {
                Ok(verdict) if expected.is_none_or(|expected| expected == verdict) => {}
                other => failures.push(format!("{}/{}: {other:?}", target.name, entry.name)),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(
        total_bytes <= CORPUS_BYTES_MAX,
        "the corpus has {total_bytes} bytes: remove the largest inputs"
    );
}

#[test]
fn every_folder_of_the_corpus_has_a_target() {
    let names: BTreeSet<_> = targets::ALL.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), targets::ALL.len(), "two targets have one name");
    for folder in std::fs::read_dir(corpus::root()).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(name.as_str()), "{name} is the corpus of no target");
    }
}

#[test]
fn the_corpus_is_what_real_values_encode_to() {
    for (target, name, bytes) in seeds::all() {
        let kept = std::fs::read(corpus::root().join(target).join(&name)).unwrap_or_default();
        assert!(
            kept == bytes,
            "{target}/{name} differs: run scripts/fuzz --write-corpus if the change is meant"
        );
    }
}

#[test]
fn targets_survive_mutated_inputs() {
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let work = || {
        let mut failures = Vec::new();
        while let Some(target) = targets::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            failures.extend(short_run(target).err());
        }
        failures
    };
    let failures: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn short_run(target: &Target) -> Result<(), String> {
    let corpus: Vec<_> = corpus::of(target).into_iter().map(|entry| entry.bytes).collect();
    match engine::run(target, &corpus, SEED, Limit::Inputs(INPUTS_PER_TARGET)) {
        Ok(report) if report.accepted == 0 => {
            Err(format!("{}: none of its inputs was accepted", target.name))
        }
        Ok(report) => {
            println!(
                "{:24} {:6} inputs, {:6} accepted",
                target.name, report.inputs, report.accepted
            );
            Ok(())
        }
        Err(found) => Err(long_run::report(target, &found)),
    }
}
