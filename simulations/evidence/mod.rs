//! What a run leaves behind for the checkers: what clients did and were told, what the regions made durable, what they
//! told each other, and what is there in the end. Plain data; nothing here knows how it was gathered, so that the same
//! checkers judge a simulation and a history recorded over HTTP.

pub mod health;
pub mod history;
pub mod logs;
pub mod outcome;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use atoll::model::ids::RegionId;

pub use health::HealthLife;
pub use history::{
    Action, Answer, BatchId, ClientId, Condition, Operation, OperationId, Outcome, Promise, SessionId, Shown,
};
pub use logs::{Advertised, ClockPromise, Gauge, Logged};
pub use outcome::FinalRegion;

/// Time since the run began, as a bystander with a perfect clock sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// So long after the beginning.
    pub fn after(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the beginning.
    pub fn elapsed(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.0.as_secs_f64())
    }
}

/// Everything that a run leaves behind.
#[derive(Debug, Default)]
pub struct Evidence {
    /// What clients did, in the order of their beginning.
    pub operations: Vec<Operation>,
    /// Commits that became durable, in the order in which that happened, over all regions. Empty where nobody could
    /// look inside (over HTTP): checkers that need it then have nothing to say.
    pub logged: Vec<Logged>,
    /// Vectors that regions told each other they had durably applied, in the order sent, over all regions.
    pub advertised: Vec<Advertised>,
    /// Clock promises that nodes told each other, in the order sent, over all regions.
    pub promised: Vec<ClockPromise>,
    /// Sizes of what must stay bounded, as sampled during the run.
    pub gauges: Vec<Gauge>,
    /// The states that regions went through, by lives of their processes. Empty where nobody could look inside.
    pub health: Vec<HealthLife>,
    /// What is there after everything was healed and left alone.
    pub finals: BTreeMap<RegionId, FinalRegion>,
    /// Whether the regions settled within the time that they are given.
    pub settled: Settled,
}

/// How the liveness phase ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Settled {
    /// Nobody waited for it.
    #[default]
    NotAsked,
    /// All regions had equal vectors and digests.
    After(Duration),
    /// They did not within the bound; says what was still different.
    Never {
        /// The bound.
        bound: Duration,
        /// What was different.
        detail: String,
    },
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The checker that found it: its file's name.
    pub checker: &'static str,
    /// What is wrong, with the names of everything involved.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.detail)
    }
}
