//! A relay for UDP between regions that makes each path as long, thin and unreliable as it is told to: for
//! development, tests and drills on one machine. It sees encrypted packets and looks into none.
//!
//! - `link`: pure; what happens to a packet in one direction, and when it arrives.
//! - `line`: one direction while it runs: what is on its way, and counts.
//! - `flows`: pure; which sender has which socket towards the target.
//! - `listener`: the sockets of one direction.
//! - [`relay`]: all of them together.
//! - [`control`] and [`document`]: the HTTP by which it is watched and changed.
//!
//! A node knows nothing of it: it dials another address (`atoll serve --peer`), and peers are known by their
//! certificates. Must not be in the way of a node that does not use it.

pub mod control;
pub mod document;
mod flows;
mod line;
mod link;
#[cfg(test)]
mod link_test;
mod listener;
pub mod relay;
#[cfg(test)]
mod relay_test;

pub use relay::{Relay, RelayError, RelayOptions};
