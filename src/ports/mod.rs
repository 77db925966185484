//! What the store needs of the outside world, as traits: clock, entropy, store, links; and where blocking work runs.
//!
//! Each port has one conformance suite that all its implementations pass. Nothing here does I/O.

pub mod blocking;
pub mod clock;
pub mod entropy;
pub mod link;
pub mod store;

#[cfg(test)]
pub(crate) mod link_conformance;
