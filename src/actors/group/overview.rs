//! What a node sees of the nodes and groups of its region, for `status`, health and metrics. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::actors::context::NodeContext;
use crate::model::ids::{NodeId, PartitionId};

/// Says what whoever runs the groups knows beside who leads them.
pub trait GroupJudge: Send + Sync {
    /// Whether this node has a lease of a partition: it has led without a break until now.
    fn holds_lease(&self, partition: PartitionId) -> bool;

    /// Whom this node does not hear.
    fn silence(&self) -> Silence;
}

/// The nodes that are not heard, and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Silence {
    /// The nodes that are suspected to be gone.
    pub suspected: BTreeSet<NodeId>,
    /// The partitions of whose voters too few are heard to agree on anything.
    pub without_majority: BTreeSet<PartitionId>,
}

/// How a node stands to the one that looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeReach {
    /// It is heard, or is the one that looks.
    Up,
    /// It was not heard for so long that others lead what it has led.
    Suspected,
    /// It was not heard yet since this node was started.
    Unknown,
}

impl NodeReach {
    /// The name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspected => "suspected",
            Self::Unknown => "unknown",
        }
    }
}

/// A node of the region, as the one that looks sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeStanding {
    /// Which.
    pub node: NodeId,
    /// Whether it is heard.
    pub reach: NodeReach,
    /// How long it was not heard; 0 of itself, none if it never was.
    pub silent_ms: Option<u64>,
    /// The partitions that it leads, as far as is known.
    pub partitions_led: usize,
    /// Round-trip time; none of itself, and while there is no connection.
    pub rtt_ms: Option<f64>,
    /// Why there is no connection to it.
    pub last_error: Option<String>,
}

/// Partitions that nobody leads, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaderless {
    /// Why.
    pub reason: String,
    /// Which, in order.
    pub partitions: Vec<PartitionId>,
}

/// A region as one of its nodes sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionOverview {
    /// All its nodes, by name.
    pub nodes: Vec<NodeStanding>,
    /// What nobody leads; empty when all is well.
    pub leaderless: Vec<Leaderless>,
    /// The nodes that are not heard, and the partitions that cannot agree without them.
    pub silence: Silence,
}

/// Looks at the region of a node.
#[must_use]
pub fn overview(context: &NodeContext) -> RegionOverview {
    let silence = context.groups.silence();
    let mut led: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut leaderless: BTreeMap<String, Vec<PartitionId>> = BTreeMap::new();
    for partition in context.partitions.ids() {
        let leader = context.groups.leader(partition);
        match why_leaderless(&silence, partition, leader) {
            Some(reason) => leaderless.entry(reason).or_default().push(partition),
            None => *led.entry(leader.unwrap_or(context.identity.node)).or_default() += 1,
        }
    }
    RegionOverview {
        nodes: nodes(context, &silence, &led),
        leaderless: leaderless
            .into_iter()
            .map(|(reason, partitions)| Leaderless { reason, partitions })
            .collect(),
        silence,
    }
}

fn why_leaderless(silence: &Silence, partition: PartitionId, leader: Option<NodeId>) -> Option<String> {
    if silence.without_majority.contains(&partition) {
        return Some(format!(
            "too few of its nodes are heard to agree on anything: {} not",
            names(&silence.suspected)
        ));
    }
    match leader {
        None => Some("nobody is known to lead it: a leader is being elected".to_owned()),
        Some(leader) if silence.suspected.contains(&leader) => Some(format!(
            "{leader}, which has led it, is not heard: another leader is being elected"
        )),
        Some(_) => None,
    }
}

/// The names of nodes, for people.
#[must_use]
pub fn names(nodes: &BTreeSet<NodeId>) -> String {
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    names.join(" and ")
}

fn nodes(context: &NodeContext, silence: &Silence, led: &BTreeMap<NodeId, usize>) -> Vec<NodeStanding> {
    let now = context.clock.tick();
    let partitions_led = |node: NodeId| led.get(&node).copied().unwrap_or_default();
    let others = context.mesh.views(now).into_iter().map(|view| NodeStanding {
        node: view.node,
        reach: match view.heard_at {
            _ if silence.suspected.contains(&view.node) => NodeReach::Suspected,
            None => NodeReach::Unknown,
            Some(_) => NodeReach::Up,
        },
        silent_ms: view.heard_at.map(|heard| now.millis_since(heard)),
        partitions_led: partitions_led(view.node),
        rtt_ms: view.round_trip.map(|rtt| rtt.as_secs_f64() * 1000.0),
        last_error: view.down.map(|why| why.to_string()),
    });
    let own = context.identity.node;
    let mut nodes: Vec<NodeStanding> = others.collect();
    nodes.push(NodeStanding {
        node: own,
        reach: NodeReach::Up,
        silent_ms: Some(0),
        partitions_led: partitions_led(own),
        rtt_ms: None,
        last_error: None,
    });
    nodes.sort_by_key(|node| node.node);
    nodes
}

/// What has happened to the groups of a node since it was started.
#[derive(Debug, Default)]
pub struct GroupCounts {
    elections_won: AtomicU64,
    restarts: AtomicU64,
    snapshots_sent: AtomicU64,
    snapshots_received: AtomicU64,
}

impl GroupCounts {
    /// This node has begun to lead a partition.
    pub(super) fn note_election_won(&self) {
        self.elections_won.fetch_add(1, Ordering::Relaxed);
    }

    /// A group has ended and is started again.
    pub(super) fn note_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Another node has put a whole partition of this one into its place.
    pub(super) fn note_snapshot_sent(&self) {
        self.snapshots_sent.fetch_add(1, Ordering::Relaxed);
    }

    /// This node has put a whole partition of another one into its place.
    pub(super) fn note_snapshot_received(&self) {
        self.snapshots_received.fetch_add(1, Ordering::Relaxed);
    }

    /// How often this node has begun to lead a partition.
    #[must_use]
    pub fn elections_won(&self) -> u64 {
        self.elections_won.load(Ordering::Relaxed)
    }

    /// How often a group was started again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Whole partitions that other nodes got from this one.
    #[must_use]
    pub fn snapshots_sent(&self) -> u64 {
        self.snapshots_sent.load(Ordering::Relaxed)
    }

    /// Whole partitions that this node got from others.
    #[must_use]
    pub fn snapshots_received(&self) -> u64 {
        self.snapshots_received.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn a_partition_without_a_leader_says_why_and_names_who_is_missing() {
        let silence = Silence {
            suspected: [node("n2"), node("n3")].into(),
            without_majority: [PartitionId(7)].into(),
        };
        let why = |partition, leader: Option<&str>| {
            why_leaderless(&silence, PartitionId(partition), leader.map(node))
        };
        // Whoever has led it, and be it this node, cannot any more.
        assert!(why(7, Some("n1")).unwrap().contains("n2 and n3"));
        assert!(why(1, Some("n3")).unwrap().starts_with("n3, which has led it"));
        assert!(why(1, None).unwrap().contains("nobody is known"));
        assert_eq!(why(1, Some("n1")), None);
    }
}
