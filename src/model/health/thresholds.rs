//! `[health]` of regions.toml: from where on something counts as trouble, and for how long.

/// The thresholds of a region's health. A measured sign begins at its threshold and ends under
/// [`LEAVE_PERCENT`](super::signal::LEAVE_PERCENT) of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthThresholds {
    /// `peer_phi`, default 8, 1 to 16: a peer whose silence is that improbable (10^-phi) counts as silent. Akka's and
    /// Cassandra's default; with heartbeats each 200 ms it is reached after 1.5 s.
    pub peer_phi: u64,
    /// `quorum_lost_ms`, default 30 000, 0 to 3 600 000: for so long half of the regions or more must be silent until
    /// this one is degraded. Restarts and short cuts elsewhere are no reason to refuse anything.
    pub quorum_lost_ms: u64,
    /// `commit_slow_ms`, default 250, 1 to 60 000: group commits that take that long on average degrade. Disks for this
    /// purpose take 1 to 20 ms.
    pub commit_slow_ms: u64,
    /// `commit_stalled_ms`, default 5000, 10 to 600 000: a commit that is not done after that makes unhealthy. It is
    /// the time that requests wait by default, so all writes time out from there on.
    pub commit_stalled_ms: u64,
    /// `lag_degraded_ms`, default 10 000, 100 to 3 600 000: a region that is so far behind a peer that it hears
    /// is degraded.
    pub lag_degraded_ms: u64,
    /// `log_degraded_percent`, default 50, 1 to 100: logs that have taken that much of `log_retention_bytes` degrade:
    /// there is as much time again until a peer needs a resync.
    pub log_degraded_percent: u64,
    /// `clock_error_ms`, default 400, 1 to 60 000: a clock that is so far from the middle of all regions' clocks
    /// degrades: at `max_clock_drift_ms` (500) the others begin to refuse its writes.
    pub clock_error_ms: u64,
    /// `patience_ms`, default 1000, 0 to 60 000: a measured sign that is over sooner does not count.
    pub patience_ms: u64,
    /// `calm_ms`, default 3000, 1000 to 600 000: no state is left for a better one before nothing bad was seen for so
    /// long. It bounds how often the state can change.
    pub calm_ms: u64,
    /// `recovering_lag_ms`, default 1000, 0 to 600 000: a recovering region that is no further behind the peers that it
    /// hears has caught up.
    pub recovering_lag_ms: u64,
    /// `recovering_silence_ms`, default 3000, 0 to 600 000: for so long a recovering region waits for peers that it
    /// does not hear. Those that are there answer within one.
    pub recovering_silence_ms: u64,
    /// `recovering_stalled_ms`, default 10 000, 100 to 3 600 000: a recovering region that comes no closer to its peers
    /// for so long does not wait any more: it goes on as degraded.
    pub recovering_stalled_ms: u64,
    /// `staleness_percent`, default 200, 100 to 10 000: to how much the allowances for stale reads grow that clients
    /// leave to the region, while it is degraded. What a client asks for by number is never stretched.
    pub staleness_percent: u64,
}

impl Default for HealthThresholds {
    fn default() -> Self {
        Self {
            peer_phi: 8,
            quorum_lost_ms: 30_000,
            commit_slow_ms: 250,
            commit_stalled_ms: 5_000,
            lag_degraded_ms: 10_000,
            log_degraded_percent: 50,
            clock_error_ms: 400,
            patience_ms: 1_000,
            calm_ms: 3_000,
            recovering_lag_ms: 1_000,
            recovering_silence_ms: 3_000,
            recovering_stalled_ms: 10_000,
            staleness_percent: 200,
        }
    }
}
