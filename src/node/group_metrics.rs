//! Metrics of the nodes and groups of a region.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::actors::context::NodeContext;
use crate::actors::group::overview::{NodeReach, overview};

/// The metrics, which a registry shows.
#[derive(Default)]
pub(super) struct GroupMetrics {
    partitions_led: Gauge,
    partitions_leaderless: Gauge,
    nodes_reachable: Gauge,
    elections_won: Counter,
    restarts: Counter,
    snapshots_sent: Counter,
    snapshots_received: Counter,
}

impl GroupMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "partitions_led",
            "Partitions that this node leads in its region",
            self.partitions_led.clone(),
        );
        registry.register(
            "partitions_leaderless",
            "Partitions that no node of the region leads, as far as this one knows",
            self.partitions_leaderless.clone(),
        );
        registry.register(
            "nodes_reachable",
            "Other nodes of the region that this one hears",
            self.nodes_reachable.clone(),
        );
        registry.register(
            "elections_won",
            "Times that this node has begun to lead a partition; of all nodes together, changes of leader",
            self.elections_won.clone(),
        );
        registry.register(
            "group_restarts",
            "Groups of partitions that have ended and were started again",
            self.restarts.clone(),
        );
        registry.register(
            "snapshots_sent",
            "Whole partitions that other nodes of the region got from this one",
            self.snapshots_sent.clone(),
        );
        registry.register(
            "snapshots_received",
            "Whole partitions that this node got from others of its region",
            self.snapshots_received.clone(),
        );
    }

    pub(super) fn read(&self, context: &NodeContext) {
        let region = overview(context);
        let own = context.identity.node;
        let led = region.nodes.iter().find(|node| node.node == own);
        let heard = region
            .nodes
            .iter()
            .filter(|node| node.node != own && node.reach == NodeReach::Up);
        let leaderless = region.leaderless.iter().map(|group| group.partitions.len());
        self.partitions_led
            .set(signed(led.map_or(0, |node| node.partitions_led)));
        self.partitions_leaderless.set(signed(leaderless.sum()));
        self.nodes_reachable.set(signed(heard.count()));
        let counts = context.groups.counts();
        for (counter, count) in [
            (&self.elections_won, counts.elections_won()),
            (&self.restarts, counts.restarts()),
            (&self.snapshots_sent, counts.snapshots_sent()),
            (&self.snapshots_received, counts.snapshots_received()),
        ] {
            counter.inner().store(count, Ordering::Relaxed);
        }
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
