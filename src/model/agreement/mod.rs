//! Agreement inside a region of several nodes: the decisions around openraft that it leaves to us (decision 0018).
//!
//! `actors/group` gives it the time, the disk and the other nodes. Time is an argument ([`Tick`](crate::model::tick::Tick) for durations,
//! [`WallTime`](crate::model::hlc::WallTime) for stamps), nothing is random, and what must be durable first is said by
//! the function that returns it.
//!
//! - [`factor`], [`placement`]: how many nodes hold a partition, which ones, and who should lead it.
//! - [`member`], [`epoch`], [`voters`]: who takes part, who leads since when, and what a majority is.
//! - [`membership`]: which nodes a region has, and how its groups come to have the members that they should.
//! - [`founding`]: how the nodes of a region come to be its members.
//! - [`liveness`], [`candidacy`]: whose silence ends a leadership, and who stands for election when.
//! - [`votes`], [`leases`]: what a voter promises a leader, and what a leader may conclude from it.
//! - [`promise`]: stamps that no later leader gives.
//! - [`proposals`]: what became of a proposal that nobody answered.
//! - [`homes`]: writes under way that rely on the region being a home.

pub mod candidacy;
#[cfg(test)]
mod cluster_test;
pub mod cover;
pub mod epoch;
pub mod factor;
pub mod founding;
mod founding_error;
pub mod homes;
pub mod leases;
pub mod liveness;
pub mod member;
pub mod membership;
pub mod placement;
pub mod promise;
pub mod proposals;
#[cfg(test)]
mod safety_test;
pub mod voters;
pub mod votes;

pub use candidacy::Candidacy;
pub use epoch::Epoch;
pub use factor::{FactorError, ReplicationFactor};
pub use founding::{Founding, FoundingAnswer, FoundingError, FoundingRecord, FoundingState, OwnMembership};
pub use homes::{HomeMark, HomeWrite, HomeWrites};
pub use leases::{HeartbeatNumber, LeaderLeases};
pub use liveness::Liveness;
pub use member::MemberId;
pub use membership::{
    ChangeNodeError, GroupMembers, Members, MembershipStep, NodeChange, NodeRole, Plan, REGION_GROUP,
};
pub use placement::{Placement, PlacementNode};
pub use promise::{StampFloor, StampPromise};
pub use proposals::{InSnapshot, OpenProposal, ProposalId, Resolution, takes_effect};
pub use voters::Voters;
pub use votes::VotePromises;
