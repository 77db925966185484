//! Who takes part in the agreement inside a region, and the places of what they agree on (decision 0018).
//!
//! Numbers and names only: the rules of raft are openraft's, in `agreement/`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::agreement::MemberId;
use crate::model::ids::{Incarnation, NodeId};

/// A member of raft groups, as openraft needs it: with a default. That is nobody, the least of all ids: what a group that never
/// voted has voted for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RaftNodeId(Option<MemberId>);

impl RaftNodeId {
    /// The id of a node whose data folder is in this incarnation.
    #[must_use]
    pub fn new(node: NodeId, incarnation: Incarnation) -> Self {
        Self(Some(MemberId { node, incarnation }))
    }

    /// The member; none of nobody.
    #[must_use]
    pub fn member(&self) -> Option<MemberId> {
        self.0
    }

    /// The node's name; none of nobody.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        self.0.map(|member| member.node)
    }
}

impl From<MemberId> for RaftNodeId {
    fn from(member: MemberId) -> Self {
        Self(Some(member))
    }
}

impl fmt::Display for RaftNodeId {
    /// Name and incarnation: `n1@1790000000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(member) => fmt::Display::fmt(member, f),
            None => f.write_str("nobody"),
        }
    }
}

impl fmt::Debug for RaftNodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Counts the elections of a group; 0 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Term(pub u64);

/// Position of an entry in a group's raft log; counts from 0 without gaps. Not that in the partition log, which keeps
/// commits for longer (see [`LogIndex`](crate::model::ids::LogIndex)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RaftIndex(pub u64);

impl RaftIndex {
    /// Behind all entries: no entry has it, so that every entry has an index after it.
    pub const END: Self = Self(u64::MAX);
}

impl fmt::Display for RaftIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(node: &str, incarnation: u32) -> RaftNodeId {
        RaftNodeId::new(node.parse().unwrap(), Incarnation(incarnation))
    }

    #[test]
    fn nobody_comes_before_everybody_and_lives_of_a_node_are_apart() {
        let mut ids = [
            id("n2", 1),
            id("n1", 9),
            RaftNodeId::default(),
            id("n1", 0),
            id("n1", 10),
        ];
        ids.sort();
        assert_eq!(
            ids.map(|id| id.to_string()),
            ["nobody", "n1@0", "n1@9", "n1@10", "n2@1"]
        );
        assert_eq!(RaftNodeId::default().node(), None);
        assert_eq!(id("n1", 9).node(), Some("n1".parse().unwrap()));
    }
}
