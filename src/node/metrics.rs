//! The metrics of one node. Each node has its own registry, since several may run in one process; gauges are read from
//! the boards when they are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::actors::context::NodeContext;
use crate::actors::region::status::peers;
use crate::api::{ObservedRequest, RequestObserver};
use crate::node::group_metrics::GroupMetrics;
use crate::node::health_metrics::HealthMetrics;
use crate::ports::store::Durability;
use crate::storage::{GroupObserver, GroupReport, RocksStore};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PeerLabels {
    pub(super) peer: String,
}

pub(super) type FloatGauge = Gauge<f64, AtomicU64>;

/// The registry of one node and the metrics that are counted as they happen.
pub struct NodeMetrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    group_sets: Histogram,
    group_bytes: Histogram,
    group_seconds: Histogram,
    group_failures: Counter,
    link_up: Family<PeerLabels, Gauge>,
    link_lag_seconds: Family<PeerLabels, FloatGauge>,
    link_rtt_seconds: Family<PeerLabels, FloatGauge>,
    link_backlog_changes: Family<PeerLabels, Gauge>,
    link_behind_changes: Family<PeerLabels, Gauge>,
    log_bytes: Gauge,
    ledger_entries: Gauge,
    held_commits: Gauge,
    disk_free_bytes: Gauge,
    memtable_bytes: Gauge,
    block_cache_bytes: Gauge,
    pending_compaction_bytes: Gauge,
    write_stopped: Gauge,
    partition_restarts: Counter,
    groups: GroupMetrics,
    pub(super) health: HealthMetrics,
}

impl std::fmt::Debug for NodeMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeMetrics")
    }
}

impl NodeMetrics {
    /// Metrics that all carry the region and node.
    #[must_use]
    pub fn new(region: &str, node: &str) -> Self {
        let labels = [
            ("region".into(), region.to_owned().into()),
            ("node".into(), node.to_owned().into()),
        ];
        let latency = || Histogram::new(exponential_buckets(0.000_1, 2.0, 16));
        let mut metrics = Self {
            registry: Registry::with_prefix_and_labels("atoll", labels.into_iter()),
            requests: Family::default(),
            request_seconds: latency(),
            group_sets: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            group_bytes: Histogram::new(exponential_buckets(256.0, 4.0, 10)),
            group_seconds: latency(),
            group_failures: Counter::default(),
            link_up: Family::default(),
            link_lag_seconds: Family::default(),
            link_rtt_seconds: Family::default(),
            link_backlog_changes: Family::default(),
            link_behind_changes: Family::default(),
            log_bytes: Gauge::default(),
            ledger_entries: Gauge::default(),
            held_commits: Gauge::default(),
            disk_free_bytes: Gauge::default(),
            memtable_bytes: Gauge::default(),
            block_cache_bytes: Gauge::default(),
            pending_compaction_bytes: Gauge::default(),
            write_stopped: Gauge::default(),
            partition_restarts: Counter::default(),
            groups: GroupMetrics::default(),
            health: HealthMetrics::default(),
        };
        metrics.register_events();
        metrics.register_gauges();
        metrics.groups.register(&mut metrics.registry);
        metrics.health.register(&mut metrics.registry);
        metrics
    }

