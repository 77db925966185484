//! PURE: every byte that is persisted or sent. Versioned; golden tests pin it.
//!
//! [`keys`]: typed storage keys, one file per key family. [`values`], [`entry`], [`raft`], [`founding`], [`pauses`]: what stands under them.
//! [`messages`]: what regions send each other. [`mesh`]: what the nodes of one region do; [`group`], [`region_calls`], [`snapshot`]: what
//! the members of a partition's group ask each other, the writes that they pass on, and whole partitions. [`codec`]: the one place that
//! knows bincode.

pub mod codec;
pub mod entry;
pub mod founding;
pub mod group;
pub mod idempotency;
pub mod keys;
pub mod mesh;
pub mod messages;
pub mod namespace;
pub mod pauses;
pub mod questions;
pub mod raft;
pub mod region_calls;
pub mod session;
pub mod snapshot;
pub mod values;

#[cfg(test)]
mod samples_test;
