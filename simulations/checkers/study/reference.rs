//! What a row must hold in the end, from the set of all its changes alone, in no order: what nobody who replaces or
//! removes has seen. The definitions of docs/consistency.md and decision 0004, not the steps of the merge.

use std::collections::HashSet;

use atoll::model::change::{Delta, Replaces};
use atoll::model::ids::Seq;
use atoll::model::vector::Dot;

use super::journal::{ChangeNumber, Journal, RowNumber};
use super::replay::{Shows, is_lww};

/// What has been seen of a row by some of its changes.
#[derive(Debug)]
pub(crate) struct Frontier {
    /// By replica: up to where.
    seen: Vec<Seq>,
    /// What clients named one by one.
    named: HashSet<Dot>,
}

impl Frontier {
    /// What those changes of a row have seen that `counts` picks.
    pub(crate) fn of(journal: &Journal<'_>, row: RowNumber, counts: impl Fn(&Delta) -> bool) -> Self {
        let mut frontier = Self {
            seen: vec![0; journal.replica_count()],
            named: HashSet::new(),
        };
        for number in &journal.row(row).changes {
            if counts(journal.change(*number).delta) {
                frontier.take(journal, row, *number);
            }
        }
        frontier
    }

    /// Whether a change of the row is among what was seen.
    pub(crate) fn covers(&self, journal: &Journal<'_>, number: ChangeNumber) -> bool {
        let change = journal.change(number);
        // `<=`: entries name the last seq that was seen.
        change.seq <= self.seen[change.replica.0] || self.named.contains(&journal.dot(number))
    }

    fn take(&mut self, journal: &Journal<'_>, row: RowNumber, number: ChangeNumber) {
        let change = journal.change(number);
        if let Delta::Register {
            replaces: Replaces::Exactly(dots),
            ..
        } = change.delta
        {
            let has_seen = |dot: &Dot| {
                let named = journal.row(row).changes.iter();
                let mut named = named.filter(|earlier| journal.dot(**earlier) == *dot);
                named.any(|earlier| journal.has_seen(number, *earlier))
            };
            self.named.extend(dots.iter().copied().filter(has_seen));
            return;
        }
        for (replica, seen) in self.seen.iter_mut().enumerate() {
            let by_this = if replica == change.replica.0 {
                // It has seen all of its own replica before it.
                change.seq - 1
            } else {
                journal
                    .commit(change.commit)
                    .seen(super::journal::ReplicaNumber(replica))
            };
            *seen = (*seen).max(by_this);
        }
    }
}

/// Whether a change takes away what it has seen.
pub(crate) fn takes_away(delta: &Delta) -> bool {
    !matches!(delta, Delta::CounterTotals { .. })
}

/// Whether a change leaves something in its row.
pub(crate) fn leaves_something(delta: &Delta) -> bool {
    !matches!(
        delta,
        Delta::MemberRemove { .. } | Delta::FieldRemove { .. } | Delta::CounterFloors { .. }
    )
}

/// What a row must hold once everything has reached everybody.
pub(crate) fn final_state(journal: &Journal<'_>, row: RowNumber) -> Shows {
    let frontier = Frontier::of(journal, row, takes_away);
    let changes = &journal.row(row).changes;
    let counts = |number: &ChangeNumber| {
        leaves_something(journal.change(*number).delta) && !frontier.covers(journal, *number)
    };
    let mut live: Vec<ChangeNumber> = changes.iter().copied().filter(counts).collect();
    let is_counter = |number: &ChangeNumber| {
        matches!(
            journal.change(*number).delta,
            Delta::CounterTotals { .. } | Delta::CounterFloors { .. }
        )
    };
    if changes.iter().any(is_counter) {
        return Shows::Total(live.iter().map(|number| journal.change(*number).amount).sum());
    }
    live.sort_by_cached_key(|number| std::cmp::Reverse(journal.rank(*number)));
    if let Some(winner) = live.first().copied() {
        live.retain(|number| *number == winner || !is_lww(journal, *number));
    }
    Shows::Live(live)
}
