//! The states of a region.

/// What a region is worth to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegionState {
    /// All is well.
    Healthy,
    /// Serves, but something needs attention.
    Degraded,
    /// Does not serve all requests.
    Unhealthy,
    /// Comes back after trouble or a start: serves, but should get no traffic until it has caught up.
    Recovering,
}

impl RegionState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Degraded, Self::Unhealthy, Self::Recovering];

    /// The name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Recovering => "recovering",
        }
    }

    /// Whether load balancers should send traffic.
    #[must_use]
    pub fn takes_traffic(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded)
    }

    /// Whether what clients mark as less important is refused, so that the rest gets the room.
    #[must_use]
    pub fn sheds_low_priority(self) -> bool {
        self != Self::Healthy
    }
}
