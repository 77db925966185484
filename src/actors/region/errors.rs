//! Why a region did not do what it was asked. `api` maps each to HTTP in one place.

use crate::model::ids::NodeId;
use crate::model::request::WriteRefusal;
use crate::wire::region_calls::PassedError;

/// Why a request failed. The messages say what a person can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    /// The write was refused by what the record holds.
    #[error(transparent)]
    Refused(#[from] WriteRefusal),
    /// The request makes no sense in this cluster.
    #[error("{0}")]
    Invalid(String),
    /// Something named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request contradicts the state of what it names.
    #[error("{0}")]
    Conflict(String),
    /// Too much is under way; nothing was done. Try again after a second.
    #[error("{0}")]
    Overloaded(String),
    /// A guarantee cannot be met now.
    #[error("{reason}")]
    Unavailable {
        /// Which and why.
        reason: String,
        /// Whether the write may nevertheless have been made: then only reading tells.
        outcome_unknown: bool,
    },
    /// Another node of the region leads the partition; nothing was done. Region-internal: clients see it only when nobody
    /// leads until their time is over.
    #[error(
        "no node of this region leads the partition at the moment: nothing was done; try again in a second, or in another region"
    )]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The region is not the home of the namespace, as the leader of the partition has found; nothing was done. The client is
    /// told only when its time is over: else whoever asks looks for the home again.
    #[error("{0}")]
    NotHome(String),
    /// This node failed: its store or one of its own parts.
    #[error("{0}")]
    Internal(String),
}

impl From<RegionError> for PassedError {
    fn from(error: RegionError) -> Self {
        match error {
            // Partitions say so in what they decide.
            RegionError::Refused(refusal) => Self::Internal(refusal.to_string()),
            RegionError::Invalid(detail) => Self::Invalid(detail),
            RegionError::NotFound(detail) => Self::NotFound(detail),
            RegionError::Conflict(detail) => Self::Conflict(detail),
            RegionError::Overloaded(detail) => Self::Overloaded(detail),
            RegionError::Unavailable {
                reason,
                outcome_unknown,
            } => Self::Unavailable {
                reason,
                outcome_unknown,
            },
            RegionError::Internal(detail) => Self::Internal(detail),
            RegionError::NotLeader { leader } => Self::NotLeader { leader },
            RegionError::NotHome(detail) => Self::NotHome(detail),
        }
    }
}

impl From<PassedError> for RegionError {
    fn from(error: PassedError) -> Self {
        match error {
            PassedError::Invalid(detail) => Self::Invalid(detail),
            PassedError::NotFound(detail) => Self::NotFound(detail),
            PassedError::Conflict(detail) => Self::Conflict(detail),
            PassedError::Overloaded(detail) => Self::Overloaded(detail),
            PassedError::Unavailable {
                reason,
                outcome_unknown,
            } => Self::Unavailable {
                reason,
                outcome_unknown,
            },
            PassedError::Internal(detail) => Self::Internal(detail),
            PassedError::NotLeader { leader } => Self::NotLeader { leader },
            PassedError::NotHome(detail) => Self::NotHome(detail),
        }
    }
}
