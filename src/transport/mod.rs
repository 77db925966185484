//! The transport: QUIC with mutual TLS between the nodes of a cluster; implements [`crate::ports::link`].
//!
//! [`certificates`] makes and reads the cluster's authority and node certificates, [`tls`] turns them into TLS
//! configurations, [`QuicNetwork`] dials and accepts. A peer is accepted on its certificate alone: issued by this
//! cluster's authority, not expired, naming this cluster and (when dialled) the node that was meant. Whether the peer
//! is wanted (its region, partition count, protocol) is decided above this layer, in the first frames.
//!
//! Frames are opaque here. Nothing in this folder may look into one.

pub mod certificates;
pub mod tls;

mod accept;
mod config;
mod connection;
mod dial;
mod quic;
pub(crate) mod reasons;
mod refusals;
mod stream;

pub use config::QuicConfig;
pub use quic::{BindError, QuicNetwork};
pub use refusals::Refusal;

#[cfg(test)]
mod handshake_test;
#[cfg(test)]
mod quic_test;
#[cfg(test)]
pub(crate) mod test_cluster;
