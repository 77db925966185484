//! Links to the nodes of the other regions. Each node dials every node of every other region: on the connection that it has
//! dialled it ships its region's commits and heartbeats and asks for what it misses; on those that it has accepted it
//! receives. A link ([`board`]) is one pair of nodes; who means a region asks [`peer_region`].

pub mod answering;
pub mod batch;
pub mod board;
pub mod dial;
pub mod fetch;
pub mod handshake;
mod heartbeats;
pub mod inbound;
#[cfg(test)]
pub(in crate::actors) mod kit_test;
mod lane;
mod leading;
pub mod pauses;
pub mod peer_node;
pub mod peer_region;
pub mod requests;
mod serve_fetch;
pub mod shipper;
mod shipping;

use std::time::Duration;

pub(crate) use lane::QUARANTINE;

/// How long a peer may take for each answer while a connection is made.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
