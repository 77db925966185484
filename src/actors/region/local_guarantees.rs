//! What a node can guarantee for its region.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::actors::error_chain;
use crate::actors::link::board::LinkBoard;
use crate::actors::link::peer_region::{self, PeerRegion};
use crate::actors::link::requests::{self, ForwardedAnswer, RequestError};
use crate::actors::partition::PartitionMessage;
use crate::actors::region::guarantees::{AtHome, Guarantees, NotHome, Reach};
use crate::actors::region::holding::{AskError, Asked, AskedInVain, Holding, InsideRequest};
use crate::actors::region::homes::check_home;
use crate::actors::region::local::LocalRegion;
use crate::actors::region::{RegionError, parts};
use crate::model::hlc::Hlc;
use crate::model::ids::{ClusterName, Key, Namespace, NodeId, PartitionId, RegionId};
use crate::model::mutation::{self, Mutation};
use crate::model::partition_set::PartitionSet;
use crate::model::placement::partition_of;
use crate::model::replication::leadership::RegionAnswers;
use crate::model::session::SessionToken;
use crate::model::vector::{Dot, VersionVector};
use crate::ports::store::Family;
use crate::wire::keys::meta;
use crate::wire::messages::ForwardedRequest;
use crate::wire::values;

/// How long what others have acknowledged may be on its way by itself before it is asked for.
const SHIPMENT_PATIENCE: Duration = Duration::from_millis(30);

impl LocalRegion {
    fn partitions_of(&self, reach: Reach) -> Vec<PartitionId> {
        match reach {
            Reach::Partition(partition) => vec![partition],
            Reach::All => self.parts.context.partitions.ids().collect(),
            Reach::These(part) => part.iter().collect(),
        }
    }

    /// What others besides this region have applied, of as many as make a majority with it.
    async fn ask_others(&self, reach: Reach) -> Vec<(RegionId, BTreeMap<PartitionId, VersionVector>)> {
        let asked = match reach {
            Reach::Partition(partition) => vec![partition],
            Reach::All => Vec::new(),
            Reach::These(part) => part.iter().collect(),
        };
        let wanted = peer_region::majority(&self.parts.context.peers) - 1;
        let context = &self.parts.context;
        let mut asking: FuturesUnordered<_> = context
            .peers
            .iter()
            .map(|peer| {
                let asked = asked.clone();
                let reached = self.partitions_of(reach);
                async move { (peer.region(), ask_region(peer, asked, reached).await) }
            })
            .collect();
        let mut answers = Vec::new();
        while answers.len() < wanted {
            match asking.next().await {
                Some(answer) => answers.push(answer),
                None => break, // No other regions: `wanted` is 0 then.
            }
        }
        answers
    }

    /// Waits until it is sure that the region has given out a stamp, so that all it was given to is here: that of a partition that
    /// this node does not hold it never applies itself.
    async fn wait_for_own_stamp(&self, own: Hlc) {
        let partitions = &self.parts.context.partitions;
        let groups = self.parts.groups.as_ref();
        let Some(groups) = groups.filter(|_| !self.not_held(Reach::All).is_empty()) else {
            return partitions.wait_for_own_stamp(own).await;
        };
        // `>`: up to it everything is known to have been made.
        while own > partitions.own_through() && own > groups.own_through_anywhere().await {
            tokio::time::sleep(SHIPMENT_PATIENCE).await;
        }
    }

    /// Waits until a partition has applied a vector, and asks for what does not come by itself.
    async fn catch_up(&self, partition: PartitionId, holders: &BTreeMap<RegionId, VersionVector>) {
        let context = &self.parts.context;
        let mut wanted = VersionVector::new();
        for vector in holders.values() {
            wanted.merge(vector);
        }
        loop {
            let waiting = context
                .partitions
                .wait_until(partition, |view| view.vector.covers_all(&wanted));
            if tokio::time::timeout(SHIPMENT_PATIENCE, waiting).await.is_ok() {
                return;
            }
            for (holder, vector) in holders {
                // Only a leader may fetch, and judge what it lacks; the others get it from there.
                if !context.groups.leads(partition) {
                    continue;
                }
                let message = PartitionMessage::CatchUp {
                    holder: *holder,
                    vector: vector.clone(),
                };
                self.parts.partitions[usize::from(partition.0)].send(message);
            }
        }
    }
}

