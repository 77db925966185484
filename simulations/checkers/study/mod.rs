//! What several checkers need to know, worked out once for all of them: a pure function of the evidence.
//!
//! Nothing here calls the code that is judged to find out what should be there. From the store it takes the plain data
//! of changes, commits and vectors; what they mean is said here a second time, from the definitions: a change has seen
//! what its commit depends on, and what came before it from its own replica.
//!
//! Where nobody could look inside, the journal is empty and there are no windows.

pub(crate) mod effects;
pub(crate) mod expectation;
pub(crate) mod journal;
pub(crate) mod reference;
pub(crate) mod replay;
pub(crate) mod windows;

use std::collections::BTreeMap;

use atoll::model::ids::RegionId;

use crate::evidence::{Evidence, FinalRegion, Operation, Settled};

pub(crate) use effects::Effect;
pub(crate) use journal::{ChangeNumber, CommitNumber, Journal, RecordNumber, RowNumber};
pub(crate) use replay::{Replay, Shows};
pub(crate) use windows::Window;

/// The evidence, and what follows from it.
#[derive(Debug)]
pub(crate) struct Study<'a> {
    /// What the run left behind.
    pub(crate) evidence: &'a Evidence,
    /// All commits and changes that are in any log.
    pub(crate) journal: Journal<'a>,
    /// What each region's rows went through.
    pub(crate) replays: BTreeMap<RegionId, Replay>,
    /// What each operation did, in the order of the operations.
    pub(crate) effects: Vec<Effect>,
    /// Where in its region's log each operation took place, in the order of the operations.
    pub(crate) windows: Vec<Option<Window>>,
}

impl<'a> Study<'a> {
    /// Works everything out.
    pub(crate) fn new(evidence: &'a Evidence) -> Self {
        let journal = Journal::new(evidence);
        let replays = journal
            .logs
            .iter()
            .map(|(region, logs)| (*region, Replay::new(&journal, logs)))
            .collect();
        let effects = effects::effects(evidence, &journal);
        let windows = windows::windows(evidence, &journal, &replays, &effects);
        Self {
            evidence,
            journal,
            replays,
            effects,
            windows,
        }
    }

    /// Whether somebody could look inside. If not, only what clients saw can be judged.
    pub(crate) fn has_logs(&self) -> bool {
        !self.evidence.logged.is_empty()
    }

    /// The regions in the end, if they were given the time to exchange everything and did. Else the end says nothing.
    pub(crate) fn settled_regions(&self) -> impl Iterator<Item = (&'a RegionId, &'a FinalRegion)> + use<'a> {
        let is_settled = matches!(self.evidence.settled, Settled::After(_));
        self.evidence.finals.iter().filter(move |_| is_settled)
    }

    /// Operations with what they did and where.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (&'a Operation, Effect, Option<&Window>)> + '_ {
        let facts = self.effects.iter().zip(&self.windows);
        self.evidence
            .operations
            .iter()
            .zip(facts)
            .map(|(operation, (effect, window))| (operation, *effect, window.as_ref()))
    }
}
