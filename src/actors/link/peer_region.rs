//! Another region as a node of this one sees it: the links to its nodes, and what these say together. Whoever means the
//! region asks here; only what belongs to one connection is asked of a node's [`LinkBoard`].
//!
//! A region is one replica, however many nodes it has, so it counts once wherever regions are counted, and what its nodes
//! say is put together so:
//!
//! - *Heard, and up*: while one of its nodes is. The region is silent when all of them are, so the least suspicion counts.
//! - *Watermarks and lag*: by all that any of its nodes has told. What one node has applied is committed by a majority of
//!   the region's nodes (decision 0018), so the region does not lose it.
//! - *Led*: each partition by the node that says so of the latest term. The only node leads everything, unless it says
//!   otherwise.
//! - *Paused, quarantined, in need of a resync*: as soon as one link is. An operator means the region, and a clock or a log
//!   that is wrong for one node keeps what that node leads from going on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::actors::board::PartitionBoard;
use crate::actors::link::board::{LinkBoard, LinkView};
use crate::actors::link::peer_node::PeerNode;
use crate::actors::region::{LinkState, PeerView, RegionState};
use crate::model::health::{PeerInput, middle_ms};
use crate::model::ids::{NodeId, PartitionCount, PartitionId, RegionId};
use crate::model::replication::catch_up::CatchUpRate;
use crate::model::replication::lag::{Lag, LagTracker};
use crate::model::replication::leadership::{self, Leads};
use crate::model::tick::Tick;
use crate::model::vector::{Dot, VersionVector};
use crate::ports::link::{Connection, DialTarget};

/// What the links to the nodes of a region begin with.
#[derive(Debug, Clone, Copy)]
pub struct LinkSettings {
    /// Partitions of the cluster.
    pub partitions: PartitionCount,
    /// How often each node is expected to send a heartbeat.
    pub heartbeat_ms: u64,
    /// An operator has paused the links to the region.
    pub is_paused: bool,
}

struct Inner {
    /// The log has forgotten what the region has not acknowledged, whether it was shipped or not.
    log_lacks: bool,
    lag: LagTracker,
    catch_up: CatchUpRate,
}

/// Another region, and the links to its nodes.
pub struct PeerRegion {
    region: RegionId,
    links: Vec<Arc<LinkBoard>>,
    is_paused: Arc<AtomicBool>,
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for PeerRegion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeerRegion({}, {} nodes)", self.region, self.links.len())
    }
}

