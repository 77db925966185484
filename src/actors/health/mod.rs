//! The health of the region as its node sees it: looks at everything a few times a second, steps the machine of
//! `model/health`, shows the state to probes, `status`, metrics and admission, and says each change in the log.
//!
//! Decides nothing itself. Whoever asks for the state causes a look, so that no answer is older than the question.

mod gather;
mod monitor;
mod watch;

pub use monitor::{HealthMonitor, HealthReport};
pub use watch::{IgnoreLag, LagObserver, watch};
