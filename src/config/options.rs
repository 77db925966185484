//! The optional tables of `regions.toml`: what each option means, its default and its range.
//!
//! Options of one cluster should be equal in all regions, but nothing here decides how a conflict is resolved, so
//! regions that differ still converge (DESIGN rule 8).

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::model::limits;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;
const PIB: u64 = 1024 * TIB;

/// `[replication]`: how changes travel to the other regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationOptions {
    /// `batch_delay_ms`, default 10, 0 to 1000: how long a change waits for others while the link is busy. An idle
    /// link sends at once. More than a second would be lag that nobody asked for.
    pub batch_delay: Duration,
    /// `batch_changes`, default 100, 1 to 10 000: a batch of that many changes goes out without waiting. 10 000 are a
    /// sixth of what a peer may leave unacknowledged, so several batches can still be on their way.
    pub batch_changes: usize,
    /// `lanes`, default 4, 1 to 16: QUIC streams to each peer; partitions are spread over them, so that a lost packet
    /// or an entry that cannot be applied stops only its lane. More than 16 only splits batches.
    pub lanes: u16,
    /// `heartbeat_interval_ms`, default 200, 10 to 10 000: how often an idle link tells its vectors. It bounds how old
    /// lag, staleness and failure detection can be.
    pub heartbeat_interval: Duration,
    /// `compression_level`, default 1, 1 to 19: zstd level of batches. Level 1 is faster than the network nearly
    /// everywhere; higher ones pay off on thin links. Above 19 zstd needs memory out of proportion.
    pub compression_level: i32,
    /// `log_retention_bytes`, default 8 GiB, 64 MiB to 16 TiB, per node: log kept for peers that have not taken it.
    /// Over it the oldest entries go instead of filling the disk, and every peer that lacks them shows as `resync`.
    pub log_retention_bytes: u64,
}

impl ReplicationOptions {
    pub(super) const BATCH_DELAY_MS: RangeInclusive<u64> = 0..=1000;
    pub(super) const BATCH_CHANGES: RangeInclusive<u64> = 1..=10_000;
    pub(super) const LANES: RangeInclusive<u64> = 1..=16;
    pub(super) const HEARTBEAT_INTERVAL_MS: RangeInclusive<u64> = 10..=10_000;
    pub(super) const COMPRESSION_LEVEL: RangeInclusive<u64> = 1..=19;
    // Less than 64 MiB would not hold what may be on its way to one peer (UNACKED_BYTES_MAX).
    pub(super) const LOG_RETENTION_BYTES: RangeInclusive<u64> = 64 * MIB..=16 * TIB;
}

impl Default for ReplicationOptions {
    fn default() -> Self {
        Self {
            batch_delay: Duration::from_millis(10),
            batch_changes: 100,
            lanes: 4,
            heartbeat_interval: Duration::from_millis(200),
            compression_level: 1,
            log_retention_bytes: 8 * GIB,
        }
    }
}

/// `[clock]`: what is accepted of other regions' clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockOptions {
    /// `max_clock_drift_ms`, default 500, 1 to 60 000: a remote stamp further ahead of this node's clock is refused
    /// before anything is persisted, and the link is quarantined. NTP keeps clocks within a few milliseconds; over a
    /// minute the clock is broken and last-write-wins would mean little.
    pub max_clock_drift: Duration,
}

impl ClockOptions {
    pub(super) const MAX_CLOCK_DRIFT_MS: RangeInclusive<u64> = 1..=60_000;
}

impl Default for ClockOptions {
    fn default() -> Self {
        Self {
            max_clock_drift: Duration::from_millis(500),
        }
    }
}

/// `[storage]`: disk and memory of each node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageOptions {
    /// `disk_reserve_bytes`, default 256 MiB, 1 MiB to 1 PiB: with less free space than this, writes get 503 while
    /// reads go on. It is the room that compaction needs to make space again.
    pub disk_reserve_bytes: u64,
    /// `block_cache_bytes`, default 64 MiB, 1 MiB to 1 TiB: memory for blocks read from disk.
    pub block_cache_bytes: u64,
    /// `memtable_bytes`, default 64 MiB, 1 MiB to 16 GiB: memory for writes that are not yet in sorted files, all
    /// column families together. It also bounds how much log a restart replays.
    pub memtable_bytes: u64,
}

