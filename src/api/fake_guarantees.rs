//! What the region of the surface's tests guarantees: little, and always the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::actors::link::requests::{ForwardedAnswer, RequestError};
use crate::actors::region::{
    Asked, AskedInVain, AtHome, Guarantees, Holding, InsideRequest, NotHome, Reach, Region as _, RegionError,
};
use crate::api::fake_region::FakeRegion;
use crate::model::agreement::cover::cover;
use crate::model::hlc::Hlc;
use crate::model::ids::{ClusterName, Key, Namespace, NodeId, PartitionId, RegionId};
use crate::model::partition_set::PartitionSet;
use crate::model::session::SessionToken;
use crate::wire::messages::ForwardedRequest;

/// Of three nodes, of which this is the first.
#[async_trait]
impl Holding for FakeRegion {
    fn partitions(&self) -> PartitionSet {
        [PartitionId(0), PartitionId(1)].into_iter().collect()
    }

    fn not_held(&self, reach: Reach) -> PartitionSet {
        let not_held = self.faults().not_held;
        match reach {
            Reach::All => not_held,
            Reach::Partition(partition) => not_held.and(&[partition].into_iter().collect()),
            Reach::These(part) => not_held.and(&part),
        }
    }

    fn holding(&self, reach: Reach) -> Option<u64> {
        self.not_held(reach).is_empty().then_some(0)
    }

    async fn leader_inside(&self, _: PartitionId) -> Result<NodeId, RegionError> {
        let leader = self.faults().leader;
        leader.ok_or_else(|| RegionError::Unavailable {
            reason: "too few nodes are heard".to_owned(),
            outcome_unknown: false,
        })
    }

    fn holders(&self, _: PartitionId) -> Vec<NodeId> {
        ["us-east-2", "us-east-3"]
            .map(|name| name.parse().unwrap())
            .to_vec()
    }

    fn cover(
        &self,
        wanted: PartitionSet,
        in_vain: &AskedInVain,
    ) -> Result<BTreeMap<NodeId, PartitionSet>, Box<PartitionSet>> {
        let holders = |partition| {
            let mut holders = self.holders(partition);
            holders.retain(|node| !in_vain.contains(&(*node, partition)));
            holders
        };
        cover(wanted, holders)
    }

    async fn ask_node(&self, node: NodeId, inside: InsideRequest, _: Duration) -> Asked<ForwardedAnswer> {
        self.asked_nodes().push((node, inside));
        let answer = self.faults().nodes_answer.pop_front();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Guarantees for FakeRegion {
    fn cluster(&self) -> (ClusterName, Vec<RegionId>) {
        let regions = ["us-east", "eu-west"];
        (
            "test".parse().unwrap(),
            regions.map(|name| name.parse().unwrap()).to_vec(),
        )
    }

    fn reach(&self, _: &Namespace, _: &Key) -> Reach {
        Reach::Partition(PartitionId(0))
    }

    fn leader(&self, reach: Reach) -> Option<NodeId> {
        match reach {
            Reach::Partition(_) => self.faults().leader,
            Reach::All | Reach::These(_) => None,
        }
    }

    /// The peer's changes up to stamp 1000 are here, and the own ones up to the last that was made.
    async fn wait_for_session(&self, reach: Reach, token: &SessionToken) {
        if !self.lacking_of_session(reach, token).is_empty() {
            std::future::pending::<()>().await;
        }
    }

    fn lacking_of_session(&self, _: Reach, token: &SessionToken) -> Vec<RegionId> {
        let last = |region: RegionId| match region == self.region() {
            true => self.last_stamp(),
            false => 1000,
        };
        let is_lacking = |(region, stamp): &(RegionId, Hlc)| stamp.0 > last(*region);
        token
            .iter()
            .filter(is_lacking)
            .map(|(region, _)| region)
            .collect()
    }

    fn seen(&self, _: Reach) -> Result<SessionToken, RegionError> {
        Ok(SessionToken::from_iter([(self.region(), Hlc(self.last_stamp()))]))
    }

    fn staleness(&self, _: Reach) -> Option<Duration> {
        Some(Duration::from_millis(40))
    }

    fn staleness_allowance(&self) -> Option<Duration> {
        self.faults().staleness_allowance
    }

    /// The peer never answers.
    async fn catch_up_with_region(&self, _: Reach) -> Result<(), RegionError> {
        Ok(())
    }

    async fn catch_up_with_majority(&self, _: Reach) {
        std::future::pending::<()>().await;
    }

    async fn wait_for_majority(&self, _: Reach) {
        std::future::pending::<()>().await;
    }

    fn is_believable(&self, token: &SessionToken) -> bool {
        token.highest() != Some(Hlc(u64::MAX))
    }

    fn observe(&self, _: &SessionToken) {}

    fn writes_at_home(&self, namespace: &Namespace) -> bool {
        self.configuration_of(namespace)
            .is_some_and(|configuration| configuration.writes_at_home)
    }

    fn at_home(&self, namespace: &Namespace, _: Reach) -> Result<AtHome, NotHome> {
        let configured = self.configuration_of(namespace);
        match configured.and_then(|configuration| configuration.home_region) {
            None => Err(NotHome::None(namespace.clone())),
            Some(home) if home != self.region() => Err(NotHome::Elsewhere {
                namespace: namespace.clone(),
                home,
            }),
            Some(_) if self.faults().has_others => Ok(AtHome::By(None)),
            Some(_) => Ok(AtHome::Held(Arc::new(()))),
        }
    }

    async fn catch_up_with_configuration(&self, _: &Namespace) -> Result<(), RegionError> {
        Ok(())
    }

    async fn is_still_home(&self, _: &Namespace, _: &AtHome) -> Result<bool, RegionError> {
        Ok(!self.loses_home())
    }

    async fn forward(
        &self,
        region: RegionId,
        request: ForwardedRequest,
        _: Duration,
    ) -> Option<Result<ForwardedAnswer, RequestError>> {
        let answer = self.faults().peer_answers.clone()?;
        self.passed_on().push((region, request));
        Some(Ok(answer))
    }
}
