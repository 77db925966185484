//! What a shipper is told.

use crate::actors::link::dial::{DialError, Dialled};
use crate::model::ids::PartitionId;
use crate::model::vector::VersionVector;
use crate::ports::link::LinkError;
use crate::wire::messages::{PartitionVector, RewindReason};

/// A message to a shipper. Those of a connection carry its number: what an old one still says is dropped.
#[derive(Debug)]
pub enum ShipperMessage {
    /// Dial, if there is no connection and the link is not paused.
    Dial,
    /// An attempt to dial has ended.
    Dialled(u64, Result<Dialled, DialError>),
    /// A log has grown.
    LogGrown,
    /// The batch delay has passed, or more is due.
    Pump,
    /// The next lane's share of the batch delay has passed.
    PumpLane,
    /// The peer has durably applied these.
    Acknowledged(u64, Vec<PartitionVector>),
    /// The peer wants a partition again.
    Rewound {
        /// Which connection.
        connection: u64,
        /// Which partition.
        partition: PartitionId,
        /// What the peer has durably applied of it.
        vector: VersionVector,
        /// Why.
        reason: RewindReason,
        /// For people.
        detail: String,
    },
    /// The peer has told by heartbeat what it has durably applied.
    PeerAdvanced(Vec<PartitionVector>),
    /// Leadership has moved among the nodes of the peer's region.
    LeadersChanged,
    /// Tell the peer what was applied here.
    Heartbeat,
    /// The same, between two heartbeats: there is something new to promise.
    Promise,
    /// Somebody waits for the peer's acknowledgement: ship without the batch delay.
    ShipNow,
    /// The connection is gone.
    Closed(u64, LinkError),
    /// The operator has paused or resumed the link.
    PauseChanged,
    /// The node stops: close the connection.
    Stop,
}
