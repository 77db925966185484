//! The shipper of one peer: dials it, tails the logs, sends batches, moves watermarks on durable acknowledgement.
//!
//! Remote trouble never blocks local writes: all that a partition does for a shipper is to announce that its log has
//! grown.

mod actor;
mod connection;
mod handle;
mod message;
mod pump;
mod streams;

use std::time::Duration;

pub use actor::{ShipperActor, ShipperArguments};
pub use handle::ShipperHandle;
pub use message::ShipperMessage;

/// Pause before a peer that has paused the link, or refused stamps, is tried again.
const RETRY: Duration = Duration::from_secs(1);
