//! The members of the groups: how an operator changes the nodes of the region, and how the leaders of all groups follow. The
//! decisions are in [`crate::model::agreement::membership`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::actors::group::hub::RegionGroups;
use crate::actors::region::{NodeState, NodesView, RegionNodeView};
use crate::agreement::{ChangeError, Group};
use crate::model::agreement::{
    ChangeNodeError, GroupMembers, MemberId, Members, MembershipStep, NodeChange, NodeRole, REGION_GROUP,
};
use crate::model::ids::{NodeId, PartitionId};
use crate::model::mutation::{self, Mutation};
use crate::ports::store::Family;
use crate::wire::group::{GroupAnswer, GroupRequest};
use crate::wire::keys::raft;

/// Groups in which nodes learn at the same time: each may have to send a whole partition.
const LEARNING_MAX: usize = 4;
/// How long the leader of the region's group may take to change a node.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a node may take to say who is in the region: it may have to ask the leader.
const MEMBERS_PATIENCE: Duration = Duration::from_secs(2);
/// How long one step of one group may take.
const STEP_PATIENCE: Duration = Duration::from_secs(10);
/// How long all attempts may take together.
const CHANGE_DEADLINE: Duration = Duration::from_secs(25);
/// How long to wait before the next one is asked.
const LEADER_PAUSE: Duration = Duration::from_millis(100);

/// A step that this node takes now, in a group that it leads.
pub(super) struct Due {
    group: Group,
    step: MembershipStep,
}

impl RegionGroups {
    /// All members of a group.
    pub(super) fn members_of(&self, partition: PartitionId) -> Vec<MemberId> {
        let state = self.lock();
        let members = &state.groups[usize::from(partition.0)].members;
        members.nodes.keys().copied().collect()
    }

    /// What is to be done in the groups that this node leads; [`carry_out`] does it.
    pub(super) fn steps(&self) -> Vec<Due> {
        let (plan, led) = {
            let state = self.lock();
            let led = state
                .groups
                .iter()
                .filter(|group| group.is_led() && !group.change.is_under_way);
            let led: Vec<_> = led.map(|group| group.members.clone()).collect();
            (Arc::clone(&state.plan), led)
        };
        let (mut due, mut learning) = (Vec::new(), 0);
        for members in led {
            let partition = members.partition;
            let Some(group) = self.group(partition) else {
                continue;
            };
            if !self.context.groups.leads(partition) {
                continue;
            }
            let step = plan.next_step(self.own, &members, |member| {
                mutation::is_on(Mutation::VoteUnlearned) || group.is_abreast(member)
            });
            let is_vote = matches!(step, MembershipStep::Vote(_));
            if !is_vote {
                self.intend(partition, None);
            }
            let is_due = match &step {
                MembershipStep::None => false,
                MembershipStep::WaitFor(_) => {
                    learning += 1;
                    false
                }
                // `<`: so many at a time.
                MembershipStep::Learn(_) if learning < LEARNING_MAX => {
                    learning += 1;
                    true
                }
                MembershipStep::Learn(_) => false,
                MembershipStep::Vote(_) => true,
                // The region forgets a node when all groups have.
                MembershipStep::Forget(members) => partition != REGION_GROUP || !self.has_any_group(members),
            };
            if is_due {
                self.set_under_way(partition, true);
                due.push(Due { group, step });
            }
        }
        due
    }

    /// Whether any of these nodes is in another group than that of the region.
    fn has_any_group(&self, members: &BTreeSet<MemberId>) -> bool {
        let state = self.lock();
        let mut others = state
            .groups
            .iter()
            .filter(|group| group.members.partition != REGION_GROUP);
        others.any(|group| {
            members
                .iter()
                .any(|member| group.members.nodes.contains_key(member))
        })
    }

    fn intend(&self, partition: PartitionId, voters: Option<BTreeSet<MemberId>>) {
        let mut state = self.lock();
        let group = &mut state.groups[usize::from(partition.0)];
        if group.change.voters != voters {
            group.change.voters = voters;
            group.settle_voters();
        }
    }

    /// From now on what this leader promises, and the lease that it has, need these voters' agreement, too. Whether all that
    /// was promised before is known to them: only then may they decide alone.
    fn begin_vote(&self, partition: PartitionId, voters: &BTreeSet<MemberId>) -> bool {
        self.intend(partition, Some(voters.clone()));
        self.lock().groups[usize::from(partition.0)].is_promise_kept_by(voters)
    }

