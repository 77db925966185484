//! Shipping: when a batch is due, which one, and what the peer says to it.

use std::time::Duration;

use ractor::ActorRef;

use crate::actors::error_chain;
use crate::actors::link::lane::QUARANTINE;
use crate::actors::link::shipper::actor::Shipper;
use crate::actors::link::shipper::{RETRY, ShipperMessage};
use crate::actors::link::{batch, leading, shipping};
use crate::model::ids::PartitionId;
use crate::model::mutation::{self, Mutation};
use crate::model::replication::outbox::Hold;
use crate::model::tick::Tick;
use crate::model::vector::VersionVector;
use crate::wire::messages::{Message, PartitionVector, Ping, RewindReason};

/// Batches that one message sets in motion, so that the actor never works on one for long.
const BATCHES_PER_TURN_MAX: usize = 8;
/// How long a promise waits for others, so that a busy region makes a hundred in a second and not thousands.
const PROMISE_DELAY: Duration = Duration::from_millis(10);
/// Each so many heartbeats tell all vectors instead of those that have changed, so that whatever was missed heals.
const HEARTBEATS_PER_FULL: u32 = 25;

impl Shipper {
    /// At once when the link is idle or a full batch waits, else one lane after the other within the batch delay.
    pub(super) fn ship_when_due(&mut self, myself: &ActorRef<ShipperMessage>) {
        // There may be something for a lane whose turn was in vain.
        self.empty_turns = 0;
        self.ship_or_schedule(myself);
    }

    fn ship_or_schedule(&mut self, myself: &ActorRef<ShipperMessage>) {
        if self.session.is_none() {
            return;
        }
        let waiting = shipping::changes_waiting(&self.context, &self.outbox);
        if waiting == 0 {
            return;
        }
        if self.outbox.is_idle() || waiting >= self.context.replication.batch_changes as u64 {
            self.pump(myself);
        } else {
            self.schedule_lane(myself);
        }
    }

    /// The lanes take turns within the batch delay. All of them at a time would be the same batches, but what each sets in
    /// motion here and at the peer would fall on one moment, for which local requests wait.
    fn schedule_lane(&mut self, myself: &ActorRef<ShipperMessage>) {
        if !self.is_lane_scheduled {
            self.is_lane_scheduled = true;
            let turn =
                self.context.replication.batch_delay / u32::from(self.context.replication.lanes.max(1));
            drop(myself.send_after(turn, || ShipperMessage::PumpLane));
        }
    }

    /// Ships what waits for the lane whose turn it is.
    pub(super) fn pump_lane(&mut self, myself: &ActorRef<ShipperMessage>) {
        self.is_lane_scheduled = false;
        let Some(session) = &self.session else { return };
        let lanes = u16::try_from(session.lanes.len()).expect("lanes are counted in a byte");
        let lane = self.next_lane % lanes;
        self.next_lane = (lane + 1) % lanes;
        self.empty_turns = self.empty_turns.saturating_add(1);
        for _ in 0..BATCHES_PER_TURN_MAX {
            // Without room an acknowledgement is waited for.
            if !self.outbox.has_room() {
                break;
            }
            match self.ship_lane(lane) {
                Shipped::Batch => self.empty_turns = 0,
                Shipped::NothingDue => break,
                Shipped::NoRoom => return self.schedule_pump(myself, self.context.replication.batch_delay),
            }
        }
        self.finish_pump(myself);
        // After a round in vain what waits is held back: something else will set it in motion.
        if self.empty_turns < lanes {
            self.ship_or_schedule(myself);
        }
    }

    /// Clients that carry tokens wait in other regions, and in other partitions there, until they hear that nothing
    /// earlier is still to come: not for the next regular heartbeat.
    pub(super) fn promise_soon(&mut self, myself: &ActorRef<ShipperMessage>) {
        // What this node may promise: among several it waits for the others.
        let wanted = self.context.partitions.own_through();
        let is_new = self.context.groups.promise(wanted).through > self.promised;
        if is_new && self.session.is_some() && !self.is_promise_due {
            self.is_promise_due = true;
            drop(myself.send_after(PROMISE_DELAY, || ShipperMessage::Promise));
        }
    }

    fn schedule_pump(&mut self, myself: &ActorRef<ShipperMessage>, delay: Duration) {
        let due = self.context.clock.tick().plus(delay);
        // `<`: one that is as early is enough. A later one that was scheduled stays, and finds nothing to do.
        if self.pump_due.is_none_or(|earliest| due < earliest) {
            self.pump_due = Some(due);
            drop(myself.send_after(delay, || ShipperMessage::Pump));
        }
    }

