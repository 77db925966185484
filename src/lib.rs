//! Atoll: an active-active, multi-region store.
//!
//! The map of the layers (an arrow means "may use"):
//!
//! ```text
//! cli ──> node ──> api ──> actors ──> agreement ──> storage, transport ──> ports ──> wire ──> model
//! ```
//!
//! [`model`] decides everything and does no I/O; [`wire`] fixes every byte that is persisted or sent;
//! [`config`] parses `regions.toml` once into valid types. These three compile alone
//! (`cargo check --no-default-features --lib`). All else sits behind the feature `node`. [`wan`] is a relay beside the
//! node: `cli` runs it, and no layer of the store knows it.

pub mod config;
pub mod model;
pub mod wire;

#[cfg(feature = "node")]
pub mod actors;
#[cfg(feature = "node")]
pub mod agreement;
#[cfg(feature = "node")]
pub mod api;
#[cfg(feature = "node")]
pub mod cli;
#[cfg(feature = "node")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "node")]
pub mod node;
#[cfg(feature = "node")]
pub mod ports;
#[cfg(feature = "node")]
pub mod storage;
#[cfg(feature = "node")]
pub mod transport;
#[cfg(feature = "node")]
pub mod wan;
