//! Ends the process when an input never comes back, after it has been kept: a target that does not return cannot be
//! judged by its own thread.

use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::corpus;
use crate::targets::Target;

/// Far beyond what [`crate::judge`] allows an input that does return.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// What a run is at.
struct Work {
    target: Target,
    input: Vec<u8>,
    since: Instant,
}

/// Watches one run; stops when dropped.
pub(crate) struct Watchdog(Arc<Mutex<Work>>);

impl Watchdog {
    /// Begins to watch a run of a target.
    pub(crate) fn of(target: &Target) -> Self {
        let work = Arc::new(Mutex::new(Work {
            target: *target,
            input: Vec::new(),
            since: Instant::now(),
        }));
        let watched = Arc::downgrade(&work);
        thread::spawn(move || watch(&watched));
        Self(work)
    }

    /// The run begins with this input.
    pub(crate) fn begins(&self, input: &[u8]) {
        let mut work = self.0.lock().unwrap();
        work.input.clear();
        work.input.extend_from_slice(input);
        work.since = Instant::now();
    }
}

fn watch(watched: &Weak<Mutex<Work>>) {
    loop {
        thread::sleep(Duration::from_secs(1));
        let Some(work) = watched.upgrade() else { return };
        let work = work.lock().unwrap();
        if work.since.elapsed() > HANGS_AFTER {
            let path = corpus::keep_crash(&work.target, &work.input);
            eprintln!(
                "target {} does not come back from an input; it is kept in {path}",
                work.target.name
            );
            std::process::exit(101);
        }
    }
}
