//! The mesh of a region's nodes: each dials every other one of its own region and keeps that connection. On the one that it
//! has dialled a node tells that it lives and asks for its partition groups; on those that it has accepted it acknowledges
//! and answers (decision 0018).
//!
//! Plain tasks, as inbound links are: `dial` is one for each other node, `serve` one for each accepted connection. They
//! decide nothing: what a sign of life says, what its acknowledgement promises and what a request is answered with comes
//! from a [`MeshService`]; what they see stands on the [`MeshBoard`]. They run before the region is founded, since its nodes found it
//! over them ([`founding`]). A region of one node has none of these tasks.

mod answers;
mod backoff;
pub mod board;
mod dial;
mod error;
pub mod founding;
pub mod handle;
mod handshake;
pub mod identity;
mod lane;
mod question;
mod serve;
pub mod service;
mod session;

#[cfg(test)]
pub(crate) mod kit_test;
#[cfg(test)]
mod mesh_test;
#[cfg(test)]
mod question_test;
#[cfg(test)]
mod refusal_test;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::actors::mesh::dial::Dialler;
use crate::actors::mesh::lane::Lane;
use crate::model::ids::NodeId;
use crate::ports::clock::Clock;
use crate::ports::entropy::Entropy;
use crate::ports::link::{DialTarget, Network};

pub use board::MeshBoard;
pub use founding::{FoundingDesk, FoundingParts, found_region};
pub use handle::{MeshError, MeshHandle};
pub use identity::MeshIdentity;
pub use serve::MeshServer;
pub use service::MeshService;

/// How long a node may take for each answer while a connection is made. As between regions: a node that starts is busy.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the mesh works with.
pub struct MeshParts {
    /// Who this node is.
    pub identity: MeshIdentity,
    /// Drawn when the process started.
    pub life: u64,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where jitter comes from.
    pub entropy: Arc<dyn Entropy>,
    /// How other nodes are reached.
    pub network: Arc<dyn Network>,
    /// The other nodes of its region by configuration; none in a region of one node.
    pub targets: Vec<DialTarget>,
    /// What is seen of them; made for the same nodes.
    pub board: Arc<MeshBoard>,
    /// What is said to them, and what their requests are answered with.
    pub service: Arc<dyn MeshService>,
    /// Where they are told what this node knows of the founding of its region.
    pub founding: FoundingDesk,
}

impl std::fmt::Debug for MeshParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MeshParts({})", self.identity.node)
    }
}

impl MeshParts {
    /// The names of the other nodes of this region.
    fn known(&self) -> impl Iterator<Item = NodeId> + Clone + '_ {
        self.targets.iter().map(|target| target.node)
    }
}

/// The mesh as one node has it.
pub struct Mesh {
    handle: MeshHandle,
    server: MeshServer,
    dialling: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mesh({:?})", self.server)
    }
}

impl Mesh {
    /// Dials every other node of the region, and again whenever a connection is lost. Where there is none, this costs
    /// nothing: neither a task nor a timer.
    #[must_use]
    pub fn start(parts: MeshParts) -> Self {
        let parts = Arc::new(parts);
        let mut lanes = BTreeMap::new();
        let mut dialling = JoinSet::new();
        for target in &parts.targets {
            let lane = Arc::new(Lane::new(target.node));
            lanes.insert(target.node, Arc::clone(&lane));
            let dialler = Dialler::new(Arc::clone(&parts), target.clone(), lane);
            dialling.spawn(dialler.run());
        }
        Self {
            handle: MeshHandle::new(lanes, Arc::clone(&parts.board)),
            server: MeshServer::new(parts),
            dialling: Mutex::new(dialling),
        }
    }

    /// Asks other nodes.
    #[must_use]
    pub fn handle(&self) -> MeshHandle {
        self.handle.clone()
    }

    /// Serves the connections that other nodes of the region have dialled.
    #[must_use]
    pub fn server(&self) -> MeshServer {
        self.server.clone()
    }

    /// Closes what this node has dialled and dials no more. What was accepted ends with the network.
    pub async fn stop(&self) {
        let mut dialling = std::mem::take(&mut *self.dialling.lock().unwrap_or_else(PoisonError::into_inner));
        dialling.shutdown().await;
    }
}
