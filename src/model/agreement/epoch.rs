//! A leadership of a group: who, and by which vote.

use serde::{Deserialize, Serialize};

use crate::model::agreement::member::MemberId;

/// Term and leader, in the order in which votes and log ids of openraft compare: a later epoch is a greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// The term of the vote.
    pub term: u64,
    /// Who was voted for. One term can have several, one after the other.
    pub leader: MemberId,
}
