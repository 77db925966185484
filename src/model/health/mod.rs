//! The health of a region as a state machine: healthy → degraded → unhealthy → recovering → healthy.
//!
//! Owns what each sign of trouble means, when it begins and when it is over, and when the state changes. Time is an
//! argument. Three things keep the state from flapping: signs that are measured have a higher threshold to begin than to
//! end ([`signal`]), they must last before they count, and no state is left for a better one before nothing bad was
//! seen for a while ([`machine`]). Trouble of another region never makes this one unhealthy (rule 11).
//!
//! - [`state`]: the four states. [`thresholds`]: the numbers, with their defaults.
//! - [`inputs`]: what a look at the node has found. [`findings`]: what that means.
//! - [`machine`]: the state and its changes.
//! - [`suspicion`], [`commit_delay`], [`clock_error`]: how silence, slow commits and wrong clocks are measured.

pub mod clock_error;
pub mod commit_delay;
pub mod findings;
pub mod inputs;
pub mod machine;
#[cfg(test)]
mod machine_test;
pub mod signal;
pub mod state;
pub mod suspicion;
pub mod thresholds;

pub use clock_error::{ClockOffsets, clock_error_ms, middle_ms};
pub use commit_delay::{CommitDelay, CommitDelays};
pub use inputs::{HealthInputs, PeerInput};
pub use machine::{HealthMachine, Transition};
pub use state::RegionState;
pub use suspicion::Suspicion;
pub use thresholds::HealthThresholds;