    fn set_under_way(&self, partition: PartitionId, is_under_way: bool) {
        self.lock().groups[usize::from(partition.0)].change.is_under_way = is_under_way;
    }

    // --- for operators

    /// Changes what a node is for, through whoever leads the region's group. What follows from it is done by the leaders of
    /// all groups, in their time.
    ///
    /// # Errors
    /// [`ChangeNodeError`].
    pub async fn change_node(&self, node: NodeId, change: NodeChange) -> Result<(), ChangeNodeError> {
        let changed = tokio::time::timeout(CHANGE_DEADLINE, self.try_change_node(node, change)).await;
        changed.unwrap_or_else(|_| {
            let text = format!("nobody has answered within {} s", CHANGE_DEADLINE.as_secs());
            Err(ChangeNodeError::Unknown(text))
        })
    }

    async fn try_change_node(&self, node: NodeId, change: NodeChange) -> Result<(), ChangeNodeError> {
        loop {
            let leader = self
                .leader_of(REGION_GROUP)
                .await
                .map_err(|error| ChangeNodeError::Unknown(error.to_string()))?;
            let changed = if leader == self.own.node {
                self.change_node_here(node, change).await
            } else {
                let request = GroupRequest::ChangeNode { node, change }.encode();
                let Some(mesh) = self.mesh.get() else {
                    return Err(ChangeNodeError::Unknown("the node starts".to_owned()));
                };
                let answer = mesh.call(leader, REGION_GROUP, request, CHANGE_PATIENCE).await;
                let answer = answer.map_err(|error| ChangeNodeError::Unknown(error.to_string()))?;
                match GroupAnswer::decode(&answer) {
                    Ok(GroupAnswer::NodeChanged(changed)) => Some(changed),
                    Ok(GroupAnswer::NotLeader(_)) => None,
                    _ => {
                        let text = format!("{leader} has answered something else than was asked");
                        return Err(ChangeNodeError::Unknown(text));
                    }
                }
            };
            if let Some(changed) = changed {
                return changed;
            }
            tokio::time::sleep(LEADER_PAUSE).await;
        }
    }

    pub(super) async fn answer_change(&self, node: NodeId, change: NodeChange) -> GroupAnswer {
        match self.change_node_here(node, change).await {
            Some(changed) => GroupAnswer::NodeChanged(changed),
            None => GroupAnswer::NotLeader(self.context.groups.leader(REGION_GROUP)),
        }
    }

    /// Who is in the region, if this node can say so for sure: as its leader, or when it has caught up with that.
    pub(super) async fn answer_members(&self) -> GroupAnswer {
        let members = match self.group(REGION_GROUP) {
            _ if self.context.groups.leads_by_lease(REGION_GROUP) => self.lock().plan.members().clone(),
            // The plan follows a moment later, and one that has just come has none.
            Some(group) if self.catch_up_with_leader(REGION_GROUP).await.is_ok() => {
                group.standing().members.nodes
            }
            _ => Members::new(),
        };
        // Who does not find itself among them knows nothing of them.
        if !members.contains_key(&self.own) {
            return GroupAnswer::NotLeader(self.context.groups.leader(REGION_GROUP));
        }
        GroupAnswer::Members(members)
    }

    /// Asks whether the region still has this node: whoever was away while it was removed hears of it from nobody. Those that
    /// it knows may have left as well, so whoever answers is asked, the leader first as far as it is known.
    pub(super) async fn check_membership(&self) {
        let leader = self.context.groups.leader(REGION_GROUP);
        let Some(mesh) = self.mesh.get() else { return };
        if leader == Some(self.own.node) {
            if self.context.groups.leads_by_lease(REGION_GROUP) {
                let members = self.lock().plan.members().clone();
                self.note_members(&members);
            }
            return;
        }
        let others = self.nodes.keys().copied();
        let others = others.filter(|node| *node != self.own.node && Some(*node) != leader);
        for node in leader.into_iter().chain(others) {
            let request = GroupRequest::Members.encode();
            if let Ok(answer) = mesh.call(node, REGION_GROUP, request, MEMBERS_PATIENCE).await
                && let Ok(GroupAnswer::Members(members)) = GroupAnswer::decode(&answer)
            {
                self.note_members(&members);
                return;
            }
        }
    }

    fn note_members(&self, members: &Members) {
        let is_expelled = !members.contains_key(&self.own) && !mutation::is_on(Mutation::ServeRemoved);
        let was_expelled = self.context.groups.expelled().is_some();
        self.context.groups.set_expelled(is_expelled);
        if is_expelled && !was_expelled {
            let region = self.context.identity.region;
            tracing::error!(%region, own = %self.own, "this node was removed from its region, and answers no more: stop it; to add it again, empty its data folder first");
        }
    }

