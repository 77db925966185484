//! PURE: every byte that is persisted or sent. Versioned; golden tests pin it.
//!
//! [`keys`]: typed storage keys, one file per key family. [`values`], [`entry`], [`raft`]: what stands under them. [`messages`]: what
//! regions send each other. [`mesh`]: what the nodes of one region do. [`codec`]: the one place that knows bincode.

pub mod codec;
pub mod entry;
pub mod idempotency;
pub mod keys;
pub mod mesh;
pub mod messages;
pub mod namespace;
pub mod raft;
pub mod session;
pub mod values;

#[cfg(test)]
mod samples_test;