/// What a region has applied: its nodes are asked, and each answers for what it leads, until all that was asked for is
/// answered. A node that hangs keeps nobody waiting that is answered by another; the caller bounds the time.
async fn ask_region(
    region: &PeerRegion,
    asked: Vec<PartitionId>,
    reached: Vec<PartitionId>,
) -> BTreeMap<PartitionId, VersionVector> {
    let ask = |link: Arc<LinkBoard>, pause: Duration| {
        let asked = asked.clone();
        async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let answer = match link.outbound() {
                Some(connection) => requests::ask_vectors(&connection, asked).await.ok(),
                None => None,
            };
            (link, answer)
        }
    };
    let mut answers = RegionAnswers::new(reached);
    let links = region.links().iter();
    let mut asking: FuturesUnordered<_> = links.map(|link| ask(Arc::clone(link), Duration::ZERO)).collect();
    while let Some((link, answer)) = asking.next().await {
        if let Some((leads, vectors)) = answer {
            answers.take(&leads, vectors);
            if answers.is_complete() {
                break;
            }
        }
        // The link may come back while the client waits, or the leadership come to the node.
        asking.push(ask(link, SHIPMENT_PATIENCE));
    }
    answers.into_vectors()
}

fn note_all(token: &mut SessionToken, stamps: &BTreeMap<RegionId, Hlc>) {
    for (region, stamp) in stamps {
        token.note(*region, *stamp);
    }
}

#[async_trait]
impl Holding for LocalRegion {
    fn partitions(&self) -> PartitionSet {
        PartitionSet::all(self.parts.context.identity.partitions)
    }

    fn not_held(&self, reach: Reach) -> PartitionSet {
        parts::not_held(&self.parts.context, reach)
    }

    fn holding(&self, reach: Reach) -> Option<u64> {
        parts::holding(&self.parts.context, reach)
    }

    async fn leader_inside(&self, partition: PartitionId) -> Result<NodeId, RegionError> {
        match &self.parts.groups {
            Some(groups) => groups.leader_of(partition).await,
            None => Ok(self.parts.context.identity.node),
        }
    }

    fn holders(&self, partition: PartitionId) -> Vec<NodeId> {
        let groups = self.parts.groups.as_ref();
        groups.map(|groups| groups.holders(partition)).unwrap_or_default()
    }

    fn cover(
        &self,
        wanted: PartitionSet,
        in_vain: &AskedInVain,
    ) -> Result<BTreeMap<NodeId, PartitionSet>, Box<PartitionSet>> {
        let groups = self.parts.groups.as_ref().ok_or(wanted)?;
        groups.cover(wanted, in_vain)
    }

    async fn ask_node(
        &self,
        node: NodeId,
        inside: InsideRequest,
        patience: Duration,
    ) -> Asked<ForwardedAnswer> {
        match &self.parts.groups {
            Some(groups) => groups.ask_request(node, inside, patience).await,
            None => Err(AskError {
                why: "this node has its region to itself".to_owned(),
                may_have_been_done: false,
                is_late: false,
            }),
        }
    }
}

#[async_trait]
impl Guarantees for LocalRegion {
    fn cluster(&self) -> (ClusterName, Vec<RegionId>) {
        let context = &self.parts.context;
        let mut regions: Vec<RegionId> = context.peers.iter().map(|peer| peer.region()).collect();
        regions.push(context.identity.region);
        (context.identity.cluster, regions)
    }

    fn reach(&self, namespace: &Namespace, key: &Key) -> Reach {
        Reach::Partition(partition_of(
            namespace,
            key,
            self.parts.context.identity.partitions,
        ))
    }

