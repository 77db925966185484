//! What a look at a node has found, as plain data.

use crate::model::health::commit_delay::CommitDelay;
use crate::model::ids::RegionId;

/// One look.
#[derive(Debug, Clone, Default)]
pub struct HealthInputs {
    /// Nothing was ever applied here: there is nothing that the region could be behind of, as long as nobody tells of it.
    pub is_empty: bool,
    /// What keeps this node from serving everything, in words: its disk, partitions that have stopped, actors that have
    /// failed.
    pub blockers: Vec<String>,
    /// How long group commits take.
    pub commit: CommitDelay,
    /// Changes that no other region could be got to give, in words.
    pub lacking: Option<String>,
    /// Partitions that no node of the region leads, though enough of their nodes are heard, in words.
    pub leaderless: Option<String>,
    /// How much of their limit the logs have taken.
    pub log_percent: u64,
    /// How far this node's clock is from the middle of all, in either direction.
    pub clock_error_ms: u64,
    /// The other regions, always all and in the same order.
    pub peers: Vec<PeerInput>,
}

/// What this region knows of a peer.
#[derive(Debug, Clone)]
pub struct PeerInput {
    /// The peer.
    pub region: RegionId,
    /// An operator has stopped the link, here or there: its silence is meant.
    pub is_paused: bool,
    /// Stamps are refused on the link; for how long already none was.
    pub quarantined_for_ms: Option<u64>,
    /// The log no longer has what the peer needs.
    pub needs_resync: bool,
    /// How improbable its silence is; none while it was never heard.
    pub phi: Option<f64>,
    /// Whether this region has had everything that the peer had told of, at some moment of this process.
    pub has_caught_up: bool,
    /// How long ago that was.
    pub lag_ms: u64,
    /// Changes of the peer that it has told of and this region has not applied.
    pub behind_changes: u64,
}

impl PeerInput {
    /// Whether the link is as it should be, so that waiting for the peer makes sense.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.is_paused && self.quarantined_for_ms.is_none()
    }
}
