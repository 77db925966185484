//! What the nodes of a region agree on at once for one partition (decision 0018): everything that one group does, so
//! that each node that applies it to the same rows writes the same.

use crate::model::change::Commit;
use crate::model::hlc::WallTime;
use crate::model::idempotency::{IdempotencyScope, Remembered};
use crate::model::replication::retention::Cut;

/// An outcome that is remembered under its scope, or with none one that was forgotten because it had expired.
pub type DecidedOutcome = (IdempotencyScope, Option<Remembered>);

/// An outcome that may have expired: when it was decided, and under what.
pub type AgedOutcome = (WallTime, IdempotencyScope);

/// An entry. Applying it looks at rows and entry alone: no clock, no configuration (DESIGN rule 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was prepared, by the clock of the node that did.
    pub at: WallTime,
    /// What is appended to the partition log, in order: commits of other regions, then those of this one.
    pub commits: Vec<Commit>,
    /// What became of writes with idempotency keys, in the order in which they were decided.
    pub decided: Vec<DecidedOutcome>,
    /// How far the log is cut.
    pub cut: Option<Cut>,
    /// Outcomes to forget, those of them that have expired at `at`.
    pub aged: Vec<AgedOutcome>,
}