    fn leader(&self, reach: Reach) -> Option<NodeId> {
        let groups = &self.parts.context.groups;
        match reach {
            Reach::Partition(partition) if !groups.is_alone() => groups.leader(partition),
            Reach::Partition(_) | Reach::All | Reach::These(_) => None,
        }
    }

    async fn wait_for_session(&self, reach: Reach, token: &SessionToken) {
        if mutation::is_on(Mutation::IgnoreSession) {
            return;
        }
        let context = &self.parts.context;
        let own = token.stamp(context.identity.region);
        // Another node of the region may have made them.
        while own > Hlc::ZERO && self.catch_up_with_region(reach).await.is_err() {
            tokio::time::sleep(SHIPMENT_PATIENCE).await;
        }
        // Its own changes are here, unless it has never made them: the token is of a life whose end was lost, or made up.
        self.wait_for_own_stamp(own).await;
        for partition in self.partitions_of(reach) {
            context
                .partitions
                .wait_until(partition, |view| view.covers(token, context.identity.region))
                .await;
        }
    }

    fn lacking_of_session(&self, reach: Reach, token: &SessionToken) -> Vec<RegionId> {
        let context = &self.parts.context;
        let partitions = self.partitions_of(reach);
        let is_lacking = |region: RegionId, stamp| {
            partitions.iter().any(|partition| {
                context
                    .partitions
                    .read(*partition, |view| view.through(region) < stamp)
            })
        };
        token
            .iter()
            .filter(|(region, stamp)| match *region == context.identity.region {
                true => *stamp > context.partitions.own_through(),
                false => is_lacking(*region, *stamp),
            })
            .map(|(region, _)| region)
            .collect()
    }

    fn seen(&self, reach: Reach) -> Result<SessionToken, RegionError> {
        let mut token = SessionToken::default();
        let context = &self.parts.context;
        for partition in self.partitions_of(reach) {
            context
                .partitions
                .read(partition, |view| note_all(&mut token, &view.stamps));
            // A group shows in reads as soon as it is in the store, and on the board a moment later. The state is written
            // with the rows, so what is stored now covers what was read before.
            if mutation::is_on(Mutation::TokenFromBoard) {
                continue;
            }
            let internal = |error: &dyn std::error::Error| RegionError::Internal(error_chain(error));
            let stored = context.store.get(Family::Meta, &meta::partition_state(partition));
            if let Some(stored) = stored.map_err(|error| internal(&error))? {
                let state = values::decode_partition_state(&stored).map_err(|error| internal(&error))?;
                note_all(&mut token, &state.stamps);
            }
        }
        Ok(token)
    }

    fn staleness(&self, reach: Reach) -> Option<Duration> {
        let context = &self.parts.context;
        let now = context.clock.tick();
        if mutation::is_on(Mutation::UnderstateStaleness) {
            return Some(Duration::ZERO);
        }
        let mut oldest = now;
        for partition in self.partitions_of(reach) {
            for peer in &context.peers {
                let as_of = context
                    .partitions
                    .read(partition, |view| view.coverage.as_of(peer.region()))?;
                oldest = oldest.min(as_of);
            }
        }
        Some(now.after(oldest))
    }

    fn staleness_allowance(&self) -> Option<Duration> {
        let usual_ms = u64::try_from(self.parts.max_staleness.as_millis()).unwrap_or(u64::MAX);
        let allowed_ms = self.parts.context.health.staleness_allowance_ms(usual_ms);
        (usual_ms > 0).then(|| Duration::from_millis(allowed_ms))
    }

    async fn catch_up_with_region(&self, reach: Reach) -> Result<(), RegionError> {
        let Some(groups) = &self.parts.groups else {
            return Ok(());
        };
        let mut catching_up: FuturesUnordered<_> = self
            .partitions_of(reach)
            .into_iter()
            .map(|partition| groups.catch_up_with_leader(partition))
            .collect();
        while let Some(caught_up) = catching_up.next().await {
            caught_up?;
        }
        Ok(())
    }

