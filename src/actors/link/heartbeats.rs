//! What heartbeats of a node say: what it has durably applied, what it promises, and what it can be asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::actors::link::inbound::{Inbound, Peer};
use crate::actors::link::leading;
use crate::actors::link::peer_region::PeerRegion;
use crate::actors::partition::PartitionMessage;
use crate::model::coverage::Said;
use crate::model::hlc::Hlc;
use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::raft::Term;
use crate::model::replication::leadership::{Leads, LossWatch};
use crate::model::tick::Tick;
use crate::model::vector::{Dot, VersionVector};
use crate::wire::codec::DecodeError;
use crate::wire::messages::Ping;

/// What a peer has told on one connection.
#[derive(Default)]
pub(super) struct Told {
    vectors: BTreeMap<PartitionId, VersionVector>,
    /// What the node leads; none before its first heartbeat.
    leads: Option<Arc<Leads>>,
    stuck: Stuck,
    losses: LossWatch,
}

/// Since when a peer's own changes are lacking without any of them coming in: of each partition, what was applied then.
#[derive(Default)]
struct Stuck(BTreeMap<PartitionId, (Tick, VersionVector)>);

impl Stuck {
    fn clear(&mut self, partition: PartitionId) {
        self.0.remove(&partition);
    }

    fn is_stuck(
        &mut self,
        partition: PartitionId,
        lacking: &[Dot],
        applied: &VersionVector,
        now: Tick,
    ) -> bool {
        if lacking.is_empty() {
            self.0.remove(&partition);
            return false;
        }
        let of_peer: VersionVector = lacking
            .iter()
            .map(|dot| Dot {
                replica: dot.replica,
                seq: applied.get(&dot.replica),
            })
            .collect();
        let (since, seen) = self.0.entry(partition).or_insert_with(|| (now, of_peer.clone()));
        if *seen != of_peer {
            (*since, *seen) = (now, of_peer);
        }
        // `>=`: at exactly the limit it counts as stuck.
        now.millis_since(*since) >= limits::STUCK_AFTER_MS
    }
}

/// What a heartbeat promises.
pub(super) struct Promise {
    pub(super) through: Hlc,
    pub(super) busy: BTreeSet<PartitionId>,
    pub(super) own: Ping,
    pub(super) heard: Option<Ping>,
    /// None when it is what the node has told last on this connection.
    pub(super) leads: Option<Leads>,
}

impl Inbound {
    /// A heartbeat of a node: what it has durably applied.
    pub(super) fn heard(
        &self,
        peer: &Peer,
        vectors: Vec<(PartitionId, VersionVector)>,
        promise: &mut Promise,
        told: &mut Told,
    ) -> Result<(), DecodeError> {
        let count = self.context.identity.partitions.get();
        let named = vectors.iter().map(|(partition, _)| *partition);
        if named
            .chain(promise.leads.iter().flat_map(Leads::named))
            .any(|partition| partition.0 >= count)
        {
            return Err(DecodeError::new(
                "a heartbeat",
                "it names a partition that does not exist",
            ));
        }
        if let Some(leads) = promise.leads.take() {
            told.leads = Some(Arc::new(leads));
        }
        let Some(leads) = told.leads.clone() else {
            return Err(DecodeError::new(
                "a heartbeat",
                "the first one does not say what its node leads",
            ));
        };
        peer.region.heard(
            &peer.link,
            self.context.clock.tick(),
            self.context.silence_ms(),
            &self.context.partitions,
            vectors.iter().map(|(partition, vector)| (*partition, vector)),
        );
        // Before its shipper looks at it.
        let has_moved = peer.link.set_leads(Arc::clone(&leads));
        let node = peer.link.peer();
        for shipper in self.shippers.iter().filter(|shipper| shipper.peer() == node) {
            shipper.peer_advanced(vectors.clone());
        }
        if has_moved {
            self.leaders_changed(&peer.region);
        }
        told.vectors.extend(vectors);
        peer.link.set_heard_ping(Some(promise.own));
        self.take_promise(&peer.region, &leads, promise, told);
        self.catch_up_through(&peer.region, told);
        Ok(())
    }

    /// Leadership in a region has moved: what is shipped to which of its nodes is looked at anew.
    pub(super) fn leaders_changed(&self, region: &PeerRegion) {
        let region = region.region();
        for shipper in self
            .shippers
            .iter()
            .filter(|shipper| shipper.peer().region == region)
        {
            shipper.leaders_changed();
        }
    }

