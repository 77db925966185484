//! The shipper to one node of a peer region: dials it, tails the logs, sends batches, moves watermarks on durable
//! acknowledgement. Every node of a peer region has one. Heartbeats go to all of them; commits go from the node that leads a
//! partition here to the one that leads it there, as that one's heartbeats tell (decision 0018). While none is known to, they
//! stay in the log. A region of one node leads everything.
//!
//! Remote trouble never blocks local writes: all that a partition does for a shipper is to announce that its log has
//! grown.

mod actor;
mod connection;
mod handle;
mod message;
mod pump;
mod route;
mod streams;

use std::time::Duration;

pub use actor::{ShipperActor, ShipperArguments};
pub use handle::ShipperHandle;
pub use message::ShipperMessage;

/// Pause before a peer that has paused the link, or refused stamps, is tried again.
const RETRY: Duration = Duration::from_secs(1);
