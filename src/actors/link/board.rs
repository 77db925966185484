//! What the link to one node shows to others: its connections, its errors, what the node has durably applied, when it was
//! heard. What is true of the node's region is asked of [`PeerRegion`](crate::actors::link::peer_region::PeerRegion).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::actors::link::peer_node::PeerNode;
use crate::model::health::{ClockOffsets, Suspicion};
use crate::model::hlc::WallTime;
use crate::model::ids::{PartitionCount, PartitionId};
use crate::model::replication::leadership::Leads;
use crate::model::tick::Tick;
use crate::model::vector::VersionVector;
use crate::ports::link::{CloseCode, Connection, DialTarget};
use crate::wire::messages::Ping;

/// Stamps are refused, here or there.
struct Quarantine {
    until: Tick,
    reason: String,
}

struct Inner {
    is_paused_by_peer: bool,
    outbound: Option<Arc<dyn Connection>>,
    inbound: Vec<(u64, Arc<dyn Connection>)>,
    next_inbound_id: u64,
    last_error: Option<String>,
    quarantine: Option<Quarantine>,
    /// The shipper has found that the log lacks what it should ship next.
    needs_resync: bool,
    watermarks: Vec<VersionVector>,
    /// What the node leads in its region, as it has told last.
    leads: Arc<Leads>,
    /// The last moment that the node has told of itself.
    heard_ping: Option<Ping>,
    /// When its last word came in.
    heard_at: Option<Tick>,
    suspicion: Suspicion,
    clock: ClockOffsets,
    certificate_expires: Option<SystemTime>,
}

/// What a link is like at a moment.
#[derive(Debug, Clone)]
pub struct LinkView {
    /// Stamps are refused, here or there, until then; none when they are not, or no longer.
    pub quarantined_until: Option<Tick>,
    /// Connections stand in both directions.
    pub is_up: bool,
    /// Round-trip time; none while this node has not dialled a connection.
    pub round_trip: Option<Duration>,
    /// How improbable the node's silence is: 10^-phi; none while it was never heard.
    pub phi: Option<f64>,
    /// When the node's certificate expires, if it was seen.
    pub certificate_expires: Option<SystemTime>,
    /// The last thing that went wrong; while the link is quarantined, why it is.
    pub last_error: Option<String>,
}

/// The board of the link to one node.
pub struct LinkBoard {
    target: DialTarget,
    /// An operator of this region has paused the links to the node's region; all of them share this.
    is_paused: Arc<AtomicBool>,
    /// What the node leads as long as it has not told.
    leads_untold: Arc<Leads>,
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for LinkBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkBoard({})", self.peer())
    }
}

