//! The shell of a shipper: messages in, what they set in motion out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;

use crate::actors::context::NodeContext;
use crate::actors::link::board::LinkBoard;
use crate::actors::link::peer_region::PeerRegion;
use crate::actors::link::shipper::ShipperMessage;
use crate::actors::partition::PartitionHandle;
use crate::model::hlc::Hlc;
use crate::model::ids::PartitionId;
use crate::model::raft::Term;
use crate::model::replication::leadership::Leads;
use crate::model::replication::outbox::Outbox;
use crate::model::tick::Tick;
use crate::model::vector::VersionVector;
use crate::ports::link::{CloseCode, Connection, Network};

/// What a shipper starts from.
pub struct ShipperArguments {
    /// The node it is on.
    pub context: Arc<NodeContext>,
    /// How to reach others.
    pub network: Arc<dyn Network>,
    /// The region that it ships to.
    pub peer: Arc<PeerRegion>,
    /// The link to the node of it that this shipper dials.
    pub board: Arc<LinkBoard>,
    /// The node's partitions, in order.
    pub partitions: Arc<[PartitionHandle]>,
}

impl std::fmt::Debug for ShipperArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ShipperArguments({})", self.board.peer())
    }
}

/// The actor.
#[derive(Debug)]
pub struct ShipperActor;

pub(super) struct Session {
    pub(super) connection: Arc<dyn Connection>,
    pub(super) control: mpsc::Sender<Bytes>,
    pub(super) lanes: Vec<mpsc::Sender<Bytes>>,
    /// Vectors told by heartbeat on this connection.
    pub(super) told: Vec<VersionVector>,
    /// What this node leads, as told on this connection.
    pub(super) told_leads: Option<Leads>,
    pub(super) since: Tick,
}

/// The actor's state.
pub struct Shipper {
    pub(super) context: Arc<NodeContext>,
    pub(super) network: Arc<dyn Network>,
    pub(super) peer: Arc<PeerRegion>,
    pub(super) board: Arc<LinkBoard>,
    pub(super) partitions: Arc<[PartitionHandle]>,
    pub(super) outbox: Outbox,
    /// What this node led when it was last looked at what is shipped to the peer; of several nodes only.
    pub(super) led: BTreeMap<PartitionId, Term>,
    pub(super) session: Option<Session>,
    pub(super) session_number: u64,
    pub(super) is_dialling: bool,
    pub(super) failures: u32,
    /// Why the last attempt to dial failed, as it was logged: the same is not said again and again.
    pub(super) logged_failure: Option<String>,
    /// When the earliest pump that was scheduled is due.
    pub(super) pump_due: Option<Tick>,
    pub(super) is_growth_announced: Arc<AtomicBool>,
    /// The lane that is served next, and where among its partitions a lane begins.
    pub(super) next_lane: u16,
    pub(super) next_turn: u16,
    /// The next lane's turn is on its way.
    pub(super) is_lane_scheduled: bool,
    /// Turns of lanes, one after the other, that had nothing to ship.
    pub(super) empty_turns: u16,
    pub(super) heartbeats: u32,
    /// What was promised on this connection, and whether the next promise is on its way.
    pub(super) promised: Hlc,
    pub(super) is_promise_due: bool,
    pub(super) is_stopping: bool,
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shipper({})", self.board.peer())
    }
}

impl Actor for ShipperActor {
    type Msg = ShipperMessage;
    type State = Shipper;
    type Arguments = ShipperArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: ShipperArguments,
    ) -> Result<Shipper, ActorProcessingErr> {
        let ShipperArguments {
            context,
            network,
            peer,
            board,
            partitions,
        } = arguments;
        let is_growth_announced = Arc::new(AtomicBool::new(false));
        let (me, announced) = (myself.clone(), Arc::clone(&is_growth_announced));
        context.partitions.subscribe(Box::new(move |_| {
            // One message is enough until it is handled.
            if !announced.swap(true, Ordering::AcqRel) {
                let _ = me.cast(ShipperMessage::LogGrown);
            }
        }));
        drop(myself.send_interval(context.replication.heartbeat_interval, || {
            ShipperMessage::Heartbeat
        }));
        myself.cast(ShipperMessage::Dial)?;
        let outbox = Outbox::new(usize::from(context.identity.partitions.get()));
        Ok(Shipper {
            context,
            network,
            peer,
            board,
            partitions,
            outbox,
            led: BTreeMap::new(),
            session: None,
            session_number: 0,
            is_dialling: false,
            failures: 0,
            logged_failure: None,
            pump_due: None,
            is_growth_announced,
            next_lane: 0,
            next_turn: 0,
            is_lane_scheduled: false,
            empty_turns: 0,
            heartbeats: 0,
            promised: Hlc::ZERO,
            is_promise_due: false,
            is_stopping: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: ShipperMessage,
        shipper: &mut Shipper,
    ) -> Result<(), ActorProcessingErr> {
        shipper.dispatch(&myself, message);
        Ok(())
    }
}

impl Shipper {
    fn dispatch(&mut self, myself: &ActorRef<ShipperMessage>, message: ShipperMessage) {
        match message {
            ShipperMessage::Dial => self.dial(myself),
            ShipperMessage::Dialled(number, result) => self.handle_dialled(myself, number, result),
            ShipperMessage::LogGrown => {
                self.is_growth_announced.store(false, Ordering::Release);
                self.look_at_own_leadership(myself);
                self.ship_when_due(myself);
                self.promise_soon(myself);
            }
            ShipperMessage::ShipNow => self.pump(myself),
            ShipperMessage::Promise => {
                self.is_promise_due = false;
                self.heartbeat();
                self.promise_soon(myself);
            }
            ShipperMessage::Pump => {
                self.pump_due = None;
                self.pump(myself);
            }
            ShipperMessage::PumpLane => self.pump_lane(myself),
            ShipperMessage::Acknowledged(number, vectors) => {
                if number == self.session_number {
                    self.handle_vectors(myself, &vectors);
                }
            }
            ShipperMessage::Rewound {
                connection,
                partition,
                vector,
                reason,
                detail,
            } => {
                if connection == self.session_number {
                    self.handle_rewound(myself, partition, &vector, reason, detail);
                }
            }
            ShipperMessage::PeerAdvanced(vectors) => {
                // It has told anew what it leads.
                if self.outbox.retry_led() {
                    self.route(myself);
                }
                self.handle_vectors(myself, &vectors);
            }
            ShipperMessage::LeadersChanged => self.route(myself),
            ShipperMessage::Heartbeat => {
                self.heartbeat();
                self.look_at_own_leadership(myself);
            }
            ShipperMessage::Closed(number, error) => {
                if number == self.session_number {
                    self.handle_closed(myself, &error);
                }
            }
            ShipperMessage::PauseChanged => self.handle_pause_changed(myself),
            ShipperMessage::Stop => {
                self.is_stopping = true;
                self.disconnect(CloseCode::Done, "the node stops");
                myself.stop(None);
            }
        }
    }
}
