//! Which nodes of a region hold a partition, and which of them should lead it. Every node computes the same from the
//! names of the nodes, their zones and the replication factor. Fixed for ever: the golden tests pin it.
//!
//! **Replicas** are found by rendezvous hashing (highest random weight, Thaler and Ravishankar 1998) with one step per
//! zone: the heaviest node of each zone first, then the second of each, until there are enough. So zones hold numbers of
//! replicas that differ by at most one, as far as they have nodes. Exactly those partitions move that gain or lose a node:
//! with a node added, the replicas of a partition either stay as they are, or the new node takes the place of one of
//! them. Moving a replica means copying it, so that counts for more than an even spread, which is that of a random choice:
//! over 64 partitions a node holds up to 1.3 times its share where there are 5, 1.6 times where there are 9; over 1024
//! partitions 1.15 times where there are 9, 1.4 times where there are 32.
//!
//! **Leaders** cost no copying, so they are spread by rule: the heaviest replica leads unless it leads its share already
//! (rendezvous hashing with bounded loads, after Mirrokni, Thorup and Zadimoghaddam 2018). The price is that with a node added
//! or removed some partitions change their preferred leader that keep their replicas.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::agreement::factor::ReplicationFactor;
use crate::model::ids::{NodeId, PartitionCount, PartitionId, Zone};

/// Keeps these hashes apart from every other use of BLAKE3.
const CONTEXT: &str = "atoll 2026 replica placement v1";

/// Share of the leaders that a node may have, in percent of the mean: more evenly costs more changes of leaders when a
/// node comes or goes.
const LEADERS_PERCENT_MAX: usize = 110;

/// A node as placement sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacementNode {
    /// Its name, unique in the region.
    pub id: NodeId,
    /// What it fails together with. A node without one is taken for a zone of its own.
    pub zone: Option<Zone>,
}

/// The replicas of every partition of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    replicas: Vec<Vec<NodeId>>,
}

/// A node's place among all for one partition.
struct Ranked {
    node: PlacementNode,
    weight: u64,
}

impl Placement {
    /// Places the partitions on nodes with different names, of which there are at least as many as the factor.
    ///
    /// # Panics
    /// When that does not hold; the configuration was checked.
    #[must_use]
    pub fn new(partitions: PartitionCount, factor: ReplicationFactor, nodes: &[PlacementNode]) -> Self {
        assert!(
            nodes.len() >= factor.get(),
            "the factor was checked against the nodes"
        );
        let mut leaders: BTreeMap<NodeId, usize> = nodes.iter().map(|node| (node.id, 0)).collect();
        assert!(leaders.len() == nodes.len(), "names of nodes are unique");
        let leaders_max = leaders_max(usize::from(partitions.get()), nodes.len());
        let place = |partition| {
            let mut replicas = choose(partition, factor.get(), nodes);
            lead(&mut replicas, &mut leaders, leaders_max);
            replicas
        };
        Self {
            replicas: partitions.ids().map(place).collect(),
        }
    }

    /// The nodes that hold a partition, in the order in which they should lead it: who comes first does, and the next
    /// one does while those before are gone.
    ///
    /// # Panics
    /// When there is no such partition.
    #[must_use]
    pub fn replicas(&self, partition: PartitionId) -> &[NodeId] {
        &self.replicas[usize::from(partition.0)]
    }
}

/// The heaviest of each zone, then the second of each, and so on until there are enough; heaviest first.
fn choose(partition: PartitionId, count: usize, nodes: &[PlacementNode]) -> Vec<NodeId> {
    let mut ranked: Vec<Ranked> = nodes
        .iter()
        .map(|node| Ranked {
            node: *node,
            weight: weight(partition, node.id),
        })
        .collect();
    ranked.sort_unstable_by_key(|ranked| (Reverse(ranked.weight), ranked.node.id));
    let mut before: BTreeMap<Zone, usize> = BTreeMap::new();
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(ranked.len());
    for (place, ranked) in ranked.iter().enumerate() {
        let rank = ranked.node.zone.map_or(0, |zone| {
            let rank = before.entry(zone).or_default();
            *rank += 1;
            *rank - 1
        });
        places.push((rank, place));
    }
    places.sort_unstable();
    places.truncate(count);
    places.sort_unstable_by_key(|(_, place)| *place);
    places.iter().map(|(_, place)| ranked[*place].node.id).collect()
}

/// Puts the one that leads to the front.
fn lead(replicas: &mut [NodeId], leaders: &mut BTreeMap<NodeId, usize>, leaders_max: usize) {
    // `<`: it will have one more. Where all have their share, which small zones can cause, the least loaded leads, and of
    // those the heaviest.
    let leader = replicas
        .iter()
        .position(|node| leaders[node] < leaders_max)
        .or_else(|| (0..replicas.len()).min_by_key(|place| leaders[&replicas[*place]]))
        .expect("a partition has at least one replica");
    replicas[..=leader].rotate_right(1);
    *leaders.entry(replicas[0]).or_default() += 1;
}

/// How many partitions a node may lead: [`LEADERS_PERCENT_MAX`] of the mean, rounded up.
fn leaders_max(partitions: usize, nodes: usize) -> usize {
    (partitions * LEADERS_PERCENT_MAX).div_ceil(nodes * 100)
}

/// How much a partition wants to be on a node.
fn weight(partition: PartitionId, node: NodeId) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&partition.0.to_le_bytes());
    hasher.update(node.as_str().as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

#[cfg(test)]
#[path = "placement_test.rs"]
mod tests;
