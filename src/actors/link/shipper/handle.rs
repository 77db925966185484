//! How others reach a shipper.

use ractor::ActorRef;

use crate::actors::link::peer_node::PeerNode;
use crate::actors::link::shipper::ShipperMessage;
use crate::wire::messages::PartitionVector;

/// A shipper's address.
#[derive(Debug, Clone)]
pub struct ShipperHandle {
    peer: PeerNode,
    actor: ActorRef<ShipperMessage>,
}

impl ShipperHandle {
    /// The handle of a running shipper. From here on it hears of every log that grows.
    #[must_use]
    pub fn new(peer: PeerNode, actor: ActorRef<ShipperMessage>) -> Self {
        Self { peer, actor }
    }

    /// The node that it ships to.
    #[must_use]
    pub fn peer(&self) -> PeerNode {
        self.peer
    }

    /// The peer has told what it has.
    pub fn peer_advanced(&self, vectors: Vec<PartitionVector>) {
        self.tell(ShipperMessage::PeerAdvanced(vectors));
    }

    /// Leadership has moved among the nodes of the peer's region.
    pub fn leaders_changed(&self) {
        self.tell(ShipperMessage::LeadersChanged);
    }

    /// Ships what waits without the batch delay.
    pub fn ship_now(&self) {
        self.tell(ShipperMessage::ShipNow);
    }

    /// The operator has paused or resumed the links to the node's region.
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
