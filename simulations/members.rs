//! Who is in the groups of a region, by the disks of its nodes: whether that is what is wanted, and whether nobody votes who
//! has nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atoll::model::agreement::{MemberId, NodeRole, REGION_GROUP};
use atoll::model::ids::{PartitionId, RegionId};
use atoll::model::raft::{RaftIndex, RaftNodeId};
use atoll::ports::store::{Family, Store as _};
use atoll::wire::keys::raft::RaftEntryKey;
use atoll::wire::raft::{StoredLogId, StoredMembers};

use crate::evidence::Moment;
use crate::world::World;
use crate::world::site::Site;

/// How often the voters are looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// How a region is to be: the roles of its nodes, and how many vote for each partition where there are so many.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub roles: BTreeMap<Site, NodeRole>,
    pub copies: usize,
}

impl Wanted {
    /// What is not so yet, as far as nodes serve; none when all is.
    pub fn lacks(&self, world: &World, region: RegionId) -> Option<String> {
        let partitions = world.partitions();
        for site in world.members_of(region) {
            let Some(context) = world.context(site) else {
                continue;
            };
            if context.groups.is_alone() {
                // It knows no members, and has none but itself.
                let is_wanted = self.roles.len() == 1 && self.roles.contains_key(&site);
                if is_wanted {
                    continue;
                }
                return Some(format!("{site} has its region to itself"));
            }
            for partition in partitions.ids() {
                let members = world.applied(site, partition).map(|applied| applied.members);
                let lacking = self.lacks_in(world, partition, &members.unwrap_or_default());
                if let Some(why) = lacking {
                    return Some(format!("by {site} partition {partition} {why}"));
                }
            }
        }
        None
    }

    fn lacks_in(&self, world: &World, partition: PartitionId, found: &StoredMembers) -> Option<String> {
        let mut wanted: BTreeMap<RaftNodeId, NodeRole> = BTreeMap::new();
        for (site, role) in &self.roles {
            let Some(member) = world.member(*site) else {
                return Some(format!("cannot have {site}, which has nothing"));
            };
            wanted.insert(member.into(), *role);
        }
        let is_same = match partition {
            REGION_GROUP => found.nodes == wanted,
            _ => found.nodes.keys().eq(wanted.keys()),
        };
        if !is_same {
            return Some(format!(
                "has the members {:?}, wanted are {wanted:?}",
                found.nodes
            ));
        }
        let [voters] = found.voters.as_slice() else {
            return Some(format!("changes its voters: {:?}", found.voters));
        };
        let active: BTreeSet<RaftNodeId> = wanted
            .iter()
            .filter(|(_, role)| **role == NodeRole::Active)
            .map(|(member, _)| *member)
            .collect();
        let are_right = voters.len() == self.copies.min(wanted.len())
            && (voters.is_subset(&active) || voters.is_superset(&active))
            && voters.iter().all(|voter| wanted.contains_key(voter));
        (!are_right).then(|| format!("has the voters {voters:?}, of {wanted:?}"))
    }
}

/// The members of a region with their roles, as a node that serves has them; none where it has the region to itself.
pub fn members_by(world: &World, site: Site) -> Option<BTreeMap<MemberId, NodeRole>> {
    world.context(site)?;
    let applied = world.applied(site, REGION_GROUP)?;
    let nodes = applied.members.nodes.iter();
    Some(
        nodes
            .filter_map(|(node, role)| Some((node.member()?, *role)))
            .collect(),
    )
}

/// The fewest voters that a partition of a region has, as its nodes have them.
pub fn fewest_voters(world: &World, region: RegionId) -> usize {
    let partitions = world.partitions();
    let members = world.members_of(region).into_iter();
    let voters = members.flat_map(|site| {
        let of = move |partition| world.applied(site, partition);
        partitions.ids().filter_map(of)
    });
    let counts = voters.map(|applied| {
        applied
            .members
            .voters
            .iter()
            .map(BTreeSet::len)
            .min()
            .unwrap_or(0)
    });
    counts.min().unwrap_or(0)
}

/// Looks at each change of voters.
#[derive(Default)]
pub struct VoterWatch {
    next: Moment,
    seen: BTreeMap<(Site, PartitionId), StoredLogId>,
}

impl VoterWatch {
    /// Whoever votes has something: it learns before.
    pub fn look(&mut self, world: &World) {
        if world.now() < self.next {
            return;
        }
        self.next = Moment::after(world.now().elapsed() + INTERVAL);
        for site in world.sites() {
            if world
                .context(site)
                .is_none_or(|context| context.groups.is_alone())
            {
                continue;
            }
            for partition in world.partitions().ids() {
                self.look_at(world, site, partition);
            }
        }
    }

    fn look_at(&mut self, world: &World, site: Site, partition: PartitionId) {
        let Some(applied) = world.applied(site, partition) else {
            return;
        };
        let Some(from) = applied.members_from else { return };
        if self.seen.insert((site, partition), from) == Some(from) {
            return;
        }
        if applied.members.voters.len() > 1 {
            world.recorder().reached("voters of two sets agree for a time");
        }
        let voters = applied.members.voters.iter().flatten();
        for voter in voters.filter_map(RaftNodeId::member) {
            let Some(voter) = world.site_of(voter) else {
                continue; // Its disk is lost.
            };
            if !has_anything(world, voter, partition) {
                let index = from.index;
                let detail =
                    format!("{voter} votes in partition {partition} by entry {index}, and has nothing of it");
                world.recorder().violated("members", &detail);
            }
        }
    }
}

fn has_anything(world: &World, site: Site, partition: PartitionId) -> bool {
    if world.applied(site, partition).is_some() {
        return true;
    }
    let entries = RaftEntryKey::range(partition, RaftIndex(0), RaftIndex::END);
    let last = world
        .machine(site)
        .disk
        .contents()
        .last(Family::Raft, &entries.from, &entries.to);
    last.is_ok_and(|last| last.is_some())
}