impl LinkBoard {
    /// The board of a link that was not made yet. The node is expected to send a heartbeat each `heartbeat_ms`, and leads
    /// `leads_untold` until it tells.
    #[must_use]
    pub fn new(
        target: DialTarget,
        partitions: PartitionCount,
        is_paused: Arc<AtomicBool>,
        heartbeat_ms: u64,
        leads_untold: Leads,
    ) -> Self {
        let leads_untold = Arc::new(leads_untold);
        let inner = Inner {
            is_paused_by_peer: false,
            outbound: None,
            inbound: Vec::new(),
            next_inbound_id: 0,
            last_error: None,
            quarantine: None,
            needs_resync: false,
            watermarks: vec![VersionVector::new(); usize::from(partitions.get())],
            leads: Arc::clone(&leads_untold),
            heard_ping: None,
            heard_at: None,
            suspicion: Suspicion::new(heartbeat_ms),
            clock: ClockOffsets::default(),
            certificate_expires: None,
        };
        Self {
            target,
            is_paused,
            leads_untold,
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that the link leads to.
    #[must_use]
    pub fn peer(&self) -> PeerNode {
        PeerNode::from(&self.target)
    }

    /// How to reach it.
    #[must_use]
    pub fn target(&self) -> &DialTarget {
        &self.target
    }

    /// Whether an operator of this region has paused the links to the node's region.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }

    /// Whether an operator of the node's region has paused the link, as far as the node has told.
    #[must_use]
    pub fn is_paused_by_peer(&self) -> bool {
        self.lock().is_paused_by_peer
    }

    /// Whether connections stand in both directions.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.lock().is_up()
    }

    /// Closes what the node has dialled, because the link was paused.
    pub(super) fn close_inbound(&self, reason: &str) {
        let inbound = std::mem::take(&mut self.lock().inbound);
        for (_, connection) in inbound {
            connection.close(CloseCode::Paused, reason);
        }
    }

    /// Takes note of something that went wrong.
    pub fn note_error(&self, error: String, is_paused_by_peer: bool) {
        let mut inner = self.lock();
        inner.last_error = Some(error);
        inner.is_paused_by_peer = is_paused_by_peer;
    }

    /// The connection that this node has dialled is made, or gone.
    pub fn set_outbound(&self, connection: Option<Arc<dyn Connection>>) {
        let mut inner = self.lock();
        if let Some(connection) = &connection {
            inner.certificate_expires = Some(connection.peer().certificate_expires);
            inner.last_error = None;
            inner.is_paused_by_peer = false;
        }
        inner.outbound = connection;
    }

    /// The connection that this node has dialled, for requests.
    #[must_use]
    pub fn outbound(&self) -> Option<Arc<dyn Connection>> {
        self.lock().outbound.clone()
    }

    /// The peer has dialled a connection; none when the link is paused.
    #[must_use]
    pub fn add_inbound(&self, connection: Arc<dyn Connection>) -> Option<u64> {
        let mut inner = self.lock();
        // Under the lock: whoever pauses sets this first and then closes what is here.
        if self.is_paused() {
            return None;
        }
        let id = inner.next_inbound_id;
        inner.next_inbound_id += 1;
        inner.inbound.push((id, connection));
        Some(id)
    }

    /// A connection that the peer has dialled is gone. With the last one goes what it has told of its leadership: a node that
    /// never comes back would else lead for ever, should its region begin anew with lower terms. Returns whether that is new.
    pub fn remove_inbound(&self, id: u64) -> bool {
        let mut inner = self.lock();
        inner.inbound.retain(|(other, _)| *other != id);
        inner.inbound.is_empty() && inner.set_leads(Arc::clone(&self.leads_untold))
    }

    /// The node has told what it leads. Returns whether that is new.
    pub fn set_leads(&self, leads: Arc<Leads>) -> bool {
        self.lock().set_leads(leads)
    }

    /// What the node leads in its region, as far as it has told.
    #[must_use]
    pub fn leads(&self) -> Arc<Leads> {
        Arc::clone(&self.lock().leads)
    }

    /// Stamps are refused, here or there, until then.
    pub fn quarantine(&self, until: Tick, error: String) {
        let mut inner = self.lock();
        inner.last_error = Some(error.clone());
        inner.quarantine = Some(Quarantine { until, reason: error });
    }

    /// Whether the link is quarantined.
    #[must_use]
    pub fn is_quarantined(&self, now: Tick) -> bool {
        self.lock().quarantine(now).is_some()
    }

    /// Whether the log lacks what the node should be shipped next.
    #[must_use]
    pub fn needs_resync(&self) -> bool {
        self.lock().needs_resync
    }

    /// Notes whether the log lacks what the node should be shipped next.
    pub fn set_needs_resync(&self, needs_resync: bool) {
        self.lock().needs_resync = needs_resync;
    }

    /// What the node has durably applied.
    pub fn set_watermark(&self, partition: PartitionId, watermark: &VersionVector) {
        self.lock().watermarks[usize::from(partition.0)].clone_from(watermark);
    }

    /// What the node has durably applied, as far as is known.
    #[must_use]
    pub fn watermark(&self, partition: PartitionId) -> VersionVector {
        self.lock().watermarks[usize::from(partition.0)].clone()
    }

    /// The node has told its own time; none when a new connection begins.
    pub fn set_heard_ping(&self, ping: Option<Ping>) {
        self.lock().heard_ping = ping;
    }

    /// The last time that the node has told of itself.
    #[must_use]
    pub fn heard_ping(&self) -> Option<Ping> {
        self.lock().heard_ping
    }

    /// The node has said something.
    pub(super) fn heard(&self, now: Tick) {
        let mut inner = self.lock();
        inner.heard_at = Some(now);
        inner.suspicion.heard(now);
    }

    /// A heartbeat that was sent at `sent_at` by the peer's clock has come when this node's showed `now`.
    pub fn heard_time(&self, sent_at: WallTime, now: WallTime) {
        let mut inner = self.lock();
        let round_trip = inner.outbound.as_ref().map(|connection| connection.round_trip());
        let round_trip_ms = round_trip.unwrap_or_default().as_millis();
        inner
            .clock
            .heard(sent_at, now, u64::try_from(round_trip_ms).unwrap_or(u64::MAX));
    }

    /// How far the peer's clock is ahead of this node's, by its heartbeats.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.lock().clock.offset_ms()
    }

    /// This process itself did not run for so long: the peer's silence was none.
    pub fn forgive(&self, pause_ms: u64, now: Tick) {
        self.lock().suspicion.forgive(pause_ms, now);
    }

    /// Whether the node was heard of within `silence_ms`.
    #[must_use]
    pub fn is_heard(&self, now: Tick, silence_ms: u64) -> bool {
        // `<=`: silence of exactly the limit is still fresh.
        self.lock()
            .heard_at
            .is_some_and(|at| now.millis_since(at) <= silence_ms)
    }

    /// What the link is like now.
    #[must_use]
    pub fn view(&self, now: Tick) -> LinkView {
        let inner = self.lock();
        LinkView {
            quarantined_until: inner.quarantine(now).map(|quarantine| quarantine.until),
            is_up: inner.is_up(),
            round_trip: inner.outbound.as_ref().map(|connection| connection.round_trip()),
            phi: inner.suspicion.phi(now),
            certificate_expires: inner.certificate_expires,
            last_error: inner.last_error(now).cloned(),
        }
    }
}

impl Inner {
    fn is_up(&self) -> bool {
        self.outbound.is_some() && !self.inbound.is_empty()
    }

    fn set_leads(&mut self, leads: Arc<Leads>) -> bool {
        let is_new = self.leads != leads;
        self.leads = leads;
        is_new
    }

    fn quarantine(&self, now: Tick) -> Option<&Quarantine> {
        // `>`: at the named time it no longer is.
        self.quarantine
            .as_ref()
            .filter(|quarantine| quarantine.until > now)
    }

    /// Why the link is in its state. A new connection makes up for what ended the last one, and for no quarantine: that
    /// lasts until its end, and shows its own reason until then.
    fn last_error(&self, now: Tick) -> Option<&String> {
        let quarantine = self.quarantine(now);
        quarantine
            .map(|quarantine| &quarantine.reason)
            .or(self.last_error.as_ref())
    }
}

#[cfg(test)]
#[path = "board_test.rs"]
mod tests;
