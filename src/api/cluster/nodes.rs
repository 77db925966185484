//! The nodes of this region: adding, draining and removing them while it serves.

use axum::body::Body;
use axum::http::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actors::region::{NodesView, RegionNodeView};
use crate::api::call::Call;
use crate::api::cluster::errors;
use crate::api::problem::Problem;
use crate::api::{Api, answer, path};
use crate::model::agreement::NodeChange;

/// The nodes of a region.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Nodes {
    /// The region.
    region: String,
    /// How many nodes are to vote for each partition.
    replication_factor: usize,
    /// Partitions of the cluster.
    partitions: u16,
    /// Partitions whose members are as they should be, as far as this node knows: when these are all, a change is finished.
    settled: u16,
    /// In the order of their names.
    nodes: Vec<RegionNode>,
}

/// A node of a region.
#[derive(Debug, Serialize, ToSchema)]
struct RegionNode {
    /// Its name.
    node: String,
    /// `active`, `drained` (it leads nothing), `leaving` (it is being removed) or `not_added` (regions.toml has it, and
    /// the region does not).
    state: &'static str,
    /// In which life its data folder is a member; null of those that are none.
    incarnation: Option<u32>,
    /// Whether the node that answers hears it.
    reached: bool,
    /// Partitions that it has, or is getting.
    copies: u16,
    /// Partitions in which it votes.
    votes: u16,
    /// Partitions that it leads.
    leads: u16,
}

impl From<NodesView> for Nodes {
    fn from(view: NodesView) -> Self {
        Self {
            region: view.region.to_string(),
            replication_factor: view.replication_factor,
            partitions: view.partitions,
            settled: view.settled,
            nodes: view.nodes.into_iter().map(RegionNode::from).collect(),
        }
    }
}

impl From<RegionNodeView> for RegionNode {
    fn from(view: RegionNodeView) -> Self {
        Self {
            node: view.node.to_string(),
            state: view.state.name(),
            incarnation: view.incarnation.map(|incarnation| incarnation.0),
            reached: view.is_reached,
            copies: view.copies,
            votes: view.votes,
            leads: view.leads,
        }
    }
}

/// Lists the nodes of this region.
#[utoipa::path(
    get,
    path = "/v1/cluster/nodes",
    tag = "cluster",
    responses((status = 200, description = "The nodes", content_type = "application/json", body = Nodes)),
)]
pub(crate) fn list(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    call.query(&[])?;
    Ok(answer::json(&Nodes::from(api.region.nodes())))
}

/// Lets a node of regions.toml take part in this region; one that was drained, again. It gets a copy of every partition
/// first.
#[utoipa::path(
    post,
    path = "/v1/cluster/nodes/{node}/add",
    tag = "cluster",
    params(("node" = String, Path, description = "The node")),
    responses((status = 204, description = "Agreed on, also if it was")),
)]
pub(crate) async fn add(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    call.query(&[])?;
    change(api, call, NodeChange::Add).await
}

/// Lets a node lead nothing, and vote only where there are too few others: before maintenance. It keeps its copies.
#[utoipa::path(
    post,
    path = "/v1/cluster/nodes/{node}/drain",
    tag = "cluster",
    params(("node" = String, Path, description = "The node")),
    responses((status = 204, description = "Agreed on, also if it was")),
)]
pub(crate) async fn drain(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    call.query(&[])?;
    change(api, call, NodeChange::Drain).await
}

/// Takes a node out of this region, whether it runs or not.
#[utoipa::path(
    post,
    path = "/v1/cluster/nodes/{node}/remove",
    tag = "cluster",
    params(
        ("node" = String, Path, description = "The node"),
        ("fewer_copies" = Option<bool>, Query, description = "Also where partitions have fewer copies then than they should"),
    ),
    responses((status = 204, description = "Agreed on, also if it was")),
)]
pub(crate) async fn remove(api: &Api, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let fewer_copies = call.query(&["fewer_copies"])?.is_wanted("fewer_copies")?;
    change(api, call, NodeChange::Remove { fewer_copies }).await
}

async fn change(api: &Api, call: &Call<'_>, change: NodeChange) -> Result<Response<Body>, Problem> {
    let node = path::node(call.names[0])?;
    let changed = api.region.change_node(&node, change).await;
    changed.map_err(errors::problem)?;
    Ok(answer::no_content())
}
