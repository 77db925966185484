//! What the tests share: clusters of processes, HTTP calls, the command line, and waiting for conditions.
//!
//! Processes are killed when their handle is dropped; when a test fails, the end of their logs is printed.

mod client;
mod cluster;
mod command;
mod load;
mod region;
mod wan;

use std::fmt::Display;
use std::time::{Duration, Instant};

pub(crate) use client::Answer;
pub(crate) use cluster::{Cluster, free_port};
pub(crate) use command::{atoll, atoll_command, atoll_with_input};
pub(crate) use load::{Acknowledged, Load};
pub(crate) use region::Region;
pub(crate) use wan::Wan;

/// How long a condition may take to come true. Generous: the machine may be busy with other suites.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

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

/// Nothing if it holds, else the text: for [`wait_until`].
pub(crate) fn check(holds: bool, otherwise: impl Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_string()) }
}
