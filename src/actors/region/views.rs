//! What a region shows of itself: plain data for the API, `status` and metrics.

use bytes::Bytes;

use crate::actors::group::overview::{Leaderless, NodeStanding};
use crate::model::change::ConflictPolicy;
use crate::model::digest::DigestSum;
pub use crate::model::health::RegionState;
use crate::model::hlc::WallTime;
use crate::model::ids::{ClusterName, Incarnation, NodeId, PartitionId, RegionId, SubKey};
use crate::model::record::{RecordId, Version};
use crate::model::rows::LossReason;
use crate::model::vector::VersionVector;

/// Which part of a listing is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Only what comes after this, in byte order.
    pub after: Option<String>,
    /// At most so many entries.
    pub limit: usize,
}

/// Members of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPage {
    /// In byte order.
    pub members: Vec<String>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

/// Fields of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPage {
    /// In byte order; values are JSON texts.
    pub fields: Vec<(String, Bytes)>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

/// A key in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The key.
    pub key: String,
    /// Bytes of a register's value; members of a set or fields of a map; 0 for counters.
    pub size: u64,
    /// A register's content type.
    pub content_type: Option<String>,
    /// A register's version.
    pub version: Option<Version>,
}

/// Keys of one type in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingPage {
    /// In byte order.
    pub keys: Vec<ListedKey>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

/// A home region takes over from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takeover {
    /// The one before.
    pub from: RegionId,
    /// What the one before had when it had stopped: the new one starts when it has that. None while it still finishes
    /// what it has begun.
    pub needs: Option<Vec<(PartitionId, VersionVector)>>,
}

/// What an operator wants of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceChange {
    /// How it shall be configured. Its `takeover` is not looked at.
    pub wanted: NamespaceConfiguration,
    /// The home region is lost for good: move the home without it. What it had acknowledged at `strong` and not shipped
    /// is not seen by the new one.
    pub is_forced: bool,
}

/// How a namespace is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceConfiguration {
    /// How concurrent register writes are resolved.
    pub conflict_policy: ConflictPolicy,
    /// The region that serves `strong`; none by default.
    pub home_region: Option<RegionId>,
    /// Whether all writes are made by the home region, whatever their level.
    pub writes_at_home: bool,
    /// Its home region takes over, or has, from another.
    pub takeover: Option<Takeover>,
    /// The level of requests that name none: `eventual`, `local_quorum`, `global_quorum` or `strong`.
    pub default_consistency: String,
}

impl Default for NamespaceConfiguration {
    fn default() -> Self {
        Self {
            conflict_policy: ConflictPolicy::Lww,
            home_region: None,
            writes_at_home: false,
            takeover: None,
            default_consistency: "local_quorum".to_owned(),
        }
    }
}

/// An entry of the conflict ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictView {
    /// The record.
    pub record: RecordId,
    /// The field, of a map.
    pub field: Option<SubKey>,
    /// What is visible instead.
    pub winner: Version,
    /// What is not.
    pub loser: Version,
    /// When this region decided.
    pub lost_at: WallTime,
    /// Why.
    pub reason: LossReason,
    /// The bytes that lost; none if a delete lost.
    pub value: Option<Bytes>,
}

/// A page of the conflict ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictPage {
    /// Oldest first.
    pub conflicts: Vec<ConflictView>,
    /// Where to go on (opaque); none at the end.
    pub next: Option<String>,
}

/// The state of a link to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Changes flow.
    Up,
    /// There is no connection.
    Down,
    /// An operator has stopped it, here or there.
    Paused,
    /// Stamps are too far in the future: nothing is taken until clocks agree again.
    Quarantined,
    /// The log no longer has what the peer needs: it must be brought up by a resync.
    Resync,
}

impl LinkState {
    /// The name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Paused => "paused",
            Self::Quarantined => "quarantined",
            Self::Resync => "resync",
        }
    }
}

