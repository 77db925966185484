//! Why a region did not do what it was asked. `api` maps each to HTTP in one place.

use crate::model::request::WriteRefusal;

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
    /// This node failed: its store or one of its own parts.
    #[error("{0}")]
    Internal(String),
}
