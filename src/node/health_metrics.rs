//! Metrics of the region's state and of what it is judged by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::actors::context::NodeContext;
use crate::actors::health::LagObserver;
use crate::actors::region::PeerView;
use crate::model::health::RegionState;
use crate::model::ids::RegionId;
use crate::node::metrics::{FloatGauge, NodeMetrics, PeerLabels};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// The metrics, which a registry shows.
pub(super) struct HealthMetrics {
    state: Family<StateLabels, Gauge>,
    changes: Counter,
    requests_shed: Counter,
    clock_error_seconds: FloatGauge,
    commit_wait_seconds: Gauge<f64, AtomicU64>,
    link_phi: Family<PeerLabels, FloatGauge>,
    link_catch_up_seconds: Family<PeerLabels, FloatGauge>,
    link_lag_distribution: Family<PeerLabels, Histogram>,
}

/// From a heartbeat's interval to hours.
fn lag_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.05, 2.0, 18))
}

impl Default for HealthMetrics {
    fn default() -> Self {
        Self {
            state: Family::default(),
            changes: Counter::default(),
            requests_shed: Counter::default(),
            clock_error_seconds: Gauge::default(),
            commit_wait_seconds: Gauge::default(),
            link_phi: Family::default(),
            link_catch_up_seconds: Family::default(),
            link_lag_distribution: Family::new_with_constructor(lag_buckets),
        }
    }
}

impl HealthMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "region_state",
            "1 for the state that the region is in, 0 for the others",
            self.state.clone(),
        );
        registry.register(
            "region_state_changes",
            "Changes of the region's state since the node started",
            self.changes.clone(),
        );
        registry.register(
            "requests_shed",
            "Requests of low priority that were refused",
            self.requests_shed.clone(),
        );
        registry.register(
            "clock_error_seconds",
            "How far this node's clock is ahead of the middle of all regions' clocks",
            self.clock_error_seconds.clone(),
        );
        registry.register(
            "commit_wait_seconds",
            "What group commits of the last seconds took on average, or how long the oldest waits",
            self.commit_wait_seconds.clone(),
        );
        registry.register(
            "link_phi",
            "How improbable the peer's silence is, as 10^-phi; NaN while it was never heard",
            self.link_phi.clone(),
        );
        registry.register(
            "link_catch_up_seconds",
            "How long until the peer's changes are applied at the present pace; 0 when none is missing, NaN when unknown",
            self.link_catch_up_seconds.clone(),
        );
        registry.register(
            "link_lag_distribution_seconds",
            "How far this view of the peer was behind, once a second",
            self.link_lag_distribution.clone(),
        );
    }

    /// Reads the gauges; causes a look.
    pub(super) fn read(&self, context: &NodeContext, peers: &[PeerView]) {
        let report = context.health.look(context);
        for state in RegionState::ALL {
            let labels = StateLabels { state: state.name() };
            self.state
                .get_or_create(&labels)
                .set(i64::from(state == report.state));
        }
        self.changes.inner().store(report.changes, Ordering::Relaxed);
        let shed = context.health.requests_shed();
        self.requests_shed.inner().store(shed, Ordering::Relaxed);
        #[expect(
            clippy::cast_precision_loss,
            reason = "errors of clocks stay far below 2^52 ms"
        )]
        self.clock_error_seconds
            .set(report.clock_error_ms as f64 / 1000.0);
        let waited_ms = report.commit.mean_ms.max(report.commit.oldest_ms);
        self.commit_wait_seconds.set(seconds(waited_ms));
        for peer in peers {
            let labels = PeerLabels {
                peer: peer.region.to_string(),
            };
            self.link_phi
                .get_or_create(&labels)
                .set(peer.phi.unwrap_or(f64::NAN));
            let catch_up = match (peer.behind_changes, peer.catch_up_ms) {
                (0, _) => 0.0,
                (_, Some(ms)) => seconds(ms),
                (_, None) => f64::NAN,
            };
            self.link_catch_up_seconds.get_or_create(&labels).set(catch_up);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "such times stay far below 2^52 ms")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// Puts lag into its histograms.
pub(super) struct CountLag(pub(super) Arc<NodeMetrics>);

impl LagObserver for CountLag {
    fn lag_observed(&self, peer: RegionId, lag_ms: u64) {
        let labels = PeerLabels {
            peer: peer.to_string(),
        };
        let lag = &self.0.health.link_lag_distribution;
        lag.get_or_create(&labels).observe(seconds(lag_ms));
    }
}