    /// What a heartbeat says of all partitions that its node leads, changed or not. This is the one place where the promises
    /// of a region's nodes become the region's promise.
    ///
    /// What must hold: the region's promise for a partition is what the partition's leader promises, so a node's counts only
    /// for the partitions that it leads. Another node may lack commits that the leader has made and acknowledged already.
    /// Neither the stamp that it names nor the moment at which it speaks then says anything of what is still to come, and a
    /// token or a bounded staleness that rests on it is broken. That the stamp outlives its leader is the business of those
    /// who elect (decision 0018), so the late word of one that was deposed does no harm; that it had everything at the moment
    /// at which it spoke is for itself to be sure of ([`leading`]). What a node says it has *applied* needs no such care: it
    /// is committed in its region, whoever tells of it.
    fn take_promise(&self, peer: &PeerRegion, leads: &Leads, promise: &Promise, told: &Told) {
        let is_ours = |ping: &Ping| ping.life == self.context.life;
        let after = promise
            .heard
            .filter(is_ours)
            .map(|ping| Tick::from_micros(ping.tick));
        let region = peer.region();
        for partition in self.context.partitions.ids() {
            if !leads.contains(partition) {
                continue;
            }
            let of_peer = told
                .vectors
                .get(&partition)
                .into_iter()
                .flat_map(VersionVector::iter);
            let said = Said {
                vector: of_peer.filter(|dot| dot.replica.region == region).collect(),
                through: (!promise.busy.contains(&partition)).then_some(promise.through),
                after,
            };
            self.context.partitions.update(partition, |view| {
                view.coverage.hear(region, said, &view.vector);
            });
        }
    }

    /// What the peer has of regions whose own link brings nothing is taken from the peer instead; so are the peer's own
    /// changes when the lanes do not bring them; and the peer's knowledge of this region's own changes shows whether
    /// this node has lost some. Only of what this node leads: all else comes from its leader.
    fn catch_up_through(&self, holder: &PeerRegion, told: &mut Told) {
        let now = self.context.clock.tick();
        let peer = holder.region();
        let is_relayed = |dot: &Dot| {
            dot.replica.region == self.context.identity.region
                || (dot.replica.region != peer
                    && self.context.peer(&dot.replica.region).is_none_or(|origin| {
                        !origin.is_paused_at_either_end()
                            && !origin.is_quarantined(now)
                            && !origin.is_heard(now, self.context.silence_ms())
                    }))
        };
        let is_quarantined = holder.is_quarantined(now);
        for (partition, vector) in &told.vectors {
            let Some(term) = leading::term(&self.context.groups, *partition) else {
                told.stuck.clear(*partition);
                told.losses.clear(*partition);
                continue;
            };
            let applied = self
                .context
                .partitions
                .read(*partition, |view| view.vector.clone());
            let of_peer = vector
                .iter()
                .filter(|dot| dot.replica.region == peer && !applied.covers(dot));
            let of_peer: Vec<Dot> = of_peer.collect();
            let is_stuck = told.stuck.is_stuck(*partition, &of_peer, &applied, now) && !is_quarantined;
            let lacking = vector
                .iter()
                .filter(|dot| !applied.covers(dot) && is_relayed(dot));
            let mut lacking =
                self.without_doubtful_losses(*partition, term, lacking.collect(), &mut told.losses);
            if is_stuck {
                lacking.merge(&of_peer.into_iter().collect());
            }
            if !lacking.is_empty() {
                let message = PartitionMessage::CatchUp {
                    holder: peer,
                    vector: lacking,
                };
                self.partitions[usize::from(partition.0)].send(message);
            }
        }
    }

    /// A partition that hears of changes of its own replica which it lacks stops, since its disk has lost them. Among several
    /// nodes it hears of them only when this one is sure to lead.
    fn without_doubtful_losses(
        &self,
        partition: PartitionId,
        term: Term,
        lacking: VersionVector,
        losses: &mut LossWatch,
    ) -> VersionVector {
        let own = self.context.identity.replica;
        // `>=`: earlier incarnations are other replicas, whose changes come back from the peers.
        let is_own =
            |dot: &Dot| dot.replica.region == own.region && dot.replica.incarnation >= own.incarnation;
        if self.context.groups.is_alone() {
            return lacking;
        }
        if !lacking.iter().any(|dot| is_own(&dot)) {
            losses.clear(partition);
            return lacking;
        }
        if losses.is_lost(partition, term, self.context.clock.tick()) {
            return lacking;
        }
        lacking.iter().filter(|dot| !is_own(dot)).collect()
    }
}

#[cfg(test)]
#[path = "heartbeats_test.rs"]
mod tests;
