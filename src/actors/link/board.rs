//! What a link shows to others: its state, its errors, the peer's watermarks, the lag behind it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::actors::board::PartitionBoard;
use crate::actors::region::{LinkState, PeerView, RegionState};

use crate::model::health::{ClockOffsets, PeerInput, Suspicion};
use crate::model::hlc::WallTime;
use crate::model::ids::{PartitionCount, PartitionId, RegionId};
use crate::model::replication::catch_up::CatchUpRate;
use crate::model::replication::lag::{Lag, LagTracker};
use crate::model::tick::Tick;
use crate::model::vector::VersionVector;
use crate::ports::link::{CloseCode, Connection};
use crate::wire::messages::Ping;

/// Stamps are refused, here or there.
struct Quarantine {
    until: Tick,
    reason: String,
}

struct Inner {
    is_paused: bool,
    is_paused_by_peer: bool,
    outbound: Option<Arc<dyn Connection>>,
    inbound: Vec<(u64, Arc<dyn Connection>)>,
    next_inbound_id: u64,
    last_error: Option<String>,
    quarantine: Option<Quarantine>,
    /// The shipper has found that the log lacks what it should ship next.
    needs_resync: bool,
    /// The log has forgotten what the peer has not acknowledged, whether it was shipped or not.
    log_lacks: bool,
    watermarks: Vec<VersionVector>,
    lag: LagTracker,
    /// The last moment that the peer has told of itself.
    heard_ping: Option<Ping>,
    suspicion: Suspicion,
    clock: ClockOffsets,
    catch_up: CatchUpRate,
    certificate_expires: Option<SystemTime>,
}

/// The board of one link.
pub struct LinkBoard {
    peer: RegionId,
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for LinkBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkBoard({})", self.peer)
    }
}

