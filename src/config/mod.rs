//! The cluster's configuration: `regions.toml`, parsed once into valid types.
//!
//! Pure apart from one function, [`ClusterConfig::load`], that reads the file. Owns the meaning, range and default of
//! each option. A [`ClusterConfig`] exists only if it passed every check, so nothing inside re-validates; what cannot
//! be accepted is refused with the file, the line, the field and what would be right. It must not resolve names, open
//! sockets or look at the environment.
//!
//! - [`types`]: what the rest of Atoll works with, and the look-ups.
//! - [`options`]: the optional tables with their defaults.
//! - `health`: the ranges of `[health]`, whose thresholds are the model's.
//! - [`host_port`]: an address as text, resolved by whoever dials or binds.
//! - [`link`]: what the paths between regions are like, for `atoll wan`.
//! - `nodes`: more nodes than the file names, for `atoll dev --nodes`.
//! - [`error`]: every refusal.
//! - `raw`, `source`, `parse` and `parse_links`: from text to the types.

pub mod changes;
pub mod error;
mod health;
pub mod host_port;
pub mod link;
mod nodes;
pub mod options;
mod parse;
mod parse_links;
mod raw;
mod source;
pub mod types;

#[cfg(test)]
mod link_test;
#[cfg(test)]
mod parse_test;
#[cfg(test)]
mod refusal_test;

pub use error::{ConfigError, Mistake};
pub use host_port::HostPort;
pub use link::{Direction, LinkShape};
pub use options::{ClockOptions, HttpOptions, ReplicationOptions, StorageOptions};
pub use types::{ClusterConfig, NodeConfig, RegionConfig};
