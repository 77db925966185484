//! What `scripts/fuzz` runs: ignored tests, since they run for as long as they are told, or write files. The script
//! passes its options in the environment.

use std::env;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::engine::{self, Found, Limit};
use crate::targets::{self, Target};
use crate::{corpus, judge, seeds};

/// Keeps what was found in the corpus, and says what it is and how to repeat it.
pub(crate) fn report(target: &Target, found: &Found) -> String {
    let path = corpus::keep_crash(target, &found.input);
    format!(
        "{}: {found}\n  kept in {path}; repeat it with: scripts/fuzz --target {} --seconds 0",
        target.name, target.name
    )
}

fn option(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    option(name).map(|value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is {value:?}: use a number"))
    })
}

#[test]
#[ignore = "runs for as long as it is told: scripts/fuzz"]
fn long_run() {
    let wanted = option("ATOLL_FUZZ_TARGET");
    let chosen: Vec<_> = targets::ALL
        .iter()
        .filter(|target| wanted.as_deref().is_none_or(|wanted| wanted == target.name))
        .collect();
    let names: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
    assert!(
        !chosen.is_empty(),
        "there is no such target: use one of {}",
        names.join(", ")
    );
    let clock = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    let seed = number("ATOLL_FUZZ_SEED").unwrap_or_else(clock);
    let seconds = number("ATOLL_FUZZ_SECONDS").unwrap_or(60);
    let each = Duration::from_secs(seconds) / u32::try_from(chosen.len()).unwrap();
    println!("seed {seed}, {each:.1?} for each of {} targets", chosen.len());
    let failures: Vec<_> = chosen
        .into_iter()
        .filter_map(|target| run(target, seed, each).err())
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Replays the corpus of a target, then mutates it for that long.
fn run(target: &Target, seed: u64, duration: Duration) -> Result<(), String> {
    let entries = corpus::of(target);
    for entry in &entries {
        if let Err(failure) = judge::judge(target, &entry.bytes) {
            return Err(format!("{}/{}: {}", target.name, entry.name, failure.0));
        }
    }
    let corpus: Vec<_> = entries.into_iter().map(|entry| entry.bytes).collect();
    let limit = Limit::Until(Instant::now() + duration);
    let done = engine::run(target, &corpus, seed, limit).map_err(|found| report(target, &found))?;
    println!(
        "{:24} {:9} inputs, {:9} accepted",
        target.name, done.inputs, done.accepted
    );
    Ok(())
}

#[test]
#[ignore = "writes the corpus: scripts/fuzz --write-corpus"]
fn write_corpus() {
    for (target, name, bytes) in seeds::all() {
        corpus::write(target, &name, &bytes);
    }
    // Their keys are new each time, so those that are there stay.
    let is_there = |name: &str| corpus::root().join("certificate").join(name).exists();
    for (target, name, bytes) in seeds::certificates() {
        if !is_there(&name) {
            corpus::write(target, &name, &bytes);
        }
    }
}
