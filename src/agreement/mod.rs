//! Agreement inside a region of several nodes: one raft group for each partition (decision 0018).
//!
//! The one folder that knows openraft's types: the layers above see what a group agreed on, those below keys and bytes.
//! Built so far is what a group stores: [`GroupLog`]. Nothing runs a group yet.

mod log;
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

pub use log::{GroupLog, GroupLogReader};
pub use types::{Applied, EncodedGroup, GroupTypes, SnapshotData};