impl LinkBoard {
    /// The board of a link that was not made yet. The peer is expected to send a heartbeat each `heartbeat_ms`.
    #[must_use]
    pub fn new(
        peer: RegionId,
        partitions: PartitionCount,
        is_paused: bool,
        heartbeat_ms: u64,
        now: Tick,
    ) -> Self {
        let inner = Inner {
            is_paused,
            is_paused_by_peer: false,
            outbound: None,
            inbound: Vec::new(),
            next_inbound_id: 0,
            last_error: None,
            quarantine: None,
            needs_resync: false,
            log_lacks: false,
            watermarks: vec![VersionVector::new(); usize::from(partitions.get())],
            lag: LagTracker::new(peer, now),
            heard_ping: None,
            suspicion: Suspicion::new(heartbeat_ms),
            clock: ClockOffsets::default(),
            catch_up: CatchUpRate::default(),
            certificate_expires: None,
        };
        Self {
            peer,
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer.
    #[must_use]
    pub fn peer(&self) -> RegionId {
        self.peer
    }

    /// Whether an operator of this region has paused the link.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.lock().is_paused
    }

    /// Whether an operator has paused the link, here or there: then nothing takes a detour around it either, unless
    /// something else depends on it.
    #[must_use]
    pub fn is_paused_at_either_end(&self) -> bool {
        let inner = self.lock();
        inner.is_paused || inner.is_paused_by_peer
    }

    /// Pauses or resumes; pausing closes what the peer has dialled.
    pub fn set_paused(&self, is_paused: bool, own_region: RegionId) {
        let inbound = {
            let mut inner = self.lock();
            inner.is_paused = is_paused;
            if is_paused {
                std::mem::take(&mut inner.inbound)
            } else {
                Vec::new()
            }
        };
        for (_, connection) in inbound {
            connection.close(CloseCode::Paused, &format!("the link is paused by {own_region}"));
        }
    }

    /// Takes note of something that went wrong.
    pub fn note_error(&self, error: String, is_paused_by_peer: bool) {
        let mut inner = self.lock();
        inner.last_error = Some(error);
        inner.is_paused_by_peer = is_paused_by_peer;
    }

    /// The connection that this region has dialled is made, or gone.
    pub fn set_outbound(&self, connection: Option<Arc<dyn Connection>>) {
        let mut inner = self.lock();
        if let Some(connection) = &connection {
            inner.certificate_expires = Some(connection.peer().certificate_expires);
            inner.last_error = None;
            inner.is_paused_by_peer = false;
        }
        inner.outbound = connection;
    }

    /// The connection that this region has dialled, for requests.
    #[must_use]
    pub fn outbound(&self) -> Option<Arc<dyn Connection>> {
        self.lock().outbound.clone()
    }

    /// The peer has dialled a connection; false when the link is paused.
    #[must_use]
    pub fn add_inbound(&self, connection: Arc<dyn Connection>) -> Option<u64> {
        let mut inner = self.lock();
        if inner.is_paused {
            return None;
        }
        let id = inner.next_inbound_id;
        inner.next_inbound_id += 1;
        inner.inbound.push((id, connection));
        Some(id)
    }

    /// A connection that the peer has dialled is gone.
    pub fn remove_inbound(&self, id: u64) {
        self.lock().inbound.retain(|(other, _)| *other != id);
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

    /// Whether the log lacks what the peer needs.
    pub fn needs_resync(&self) -> bool {
        self.lock().needs_resync()
    }

    /// Notes whether the peer lacks entries that the log no longer has.
    pub fn set_needs_resync(&self, needs_resync: bool) {
        self.lock().needs_resync = needs_resync;
    }

    /// Notes whether the log has forgotten what the peer has not acknowledged.
    pub fn set_log_lacks(&self, log_lacks: bool) {
        self.lock().log_lacks = log_lacks;
    }

    /// What the peer has durably applied.
    pub fn set_watermark(&self, partition: PartitionId, watermark: &VersionVector) {
        self.lock().watermarks[usize::from(partition.0)].clone_from(watermark);
    }

    /// What the peer has durably applied, as far as is known.
    #[must_use]
    pub fn watermark(&self, partition: PartitionId) -> VersionVector {
        self.lock().watermarks[usize::from(partition.0)].clone()
    }

    /// The peer has told its own time; none when a new connection begins.
    pub fn set_heard_ping(&self, ping: Option<Ping>) {
        self.lock().heard_ping = ping;
    }

    /// The last time that the peer has told of itself.
    #[must_use]
    pub fn heard_ping(&self) -> Option<Ping> {
        self.lock().heard_ping
    }

    /// The peer has told its vectors. The lag is taken first: what was there until now is on record then.
    pub fn heard<'a>(
        &self,
        now: Tick,
        silence_ms: u64,
        partitions: &PartitionBoard,
        vectors: impl Iterator<Item = (PartitionId, &'a VersionVector)>,
    ) {
        let mut inner = self.lock();
        inner.lag.measure(now, silence_ms, |partition, told| {
            partitions.lacking(partition, told)
        });
        inner.lag.heard(now, vectors);
        inner.suspicion.heard(now);
        inner.lag.measure(now, silence_ms, |partition, told| {
            partitions.lacking(partition, told)
        });
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

    /// What the region's health is judged by. `quarantine_ms` is how long a quarantine lasts after its cause.
    #[must_use]
    pub fn look(
        &self,
        partitions: &PartitionBoard,
        now: Tick,
        silence_ms: u64,
        quarantine_ms: u64,
    ) -> PeerInput {
        let mut inner = self.lock();
        let lag = inner.lag.measure(now, silence_ms, |partition, told| {
            partitions.lacking(partition, told)
        });
        inner.catch_up.observe(now, lag.changes);
        PeerInput {
            region: self.peer,
            is_paused: inner.is_paused || inner.is_paused_by_peer,
            quarantined_for_ms: inner
                .quarantine(now)
                .map(|quarantine| quarantine_ms.saturating_sub(quarantine.until.millis_since(now))),
            needs_resync: inner.needs_resync(),
            phi: inner.suspicion.phi(now),
            has_caught_up: lag.has_caught_up,
            lag_ms: lag.lag_ms,
            behind_changes: lag.changes,
        }
    }

    /// Whether the peer was heard of within `silence_ms`.
    #[must_use]
    pub fn is_heard(&self, now: Tick, silence_ms: u64) -> bool {
        self.lock()
            .lag
            .heard_at()
            .is_some_and(|at| now.millis_since(at) <= silence_ms)
    }

    /// The link as `status` shows it.
    #[must_use]
    pub fn view(&self, own: RegionId, partitions: &PartitionBoard, now: Tick, silence_ms: u64) -> PeerView {
        let vectors: Vec<VersionVector> = partitions
            .ids()
            .map(|partition| partitions.read(partition, |view| view.vector.clone()))
            .collect();
        let mut inner = self.lock();
        let lag = inner.lag.measure(now, silence_ms, |partition, told| {
            partitions.lacking(partition, told)
        });
        let own_changes = |vector: &VersionVector| -> VersionVector {
            vector.iter().filter(|dot| dot.replica.region == own).collect()
        };
        let pairs = vectors.iter().zip(&inner.watermarks);
        let backlog_changes = pairs
            .map(|(vector, mark)| own_changes(vector).changes_beyond(mark))
            .sum();
        let link = inner.state(now);
        PeerView {
            region: self.peer,
            state: peer_state(link, lag),
            link,
            rtt_ms: inner
                .outbound
                .as_ref()
                .map(|connection| connection.round_trip().as_secs_f64() * 1000.0),
            lag_ms: lag.lag_ms,
            behind_changes: lag.changes,
            catch_up_ms: inner.catch_up.remaining_ms(lag.changes),
            backlog_changes,
            phi: inner.suspicion.phi(now),
            certificate_expires: inner.certificate_expires,
            last_error: inner.last_error(now).cloned(),
        }
    }
}

impl Inner {
    fn needs_resync(&self) -> bool {
        self.needs_resync || self.log_lacks
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

    fn state(&self, now: Tick) -> LinkState {
        if self.is_paused || self.is_paused_by_peer {
            LinkState::Paused
        } else if self.quarantine(now).is_some() {
            LinkState::Quarantined
        } else if self.needs_resync() {
            LinkState::Resync
        } else if self.outbound.is_some() && !self.inbound.is_empty() {
            LinkState::Up
        } else {
            LinkState::Down
        }
    }
}

/// What a peer is worth, as far as its link tells.
fn peer_state(link: LinkState, lag: Lag) -> RegionState {
    match link {
        LinkState::Up if lag.changes == 0 => RegionState::Healthy,
        LinkState::Up => RegionState::Recovering,
        LinkState::Paused | LinkState::Quarantined | LinkState::Resync => RegionState::Degraded,
        LinkState::Down => RegionState::Unhealthy,
    }
}

#[cfg(test)]
#[path = "board_test.rs"]
mod tests;