/// A peer region, as seen from here.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerView {
    /// The peer.
    pub region: RegionId,
    /// What it is worth, as far as this region can tell.
    pub state: RegionState,
    /// The link to it.
    pub link: LinkState,
    /// Round-trip time; none while there is no connection.
    pub rtt_ms: Option<f64>,
    /// How far this region's view of the peer is behind; 0 when idle and caught up.
    pub lag_ms: u64,
    /// Changes of the peer that it has told of and this region has not applied.
    pub behind_changes: u64,
    /// How long it takes until they are applied, at the pace of the last seconds; none when nothing is missing or it does
    /// not become less.
    pub catch_up_ms: Option<u64>,
    /// Changes of this region that the peer has not acknowledged.
    pub backlog_changes: u64,
    /// How improbable the peer's silence is: 10^-phi; none while it was never heard.
    pub phi: Option<f64>,
    /// When the peer's certificate expires, if it was seen.
    pub certificate_expires: Option<std::time::SystemTime>,
    /// The last thing that went wrong on the link.
    pub last_error: Option<String>,
}

/// The state of a node and its links.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusView {
    /// The cluster.
    pub cluster: ClusterName,
    /// This region.
    pub region: RegionId,
    /// Its incarnation.
    pub incarnation: u32,
    /// This node.
    pub node: NodeId,
    /// Its software version.
    pub version: String,
    /// What it is worth.
    pub state: RegionState,
    /// For how long it has been so.
    pub state_for_ms: u64,
    /// Why it is not healthy.
    pub reasons: Vec<String>,
    /// Partitions of the cluster.
    pub partitions: u16,
    /// Bytes that the partition logs hold.
    pub log_bytes: u64,
    /// When this node's own certificate expires.
    pub certificate_expires: std::time::SystemTime,
    /// The nodes of this region, as this one sees them.
    pub nodes: Vec<NodeStanding>,
    /// The partitions that no node of this region leads.
    pub leaderless: Vec<Leaderless>,
    /// The other regions.
    pub peers: Vec<PeerView>,
}

/// The digest of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestView {
    /// Over all partitions.
    pub root: [u8; 32],
    /// By partition: the sum of its rows, and what it covers.
    pub partitions: Vec<(DigestSum, VersionVector)>,
}

/// Why requests that clients mark as less important are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shedding {
    /// The region's state.
    pub state: RegionState,
    /// When to try again, in seconds: sooner it cannot be over.
    pub retry_after_seconds: u64,
}

/// Health, for probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthView {
    /// This node serves requests.
    pub ready: bool,
    /// This region should receive traffic.
    pub region_serves: bool,
    /// The region's state.
    pub state: RegionState,
    /// Why not, or why only in part.
    pub reasons: Vec<String>,
}

/// What a node of a region is, to the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It votes and leads where it is placed.
    Active,
    /// It leads nothing.
    Drained,
    /// It is being removed.
    Leaving,
    /// The configuration has it, and the region does not.
    NotAdded,
}

impl NodeState {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Drained => "drained",
            Self::Leaving => "leaving",
            Self::NotAdded => "not_added",
        }
    }
}

/// A node of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionNodeView {
    /// Which.
    pub node: NodeId,
    /// What it is to the region.
    pub state: NodeState,
    /// In which life its data folder is a member; none of those that are none.
    pub incarnation: Option<Incarnation>,
    /// Whether the node that answers hears it.
    pub is_reached: bool,
    /// Partitions that it has, or is getting.
    pub copies: u16,
    /// Partitions in which it votes.
    pub votes: u16,
    /// Partitions that it leads, as far as the node that answers knows.
    pub leads: u16,
}

/// The nodes of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesView {
    /// Which region.
    pub region: RegionId,
    /// How many nodes are to vote for each partition.
    pub replication_factor: usize,
    /// Partitions of the cluster.
    pub partitions: u16,
    /// Partitions whose members are as they should be.
    pub settled: u16,
    /// In the order of their names.
    pub nodes: Vec<RegionNodeView>,
}
