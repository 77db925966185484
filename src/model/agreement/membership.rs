//! Which nodes a region has, which of them vote in each group, and the next step from how a group is to how it should be.
//!
//! The nodes of a region stand in the membership of the group of partition 0 ([`REGION_GROUP`]), which all of them are in:
//! a change of it is agreed on like anything else. The leader of every other group follows it, one safe step after the
//! other, and so does a leader that comes after it: there is nothing to remember between the steps.
//!
//! **Steps.** Nodes that are missing learn first; when they have what the group has, the voters are replaced, by joint
//! consensus; who does not vote any more goes on learning until the node leaves. The number of voters is that of the replication factor, and a copy
//! more is there before one is given up, so that no step lowers how many losses a partition survives.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::agreement::factor::ReplicationFactor;
use crate::model::agreement::member::MemberId;
use crate::model::agreement::placement::{Placement, PlacementNode};
use crate::model::agreement::voters::Voters;
use crate::model::ids::{NodeId, PartitionCount, PartitionId, Zone};

/// The group whose membership is that of the region.
pub const REGION_GROUP: PartitionId = PartitionId(0);

/// What a node of a region is for. The order of the variants is persisted: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum NodeRole {
    /// It votes and leads where it is placed.
    #[default]
    Active,
    /// It leads nothing, and votes only where there are too few others. It keeps a copy of everything.
    Drained,
    /// It is to have nothing any more.
    Leaving,
}

impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Drained => "drained",
            Self::Leaving => "leaving",
        })
    }
}

/// What an operator wants of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeChange {
    /// It is to take part, or again.
    Add,
    /// See [`NodeRole::Drained`].
    Drain,
    /// It is to have nothing any more.
    Remove {
        /// Also where partitions have fewer copies afterwards than they should.
        fewer_copies: bool,
    },
}

/// Why a node is not changed. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ChangeNodeError {
    /// It is not one of the region's by configuration.
    #[error(
        "{0} is not a node of this region in the regions.toml of the node that leads it: add it there, on all nodes, and let them read it again"
    )]
    NotConfigured(NodeId),
    /// It is no member.
    #[error("{0} is not a member of this region: `atoll node list` shows those that are")]
    NotAMember(NodeId),
    /// It was never met.
    #[error("{0} was not reached: start it with the regions.toml of the others, then try again")]
    NotReached(NodeId),
    /// Its disk is another one than that of the member with its name.
    #[error(
        "{} is a member of this region as {member}, whose disk is gone: `atoll node remove {}` first, then add it", member.node, member.node
    )]
    OtherLife {
        /// The member.
        member: MemberId,
    },
    /// There would be nobody left.
    #[error("{0} is the only node of this region that takes part: add another one first")]
    LastNode(NodeId),
    /// There would be too few copies.
    #[error(
        "without {node} this region has {left} nodes for {factor} copies of everything: add another node first, or say that fewer copies are wanted (`--fewer-copies`)"
    )]
    FewerCopies {
        /// Which.
        node: NodeId,
        /// How many nodes are left.
        left: usize,
        /// How many copies there should be.
        factor: usize,
    },
    /// Those that are left could not agree on it.
    #[error(
        "without {node} too few nodes of this region can be heard to go on ({} cannot): start them first", .silent.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    TooManySilent {
        /// Which.
        node: NodeId,
        /// Who is not heard.
        silent: BTreeSet<NodeId>,
    },
    /// Another change is under way.
    #[error("the nodes of this region are being changed at the moment: try again in a second")]
    UnderWay,
    /// The leader was lost, or the group has failed.
    #[error("the change may or may not have been made: {0}; `atoll node list` shows what holds")]
    Unknown(String),
}

/// The members of a group, with their roles where it is that of the region.
pub type Members = BTreeMap<MemberId, NodeRole>;

/// How the groups of a region should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    members: Members,
    orders: Vec<Vec<MemberId>>,
}

impl Plan {
    /// The plan for these members. `zones` are those of the configuration.
    #[must_use]
    pub fn new(
        partitions: PartitionCount,
        factor: ReplicationFactor,
        members: Members,
        zones: &BTreeMap<NodeId, Zone>,
    ) -> Self {
        let (placed, spare) = placed(&members, factor.get());
        // One life of a node is a member at a time; were there two, the later one is the one that can be reached.
        let by_name: BTreeMap<NodeId, MemberId> =
            placed.iter().map(|member| (member.node, *member)).collect();
        let nodes: Vec<PlacementNode> = by_name
            .keys()
            .map(|node| PlacementNode {
                id: *node,
                zone: zones.get(node).copied(),
            })
            .collect();
        let orders = if nodes.is_empty() {
            partitions.ids().map(|_| Vec::new()).collect()
        } else {
            let placement = Placement::new(partitions, factor.at_most(nodes.len()), &nodes);
            let order = |partition| {
                let replicas = placement.replicas(partition).iter();
                let mut order: Vec<MemberId> = replicas.map(|node| by_name[node]).collect();
                // They vote, and lead when nobody else is there.
                order.extend(&spare);
                order
            };
            partitions.ids().map(order).collect()
        };
        Self { members, orders }
    }

