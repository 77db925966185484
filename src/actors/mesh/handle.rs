//! How the rest of a node asks the other nodes of its region.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use tokio::time::timeout;

use crate::actors::mesh::board::MeshBoard;
use crate::actors::mesh::lane::Lane;
use crate::actors::mesh::question;
use crate::model::ids::{NodeId, PartitionId};
use crate::model::limits;

/// Why a request to another node of the region has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeshError {
    /// The region has no such node.
    #[error("this node's regions.toml has no other node {0} in its region")]
    UnknownNode(NodeId),
    /// What is asked does not fit into a frame.
    #[error("a request of {len} bytes is over the limit of {max}")]
    BodyTooLarge {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Too many requests to this node wait or are under way.
    #[error("too many requests to node {0} wait for an answer: try again")]
    Overloaded(NodeId),
    /// There is no connection, so nothing was sent.
    #[error("node {node} is not connected: {reason}")]
    NotConnected {
        /// The node.
        node: NodeId,
        /// Why not.
        reason: Arc<str>,
    },
    /// The connection was lost before the answer came.
    #[error("the connection to node {node} was lost: {reason}")]
    Lost {
        /// The node.
        node: NodeId,
        /// Why.
        reason: Arc<str>,
        /// Whether the request may have been received.
        is_sent: bool,
    },
    /// The time is over.
    #[error("no answer from node {node} within {} ms", .patience.as_millis())]
    TimedOut {
        /// The node.
        node: NodeId,
        /// How long was waited.
        patience: Duration,
        /// Whether the request may have been received.
        is_sent: bool,
    },
    /// The node has received the request and has no answer.
    #[error("node {node} has no answer: {reason}")]
    Failed {
        /// The node.
        node: NodeId,
        /// Its words.
        reason: String,
    },
}

impl MeshError {
    /// Whether the other node may have received the request: then it may have done what was asked, or do it yet.
    #[must_use]
    pub fn may_have_been_received(&self) -> bool {
        match self {
            Self::UnknownNode(_)
            | Self::BodyTooLarge { .. }
            | Self::Overloaded(_)
            | Self::NotConnected { .. } => false,
            Self::Lost { is_sent, .. } | Self::TimedOut { is_sent, .. } => *is_sent,
            Self::Failed { .. } => true,
        }
    }
}

/// Asks the other nodes of the region. Cheap to clone.
#[derive(Clone)]
pub struct MeshHandle {
    lanes: Arc<BTreeMap<NodeId, Arc<Lane>>>,
    board: Arc<MeshBoard>,
}

impl std::fmt::Debug for MeshHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.lanes.keys()).finish()
    }
}

impl MeshHandle {
    pub(super) fn new(lanes: BTreeMap<NodeId, Arc<Lane>>, board: Arc<MeshBoard>) -> Self {
        Self {
            lanes: Arc::new(lanes),
            board,
        }
    }

    /// Asks the member of a partition's group on another node, and waits for the answer as long as `patience`, at most
    /// [`MESH_PATIENCE_MS_MAX`](crate::model::limits::MESH_PATIENCE_MS_MAX). Requests to one node are sent in the order of
    /// the calls, and answered in any. A call that is dropped leaves nothing behind here; what was sent may still be
    /// answered there.
    ///
    /// # Errors
    /// [`MeshError`]: at once when nothing can be sent, when the connection is lost, or when the patience is over.
    pub async fn call(
        &self,
        node: NodeId,
        partition: PartitionId,
        body: Bytes,
        patience: Duration,
    ) -> Result<Bytes, MeshError> {
        let lane = self.lanes.get(&node).ok_or(MeshError::UnknownNode(node))?;
        lane.call(partition, body, patience).await
    }

    /// Asks another node a question for a client or an operator, on a stream of its own, so that neither a long answer nor a slow
    /// one stands in the way of the groups: the answer, and what is large behind it, at most
    /// [`FORWARDED_ANSWER_BYTES_MAX`](crate::model::limits::FORWARDED_ANSWER_BYTES_MAX).
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn ask(
        &self,
        node: NodeId,
        question: Bytes,
        patience: Duration,
    ) -> Result<(Bytes, Bytes), MeshError> {
        if !self.lanes.contains_key(&node) {
            return Err(MeshError::UnknownNode(node));
        }
        // `>`: so much fits.
        if question.len() > limits::MESH_BODY_BYTES_MAX {
            let (len, max) = (question.len(), limits::MESH_BODY_BYTES_MAX);
            return Err(MeshError::BodyTooLarge { len, max });
        }
        let connection = self.board.connection(&node);
        let connection = connection.ok_or_else(|| MeshError::NotConnected {
            node,
            reason: "there is no connection".into(),
        })?;
        let is_sent = true;
        let asked = timeout(patience, question::ask(connection.as_ref(), node, question)).await;
        asked.unwrap_or(Err(MeshError::TimedOut {
            node,
            patience,
            is_sent,
        }))
    }

    /// The lane to a node.
    #[cfg(test)]
    pub(super) fn lane(&self, node: &NodeId) -> &Arc<Lane> {
        &self.lanes[node]
    }
}
