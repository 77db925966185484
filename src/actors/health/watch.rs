//! Looks at regular times, so that changes happen when nobody asks, and lag is measured for histograms.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::actors::context::NodeContext;
use crate::model::ids::RegionId;

/// How often is looked: a quarter of the shortest patience that makes sense.
const INTERVAL_MIN: Duration = Duration::from_millis(250);
/// With seldom heartbeats there is less to see.
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// How often lag is put into histograms: so that their counts are seconds.
const LAG_INTERVAL_MS: u64 = 1000;

/// Is told the lag behind each peer once a second; for metrics. It must not block.
pub trait LagObserver: Send + Sync + 'static {
    /// This region's view of a peer was so far behind.
    fn lag_observed(&self, peer: RegionId, lag_ms: u64);
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct IgnoreLag;

impl LagObserver for IgnoreLag {
    fn lag_observed(&self, _: RegionId, _: u64) {}
}

/// Looks until it is aborted.
pub async fn watch(context: Arc<NodeContext>, observer: Arc<dyn LagObserver>) {
    let heartbeat = context.replication.heartbeat_interval;
    let mut looks = interval(heartbeat.clamp(INTERVAL_MIN, INTERVAL_MAX));
    // Looks that were missed would all see the same.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut observed_at = context.clock.tick();
    loop {
        looks.tick().await;
        let report = context.health.look(&context);
        let now = context.clock.tick();
        // `>=`: a second is enough.
        if now.millis_since(observed_at) >= LAG_INTERVAL_MS {
            observed_at = now;
            for (peer, lag_ms) in report.lags {
                observer.lag_observed(peer, lag_ms);
            }
        }
    }
}
