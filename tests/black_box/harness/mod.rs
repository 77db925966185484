//! What the tests share: clusters of processes, HTTP calls, the command line, and waiting for conditions.
//!
//! Processes are killed when their handle is dropped; when a test fails, the end of their logs is printed.

mod client;
mod cluster;
mod command;
mod load;
mod node;
mod wan;

use std::fmt::Display;
use std::time::{Duration, Instant};

pub(crate) use client::Answer;
pub(crate) use cluster::{Cluster, free_port};
pub(crate) use command::{atoll, atoll_command, atoll_with_input};
pub(crate) use load::{Acknowledged, Load};
/// In most tests a region has one node, and then that is the region.
pub(crate) use node::Node as Region;
pub(crate) use wan::Wan;

/// How long a condition may take to come true. Generous: the machine may be busy with other suites, and a link that was
/// cut takes half of it by its own timeouts (5 s of silence, a dial of 5 s, a pause of 5 s) before anything is slow.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Tries until it succeeds, and fails the test with the last error after [`DEADLINE`].
pub(crate) async fn wait_until<T, E: Display>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match attempt().await {
            Ok(found) => return found,
            // `>=`: the last attempt is made after the deadline, never before.
            Err(error) if Instant::now() >= deadline => {
                panic!("waited {} s until {what}: {error}", DEADLINE.as_secs())
            }
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// Waits until a number that only grows has reached `count`, however long that takes, and fails the test when it has not
/// grown for [`DEADLINE`]: how much is done in a given time is up to the machine.
pub(crate) async fn wait_for_count(what: &str, count: u64, mut so_far: impl AsyncFnMut() -> u64) {
    let mut seen = 0;
    while seen < count {
        seen = wait_until(what, async || {
            let found = so_far().await;
            check(found > seen, format!("{found} of {count}")).map(|()| found)
        })
        .await;
    }
}

/// Nothing if it holds, else the text: for [`wait_until`].
pub(crate) fn check(holds: bool, otherwise: impl Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_string()) }
}
