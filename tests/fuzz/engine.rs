//! A run: mutated inputs to one target until one fails or the run is over. The same seed and corpus make the same inputs.

use std::fmt;
use std::time::Instant;

use crate::judge::{Failure, judge};
use crate::minimise::minimised;
use crate::mutate::mutated;
use crate::random::Random;
use crate::targets::{Target, Verdict};
use crate::watchdog::Watchdog;

/// Accepted inputs that a run keeps as starting points beside the corpus, so that mutations build on each other.
const POOL_SIZE_MAX: usize = 256;

/// When a run is over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// After so many inputs: the same on every machine.
    Inputs(u64),
    /// At this moment.
    Until(Instant),
}

/// What a run without failures was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// How many inputs there were.
    pub(crate) inputs: u64,
    /// How many of them the target accepted: with none, the run has only seen the first checks.
    pub(crate) accepted: u64,
}

/// An input that a target fails on.
#[derive(Debug)]
pub(crate) struct Found {
    /// The input, minimised.
    pub(crate) input: Vec<u8>,
    /// How it fails.
    pub(crate) failure: Failure,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({} bytes: {})",
            self.failure.0,
            self.input.len(),
            self.input.escape_ascii()
        )
    }
}

/// Judges mutated inputs until the limit.
///
/// # Errors
/// The first failure.
pub(crate) fn run(
    target: &Target,
    corpus: &[Vec<u8>],
    seed: u64,
    limit: Limit,
) -> Result<Report, Box<Found>> {
    let mut random = Random::of(seed, target.name);
    let watchdog = Watchdog::of(target);
    let mut pool = corpus.to_vec();
    let mut report = Report::default();
    while match limit {
        Limit::Inputs(count) => report.inputs < count,
        Limit::Until(end) => Instant::now() < end,
    } {
        let input = mutated(&mut random, &pool);
        watchdog.begins(&input);
        report.inputs += 1;
        match judge(target, &input) {
            Ok(Verdict::Refused) => {}
            Ok(Verdict::Accepted) => {
                report.accepted += 1;
                // The corpus itself always stays in the pool.
                if pool.len() < corpus.len() + POOL_SIZE_MAX {
                    pool.push(input);
                } else {
                    let replaced = corpus.len() + random.below(POOL_SIZE_MAX);
                    pool[replaced] = input;
                }
            }
            Err(_) => return Err(found(target, &input)),
        }
    }
    Ok(report)
}

/// The failure of an input, minimised.
pub(crate) fn found(target: &Target, input: &[u8]) -> Box<Found> {
    let input = minimised(target, input);
    // A failure by the clock may not come again; the input is reported all the same.
    let failure = judge(target, &input).err();
    Box::new(Found {
        input,
        failure: failure.unwrap_or_else(|| Failure("time: it did not fail again".to_owned())),
    })
}
