//! Handing a group to the member that should lead it: before this node stops, and when that member is back.
//!
//! The leader takes nothing new, waits until openraft's own rule lets others vote, frees everybody from their promises, and
//! asks the next one to stand for election. It relies on no promise in this leadership any more, whatever comes of it.

use std::sync::Arc;
use std::time::Duration;

use crate::actors::group::hub::RegionGroups;
use crate::agreement::{Group, GroupNetwork as _, VOTE_PATIENCE_MS};
use crate::model::agreement::{Epoch, MemberId};
use crate::model::ids::{NodeId, PartitionId};
use crate::wire::group::{GroupAnswer, GroupRequest};

/// How long others may take to hear of it.
const YIELD_PATIENCE: Duration = Duration::from_millis(300);
/// How long the next one may take to be elected.
const ELECTION_PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(10);

/// Hands a group over; where the next one is not elected, any other may be, this node included.
pub(super) async fn hand_over(hub: Arc<RegionGroups>, group: Group, next: MemberId) {
    let partition = group.partition();
    let Some(epoch) = hub.begin_to_yield(partition) else {
        return;
    };
    tokio::time::sleep(Duration::from_millis(VOTE_PATIENCE_MS + 10)).await;
    hub.set_free(partition, epoch);
    let others: Vec<MemberId> = hub
        .members_of(partition)
        .into_iter()
        .filter(|member| *member != hub.own && *member != next)
        .collect();
    let telling = others
        .into_iter()
        .map(|member| tell(&hub, member, partition, epoch, next.node));
    futures_util::future::join_all(telling).await;
    // Last: it stands at once, and needs their votes.
    tell(&hub, next, partition, epoch, next.node).await;
    let deadline = tokio::time::Instant::now() + ELECTION_PATIENCE;
    while hub.leads_in(partition, epoch) {
        if tokio::time::Instant::now() > deadline {
            let region = hub.context.identity.region;
            tracing::info!(%region, %partition, next = %next.node, "the partition was not handed over; whoever can leads it next");
            // In this leadership it has no leases any more.
            if !group.step_down(next).await {
                hub.resume(&group, epoch);
            }
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn tell(hub: &RegionGroups, member: MemberId, partition: PartitionId, epoch: Epoch, next: NodeId) {
    let request = GroupRequest::Yield { epoch, next };
    // Who does not hear of it is bound for a second more.
    let _ = hub.ask(member, partition, request, YIELD_PATIENCE).await;
}

impl RegionGroups {
    /// A leader has given up a group.
    pub(super) async fn answer_yield(
        &self,
        partition: PartitionId,
        epoch: Epoch,
        next: NodeId,
    ) -> GroupAnswer {
        self.set_free(partition, epoch);
        if next == self.own.node
            && let Some(group) = self.group(partition)
            && self.may_vote(partition, self.candidacy(partition))
            && group.stand().await.is_err()
        {
            self.voted(partition, false);
        }
        GroupAnswer::Freed
    }
}