    fn register_events(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "HTTP requests answered", self.requests.clone());
        registry.register(
            "request_seconds",
            "Time to answer an HTTP request",
            self.request_seconds.clone(),
        );
        registry.register(
            "commit_group_sets",
            "Write sets that shared one fsync",
            self.group_sets.clone(),
        );
        registry.register(
            "commit_group_bytes",
            "Bytes written with one fsync",
            self.group_bytes.clone(),
        );
        registry.register(
            "commit_group_seconds",
            "Time of one write with its fsync",
            self.group_seconds.clone(),
        );
        registry.register(
            "commit_group_failures",
            "Groups that could not be written",
            self.group_failures.clone(),
        );
    }

    fn register_gauges(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "partition_restarts",
            "Partitions that have failed and were started again",
            self.partition_restarts.clone(),
        );
        registry.register(
            "link_up",
            "1 while changes flow to and from the peer",
            self.link_up.clone(),
        );
        registry.register(
            "link_lag_seconds",
            "How far this view of the peer is behind",
            self.link_lag_seconds.clone(),
        );
        registry.register(
            "link_rtt_seconds",
            "Round-trip time to the peer",
            self.link_rtt_seconds.clone(),
        );
        registry.register(
            "link_backlog_changes",
            "Changes that the peer has not acknowledged",
            self.link_backlog_changes.clone(),
        );
        registry.register(
            "link_behind_changes",
            "Changes of the peer not applied here",
            self.link_behind_changes.clone(),
        );
        registry.register(
            "log_bytes",
            "Bytes that the partition logs hold",
            self.log_bytes.clone(),
        );
        registry.register(
            "ledger_entries_written",
            "Entries ever put into the conflict ledger",
            self.ledger_entries.clone(),
        );
        registry.register(
            "held_commits",
            "Remote commits that wait for what they depend on",
            self.held_commits.clone(),
        );
        registry.register(
            "disk_free_bytes",
            "Free bytes on the data volume",
            self.disk_free_bytes.clone(),
        );
        registry.register(
            "storage_memtable_bytes",
            "Bytes in memtables",
            self.memtable_bytes.clone(),
        );
        registry.register(
            "storage_block_cache_bytes",
            "Bytes in the block cache",
            self.block_cache_bytes.clone(),
        );
        registry.register(
            "storage_pending_compaction_bytes",
            "Bytes that wait for compaction",
            self.pending_compaction_bytes.clone(),
        );
        registry.register(
            "storage_write_stopped",
            "1 while the engine holds writes back",
            self.write_stopped.clone(),
        );
    }

    /// All metrics in Prometheus text format, with gauges as of now.
    #[must_use]
    pub fn render(&self, context: &NodeContext, store: &RocksStore) -> String {
        self.read_links(context);
        self.read_partitions(context);
        self.groups.read(context);
        let restarts = context.failures.restarts();
        self.partition_restarts.inner().store(restarts, Ordering::Relaxed);
        self.read_store(store);
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn read_links(&self, context: &NodeContext) {
        let views = peers(context);
        self.health.read(context, &views);
        for view in views {
            let labels = PeerLabels {
                peer: view.region.to_string(),
            };
            let is_up = view.link == crate::actors::region::LinkState::Up;
            self.link_up.get_or_create(&labels).set(i64::from(is_up));
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds of lag stay far below 2^52"
            )]
            self.link_lag_seconds
                .get_or_create(&labels)
                .set(view.lag_ms as f64 / 1000.0);
            self.link_rtt_seconds
                .get_or_create(&labels)
                .set(view.rtt_ms.unwrap_or(f64::NAN) / 1000.0);
            self.link_backlog_changes
                .get_or_create(&labels)
                .set(signed(view.backlog_changes));
            self.link_behind_changes
                .get_or_create(&labels)
                .set(signed(view.behind_changes));
        }
    }

    fn read_partitions(&self, context: &NodeContext) {
        let (mut losers, mut held) = (0, 0);
        for partition in context.partitions.ids() {
            context.partitions.read(partition, |view| {
                losers += view.losers_written;
                held += view.held_commits as u64;
            });
        }
        self.log_bytes.set(signed(context.partitions.log_bytes()));
        self.ledger_entries.set(signed(losers));
        self.held_commits.set(signed(held));
    }

    fn read_store(&self, store: &RocksStore) {
        // A store that cannot be asked keeps its last values; `status` says what is wrong.
        let Ok(stats) = store.engine_stats() else { return };
        self.disk_free_bytes.set(signed(stats.free_bytes));
        self.memtable_bytes.set(signed(stats.memtable_bytes));
        self.block_cache_bytes.set(signed(stats.block_cache_bytes));
        self.pending_compaction_bytes
            .set(signed(stats.pending_compaction_bytes));
        self.write_stopped.set(i64::from(stats.is_write_stopped));
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Counts groups of the committer.
#[derive(Debug)]
pub(super) struct CountGroups(pub(super) Arc<NodeMetrics>);

impl GroupObserver for CountGroups {
    fn group_finished(&self, report: &GroupReport) {
        if !report.written {
            self.0.group_failures.inc();
        }
        // These tell what one fsync costs and carries: what goes without one would hide that.
        if report.durability == Durability::Deferred {
            return;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a group is bounded far below 2^52 bytes"
        )]
        self.0.group_bytes.observe(report.bytes as f64);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a group is bounded far below 2^52 sets"
        )]
        self.0.group_sets.observe(report.sets as f64);
        self.0.group_seconds.observe(report.duration.as_secs_f64());
    }
}

/// Counts requests of the API.
#[derive(Debug)]
pub(super) struct CountRequests(pub(super) Arc<NodeMetrics>);

impl RequestObserver for CountRequests {
    fn observed(&self, request: &ObservedRequest) {
        let labels = RequestLabels {
            route: request.route,
            method: request.method,
            status: request.status.as_u16(),
        };
        self.0.requests.get_or_create(&labels).inc();
        self.0.request_seconds.observe(request.duration.as_secs_f64());
    }
}
