//! The mutation corpus: switches each known bug on and says within how many seeds it is found, and by which checker.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use atoll::model::mutation::Mutation;

use crate::mix::Mix;
use crate::run::run;

/// A bug that so many seeds do not show would be missed in practice: a campaign has a thousand and more.
const SEEDS_MAX: u64 = 400;

/// The bug of a name.
pub fn named(name: &str) -> Option<Mutation> {
    Mutation::ALL.into_iter().find(|bug| format!("{bug:?}") == name)
}

/// Within how many seeds a bug is found, and by what.
struct Found {
    seeds: u64,
    by: String,
}

fn hunt(bug: Mutation) -> Option<Found> {
    (1..=SEEDS_MAX).find_map(|seed| {
        let report = run(&Mix::draw(seed), Some(bug));
        let mut by: Vec<&str> = report
            .violations
            .iter()
            .map(|violation| violation.checker)
            .collect();
        by.sort_unstable();
        by.dedup();
        (!by.is_empty()).then(|| Found {
            seeds: seed,
            by: by.join(", "),
        })
    })
}

/// Hunts every bug; true when each was found.
pub fn check_all() -> bool {
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let missed: Mutex<Vec<Mutation>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bug) = Mutation::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match hunt(*bug) {
                        Some(found) => {
                            let name = format!("{bug:?}");
                            println!("{name:<24} found within {:>3} seeds by {}", found.seeds, found.by);
                        }
                        None => {
                            println!("{bug:?} was NOT found in {SEEDS_MAX} seeds");
                            missed.lock().unwrap_or_else(PoisonError::into_inner).push(*bug);
                        }
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{} of {} known bugs were found ({} s)",
        Mutation::ALL.len() - missed.len(),
        Mutation::ALL.len(),
        begun.elapsed().as_secs()
    );
    missed.is_empty()
}