    async fn catch_up_with_majority(&self, reach: Reach) {
        if mutation::is_on(Mutation::ReadAlone) {
            return;
        }
        let mut holders: BTreeMap<PartitionId, BTreeMap<RegionId, VersionVector>> = BTreeMap::new();
        for (peer, vectors) in self.ask_others(reach).await {
            for (partition, vector) in vectors {
                // A peer may name what does not exist.
                if self.partitions_of(reach).contains(&partition) {
                    holders.entry(partition).or_default().insert(peer, vector);
                }
            }
        }
        for (partition, holders) in holders {
            self.catch_up(partition, &holders).await;
        }
    }

    async fn wait_for_majority(&self, reach: Reach) {
        let context = &self.parts.context;
        for shipper in self.parts.shippers.iter() {
            shipper.ship_now();
        }
        if mutation::is_on(Mutation::AnswerBeforeMajority) {
            return;
        }
        let own = context.identity.replica;
        for partition in self.partitions_of(reach) {
            let seq = context.partitions.read(partition, |view| view.vector.get(&own));
            loop {
                let mut acknowledged = std::pin::pin!(context.acknowledged.notified());
                // Before the look: an acknowledgement after it is not missed.
                acknowledged.as_mut().enable();
                let change = Dot { replica: own, seq };
                let count = 1 + peer_region::count_with(&context.peers, partition, &change);
                if count >= peer_region::majority(&context.peers) {
                    break;
                }
                acknowledged.await;
            }
        }
    }

    fn is_believable(&self, token: &SessionToken) -> bool {
        let context = &self.parts.context;
        let now = context.clock.now();
        token
            .highest()
            .is_none_or(|stamp| context.hybrid_clock.check(now, stamp).is_ok())
    }

    fn observe(&self, token: &SessionToken) {
        // It was checked against the drift before it was waited for; time may have been set back since.
        if let Some(stamp) = token.highest() {
            self.parts.context.hybrid_clock.restore(stamp);
        }
    }

    fn writes_at_home(&self, namespace: &Namespace) -> bool {
        self.parts.context.namespaces.get(namespace).writes_at_home
    }

    fn at_home(&self, namespace: &Namespace, reach: Reach) -> Result<AtHome, NotHome> {
        let context = &self.parts.context;
        if self.parts.groups.is_some() {
            // Before the look: if it changes in between, that shows when it is looked at again.
            let version = context.namespaces.version(namespace);
            check_home(context, namespace, reach)?;
            return Ok(AtHome::By(version));
        }
        check_home(context, namespace, reach)?;
        let guard = context.homes.enter(namespace);
        // Once more: a hand-over that begins after this look waits for the guard.
        check_home(context, namespace, reach)?;
        Ok(AtHome::Held(guard))
    }

    async fn catch_up_with_configuration(&self, namespace: &Namespace) -> Result<(), RegionError> {
        let partition = self.parts.context.home_partition(namespace);
        self.catch_up_with_region(Reach::Partition(partition)).await
    }

    async fn is_still_home(&self, namespace: &Namespace, at_home: &AtHome) -> Result<bool, RegionError> {
        let AtHome::By(version) = at_home else {
            return Ok(true);
        };
        self.catch_up_with_configuration(namespace).await?;
        // Not whether it is the home: it may have been moved away and back, with writes elsewhere in between.
        Ok(self.parts.context.namespaces.version(namespace) == *version)
    }

    async fn forward(
        &self,
        region: RegionId,
        request: ForwardedRequest,
        patience: Duration,
    ) -> Option<Result<ForwardedAnswer, RequestError>> {
        let connection = self.parts.context.connection(&region)?;
        Some(requests::forward(&connection, request, patience).await)
    }
}

#[cfg(test)]
#[path = "local_guarantees_test.rs"]
mod tests;
