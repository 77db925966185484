//! One node's place in the world: which node, of which region. What is told of a region's only node is told of its region.

use std::fmt;

use atoll::model::ids::{NodeId, RegionId};

/// A node; ordered by region first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Its region.
    pub region: RegionId,
    /// The node.
    pub node: NodeId,
    /// It has its region to itself.
    pub is_alone: bool,
}

impl Site {
    /// What it is called in events, dice and the hash of a run.
    pub fn as_str(&self) -> &str {
        if self.is_alone {
            self.region.as_str()
        } else {
            self.node.as_str()
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
