//! A search for a linearization of the operations on one register (Wing and Gong, 1993), with Lowe's memory of what was
//! tried (2017): an order in which each operation takes place between its beginning and its end and finds what it must.
//!
//! Knows nothing of evidence and clients, only of attempts on a value. Bounded: it gives up after so many steps.

use std::collections::HashSet;

use crate::evidence::Moment;

/// A value of the register; values are numbered by whoever asks.
pub(crate) type Value = u32;

/// What an operation does to the register, or finds in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Makes it hold this (none: a delete), if it holds what is demanded.
    Write {
        /// What it holds afterwards.
        value: Option<Value>,
        /// What must be there before.
        demand: Demand,
    },
    /// Finds this.
    Read(Option<Value>),
    /// Finds that a demand does not hold.
    Refusal(Demand),
}

/// What must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Anything or nothing.
    Any,
    /// Nothing.
    Absent,
    /// Something.
    Present,
    /// This value.
    Exactly(Value),
}

impl Demand {
    fn holds(self, state: Option<Value>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => state.is_none(),
            Self::Present => state.is_some(),
            Self::Exactly(value) => state == Some(value),
        }
    }
}

/// An operation.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// When it was sent.
    pub(crate) started: Moment,
    /// When it had ended; none if it may take place at any time after its beginning.
    pub(crate) ended: Option<Moment>,
    /// Whether it took place. If not certain, it may have or not.
    pub(crate) is_certain: bool,
    /// The attempt of the same client that had ended when this began.
    pub(crate) after: Option<usize>,
    /// The place of a write among all writes, where it is known: writes take place in this order.
    pub(crate) rank: Option<u128>,
    /// What it does.
    pub(crate) step: Step,
}

/// What the search has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none: at most so many could be put in order, and this one never found its place after those.
    Not {
        /// How many.
        placed: usize,
        /// The certain attempt that began first of those left then.
        stuck: usize,
    },
    /// It took too long.
    GaveUp,
}

/// Looks for an order. The attempts are sorted by their beginnings.
pub(crate) fn search(attempts: &[Attempt], steps_max: usize) -> Verdict {
    Search::new(attempts).run(steps_max)
}

/// A choice that may have to be taken back.
#[derive(Debug)]
struct Choice {
    attempt: usize,
    state_before: Option<Value>,
    rank_before: u128,
    /// Whether there was nothing to choose: an operation that changes nothing is put in its place as soon as it fits.
    is_forced: bool,
}

struct Search<'a> {
    attempts: &'a [Attempt],
    placed: Vec<u64>,
    choices: Vec<Choice>,
    certain_left: usize,
    /// All before are placed.
    state: Option<Value>,
    rank: u128,
    tried: HashSet<(Vec<u64>, Option<Value>)>,
    furthest: (usize, usize),
}

impl<'a> Search<'a> {
    fn new(attempts: &'a [Attempt]) -> Self {
        Self {
            attempts,
            placed: vec![0; attempts.len().div_ceil(64)],
            choices: Vec::new(),
            certain_left: attempts.iter().filter(|attempt| attempt.is_certain).count(),
            state: None,
            rank: 0,
            tried: HashSet::new(),
            furthest: (0, 0),
        }
    }

    fn run(mut self, steps_max: usize) -> Verdict {
        let mut from = 0;
        for _ in 0..steps_max {
            if self.certain_left == 0 {
                return Verdict::Linearizable;
            }
            if let Some(attempt) = self.first_fitting_read() {
                self.place(attempt, true);
                from = 0;
                continue;
            }
            match self.next_write(from) {
                Some(attempt) => {
                    self.place(attempt, false);
                    from = 0;
                }
                None => {
                    self.note_stuck();
                    match self.take_back() {
                        Some(attempt) => from = attempt + 1,
                        None => {
                            let (placed, stuck) = self.furthest;
                            return Verdict::Not { placed, stuck };
                        }
                    }
                }
            }
        }
        Verdict::GaveUp
    }

    fn is_placed(&self, attempt: usize) -> bool {
        self.placed[attempt / 64] >> (attempt % 64) & 1 == 1
    }

    /// Attempts that may come next: they began before any that is left had ended.
    fn candidates(&self) -> impl Iterator<Item = usize> + '_ {
        let left = (0..self.attempts.len()).filter(|attempt| !self.is_placed(*attempt));
        let ends = left.clone().filter_map(|attempt| {
            let attempt = &self.attempts[attempt];
            attempt.ended.filter(|_| attempt.is_certain)
        });
        let first_end = ends.min();
        left.filter(move |attempt| {
            let attempt = &self.attempts[*attempt];
            // `<=`: at equal moments nothing is known, but of one client.
            let is_begun = first_end.is_none_or(|end| attempt.started <= end);
            is_begun
                && attempt
                    .after
                    .is_none_or(|before| self.is_placed(before) || !self.attempts[before].is_certain)
        })
    }

    /// An attempt that changes nothing and fits the state. To place it at once never spoils anything.
    fn first_fitting_read(&self) -> Option<usize> {
        self.candidates()
            .find(|attempt| match &self.attempts[*attempt].step {
                Step::Read(value) => *value == self.state,
                Step::Refusal(demand) => !demand.holds(self.state),
                Step::Write { .. } => false,
            })
    }

    /// The first write from there on that may come next and was not tried in this situation.
    fn next_write(&mut self, from: usize) -> Option<usize> {
        let writes: Vec<usize> = self
            .candidates()
            .filter(|attempt| *attempt >= from)
            .filter(|attempt| {
                let attempt = &self.attempts[*attempt];
                let is_in_order = attempt.rank.is_none_or(|rank| rank > self.rank);
                is_in_order && matches!(attempt.step, Step::Write { demand, .. } if demand.holds(self.state))
            })
            .collect();
        writes.into_iter().find(|attempt| {
            let Step::Write { value, .. } = self.attempts[*attempt].step else {
                return false;
            };
            let mut placed = self.placed.clone();
            placed[attempt / 64] |= 1 << (attempt % 64);
            self.tried.insert((placed, value))
        })
    }

    fn place(&mut self, attempt: usize, is_forced: bool) {
        self.choices.push(Choice {
            attempt,
            state_before: self.state,
            rank_before: self.rank,
            is_forced,
        });
        self.placed[attempt / 64] |= 1 << (attempt % 64);
        let facts = &self.attempts[attempt];
        self.certain_left -= usize::from(facts.is_certain);
        if let Step::Write { value, .. } = facts.step {
            self.state = value;
            self.rank = self.rank.max(facts.rank.unwrap_or(0));
        }
    }

    /// Takes the last choice back at which there was something to choose.
    fn take_back(&mut self) -> Option<usize> {
        while let Some(choice) = self.choices.pop() {
            self.placed[choice.attempt / 64] &= !(1 << (choice.attempt % 64));
            self.certain_left += usize::from(self.attempts[choice.attempt].is_certain);
            self.state = choice.state_before;
            self.rank = choice.rank_before;
            if !choice.is_forced {
                return Some(choice.attempt);
            }
        }
        None
    }

    fn note_stuck(&mut self) {
        let left = (0..self.attempts.len()).filter(|attempt| !self.is_placed(*attempt));
        let stuck = left.filter(|attempt| self.attempts[*attempt].is_certain).min();
        // `>=`: the first time counts, unless nothing was ever noted.
        if let Some(stuck) = stuck
            && (self.choices.len() > self.furthest.0 || self.furthest == (0, 0))
        {
            self.furthest = (self.choices.len(), stuck);
        }
    }
}