    /// All nodes of the region with their roles.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The voters of a partition, in the order in which they should lead it.
    ///
    /// # Panics
    /// When there is no such partition.
    #[must_use]
    pub fn order(&self, partition: PartitionId) -> &[MemberId] {
        &self.orders[usize::from(partition.0)]
    }

    /// What the leader of a group does next. `is_abreast` says of a member that learns whether it has what the leader has.
    #[must_use]
    pub fn next_step(
        &self,
        own: MemberId,
        group: &GroupMembers,
        is_abreast: impl Fn(MemberId) -> bool,
    ) -> MembershipStep {
        let order = self.order(group.partition);
        if order.is_empty() {
            return MembershipStep::None;
        }
        let missing: BTreeSet<MemberId> = self
            .members
            .iter()
            .filter(|(member, role)| **role != NodeRole::Leaving && !group.nodes.contains_key(member))
            .map(|(member, _)| *member)
            .collect();
        if !missing.is_empty() {
            return MembershipStep::Learn(missing);
        }
        let now = group.voters.latest();
        if group.voters.is_joint() {
            // What was begun is finished first, whoever has begun it.
            return MembershipStep::Vote(now.clone());
        }
        let mut wanted: BTreeSet<MemberId> = order.iter().copied().collect();
        // Who leads votes until it has handed over.
        wanted.insert(own);
        if *now != wanted {
            let lacking: BTreeSet<MemberId> = wanted
                .difference(now)
                .copied()
                .filter(|member| !is_abreast(*member))
                .collect();
            return if lacking.is_empty() {
                MembershipStep::Vote(wanted)
            } else {
                MembershipStep::WaitFor(lacking)
            };
        }
        let gone = |member: &MemberId| {
            let role = self.members.get(member);
            *member != own && role.is_none_or(|role| *role == NodeRole::Leaving)
        };
        let mut forgotten: BTreeSet<MemberId> = group.nodes.keys().copied().filter(gone).collect();
        forgotten.retain(|member| !wanted.contains(member));
        if forgotten.is_empty() {
            MembershipStep::None
        } else {
            MembershipStep::Forget(forgotten)
        }
    }

    /// Whether a group is as it should be, whoever leads it.
    #[must_use]
    pub fn is_reached_by(&self, group: &GroupMembers) -> bool {
        let wanted: BTreeSet<MemberId> = self.order(group.partition).iter().copied().collect();
        let stays = |(member, role): (&MemberId, &NodeRole)| (*role != NodeRole::Leaving).then_some(*member);
        let nodes: BTreeSet<MemberId> = self.members.iter().filter_map(stays).collect();
        !group.voters.is_joint()
            && *group.voters.latest() == wanted
            && group.nodes.keys().copied().collect::<BTreeSet<_>>() == nodes
    }
}

/// Who is to be placed, and who fills up what the factor needs beyond them.
fn placed(members: &Members, factor: usize) -> (Vec<MemberId>, Vec<MemberId>) {
    let with = |wanted: NodeRole| {
        let found = members.iter().filter(move |(_, role)| **role == wanted);
        found.map(|(member, _)| *member).collect::<Vec<_>>()
    };
    let (mut active, mut drained) = (with(NodeRole::Active), with(NodeRole::Drained));
    if active.is_empty() {
        // Somebody must.
        active = std::mem::take(&mut drained);
    }
    drained.truncate(factor.saturating_sub(active.len()));
    (active, drained)
}

/// A group as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMembers {
    /// Which partition's.
    pub partition: PartitionId,
    /// Who votes.
    pub voters: Voters,
    /// All members, voters and those who learn; with the roles of nodes in the group of the region.
    pub nodes: Members,
}

/// What the leader of a group does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipStep {
    /// Nothing: the group is as it should be, as long as this node leads it.
    None,
    /// Let these learn.
    Learn(BTreeSet<MemberId>),
    /// Wait until these have learned what there is.
    WaitFor(BTreeSet<MemberId>),
    /// These are to vote from now on, and no others.
    Vote(BTreeSet<MemberId>),
    /// These do not belong to the group any more.
    Forget(BTreeSet<MemberId>),
}

#[cfg(test)]
#[path = "membership_test.rs"]
mod tests;
