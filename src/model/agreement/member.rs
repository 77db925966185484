//! A node as a member of groups: its name and which life of its data folder.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::ids::{Incarnation, NodeId};

/// Who votes. A node whose data were lost comes back as another member, so that none votes twice under one identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId {
    /// The node.
    pub node: NodeId,
    /// Of its data folder.
    pub incarnation: Incarnation,
}

impl fmt::Display for MemberId {
    /// Node and incarnation: `us-east-1@1790000000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.incarnation.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
