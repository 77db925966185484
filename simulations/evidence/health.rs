//! The states that regions went through.

use std::time::Duration;

use atoll::model::health::Transition;
use atoll::model::ids::RegionId;

/// One life of a region's process, as far as its health is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthLife {
    /// The region.
    pub region: RegionId,
    /// Which life of it, counted over all regions.
    pub life: u64,
    /// For how long it was seen.
    pub lasted: Duration,
    /// `calm_ms` of its configuration.
    pub calm_ms: u64,
    /// The changes of its state, oldest first; the oldest are missing where there were very many.
    pub transitions: Vec<Transition>,
}
