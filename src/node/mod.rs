//! The composition root: puts a node together from its configuration, runs it, stops it. Nothing below knows how the
//! parts are chosen; simulation puts the same parts on other ports.

mod assemble;
mod configuration;
mod entrance;
mod fence;
mod founding;
mod group_metrics;
mod groups;
mod health_metrics;
#[cfg(test)]
mod membership_test;
mod metrics;
mod open;
#[cfg(test)]
mod partial_test;
mod peers;
#[cfg(test)]
mod region_kit_test;
#[cfg(test)]
mod region_test;
#[cfg(test)]
mod restart_test;
mod start;
mod start_error;
mod telemetry;
pub mod verify;

pub use assemble::{Assembly, NodePorts, NodeSurface};
pub use configuration::{ConfigFile, LoadConfig, version_of};
pub use entrance::Entrance;
pub use fence::Fence;
pub use metrics::NodeMetrics;
pub use start::{Node, NodeOptions};
pub use start_error::StartError;
pub use telemetry::{LogFormat, init_telemetry};
