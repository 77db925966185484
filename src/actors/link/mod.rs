//! Links to the other regions. Each region dials every other: on the connection that it has dialled it ships its own
//! commits and heartbeats and asks for what it misses; on those that it has accepted it receives.

pub mod answering;
pub mod batch;
pub mod board;
pub mod dial;
pub mod fetch;
pub mod handshake;
mod heartbeats;
pub mod inbound;
mod lane;
pub mod requests;
mod serve_fetch;
pub mod shipper;
mod shipping;

use std::time::Duration;

pub(crate) use lane::QUARANTINE;

/// How long a peer may take for each answer while a connection is made.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
