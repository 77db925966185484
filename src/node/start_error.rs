//! Why a node did not start: each says what to do.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::actors::error_chain;
use crate::actors::mesh::founding::FoundRegionError;
use crate::config::ConfigError;
use crate::model::ids::{NodeId, RegionId};
use crate::ports::store::StoreError;
use crate::storage::IdentityError;
use crate::storage::partition::{ReadError, SnapshotError};
use crate::transport::BindError;

/// Why a node did not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration does not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node is of another region.
    #[error("node {node} belongs to region {found} in regions.toml, not to {given}")]
    OtherRegion {
        /// The node.
        node: NodeId,
        /// Its region.
        found: RegionId,
        /// What was given.
        given: RegionId,
    },
    /// The certificate is of somebody else: every peer would refuse this node, or take it for another one.
    #[error(
        "the certificate in {folder} is of {what} {found}, and this node was started as {what} {expected}: put the right certificate there (`atoll certs issue` makes it), or correct regions.toml", folder = .folder.display()
    )]
    OtherCertificate {
        /// The folder of the certificates.
        folder: PathBuf,
        /// `cluster`, `region` or `node`.
        what: &'static str,
        /// What the certificate says.
        found: String,
        /// What the configuration says.
        expected: String,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data folder belongs to somebody else.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Stored data cannot be read.
    #[error("reading the data folder failed")]
    Read(#[from] ReadError),
    /// The region was founded without this node, or otherwise than the configuration has it.
    #[error(transparent)]
    Founding(#[from] FoundRegionError),
    /// The configuration lacks most of the nodes that agree in this region.
    #[error(
        "this region agrees with {}, which regions.toml does not have: put them back, and take them out when `atoll node remove` has removed them", .nodes.join(", ")
    )]
    MembersMissing {
        /// Which.
        nodes: Vec<String>,
    },
    /// A snapshot was being installed when this node stopped, and cannot be now.
    #[error("finishing the installation of a snapshot in the data folder failed")]
    Snapshot(#[from] SnapshotError),
    /// The QUIC endpoint did not open.
    #[error(transparent)]
    Quic(#[from] BindError),
    /// A name does not resolve.
    #[error("cannot resolve {address}; check this node's addresses in regions.toml")]
    Resolve {
        /// The address.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The HTTP port is taken.
    #[error(
        "TCP {address} is in use by another process: stop it (`ss -ltnp` shows it), or set another `http` address for node {node} in regions.toml"
    )]
    HttpInUse {
        /// The address.
        address: SocketAddr,
        /// The node.
        node: NodeId,
    },
    /// The HTTP port cannot be opened.
    #[error("cannot listen on TCP {address}: check this node's address in regions.toml")]
    HttpListen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A thread or actor could not be started.
    #[error("starting {what} failed: {detail}")]
    Part {
        /// What.
        what: String,
        /// Why.
        detail: String,
    },
}

/// Names the part that failed.
pub(super) fn part<T, E: std::error::Error>(what: &str, result: Result<T, E>) -> Result<T, StartError> {
    result.map_err(|error| StartError::Part {
        what: what.to_owned(),
        detail: error_chain(&error),
    })
}
