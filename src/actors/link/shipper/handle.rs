//! How others reach a shipper.

use ractor::ActorRef;

use crate::actors::link::shipper::ShipperMessage;
use crate::model::ids::RegionId;
use crate::wire::messages::PartitionVector;

/// A shipper's address.
#[derive(Debug, Clone)]
pub struct ShipperHandle {
    peer: RegionId,
    actor: ActorRef<ShipperMessage>,
}

impl ShipperHandle {
    /// The handle of a running shipper. From here on it hears of every log that grows.
    #[must_use]
    pub fn new(peer: RegionId, actor: ActorRef<ShipperMessage>) -> Self {
        Self { peer, actor }
    }

    /// The peer.
    #[must_use]
    pub fn peer(&self) -> RegionId {
        self.peer
    }

    /// The peer has told what it has.
    pub fn peer_advanced(&self, vectors: Vec<PartitionVector>) {
        self.tell(ShipperMessage::PeerAdvanced(vectors));
    }

    /// Ships what waits without the batch delay.
    pub fn ship_now(&self) {
        self.tell(ShipperMessage::ShipNow);
    }

    /// The operator has paused or resumed the link.
    pub fn pause_changed(&self) {
        self.tell(ShipperMessage::PauseChanged);
    }

    /// Closes the connection and stops.
    pub fn stop(&self) {
        self.tell(ShipperMessage::Stop);
    }

    fn tell(&self, message: ShipperMessage) {
        // An error means that the shipper has stopped: the node stops.
        let _ = self.actor.cast(message);
    }
}
