//! Agreement inside a region of several nodes: one raft group for each partition (decision 0018).
//!
//! The one folder that knows openraft's types: the layers above see what a group agreed on, those below keys and bytes.
//! [`Group`] is one member; [`GroupLog`] is what it stores.

mod changes;
mod group;
mod log;
#[expect(clippy::result_large_err, reason = "openraft's error is what its traits want")]
mod machine;
mod network;
mod ports;
mod recent;
mod sending;
mod stored;
mod types;

#[cfg(test)]
mod log_test_kit;
#[cfg(test)]
mod openraft_test;
#[cfg(test)]
mod state_machine_test_kit;
#[cfg(test)]
mod suite_test;

pub use changes::ChangeError;
pub use group::{Group, GroupFailure, GroupParts, ProposeError, Standing, VOTE_PATIENCE_MS, Watch};
pub use log::{GroupLog, GroupLogReader};
pub use ports::{Agreed, GroupMachine, GroupNetwork, NoAnswer, NotApplied, VoteKeeper};
pub use types::{Applied, EncodedGroup, GroupTypes, SnapshotData};
