//! The name of a node of another region: what a link leads to.

use std::fmt;

use crate::model::ids::{NodeId, RegionId};
use crate::ports::link::{DialTarget, PeerIdentity};

/// A node of another region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerNode {
    /// Its region.
    pub region: RegionId,
    /// Itself.
    pub node: NodeId,
}

impl fmt::Display for PeerNode {
    /// Region and node: `eu-west/eu-west-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.node)
    }
}

impl From<&DialTarget> for PeerNode {
    fn from(target: &DialTarget) -> Self {
        Self {
            region: target.region,
            node: target.node,
        }
    }
}

impl From<&PeerIdentity> for PeerNode {
    fn from(identity: &PeerIdentity) -> Self {
        Self {
            region: identity.region,
            node: identity.node,
        }
    }
}
