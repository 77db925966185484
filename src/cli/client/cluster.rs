//! The calls of `/v1/cluster`: status, digest, links and the ledger of losers.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::types::PageQuery;
use super::{Client, ClientError, Request, RequestPath};
use crate::model::ids::{Namespace, NodeId, RegionId};

/// What a node says about itself and its region's peers.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct NodeStatus {
    /// The region that the node is in.
    pub(crate) region: String,
    /// The node's name.
    pub(crate) node: String,
    /// The version of its program.
    pub(crate) version: String,
    /// `healthy`, `degraded`, `unhealthy` or `recovering`.
    pub(crate) state: String,
    /// The nodes of the region, as this one sees them.
    #[serde(default)]
    pub(crate) nodes: Vec<RegionNodeStatus>,
    /// The partitions that nobody leads.
    #[serde(default)]
    pub(crate) leaderless: Vec<LeaderlessStatus>,
    /// The other regions, as this one sees them.
    #[serde(default)]
    pub(crate) peers: Vec<PeerStatus>,
}

/// A node of the region in a [`NodeStatus`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RegionNodeStatus {
    /// The node's name.
    pub(crate) node: String,
    /// `up`, `suspected` or `unknown`.
    pub(crate) state: String,
    /// How long it was not heard.
    pub(crate) silent_ms: Option<f64>,
    /// The partitions that it leads.
    pub(crate) partitions_led: Option<u64>,
    /// Round trip.
    pub(crate) rtt_ms: Option<f64>,
    /// Why it is not connected.
    pub(crate) last_error: Option<String>,
}

/// Partitions that nobody leads, in a [`NodeStatus`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LeaderlessStatus {
    /// Why.
    pub(crate) reason: String,
    /// Which.
    pub(crate) partitions: Vec<usize>,
}

/// A peer region in a [`NodeStatus`]. What is not known yet is absent.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PeerStatus {
    /// The peer's name.
    pub(crate) region: String,
    /// The peer's state as this region sees it.
    pub(crate) state: Option<String>,
    /// `up`, `down`, `paused` or `quarantined`.
    pub(crate) link: String,
    /// Round trip.
    pub(crate) rtt_ms: Option<f64>,
    /// How far this region's view of the peer is behind; 0 when idle and caught up.
    pub(crate) lag_ms: Option<f64>,
    /// Changes of the peer that the region lacks.
    pub(crate) behind_changes: Option<u64>,
    /// How long until it has them.
    pub(crate) catch_up_ms: Option<f64>,
    /// Changes that wait to be sent to the peer.
    pub(crate) backlog_changes: Option<u64>,
    /// Why the link is not up, or was not lately.
    pub(crate) last_error: Option<String>,
}

/// The configuration of a node.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct NodeConfiguration {
    /// Names what is in the file that is in force.
    pub(crate) version: String,
    /// Since when.
    pub(crate) since: String,
    /// The version that is being put into force.
    pub(crate) next: Option<String>,
    /// Why what was read last is not in force.
    pub(crate) error: Option<String>,
}

/// The nodes of a region.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RegionNodes {
    /// The region.
    pub(crate) region: String,
    /// How many nodes are to vote for each partition.
    pub(crate) replication_factor: usize,
    /// Partitions of the cluster.
    pub(crate) partitions: u16,
    /// Partitions whose members are as they should be.
    pub(crate) settled: u16,
    /// The nodes.
    pub(crate) nodes: Vec<RegionNode>,
}

/// A node of [`RegionNodes`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RegionNode {
    /// Its name.
    pub(crate) node: String,
    /// `active`, `drained`, `leaving` or `not_added`.
    pub(crate) state: String,
    /// Whether the node that was asked hears it.
    pub(crate) reached: bool,
    /// Partitions that it has, or is getting.
    pub(crate) copies: u16,
    /// Partitions in which it votes.
    pub(crate) votes: u16,
    /// Partitions that it leads.
    pub(crate) leads: u16,
}

/// A region's proof of its data. Equal roots mean equal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegionDigest {
    /// Over all partitions.
    pub(crate) root: String,
    /// One for each partition.
    pub(crate) partitions: Vec<String>,
    /// For each partition, what it has applied of each replica.
    #[serde(default)]
    pub(crate) vector: Vec<BTreeMap<String, u64>>,
}

/// A page of the ledger.
#[derive(Debug, Deserialize)]
pub(crate) struct ConflictsPage {
    /// The entries as the node wrote them.
    pub(crate) conflicts: Vec<serde_json::Value>,
    /// Where the next page starts.
    pub(crate) next: Option<String>,
}