    pub(super) fn pump(&mut self, myself: &ActorRef<ShipperMessage>) {
        for _ in 0..BATCHES_PER_TURN_MAX {
            match self.ship_one() {
                Shipped::Batch => {}
                Shipped::NothingDue => return self.finish_pump(myself),
                // An acknowledgement makes room, or the lane does; the delay is for the latter.
                Shipped::NoRoom => return self.schedule_pump(myself, self.context.replication.batch_delay),
            }
        }
        self.schedule_pump(myself, Duration::ZERO);
    }

    fn finish_pump(&mut self, myself: &ActorRef<ShipperMessage>) {
        if self.session.is_none() {
            return; // What the peer needs is known once it has said what it has.
        }
        let mut earliest: Option<Tick> = None;
        for hold in self.outbox.holds() {
            match hold {
                Hold::Until(at) => earliest = Some(earliest.map_or(*at, |other| other.min(*at))),
                Hold::Resync | Hold::Stopped(_) | Hold::NotLeader => {}
            }
        }
        self.show_resync();
        if let Some(earliest) = earliest {
            self.schedule_pump(myself, earliest.after(self.context.clock.tick()));
        }
    }

    /// Whether the log lacks what the peer needs.
    fn show_resync(&self) {
        let needs_resync = self.outbox.holds().any(|hold| *hold == Hold::Resync);
        self.board.set_needs_resync(needs_resync);
    }

    /// Ships one batch of the first lane that has something due, beginning after the one served last.
    fn ship_one(&mut self) -> Shipped {
        let Some(session) = &self.session else {
            return Shipped::NothingDue;
        };
        if !self.outbox.has_room() {
            return Shipped::NoRoom;
        }
        let lanes = u16::try_from(session.lanes.len()).expect("lanes are counted in a byte");
        let first = self.next_lane % lanes;
        let mut outcome = Shipped::NothingDue;
        for offset in 0..lanes {
            let lane = (first + offset) % lanes;
            match self.ship_lane(lane) {
                Shipped::Batch => {
                    self.next_lane = (lane + 1) % lanes;
                    return Shipped::Batch;
                }
                Shipped::NoRoom => outcome = Shipped::NoRoom,
                Shipped::NothingDue => {}
            }
        }
        outcome
    }

    /// Ships one batch of a lane.
    fn ship_lane(&mut self, lane: u16) -> Shipped {
        let now = self.context.clock.tick();
        let Some(session) = &self.session else {
            return Shipped::NothingDue;
        };
        let sender = &session.lanes[usize::from(lane)];
        if sender.capacity() == 0 {
            return Shipped::NoRoom;
        }
        let count = self.context.identity.partitions.get();
        let lanes = u16::try_from(session.lanes.len()).expect("lanes are counted in a byte");
        // Begin elsewhere each time, so that a busy partition does not starve the others of its lane.
        let places = count.saturating_sub(lane).div_ceil(lanes);
        let turn = self.next_turn;
        let partitions = (0..places).map(|n| PartitionId(lane + ((n + turn) % places) * lanes));
        let collected = shipping::collect(&self.context, &mut self.outbox, partitions, now, RETRY);
        for (partition, error) in collected.failures {
            let error = error_chain(&error);
            tracing::error!(own = %self.context.identity.region, peer = %self.peer.region(), %partition, %error, "reading the log for shipping failed");
            self.board
                .note_error(format!("partition {partition}: {error}"), false);
        }
        if collected.commits.parts.is_empty() {
            return Shipped::NothingDue;
        }
        let packed = batch::pack(collected.commits, self.context.replication.compression_level);
        self.next_turn = (turn + 1) % count;
        // Capacity was there; an error means that the lane is gone, and `Closed` is on its way.
        let _ = sender.try_send(Message::Batch(packed).encode());
        Shipped::Batch
    }

    pub(super) fn handle_vectors(&mut self, myself: &ActorRef<ShipperMessage>, vectors: &[PartitionVector]) {
        let count = self.context.identity.partitions.get();
        for (partition, vector) in vectors.iter().filter(|(partition, _)| partition.0 < count) {
            self.outbox.acknowledge(*partition, vector);
            self.board
                .set_watermark(*partition, self.outbox.watermark(*partition));
        }
        // It may have got elsewhere all that it needed, and then there is nothing to ship that would look.
        self.show_resync();
        self.context.acknowledged.notify_waiters();
        self.ship_when_due(myself);
    }