    /// For a node that was added: waits until it has all that the region had when it came, so that it answers nothing older.
    /// Returns at once where it has a copy of every partition already.
    pub async fn catch_up(&self) {
        let region = self.context.identity.region;
        let lacks = |partition: &PartitionId| {
            let applied = self.context.store.get(Family::Raft, &raft::applied(*partition));
            applied.is_ok_and(|applied| applied.is_none())
        };
        let partitions = self.context.identity.partitions;
        if !self.founders.is_empty() || !partitions.ids().any(|partition| lacks(&partition)) {
            return;
        }
        tracing::info!(%region, "this node gets a copy of every partition, and serves when it has them");
        for partition in partitions.ids() {
            while let Err(error) = self.catch_up_with_leader(partition).await {
                tracing::info!(%region, %partition, %error, "getting a copy of a partition takes its time");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        tracing::info!(%region, "this node has a copy of every partition");
    }

    /// None where this node does not lead the region's group.
    async fn change_node_here(
        &self,
        node: NodeId,
        change: NodeChange,
    ) -> Option<Result<(), ChangeNodeError>> {
        let group = self.group(REGION_GROUP)?;
        if !self.context.groups.leads(REGION_GROUP) {
            return None;
        }
        let (member, role) = match self.role_after(node, change) {
            Ok(Some(change)) => change,
            Ok(None) => return Some(Ok(())),
            Err(error) => return Some(Err(error)),
        };
        match group.set_role(member, role).await {
            Ok(()) => {
                let region = self.context.identity.region;
                tracing::info!(%region, %member, %role, "a node of the region was changed");
                Some(Ok(()))
            }
            Err(ChangeError::NotLeader) => None,
            Err(ChangeError::UnderWay) => Some(Err(ChangeNodeError::UnderWay)),
            Err(ChangeError::Refused(why)) => Some(Err(ChangeNodeError::Unknown(why))),
        }
    }

    /// Which member is to get which role; none where it has it.
    fn role_after(
        &self,
        node: NodeId,
        change: NodeChange,
    ) -> Result<Option<(MemberId, NodeRole)>, ChangeNodeError> {
        let met = if node == self.own.node {
            Some(self.own.incarnation)
        } else {
            self.context.mesh.incarnation(&node)
        };
        let now = self.now();
        let state = self.lock();
        let members = state.plan.members();
        let found = members.iter().find(|(member, _)| member.node == node);
        let found = found.map(|(member, role)| (*member, *role));
        let (member, wanted) = match (change, found) {
            (NodeChange::Add, _) if !self.nodes.contains_key(&node) => {
                return Err(ChangeNodeError::NotConfigured(node));
            }
            (NodeChange::Add, Some((member, _))) if met.is_some_and(|met| met != member.incarnation) => {
                return Err(ChangeNodeError::OtherLife { member });
            }
            (NodeChange::Add, Some((member, _))) => (member, NodeRole::Active),
            (NodeChange::Add, None) => {
                let incarnation = met.ok_or(ChangeNodeError::NotReached(node))?;
                (MemberId { node, incarnation }, NodeRole::Active)
            }
            (NodeChange::Drain | NodeChange::Remove { .. }, None) => {
                return Err(ChangeNodeError::NotAMember(node));
            }
            (NodeChange::Drain, Some((member, _))) => (member, NodeRole::Drained),
            (NodeChange::Remove { .. }, Some((member, _))) => (member, NodeRole::Leaving),
        };
        if found.is_some_and(|(_, role)| role == wanted) {
            return Ok(None);
        }
        if wanted != NodeRole::Active {
            let gone = state.liveness.suspected(now);
            self.check_without(member, change, members, &gone)?;
        }
        Ok(Some((member, wanted)))
    }

    fn check_without(
        &self,
        member: MemberId,
        change: NodeChange,
        members: &Members,
        gone: &BTreeSet<MemberId>,
    ) -> Result<(), ChangeNodeError> {
        let node = member.node;
        let stays = |(other, role): &(&MemberId, &NodeRole)| **other != member && **role != NodeRole::Leaving;
        let left: Vec<MemberId> = members.iter().filter(stays).map(|(other, _)| *other).collect();
        if left.is_empty() {
            return Err(ChangeNodeError::LastNode(node));
        }
        let factor = self.factor.get();
        let silent: BTreeSet<NodeId> = left
            .iter()
            .filter(|other| gone.contains(other))
            .map(|other| other.node)
            .collect();
        let voters = left.len().min(factor);
        // The others of a majority of voters must be there: at most so many may be missing.
        if silent.len() > (voters - 1) / 2 {
            return Err(ChangeNodeError::TooManySilent { node, silent });
        }
        // One that is gone for good is no copy any more.
        if let NodeChange::Remove { fewer_copies: false } = change
            && left.len() < factor
            && !gone.contains(&member)
        {
            let left = left.len();
            return Err(ChangeNodeError::FewerCopies { node, left, factor });
        }
        Ok(())
    }
}

/// Takes a step.
pub(super) async fn carry_out(hub: Arc<RegionGroups>, due: Due) {
    let Due { group, step } = due;
    let partition = group.partition();
    let taking = async {
        match &step {
            MembershipStep::Learn(members) => group.learn(members.iter().copied()).await,
            MembershipStep::Vote(voters) => {
                if hub.begin_vote(partition, voters) {
                    group.set_voters(voters).await
                } else {
                    // They are told with the next signs of life.
                    Ok(())
                }
            }
            MembershipStep::Forget(members) => group.forget(members).await,
            MembershipStep::None | MembershipStep::WaitFor(_) => Ok(()),
        }
    };
    // Openraft leaves some of a leader that is deposed unanswered. What has become of it is seen in the next round.
    let done = tokio::time::timeout(STEP_PATIENCE, taking).await;
    let done = done.unwrap_or(Err(ChangeError::NotLeader));
    hub.set_under_way(partition, false);
    if let Err(error) = done {
        let region = hub.context.identity.region;
        tracing::info!(%region, %partition, %error, ?step, "the members of a group were not changed; trying again");
    }
}

impl RegionGroups {
    /// The nodes of the region, and how far the groups are on their way to what is wanted.
    #[must_use]
    pub fn nodes_view(&self) -> NodesView {
        let now = self.now();
        let (plan, groups, gone) = {
            let state = self.lock();
            let groups: Vec<GroupMembers> = state.groups.iter().map(|group| group.members.clone()).collect();
            (Arc::clone(&state.plan), groups, state.liveness.suspected(now))
        };
        let leaders: Vec<Option<NodeId>> = groups
            .iter()
            .map(|group| self.context.groups.leader(group.partition))
            .collect();
        let count = |holds: &dyn Fn(&GroupMembers) -> bool| {
            let found = groups.iter().filter(|group| holds(group)).count();
            u16::try_from(found).unwrap_or(u16::MAX)
        };
        let view_of = |node: NodeId, member: Option<(MemberId, NodeRole)>| {
            let leads = leaders.iter().filter(|leader| **leader == Some(node)).count();
            let is_connected = || {
                let view = self.context.mesh.view(&node, now);
                view.is_some_and(|view| view.down.is_none())
            };
            let silent = member.is_some_and(|(member, _)| gone.contains(&member));
            RegionNodeView {
                node,
                state: match member.map(|(_, role)| role) {
                    Some(NodeRole::Active) => NodeState::Active,
                    Some(NodeRole::Drained) => NodeState::Drained,
                    Some(NodeRole::Leaving) => NodeState::Leaving,
                    None => NodeState::NotAdded,
                },
                incarnation: member.map(|(member, _)| member.incarnation),
                is_reached: node == self.own.node || (!silent && is_connected()),
                copies: member.map_or(0, |(member, _)| count(&|group| group.nodes.contains_key(&member))),
                votes: member.map_or(0, |(member, _)| count(&|group| group.voters.contains(member))),
                leads: u16::try_from(leads).unwrap_or(u16::MAX),
            }
        };
        let members = plan.members().iter();
        let mut nodes: Vec<RegionNodeView> = members
            .map(|(member, role)| view_of(member.node, Some((*member, *role))))
            .collect();
        let known: BTreeSet<NodeId> = nodes.iter().map(|node| node.node).collect();
        let others = self.nodes.keys().filter(|node| !known.contains(node));
        nodes.extend(others.map(|node| view_of(*node, None)));
        nodes.sort_by_key(|node| node.node);
        NodesView {
            region: self.context.identity.region,
            replication_factor: self.factor.get(),
            partitions: self.context.identity.partitions.get(),
            settled: count(&|group| plan.is_reached_by(group)),
            nodes,
        }
    }
}
