//! The state of this node and its links.

use axum::body::Body;
use axum::http::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actors::group::overview::{self, NodeStanding};
use crate::actors::region::{PeerView, StatusView};
use crate::api::call::Call;
use crate::api::cluster::time_text;
use crate::api::problem::Problem;
use crate::api::{Api, answer};

/// The state of a node and its links.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// The cluster.
    cluster: String,
    /// This region.
    region: String,
    /// How often the region was created, restored or re-admitted.
    incarnation: u32,
    /// This node.
    node: String,
    /// Its software version.
    version: String,
    /// `healthy`, `degraded`, `unhealthy` or `recovering`.
    state: &'static str,
    /// For how long it has been so.
    state_for_ms: u64,
    /// Why it is not healthy.
    reasons: Vec<String>,
    /// Partitions of the cluster.
    partitions: u16,
    /// Bytes that the partition logs hold.
    log_bytes: u64,
    /// When this node's certificate expires (RFC 3339).
    certificate_expires: String,
    /// The nodes of this region, as this one sees them.
    nodes: Vec<Node>,
    /// The partitions that no node of this region leads; empty when all is well.
    leaderless: Vec<Leaderless>,
    /// The other regions.
    peers: Vec<Peer>,
}

/// A node of this region, as the one that answers sees it.
#[derive(Debug, Serialize, ToSchema)]
struct Node {
    /// The node.
    node: String,
    /// `up`, `suspected` (not heard for so long that others lead what it has led) or `unknown` (not heard yet since the node that
    /// answers was started).
    state: &'static str,
    /// How long it was not heard; 0 of the node that answers, null if it never was.
    silent_ms: Option<u64>,
    /// The partitions that it leads.
    partitions_led: usize,
    /// Round-trip time; null of the node that answers, and while it is not connected to it.
    rtt_ms: Option<f64>,
    /// Why it is not connected to it.
    last_error: Option<String>,
}

/// Partitions that no node of this region leads, for one reason.
#[derive(Debug, Serialize, ToSchema)]
struct Leaderless {
    /// Why.
    reason: String,
    /// Which.
    partitions: Vec<u16>,
}

/// A peer region, as seen from here.
#[derive(Debug, Serialize, ToSchema)]
struct Peer {
    /// The peer.
    region: String,
    /// `healthy`, `degraded`, `unhealthy` or `recovering`, as far as this region can tell.
    state: &'static str,
    /// `up`, `down`, `paused`, `quarantined` (its clock is ahead) or `resync` (it needs more than the log still has).
    link: &'static str,
    /// Round-trip time; null while there is no connection.
    rtt_ms: Option<f64>,
    /// How far this region's view of the peer is behind; 0 when idle and caught up.
    lag_ms: u64,
    /// Changes of the peer that it told of and this region has not applied.
    behind_changes: u64,
    /// How long until these are applied, at the pace of the last seconds; null when nothing is missing or it does not
    /// become less.
    catch_up_ms: Option<u64>,
    /// Changes of this region that the peer has not acknowledged.
    backlog_changes: u64,
    /// How improbable the peer's silence is: 10^-phi. Over `peer_phi` it counts as silent; null while it was never heard.
    phi: Option<f64>,
    /// When the peer's certificate expires (RFC 3339); null while it was not seen.
    certificate_expires: Option<String>,
    /// The last thing that went wrong on the link.
    last_error: Option<String>,
}

impl From<StatusView> for Status {
    fn from(view: StatusView) -> Self {
        Self {
            cluster: view.cluster.to_string(),
            region: view.region.to_string(),
            incarnation: view.incarnation,
            node: view.node.to_string(),
            version: view.version,
            state: view.state.name(),
            state_for_ms: view.state_for_ms,
            reasons: view.reasons,
            partitions: view.partitions,
            log_bytes: view.log_bytes,
            certificate_expires: time_text(view.certificate_expires),
            nodes: view.nodes.into_iter().map(Node::from).collect(),
            leaderless: view.leaderless.into_iter().map(Leaderless::from).collect(),
            peers: view.peers.into_iter().map(Peer::from).collect(),
        }
    }
}

impl From<NodeStanding> for Node {
    fn from(standing: NodeStanding) -> Self {
        Self {
            node: standing.node.to_string(),
            state: standing.reach.name(),
            silent_ms: standing.silent_ms,
            partitions_led: standing.partitions_led,
            rtt_ms: standing.rtt_ms,
            last_error: standing.last_error,
        }
    }
}

impl From<overview::Leaderless> for Leaderless {
    fn from(leaderless: overview::Leaderless) -> Self {
        let partitions = leaderless.partitions.into_iter();
        Self {
            reason: leaderless.reason,
            partitions: partitions.map(|partition| partition.0).collect(),
        }
    }
}

impl From<PeerView> for Peer {
    fn from(view: PeerView) -> Self {
        Self {
            region: view.region.to_string(),
            state: view.state.name(),
            link: view.link.name(),
            rtt_ms: view.rtt_ms,
            lag_ms: view.lag_ms,
            behind_changes: view.behind_changes,
            catch_up_ms: view.catch_up_ms,
            backlog_changes: view.backlog_changes,
            phi: view.phi.map(|phi| (phi * 100.0).round() / 100.0),
            certificate_expires: view.certificate_expires.map(time_text),
            last_error: view.last_error,
        }
    }
}

/// Reads the state of this node and its links.
#[utoipa::path(
    get,
    path = "/v1/cluster/status",
    tag = "cluster",
    responses((status = 200, description = "The state", content_type = "application/json", body = Status)),
)]
pub(crate) fn get(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    call.query(&[])?;
    Ok(answer::json(&Status::from(api.region.status())))
}
