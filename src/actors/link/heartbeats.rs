//! What heartbeats of a node say: what it has durably applied, what it promises, and what it can be asked for.

use std::collections::{BTreeMap, BTreeSet};

use crate::actors::link::inbound::{Inbound, Peer};
use crate::actors::link::peer_region::PeerRegion;
use crate::actors::partition::PartitionMessage;
use crate::model::coverage::Said;
use crate::model::hlc::Hlc;
use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::tick::Tick;
use crate::model::vector::{Dot, VersionVector};
use crate::wire::codec::DecodeError;
use crate::wire::messages::Ping;

/// What a peer has told on one connection.
#[derive(Default)]
pub(super) struct Told {
    vectors: BTreeMap<PartitionId, VersionVector>,
    stuck: Stuck,
}

/// Since when a peer's own changes are lacking without any of them coming in: of each partition, what was applied then.
#[derive(Default)]
struct Stuck(BTreeMap<PartitionId, (Tick, VersionVector)>);

impl Stuck {
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
}

impl Inbound {
    /// A heartbeat of a node: what it has durably applied.
    pub(super) fn heard(
        &self,
        peer: &Peer,
        vectors: Vec<(PartitionId, VersionVector)>,
        promise: &Promise,
        told: &mut Told,
    ) -> Result<(), DecodeError> {
        let count = self.context.identity.partitions.get();
        if vectors.iter().any(|(partition, _)| partition.0 >= count) {
            return Err(DecodeError::new(
                "a heartbeat",
                "it names a partition that does not exist",
            ));
        }
        peer.region.heard(
            &peer.link,
            self.context.clock.tick(),
            self.context.silence_ms(),
            &self.context.partitions,
            vectors.iter().map(|(partition, vector)| (*partition, vector)),
        );
        let node = peer.link.peer();
        for shipper in self.shippers.iter().filter(|shipper| shipper.peer() == node) {
            shipper.peer_advanced(vectors.clone());
        }
        told.vectors.extend(vectors);
        peer.link.set_heard_ping(Some(promise.own));
        self.take_promise(&peer.region, promise, told);
        self.catch_up_through(&peer.region, told);
        Ok(())
    }

    /// What a heartbeat says of all partitions, changed or not.
    fn take_promise(&self, peer: &PeerRegion, promise: &Promise, told: &Told) {
        let is_ours = |ping: &Ping| ping.life == self.context.life;
        let after = promise
            .heard
            .filter(is_ours)
            .map(|ping| Tick::from_micros(ping.tick));
        let region = peer.region();
        for partition in self.context.partitions.ids() {
            if !speaks_for_region(peer, partition) {
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
    /// this node has lost some.
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
            let applied = self
                .context
                .partitions
                .read(*partition, |view| view.vector.clone());
            let of_peer = vector
                .iter()
                .filter(|dot| dot.replica.region == peer && !applied.covers(dot));
            let of_peer: Vec<Dot> = of_peer.collect();
            let is_stuck = told.stuck.is_stuck(*partition, &of_peer, &applied, now) && !is_quarantined;
            let mut lacking: VersionVector = vector
                .iter()
                .filter(|dot| !applied.covers(dot) && is_relayed(dot))
                .collect();
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
}

/// Whether what a node of the region says of a partition is what the region says of it. This is the one place where the
/// promises of a region's nodes become the region's promise.
///
/// What must hold: the region's promise for a partition is what the partition's leader promises, so a node's counts only for
/// the partitions that it leads. Another node may lack commits that the leader has made and acknowledged already. Neither the
/// stamp that it names nor the moment at which it speaks then says anything of what is still to come, and a token or a bounded
/// staleness that rests on it is broken. That a promise outlives its leader is the business of those who elect (decision
/// 0018). What a node says it has *applied* needs no such care: it is committed in its region, whoever tells of it.
///
/// The only node of a region leads everything. Nodes do not tell yet what they lead; so where there are several no promise
/// counts, and whoever relies on one waits, which is slow and never wrong.
fn speaks_for_region(peer: &PeerRegion, _partition: PartitionId) -> bool {
    peer.links().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::link::peer_region::LinkSettings;
    use crate::model::ids::PartitionCount;
    use crate::ports::link::DialTarget;

    fn region_of(nodes: &[&str]) -> PeerRegion {
        let region = "eu-west".parse().unwrap();
        let target = |node: &&str| DialTarget {
            region,
            node: node.parse().unwrap(),
            address: "localhost:1".to_owned(),
        };
        let settings = LinkSettings {
            partitions: PartitionCount::new(1).unwrap(),
            heartbeat_ms: 200,
            is_paused: false,
        };
        PeerRegion::new(
            region,
            nodes.iter().map(target).collect(),
            settings,
            Tick::default(),
        )
    }

    #[test]
    fn a_node_that_may_not_lead_a_partition_promises_nothing_for_its_region() {
        let partition = PartitionId(0);
        assert!(speaks_for_region(&region_of(&["eu-west-1"]), partition));
        assert!(!speaks_for_region(
            &region_of(&["eu-west-1", "eu-west-2"]),
            partition
        ));
    }
}
