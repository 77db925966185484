//! What heartbeats of a peer say: what it has durably applied, what it promises, and what it can be asked for.

use std::collections::{BTreeMap, BTreeSet};

use crate::actors::link::inbound::Inbound;
use crate::actors::partition::PartitionMessage;
use crate::model::coverage::Said;
use crate::model::hlc::Hlc;
use crate::model::ids::{PartitionId, RegionId};
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
    /// A heartbeat: what the peer has durably applied.
    pub(super) fn heard(
        &self,
        peer: RegionId,
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
        let Some(link) = self.context.link(&peer) else {
            return Ok(());
        };
        link.heard(
            self.context.clock.tick(),
            self.context.silence_ms(),
            &self.context.partitions,
            vectors.iter().map(|(partition, vector)| (*partition, vector)),
        );
        for shipper in self.shippers.iter().filter(|shipper| shipper.peer() == peer) {
            shipper.peer_advanced(vectors.clone());
        }
        told.vectors.extend(vectors);
        link.set_heard_ping(Some(promise.own));
        self.take_promise(peer, promise, told);
        self.catch_up_through(peer, told);
        Ok(())
    }

    /// What a heartbeat says of all partitions, changed or not.
    fn take_promise(&self, peer: RegionId, promise: &Promise, told: &Told) {
        let is_ours = |ping: &Ping| ping.life == self.context.life;
        let after = promise
            .heard
            .filter(is_ours)
            .map(|ping| Tick::from_micros(ping.tick));
        for partition in self.context.partitions.ids() {
            let of_peer = told
                .vectors
                .get(&partition)
                .into_iter()
                .flat_map(VersionVector::iter);
            let said = Said {
                vector: of_peer.filter(|dot| dot.replica.region == peer).collect(),
                through: (!promise.busy.contains(&partition)).then_some(promise.through),
                after,
            };
            self.context.partitions.update(partition, |view| {
                view.coverage.hear(peer, said, &view.vector);
            });
        }
    }

    /// What the peer has of regions whose own link brings nothing is taken from the peer instead; so are the peer's own
    /// changes when the lanes do not bring them; and the peer's knowledge of this region's own changes shows whether
    /// this node has lost some.
    fn catch_up_through(&self, peer: RegionId, told: &mut Told) {
        let now = self.context.clock.tick();
        let is_relayed = |dot: &Dot| {
            dot.replica.region == self.context.identity.region
                || (dot.replica.region != peer
                    && self.context.link(&dot.replica.region).is_none_or(|link| {
                        !link.is_paused_at_either_end()
                            && !link.is_quarantined(now)
                            && !link.is_heard(now, self.context.silence_ms())
                    }))
        };
        let is_quarantined = self
            .context
            .link(&peer)
            .is_some_and(|link| link.is_quarantined(now));
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