/// What to do with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkAction {
    /// Stop sending to and taking from the region.
    Pause,
    /// Start again.
    Resume,
}

impl LinkAction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// What a node is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeAction {
    /// A part of its region.
    Add,
    /// One that leads nothing.
    Drain,
    /// No part of its region.
    Remove {
        /// Also where partitions have fewer copies then.
        fewer_copies: bool,
    },
}

impl NodeAction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Drain => "drain",
            Self::Remove { .. } => "remove",
        }
    }
}

impl Client {
    /// The configuration of the node, both as sent and typed.
    pub(crate) async fn configuration(&self) -> Result<(serde_json::Value, NodeConfiguration), ClientError> {
        let request = Request::new(Method::GET, RequestPath::new("/v1/cluster/config"));
        self.configuration_of(request, "get the configuration").await
    }

    /// Lets the node read it again.
    pub(crate) async fn reload_configuration(
        &self,
    ) -> Result<(serde_json::Value, NodeConfiguration), ClientError> {
        let request = Request::new(Method::POST, RequestPath::new("/v1/cluster/config/reload"));
        self.configuration_of(request, "reload the configuration").await
    }

    async fn configuration_of(
        &self,
        request: Request,
        what: &str,
    ) -> Result<(serde_json::Value, NodeConfiguration), ClientError> {
        let what = || what.to_owned();
        let raw: serde_json::Value = self.send_json(request, &what).await?;
        let typed = NodeConfiguration::deserialize(&raw)
            .map_err(|error| self.contract_error(error.to_string(), &what))?;
        Ok((raw, typed))
    }

    /// The nodes of the region, both as sent and typed.
    pub(crate) async fn nodes(&self) -> Result<(serde_json::Value, RegionNodes), ClientError> {
        let what = || "list the nodes of the region".to_owned();
        let request = Request::new(Method::GET, RequestPath::new("/v1/cluster/nodes"));
        let raw: serde_json::Value = self.send_json(request, &what).await?;
        let typed =
            RegionNodes::deserialize(&raw).map_err(|error| self.contract_error(error.to_string(), &what))?;
        Ok((raw, typed))
    }

    /// Changes what a node is to its region.
    pub(crate) async fn change_node(&self, node: NodeId, action: NodeAction) -> Result<(), ClientError> {
        let fewer = action == (NodeAction::Remove { fewer_copies: true });
        let path = RequestPath::new("/v1/cluster/nodes")
            .segment(node.as_str())?
            .segment(action.as_str())?
            .query_optional("fewer_copies", fewer.then_some("true"));
        let what = || format!("{} node {node}", action.as_str());
        self.send(Request::new(Method::POST, path), &what).await?;
        Ok(())
    }

    /// The node's status, both as sent and typed.
    pub(crate) async fn status(&self) -> Result<(serde_json::Value, NodeStatus), ClientError> {
        let what = || "get the status".to_owned();
        let request = Request::new(Method::GET, RequestPath::new("/v1/cluster/status"));
        let raw: serde_json::Value = self.send_json(request, &what).await?;
        let typed =
            NodeStatus::deserialize(&raw).map_err(|error| self.contract_error(error.to_string(), &what))?;
        Ok((raw, typed))
    }

    /// The digest, with the region that answered when the node names it.
    pub(crate) async fn digest(&self) -> Result<(Option<String>, RegionDigest), ClientError> {
        let what = || "get the digest".to_owned();
        let request = Request::new(Method::GET, RequestPath::new("/v1/cluster/digest"));
        let answer = self.send(request, &what).await?;
        Ok((answer.header("atoll-region"), self.parse(&answer.body, &what)?))
    }

    /// Pauses or resumes the link between the node's region and another.
    pub(crate) async fn link(&self, region: RegionId, action: LinkAction) -> Result<(), ClientError> {
        let path = RequestPath::new("/v1/cluster/links")
            .segment(region.as_str())?
            .segment(action.as_str())?;
        let what = || format!("{} the link to {region}", action.as_str());
        self.send(Request::new(Method::POST, path), &what).await?;
        Ok(())
    }

    /// One page of the ledger.
    pub(crate) async fn conflicts_page(
        &self,
        namespace: Option<&Namespace>,
        query: &PageQuery<'_>,
    ) -> Result<ConflictsPage, ClientError> {
        let path = RequestPath::new("/v1/cluster/conflicts")
            .query_optional("namespace", namespace.map(Namespace::as_str));
        self.send_json(Request::new(Method::GET, query.apply(path)), &|| {
            "list the conflicts".to_owned()
        })
        .await
    }
}
