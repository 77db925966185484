//! Black-box tests: real `atoll` processes, real sockets, real RocksDB folders, seen only through what users see.
//!
//! One binary, so that it links once. Every server listens on 127.0.0.1, every cluster has a folder and a name of its
//! own and ports that nobody has, so that several suites can run side by side. Nothing waits for a fixed time: what
//! takes time is polled until it holds or [`harness::DEADLINE`] has passed.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail with the line that unwrapped, as tests do"
)]

mod harness;

mod batches;
mod clocks;
mod commands;
mod configurations;
mod contract;
mod convergence;
mod corruption;
mod crashes;
mod deletes;
mod dev;
mod disks;
mod garbage;
mod health;
mod homes;
mod homes_of_nodes;
mod levels;
mod lost_disks;
mod nodes;
mod pauses;
mod preconditions;
mod refusals;
mod relays;
mod restarts;
mod retention;
mod wan;
