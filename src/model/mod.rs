//! PURE: what the store decides, without I/O, clocks or randomness of its own.

pub mod agreement;
pub mod change;
pub mod coverage;
pub mod decider;
pub mod digest;
pub mod entry;
pub mod health;
pub mod hlc;
pub mod idempotency;
pub mod ids;
pub mod limits;
pub mod mutation;
pub mod partition;
pub mod partition_set;
pub mod pauses;
pub mod placement;
pub mod raft;
pub mod record;
pub mod replication;
pub mod request;
pub mod restart_budget;
pub mod rows;
pub mod session;
pub mod tick;
pub mod vector;
pub mod workspace;