impl StorageOptions {
    pub(super) const DISK_RESERVE_BYTES: RangeInclusive<u64> = MIB..=PIB;
    pub(super) const BLOCK_CACHE_BYTES: RangeInclusive<u64> = MIB..=TIB;
    pub(super) const MEMTABLE_BYTES: RangeInclusive<u64> = MIB..=16 * GIB;
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            disk_reserve_bytes: 256 * MIB,
            block_cache_bytes: 64 * MIB,
            memtable_bytes: 64 * MIB,
        }
    }
}

/// `[http]`: how clients are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// `request_timeout_ms`, default 5000, 1 to 600 000: the deadline of a request that sends no `Atoll-Timeout-Ms`.
    pub request_timeout: Duration,
    /// `shutdown_grace_ms`, default 8000, 0 to 600 000: how long a stopping node waits for requests in progress.
    /// The default leaves time to close the store within the 10 s that Docker gives before it kills; 0 does not wait.
    pub shutdown_grace: Duration,
    /// `max_staleness_ms`, default 0, 0 to 86 400 000: how old what a read at `eventual` or `local_quorum` shows may be
    /// where the request sends no `Atoll-Max-Staleness-Ms`; `staleness_percent` of that while the region is degraded. 0
    /// is any age: reads are answered, however long the other regions were silent.
    pub max_staleness: Duration,
}

impl HttpOptions {
    pub(super) const REQUEST_TIMEOUT_MS: RangeInclusive<u64> = 1..=600_000;
    pub(super) const SHUTDOWN_GRACE_MS: RangeInclusive<u64> = 0..=600_000;
    pub(super) const MAX_STALENESS_MS: RangeInclusive<u64> = 0..=limits::STALENESS_MS_MAX;
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(8),
            max_staleness: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_lie_within_their_ranges() {
        let replication = ReplicationOptions::default();
        let milliseconds = |d: Duration| u64::try_from(d.as_millis()).unwrap();
        assert!(ReplicationOptions::BATCH_DELAY_MS.contains(&milliseconds(replication.batch_delay)));
        assert!(ReplicationOptions::BATCH_CHANGES.contains(&(replication.batch_changes as u64)));
        assert!(ReplicationOptions::LANES.contains(&u64::from(replication.lanes)));
        assert!(
            ReplicationOptions::HEARTBEAT_INTERVAL_MS.contains(&milliseconds(replication.heartbeat_interval))
        );
        assert!(
            ReplicationOptions::COMPRESSION_LEVEL
                .contains(&u64::try_from(replication.compression_level).unwrap())
        );
        assert!(ReplicationOptions::LOG_RETENTION_BYTES.contains(&replication.log_retention_bytes));
        let drift = ClockOptions::default().max_clock_drift;
        assert!(ClockOptions::MAX_CLOCK_DRIFT_MS.contains(&milliseconds(drift)));
        let storage = StorageOptions::default();
        assert!(StorageOptions::DISK_RESERVE_BYTES.contains(&storage.disk_reserve_bytes));
        assert!(StorageOptions::BLOCK_CACHE_BYTES.contains(&storage.block_cache_bytes));
        assert!(StorageOptions::MEMTABLE_BYTES.contains(&storage.memtable_bytes));
        let http = HttpOptions::default();
        assert!(HttpOptions::REQUEST_TIMEOUT_MS.contains(&milliseconds(http.request_timeout)));
        assert!(HttpOptions::SHUTDOWN_GRACE_MS.contains(&milliseconds(http.shutdown_grace)));
        assert!(HttpOptions::MAX_STALENESS_MS.contains(&milliseconds(http.max_staleness)));
    }
}
