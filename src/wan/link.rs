//! What happens to a packet in one direction: lost or not, and when it arrives. Pure: time and chance are arguments.
//!
//! A packet passes a transmitter of the link's bandwidth, before which a bounded queue waits, and then the distance.
//! Packets arrive in the order in which they were sent, unless they are chosen to be overtaken.

use std::time::{Duration, Instant};

use crate::config::LinkShape;
use crate::model::limits;
use crate::ports::entropy::Entropy;

/// What a packet takes up beyond its payload: the headers of IPv4 and UDP. Bandwidth is that of the wire.
const HEADER_BYTES: usize = 28;

/// How long a packet that is overtaken stays behind, at least: longer than the gap between packets of a burst.
const OVERTAKEN_FOR_MIN: Duration = Duration::from_millis(5);

/// The same as a part of the one-way delay: on a long path other routes differ by more.
const OVERTAKEN_FOR_PART: u32 = 4;

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Link {
    shape: LinkShape,
    /// When the transmitter has sent all that waits before it.
    busy_until: Instant,
    /// When the last packet that keeps its order arrives; none that is offered later may arrive before.
    last_arrival: Instant,
}

/// Numbers drawn evenly from all of `u64`, that decide about one packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance {
    pub(super) loss: u64,
    pub(super) jitter: u64,
    pub(super) reorder: u64,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives then.
    Arrives(Instant),
    /// It never does.
    Dropped(DropReason),
}

/// Why a packet does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DropReason {
    /// The link is cut.
    Cut,
    /// The link loses packets.
    Loss,
    /// The queue before the transmitter is full.
    Queue,
    /// The relay holds as much as it may of what is on its way.
    Overflow,
    /// The machine refused to take it: nobody listens at the target, or its socket is full.
    Send,
}

impl Chance {
    /// Always draws three, so that whether one packet is lost changes nothing for the next.
    pub(super) fn draw(entropy: &dyn Entropy) -> Self {
        Self {
            loss: entropy.next_u64(),
            jitter: entropy.next_u64(),
            reorder: entropy.next_u64(),
        }
    }
}

impl Link {
    pub(super) fn new(shape: LinkShape, now: Instant) -> Self {
        Self {
            shape,
            busy_until: now,
            last_arrival: now,
        }
    }

    pub(super) fn shape(&self) -> LinkShape {
        self.shape
    }

    /// Holds for packets from now on; those on their way arrive as was decided. Nothing waits for what was slower
    /// before, so packets may overtake those of the old shape.
    pub(super) fn set_shape(&mut self, shape: LinkShape, now: Instant) {
        self.shape = shape;
        self.busy_until = now;
        self.last_arrival = now;
    }

    /// Decides about a packet.
    pub(super) fn offer(&mut self, payload_bytes: usize, now: Instant, chance: Chance) -> Fate {
        let shape = self.shape;
        if shape.is_cut {
            return Fate::Dropped(DropReason::Cut);
        }
        if shape.loss.holds(chance.loss) {
            return Fate::Dropped(DropReason::Loss);
        }
        let size_bytes = payload_bytes + HEADER_BYTES;
        let waits = self.busy_until.saturating_duration_since(now);
        if self.is_full(waits, size_bytes) {
            return Fate::Dropped(DropReason::Queue);
        }
        let sent = now + waits + shape.bandwidth.transmission_time(size_bytes);
        self.busy_until = sent;
        let in_order = (sent + shape.one_way() + part_of(shape.jitter, chance.jitter)).max(self.last_arrival);
        if shape.reorder.holds(chance.reorder) {
            return Fate::Arrives(in_order + OVERTAKEN_FOR_MIN.max(shape.one_way() / OVERTAKEN_FOR_PART));
        }
        self.last_arrival = in_order;
        Fate::Arrives(in_order)
    }

    /// Whether the queue has no room for so much more. An idle transmitter takes every packet, however long it needs.
    fn is_full(&self, waits: Duration, size_bytes: usize) -> bool {
        let queued_bytes = self.shape.bandwidth.bytes_in(waits).unwrap_or(0);
        // `>` in both: exactly full is allowed.
        let is_over_bytes = queued_bytes + size_bytes as u64 > limits::WAN_QUEUE_BYTES_MAX;
        waits > Duration::ZERO && (is_over_bytes || waits > Duration::from_millis(limits::WAN_QUEUE_MS_MAX))
    }
}

/// The part of a duration that a number from all of `u64` stands for, from nothing to nearly all of it.
fn part_of(duration: Duration, drawn: u64) -> Duration {
    // Below 2^64 nanoseconds, as the range of jitter is seconds; the product fits 128 bits, its high half 64.
    Duration::from_nanos(((duration.as_nanos() * u128::from(drawn)) >> 64) as u64)
}
