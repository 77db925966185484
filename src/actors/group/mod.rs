//! Agreement inside a region, as its nodes run it (decision 0018): one group for each partition. A region of one node has
//! none of this but the board.
//!
//! - [`board`]: who leads what.
//! - `hub`: what a node has promised, and the decisions; `service`: what it says to other nodes and answers them.
//! - `run`: the tasks that keep groups going.
//! - `handing_over`: a group goes to the member that should lead it.
//! - `homes`: writes that rely on the region being a home, and what a new home must have of them.
//! - [`overview`]: what of all that `status`, health and metrics show.
//! - `pauses`: links that operators have paused, told to the other nodes.
//! - `questions`: requests of clients, and of operators, for partitions that this node does not hold.
//! - `requests`: writes and reads for partitions that another node leads.
//! - `telling`: how far groups have agreed, told to the other nodes.

pub mod board;
mod handing_over;
mod homes;
mod hub;
mod membership;
pub mod overview;
mod pauses;
mod questions;
mod requests;
mod run;
mod service;
mod telling;

pub use board::GroupBoard;
pub use hub::{HubParts, RegionGroups};
pub use run::GroupTasks;