    pub(super) fn handle_rewound(
        &mut self,
        myself: &ActorRef<ShipperMessage>,
        partition: PartitionId,
        vector: &VersionVector,
        reason: RewindReason,
        detail: String,
    ) {
        if partition.0 >= self.context.identity.partitions.get() {
            return;
        }
        let now = self.context.clock.tick();
        let peer = self.peer.region();
        self.outbox.acknowledge(partition, vector);
        let hold = match reason {
            RewindReason::Full => Hold::Until(now.plus(self.context.replication.batch_delay)),
            RewindReason::Storage => Hold::Until(now.plus(RETRY)),
            RewindReason::Clock => {
                if !self.board.is_quarantined(now) {
                    tracing::warn!(own = %self.context.identity.region, %peer, %partition, %detail, "link quarantined: the peer refuses this region's stamps");
                }
                self.board.quarantine(
                    now.plus(QUARANTINE),
                    format!("{peer} refuses this region's commits: {detail}"),
                );
                Hold::Until(now.plus(RETRY))
            }
            RewindReason::NotLeader => {
                tracing::debug!(own = %self.context.identity.region, %peer, node = %self.board.peer().node, %partition, %detail, "the node does not lead the partition");
                Hold::NotLeader
            }
            RewindReason::Poison => {
                tracing::error!(own = %self.context.identity.region, %peer, %partition, %detail, "the peer cannot apply a commit: this partition's lane stops, the others go on");
                self.board.note_error(
                    format!("{peer} has stopped partition {partition}: {detail}"),
                    false,
                );
                Hold::Stopped(detail)
            }
        };
        self.outbox.rewind(partition, Some(hold));
        if mutation::is_on(Mutation::RewindAcknowledges) {
            let everything = self.context.partitions.view(partition).vector;
            self.outbox.acknowledge(partition, &everything);
            self.board
                .set_watermark(partition, self.outbox.watermark(partition));
        }
        self.schedule_pump(myself, self.context.replication.batch_delay);
    }

    pub(super) fn heartbeat(&mut self) {
        let Some(session) = &mut self.session else { return };
        // Before everything else: at this moment of the peer's, whatever this region had acknowledged is in what follows.
        let heard = self.board.heard_ping();
        // Before the partitions are looked at: what takes a stamp after the look gets a greater one.
        let mut through = self.context.partitions.own_through();
        if mutation::is_on(Mutation::PromiseTooMuch) {
            let now = self.context.clock.now();
            through = self.context.hybrid_clock.stamp(now, 1);
        }
        let ids = self.context.identity.partitions.ids();
        let leading::Promises {
            leads,
            through,
            except,
        } = leading::promises(&self.context.groups, ids, through);
        self.heartbeats = self.heartbeats.wrapping_add(1);
        let tells_all = self.heartbeats.is_multiple_of(HEARTBEATS_PER_FULL);
        let (mut vectors, mut busy) = (Vec::new(), Vec::new());
        for partition in self.context.identity.partitions.ids() {
            let told = &session.told[usize::from(partition.0)];
            self.context.partitions.read(partition, |view| {
                if view.vector != *told || (tells_all && !view.vector.is_empty()) {
                    vectors.push((partition, view.vector.clone()));
                }
                let is_preparing = view.is_preparing && !mutation::is_on(Mutation::PromiseTooMuch);
                if is_preparing || except.contains(&partition) {
                    busy.push(partition);
                }
            });
        }
        let is_new = tells_all || session.told_leads.as_ref() != Some(&leads);
        let message = Message::Heartbeat {
            sent_at: self.context.clock.now(),
            vectors: vectors.clone(),
            through,
            busy,
            own: Ping {
                life: self.context.life,
                tick: self.context.clock.tick().as_micros(),
            },
            heard,
            leads: is_new.then(|| leads.clone()),
        };
        // A full queue means that earlier heartbeats are still on their way: the next one tells it all.
        if session.control.try_send(message.encode()).is_ok() {
            self.promised = through;
            session.told_leads = Some(leads);
            for (partition, vector) in vectors {
                session.told[usize::from(partition.0)] = vector;
            }
        }
    }
}

enum Shipped {
    Batch,
    NothingDue,
    NoRoom,
}
