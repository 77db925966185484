//! Pausing and resuming the links to a region: what operators have decided, on this node's disk and in force on its links. In a
//! region of several nodes the others are told, by `actors/group`.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{oneshot, watch};

use crate::actors::context::NodeContext;
use crate::actors::link::shipper::ShipperHandle;
use crate::model::ids::RegionId;
use crate::model::pauses::{LinkPause, LinkPauses};
use crate::ports::store::{Durability, Family, StoreError, WriteSet};
use crate::wire::keys::meta;
use crate::wire::pauses::encode_pause;

/// The decisions that this node knows of.
pub struct PauseDesk {
    known: Mutex<LinkPauses>,
    changed: watch::Sender<u64>,
    shippers: OnceLock<Arc<[ShipperHandle]>>,
}

impl std::fmt::Debug for PauseDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PauseDesk({:?})", self.lock())
    }
}

impl PauseDesk {
    /// With what was stored, which the links began with.
    #[must_use]
    pub fn new(known: LinkPauses) -> Self {
        Self {
            known: Mutex::new(known),
            changed: watch::Sender::new(0),
            shippers: OnceLock::new(),
        }
    }

    /// Who ships over the links. Only the first call counts.
    pub fn connect(&self, shippers: Arc<[ShipperHandle]>) {
        let _ = self.shippers.set(shippers);
    }

    fn lock(&self) -> MutexGuard<'_, LinkPauses> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that is known, to tell others.
    #[must_use]
    pub fn all(&self) -> Vec<(RegionId, LinkPause)> {
        self.lock().all()
    }

    /// Counts the changes of what is known.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// An operator decides; in force at once. What is returned tells when it is on the disk.
    pub fn decide(
        &self,
        context: &NodeContext,
        region: RegionId,
        is_paused: bool,
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        // The lock keeps decisions in one order, on the disk too.
        let mut known = self.lock();
        let pause = known.decide(region, is_paused, context.clock.now(), context.identity.node);
        self.put_in_force(context, region, pause)
    }

    /// Another node of the region tells what it knows. What is new in it is in force at once; were it lost before it is on the disk,
    /// it would be told again.
    pub fn merge(&self, context: &NodeContext, told: Vec<(RegionId, LinkPause)>) {
        let mut known = self.lock();
        for (region, pause) in told {
            // By another configuration than this node's there may be more regions.
            if context.peer(&region).is_some() && known.take(region, pause) {
                drop(self.put_in_force(context, region, pause));
            }
        }
    }

    fn put_in_force(
        &self,
        context: &NodeContext,
        region: RegionId,
        pause: LinkPause,
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        let LinkPause { is_paused, stamp } = pause;
        tracing::info!(
            region = %context.identity.region, peer = %region, is_paused, asked = %stamp.node,
            "link paused or resumed by an operator"
        );
        let mut set = WriteSet::new();
        set.put(Family::Meta, &meta::paused_link(&region), &encode_pause(&pause));
        let (done, written) = oneshot::channel();
        let told = Box::new(move |result| drop(done.send(result)));
        context.committer.submit(set, Durability::Synced, told);
        if let Some(peer) = context.peer(&region) {
            peer.set_paused(is_paused, context.identity.region);
        }
        let shippers = self
            .shippers
            .get()
            .into_iter()
            .flat_map(|shippers| shippers.iter());
        for shipper in shippers.filter(|shipper| shipper.peer().region == region) {
            shipper.pause_changed();
        }
        self.changed.send_modify(|count| *count += 1);
        written
    }
}