impl PeerRegion {
    /// A region none of whose nodes was dialled yet; its links are in the order of `nodes`.
    ///
    /// # Panics
    /// When a node is of another region.
    #[must_use]
    pub fn new(region: RegionId, nodes: Vec<DialTarget>, settings: LinkSettings, now: Tick) -> Self {
        assert!(
            nodes.iter().all(|node| node.region == region),
            "a node of another region than {region}"
        );
        let is_paused = Arc::new(AtomicBool::new(settings.is_paused));
        let leads_untold = match nodes.len() {
            1 => Leads::All,
            _ => Leads::nothing(),
        };
        let link = |target| {
            let is_paused = Arc::clone(&is_paused);
            Arc::new(LinkBoard::new(
                target,
                settings.partitions,
                is_paused,
                settings.heartbeat_ms,
                leads_untold.clone(),
            ))
        };
        Self {
            region,
            links: nodes.into_iter().map(link).collect(),
            is_paused,
            inner: Mutex::new(Inner {
                log_lacks: false,
                lag: LagTracker::new(region, now),
                catch_up: CatchUpRate::default(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- getters

    /// Which region.
    #[must_use]
    pub fn region(&self) -> RegionId {
        self.region
    }

    /// The links to its nodes, in the order of the configuration.
    #[must_use]
    pub fn links(&self) -> &[Arc<LinkBoard>] {
        &self.links
    }

    /// The link to one of its nodes.
    #[must_use]
    pub fn link(&self, node: &NodeId) -> Option<&Arc<LinkBoard>> {
        self.links.iter().find(|link| link.peer().node == *node)
    }

    /// Which of the partitions the node of a link leads, as far as the region's nodes have told.
    #[must_use]
    pub fn led_by(
        &self,
        link: &LinkBoard,
        partitions: impl Iterator<Item = PartitionId>,
    ) -> Vec<PartitionId> {
        let told: Vec<Arc<Leads>> = self.links.iter().map(|link| link.leads()).collect();
        let is_led = |partition: &PartitionId| {
            let leader = leadership::leader(told.iter().map(Arc::as_ref), *partition);
            leader.is_some_and(|leader| std::ptr::eq(self.links[leader].as_ref(), link))
        };
        partitions.filter(is_led).collect()
    }

    /// Whether an operator of this region has paused the links to the region.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }

    /// Whether an operator has paused the links, here or there: then nothing takes a detour around them either, unless
    /// something else depends on it.
    #[must_use]
    pub fn is_paused_at_either_end(&self) -> bool {
        self.is_paused() || self.links.iter().any(|link| link.is_paused_by_peer())
    }

    /// Whether stamps are refused, here or there.
    #[must_use]
    pub fn is_quarantined(&self, now: Tick) -> bool {
        self.links.iter().any(|link| link.is_quarantined(now))
    }

    /// Whether the log lacks what the region needs.
    #[must_use]
    pub fn needs_resync(&self) -> bool {
        self.lock().log_lacks || self.links.iter().any(|link| link.needs_resync())
    }

    /// What the region has durably applied, as far as its nodes have told.
    #[must_use]
    pub fn watermark(&self, partition: PartitionId) -> VersionVector {
        let mut watermarks = self.links.iter().map(|link| link.watermark(partition));
        let mut merged = watermarks.next().unwrap_or_default();
        watermarks.for_each(|watermark| merged.merge(&watermark));
        merged
    }

    /// Whether the region was heard of within `silence_ms`.
    #[must_use]
    pub fn is_heard(&self, now: Tick, silence_ms: u64) -> bool {
        self.links.iter().any(|link| link.is_heard(now, silence_ms))
    }

    /// How far the region's clocks are ahead of this node's, by the heartbeats of those of its nodes that are heard: what
    /// a silent node has said of its clock is no longer true of this one. The middle of them, so that a region with many
    /// nodes has one voice among the regions.
    #[must_use]
    pub fn clock_ahead_ms(&self, now: Tick, silence_ms: u64) -> Option<i64> {
        let heard = self.links.iter().filter(|link| link.is_heard(now, silence_ms));
        middle_ms(heard.filter_map(|link| link.clock_ahead_ms()))
    }

    /// The connections to the region's nodes, for requests that any of them may answer which has `wanted`: best first, which
    /// is a node that is heard, and among those one that is known to have it.
    #[must_use]
    pub fn connections(
        &self,
        now: Tick,
        silence_ms: u64,
        partition: PartitionId,
        wanted: &Dot,
    ) -> Vec<Arc<dyn Connection>> {
        let worth = |link: &LinkBoard| {
            let has = link.watermark(partition).covers(wanted);
            (link.is_heard(now, silence_ms), has, link.is_up())
        };
        let usable = self.links.iter();
        let usable = usable.filter_map(|link| Some((worth(link), link.outbound()?)));
        let mut usable: Vec<_> = usable.collect();
        // Stable: of equals the first in the order of the configuration.
        usable.sort_by_key(|(worth, _)| std::cmp::Reverse(*worth));
        usable.into_iter().map(|(_, connection)| connection).collect()
    }

    /// A connection to the region, for requests: of a link that is up to a node that is heard, if there is one, since
    /// connections may stand for a while after their peer has gone. Whatever is asked is asked of the region, so the node
    /// must answer for the region or pass it on to the node that leads; a region of one node does. One that leads something is
    /// better than one that leads nothing, which may have been removed from the region.
    #[must_use]
    pub fn connection(&self, now: Tick, silence_ms: u64) -> Option<Arc<dyn Connection>> {
        let worth = |link: &LinkBoard| {
            let leads = *link.leads() != Leads::nothing();
            (link.is_heard(now, silence_ms), leads, link.is_up())
        };
        let usable = self
            .links
            .iter()
            .filter_map(|link| Some((worth(link), link.outbound()?)));
        // Of equals the last is the highest: reversed, the first in the order of the configuration.
        let best = usable.rev().max_by_key(|(worth, _)| *worth);
        best.map(|(_, connection)| connection)
    }

    fn views(&self, now: Tick) -> Vec<LinkView> {
        self.links.iter().map(|link| link.view(now)).collect()
    }

    // --- what happens

    /// Pauses or resumes the links to all nodes; pausing closes what they have dialled.
    pub fn set_paused(&self, is_paused: bool, own_region: RegionId) {
        self.is_paused.store(is_paused, Ordering::Release);
        if is_paused {
            let reason = format!("the link is paused by {own_region}");
            for link in &self.links {
                link.close_inbound(&reason);
            }
        }
    }

    /// Somebody has come who says that it is a node of the region and whom the configuration does not have: it has no link,
    /// so every link shows it.
    pub fn note_error(&self, error: &str) {
        for link in &self.links {
            link.note_error(error.to_owned(), false);
        }
    }

    /// Notes whether the log has forgotten what the region has not acknowledged.
    pub fn set_log_lacks(&self, log_lacks: bool) {
        self.lock().log_lacks = log_lacks;
    }

    /// A node of the region has told its vectors on `link`. The lag is taken first: what was there until now is on record
    /// then.
    pub fn heard<'a>(
        &self,
        link: &LinkBoard,
        now: Tick,
        silence_ms: u64,
        partitions: &PartitionBoard,
        vectors: impl Iterator<Item = (PartitionId, &'a VersionVector)>,
    ) {
        let mut inner = self.lock();
        inner.measure(now, silence_ms, partitions);
        inner.lag.heard(now, vectors);
        inner.measure(now, silence_ms, partitions);
        link.heard(now);
    }

    /// This process itself did not run for so long: the region's silence was none.
    pub fn forgive(&self, pause_ms: u64, now: Tick) {
        for link in &self.links {
            link.forgive(pause_ms, now);
        }
    }

    // --- what is shown

    /// What this region's health is judged by. `quarantine_ms` is how long a quarantine lasts after its cause.
    #[must_use]
    pub fn look(
        &self,
        partitions: &PartitionBoard,
        now: Tick,
        silence_ms: u64,
        quarantine_ms: u64,
    ) -> PeerInput {
        let views = self.views(now);
        let needs_resync = self.needs_resync();
        let mut inner = self.lock();
        let lag = inner.measure(now, silence_ms, partitions);
        inner.catch_up.observe(now, lag.changes);
        // The latest end: the cause that was seen last.
        let quarantined_until = views.iter().filter_map(|view| view.quarantined_until).max();
        PeerInput {
            region: self.region,
            is_paused: self.is_paused_at_either_end(),
            quarantined_for_ms: quarantined_until
                .map(|until| quarantine_ms.saturating_sub(until.millis_since(now))),
            needs_resync,
            phi: least_phi(&views),
            has_caught_up: lag.has_caught_up,
            lag_ms: lag.lag_ms,
            behind_changes: lag.changes,
        }
    }

    /// The region as `status` shows it. Its link is `up` when the link to one of its nodes is; what goes before that
    /// (`paused`, `quarantined`, `resync`) is shown as soon as it is true of one. Of several nodes the shortest round-trip
    /// time counts, and the certificate that expires first.
    #[must_use]
    pub fn view(&self, own: RegionId, partitions: &PartitionBoard, now: Tick, silence_ms: u64) -> PeerView {
        let backlog_changes = partitions
            .ids()
            .map(|partition| {
                let vector = partitions.read(partition, |view| view.vector.clone());
                let own_changes = vector.iter().filter(|dot| dot.replica.region == own);
                let own_changes: VersionVector = own_changes.collect();
                own_changes.changes_beyond(&self.watermark(partition))
            })
            .sum();
        let views = self.views(now);
        let link = self.state(&views);
        let mut inner = self.lock();
        let lag = inner.measure(now, silence_ms, partitions);
        let round_trip = views.iter().filter_map(|view| view.round_trip).min();
        PeerView {
            region: self.region,
            state: peer_state(link, lag),
            link,
            rtt_ms: round_trip.map(|time| time.as_secs_f64() * 1000.0),
            lag_ms: lag.lag_ms,
            behind_changes: lag.changes,
            catch_up_ms: inner.catch_up.remaining_ms(lag.changes),
            backlog_changes,
            phi: least_phi(&views),
            certificate_expires: views.iter().filter_map(|view| view.certificate_expires).min(),
            last_error: self.last_error(&views),
        }
    }

    fn state(&self, views: &[LinkView]) -> LinkState {
        if self.is_paused_at_either_end() {
            LinkState::Paused
        } else if views.iter().any(|view| view.quarantined_until.is_some()) {
            LinkState::Quarantined
        } else if self.needs_resync() {
            LinkState::Resync
        } else if views.iter().any(|view| view.is_up) {
            LinkState::Up
        } else {
            LinkState::Down
        }
    }

    /// What all links say is said once; else each error has the name of its node before it.
    fn last_error(&self, views: &[LinkView]) -> Option<String> {
        let (first, others) = views.split_first()?;
        if others.iter().all(|view| view.last_error == first.last_error) {
            return first.last_error.clone();
        }
        let named = self.links.iter().zip(views).filter_map(|(link, view)| {
            let error = view.last_error.as_ref()?;
            Some(format!("{}: {error}", link.peer().node))
        });
        Some(named.collect::<Vec<_>>().join("; "))
    }
}

impl Inner {
    fn measure(&mut self, now: Tick, silence_ms: u64, partitions: &PartitionBoard) -> Lag {
        self.lag.measure(now, silence_ms, |partition, told| {
            partitions.lacking(partition, told)
        })
    }
}

/// How many of all regions, this one and its peers, are a majority.
#[must_use]
pub fn majority(peers: &[Arc<PeerRegion>]) -> usize {
    let regions = peers.len() + 1;
    regions / 2 + 1
}

/// How many of the regions have durably applied a change. Regions, not nodes: two nodes of one region have the same copy.
#[must_use]
pub fn count_with(peers: &[Arc<PeerRegion>], partition: PartitionId, change: &Dot) -> usize {
    let has = |peer: &&Arc<PeerRegion>| peer.watermark(partition).covers(change);
    peers.iter().filter(has).count()
}

/// All nodes of the regions.
pub fn nodes(peers: &[Arc<PeerRegion>]) -> impl Iterator<Item = PeerNode> + Clone + '_ {
    peers
        .iter()
        .flat_map(|peer| peer.links.iter().map(|link| link.peer()))
}

/// A region is as silent as the least silent of its nodes; one that was never heard says nothing of the others.
fn least_phi(views: &[LinkView]) -> Option<f64> {
    views.iter().filter_map(|view| view.phi).reduce(f64::min)
}

/// What a peer is worth, as far as its links tell.
fn peer_state(link: LinkState, lag: Lag) -> RegionState {
    match link {
        LinkState::Up if lag.changes == 0 => RegionState::Healthy,
        LinkState::Up => RegionState::Recovering,
        LinkState::Paused | LinkState::Quarantined | LinkState::Resync => RegionState::Degraded,
        LinkState::Down => RegionState::Unhealthy,
    }
}

#[cfg(test)]
#[path = "peer_region_test.rs"]
mod tests;
