//! Why a node is not founded with its region, or not yet: for people.

use std::collections::BTreeSet;
use std::fmt;

use crate::model::agreement::founding::FoundingRecord;
use crate::model::agreement::member::MemberId;
use crate::model::ids::NodeId;

/// Why a node does not go on. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoundingError {
    /// The record has other nodes than the configuration.
    #[error(
        "this region is being founded with the nodes {} and regions.toml gives it {}: set regions.toml back until it is founded", listed(.founded), listed(.configured)
    )]
    OtherNodes {
        /// The nodes of the record.
        founded: BTreeSet<NodeId>,
        /// Those of the configuration.
        configured: BTreeSet<NodeId>,
    },
    /// The data folder says that it is of another life, in which acknowledged writes may have been lost.
    #[error(
        "the data folder of {own} was a member of its region as {was}: a new incarnation was begun after a torn end of the write-ahead log or with --new-incarnation, so it may lack what it has agreed to. The other nodes go on without it; `atoll node remove {}` on one of them, empty this data folder, start this node and `atoll node add {}`", own.node, own.node
    )]
    OtherLife {
        /// This node.
        own: MemberId,
        /// What it was.
        was: MemberId,
    },
    /// The record names another life of this node's data folder, before the region was in use.
    #[error(
        "the founding of this region with {} cannot be finished, since {own} has another disk than then; nothing was written to the region yet: stop all of its nodes, empty their data folders and start them again", listed(.members)
    )]
    CannotFinish {
        /// This node.
        own: MemberId,
        /// Those of the record.
        members: BTreeSet<MemberId>,
    },
    /// The record is of another life of the founder than the one for which this node waits.
    #[error(
        "node {source_node} has a founding record of {}, and this node has promised to be founded by {promised}, whose disk was replaced in between; nothing was written to the region yet: stop all of its nodes, empty their data folders and start them again", listed(.members)
    )]
    Overtaken {
        /// Who has the record.
        source_node: NodeId,
        /// The members in it.
        members: BTreeSet<MemberId>,
        /// The life of the founder that was promised.
        promised: MemberId,
    },
    /// Two records.
    #[error(
        "this region has two founding records: {first} and {second}, the second at node {source_node}. This must not happen, and going on would let the region give out the same changes twice: keep all data folders as they are, and find out which nodes are of another region or were copied from another folder"
    )]
    Conflict {
        /// One.
        first: FoundingRecord,
        /// The other.
        second: FoundingRecord,
        /// Who has it.
        source_node: NodeId,
    },
}

/// Why another node is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// It has not answered lately.
    NoAnswer,
    /// Its configuration has other nodes.
    OtherNodes(BTreeSet<NodeId>),
    /// It is the founder, and has not founded yet.
    ToFound,
    /// It does not have the record yet.
    ToStore,
    /// It waits for another life of this founder, which began later.
    OtherFounder(MemberId),
    /// It has another disk than when the region was founded.
    OtherMember(MemberId),
    /// It is in the region, which does not have this node yet.
    ToAdd(NodeId),
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("it does not answer"),
            Self::OtherNodes(nodes) => write!(
                f,
                "its regions.toml has the nodes {}: make them equal",
                listed(nodes)
            ),
            Self::ToFound => f.write_str("it founds the region when it has seen all nodes"),
            Self::OtherFounder(member) => write!(
                f,
                "it waits for {member}, an earlier disk of this node whose clock was ahead: correct the clock, empty this node's data folder and start it again"
            ),
            Self::ToAdd(own) => write!(
                f,
                "its region is in use without this node: `atoll node add {own}`"
            ),
            Self::ToStore => f.write_str("it has not stored the founding record yet"),
            Self::OtherMember(member) => write!(
                f,
                "it is {member} now, and the founding record names an earlier disk of it: stop all nodes of the region, empty their data folders (nothing was written yet) and start them again"
            ),
        }
    }
}

/// For messages.
pub(super) fn listed<T: fmt::Display>(all: &BTreeSet<T>) -> String {
    let all: Vec<String> = all.iter().map(T::to_string).collect();
    all.join(", ")
}
