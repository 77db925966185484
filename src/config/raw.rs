//! The shape of `regions.toml`: field names and TOML types, each value with its place in the text.
//!
//! Numbers are read as signed 64-bit, so that -1 is reported as out of range and not as a wrong type. Nothing here
//! leaves `config`.

use serde::Deserialize;
use toml::Spanned;

/// Top level.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    pub(super) cluster: Spanned<String>,
    pub(super) partitions: Option<Spanned<i64>>,
    /// Absent means empty, so that both end in the same message.
    #[serde(default)]
    pub(super) region: Vec<Spanned<RawRegion>>,
    #[serde(default)]
    pub(super) link: Vec<Spanned<RawLink>>,
    #[serde(default)]
    pub(super) replication: RawReplication,
    #[serde(default)]
    pub(super) clock: RawClock,
    #[serde(default)]
    pub(super) storage: RawStorage,
    #[serde(default)]
    pub(super) http: RawHttp,
    #[serde(default)]
    pub(super) health: RawHealth,
}

/// `[[region]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegion {
    pub(super) id: Spanned<String>,
    pub(super) replication_factor: Option<Spanned<i64>>,
    /// Absent means empty, so that both end in the same message.
    #[serde(default)]
    pub(super) node: Vec<Spanned<RawNode>>,
}

/// `[[region.node]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNode {
    pub(super) id: Spanned<String>,
    pub(super) http: Spanned<String>,
    pub(super) quic: Spanned<String>,
    pub(super) http_listen: Option<Spanned<String>>,
    pub(super) quic_listen: Option<Spanned<String>>,
    pub(super) zone: Option<Spanned<String>>,
}

/// `[[link]]`. The numbers may have decimals; whole ones are read as such, too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLink {
    pub(super) between: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) from: Option<Spanned<String>>,
    pub(super) to: Option<Spanned<String>>,
    pub(super) round_trip_ms: Option<Spanned<f64>>,
    pub(super) jitter_ms: Option<Spanned<f64>>,
    pub(super) loss_percent: Option<Spanned<f64>>,
    pub(super) reorder_percent: Option<Spanned<f64>>,
    pub(super) bandwidth_mbit: Option<Spanned<f64>>,
    pub(super) cut: Option<bool>,
}

/// `[replication]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReplication {
    pub(super) batch_delay_ms: Option<Spanned<i64>>,
    pub(super) batch_changes: Option<Spanned<i64>>,
    pub(super) lanes: Option<Spanned<i64>>,
    pub(super) heartbeat_interval_ms: Option<Spanned<i64>>,
    pub(super) compression_level: Option<Spanned<i64>>,
    pub(super) log_retention_bytes: Option<Spanned<i64>>,
}

/// `[clock]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClock {
    pub(super) max_clock_drift_ms: Option<Spanned<i64>>,
}

/// `[storage]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStorage {
    pub(super) disk_reserve_bytes: Option<Spanned<i64>>,
    pub(super) block_cache_bytes: Option<Spanned<i64>>,
    pub(super) memtable_bytes: Option<Spanned<i64>>,
}

/// `[http]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    pub(super) request_timeout_ms: Option<Spanned<i64>>,
    pub(super) shutdown_grace_ms: Option<Spanned<i64>>,
    pub(super) max_staleness_ms: Option<Spanned<i64>>,
}

/// `[health]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHealth {
    pub(super) peer_phi: Option<Spanned<i64>>,
    pub(super) quorum_lost_ms: Option<Spanned<i64>>,
    pub(super) commit_slow_ms: Option<Spanned<i64>>,
    pub(super) commit_stalled_ms: Option<Spanned<i64>>,
    pub(super) lag_degraded_ms: Option<Spanned<i64>>,
    pub(super) log_degraded_percent: Option<Spanned<i64>>,
    pub(super) clock_error_ms: Option<Spanned<i64>>,
    pub(super) patience_ms: Option<Spanned<i64>>,
    pub(super) calm_ms: Option<Spanned<i64>>,
    pub(super) recovering_lag_ms: Option<Spanned<i64>>,
    pub(super) recovering_silence_ms: Option<Spanned<i64>>,
    pub(super) recovering_stalled_ms: Option<Spanned<i64>>,
    pub(super) staleness_percent: Option<Spanned<i64>>,
}
