//! Changing who takes part in a group, one step at a time; which steps is decided in [`crate::model::agreement::membership`].

use std::collections::BTreeSet;

use openraft::ChangeMembers;
use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};

use super::group::Group;
use crate::model::agreement::{MemberId, NodeRole};
use crate::model::raft::RaftNodeId;

/// Why the members of a group were not changed, or not as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// This node does not lead, or not any more. It may have been done all the same.
    #[error("this node does not lead the group of the partition any more")]
    NotLeader,
    /// Another change is under way: nothing was done.
    #[error("the members of the group of the partition are being changed already")]
    UnderWay,
    /// The group has ended, or does not take the change.
    #[error("{0}")]
    Refused(String),
}

impl Group {
    /// Lets nodes learn what the group agrees on. Returns when that is agreed on, not when they have learnt.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn learn(&self, members: impl IntoIterator<Item = MemberId> + Send) -> Result<(), ChangeError> {
        let nodes = members
            .into_iter()
            .map(|member| (RaftNodeId::from(member), NodeRole::Active));
        self.change(ChangeMembers::AddNodes(nodes.collect())).await
    }

    /// Makes these, which learn or vote already, the only voters; the others go on learning. Goes through a time in which the
    /// voters of before and these must both agree.
    ///
    /// # Errors
    /// [`ChangeError`]; it may have been done in part.
    pub async fn set_voters(&self, voters: &BTreeSet<MemberId>) -> Result<(), ChangeError> {
        let voters = voters.iter().copied().map(RaftNodeId::from);
        self.change(ChangeMembers::ReplaceAllVoters(voters.collect()))
            .await
    }

    /// Leaves nodes out that do not vote.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn forget(&self, members: &BTreeSet<MemberId>) -> Result<(), ChangeError> {
        let nodes = members.iter().copied().map(RaftNodeId::from);
        self.change(ChangeMembers::RemoveNodes(nodes.collect())).await
    }

    /// Gives a node a role; one that the group does not have learns from then on.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn set_role(&self, member: MemberId, role: NodeRole) -> Result<(), ChangeError> {
        let nodes = [(RaftNodeId::from(member), role)];
        self.change(ChangeMembers::SetNodes(nodes.into())).await
    }

    async fn change(&self, change: ChangeMembers<RaftNodeId, NodeRole>) -> Result<(), ChangeError> {
        // Who does not vote any more goes on learning: `retain`.
        let changed = self.raft.change_membership(change, true).await;
        match changed {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Err(ChangeError::NotLeader),
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_),
            ))) => Err(ChangeError::UnderWay),
            Err(error) => Err(ChangeError::Refused(error.to_string())),
        }
    }
}
