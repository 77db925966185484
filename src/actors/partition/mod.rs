//! A partition of this region: the one path of a write, local or remote.
//!
//! One group is in flight; what arrives meanwhile forms the next (natural group commit).

mod actor;
mod core;
mod groups;
mod handle;
mod member;
mod message;
mod remote;

pub use actor::{PartitionActor, PartitionArguments};
pub use handle::PartitionHandle;
pub use member::{Leadership, WhenApplied};
pub use message::{Arrived, Drained, Origin, PartitionMessage, Receipts};
