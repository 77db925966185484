//! Counters: per replica the totals of increments and decrements, and the floors below which a reset no longer counts
//! them. All four are grow-only counters (`crdts::VClock`, as inside `crdts::PNCounter`, which does not list its
//! entries), so every merge is a per-replica maximum: applying a change twice changes nothing.

use crdts::{CmRDT, VClock};
use serde::{Deserialize, Serialize};

use crate::model::ids::ReplicaId;
use crate::model::mutation::{self, Mutation};

/// The row of a counter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CounterRow {
    increments: VClock<ReplicaId>,
    decrements: VClock<ReplicaId>,
    increment_floors: VClock<ReplicaId>,
    decrement_floors: VClock<ReplicaId>,
}

/// Keeps the hashes of entity tags apart from every other use of BLAKE3.
const TAG_CONTEXT: &str = "atoll 2026 counter entity tag v1";
/// Hexadecimal digits of an entity tag, 128 bits: no two rows of a counter ever share one by chance.
const TAG_DIGITS: usize = 32;

/// An addition would take a replica's totals over what 64 bits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the counter's total of additions in this region would pass 2^64; start a counter with another key")]
pub struct CounterOverflow;

impl CounterRow {
    /// The value: all that was added and not reset.
    #[must_use]
    pub fn value(&self) -> i128 {
        let above = |totals: &VClock<ReplicaId>, floors: &VClock<ReplicaId>| -> i128 {
            totals
                .iter()
                .map(|dot| i128::from(dot.counter.saturating_sub(floors.get(dot.actor))))
                .sum()
        };
        above(&self.increments, &self.increment_floors) - above(&self.decrements, &self.decrement_floors)
    }

    /// The entity tag, without quotes: a hash of all totals and floors. Totals only grow, so a value that comes back has
    /// another tag than before; an addition of 0 changes nothing, and so leaves it.
    #[must_use]
    pub fn entity_tag(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key(TAG_CONTEXT);
        for totals in [
            &self.increments,
            &self.decrements,
            &self.increment_floors,
            &self.decrement_floors,
        ] {
            hasher.update(&(totals.iter().count() as u64).to_le_bytes());
            for dot in totals.iter() {
                let region = dot.actor.region.as_str().as_bytes();
                hasher.update(&(region.len() as u64).to_le_bytes());
                hasher.update(region);
                hasher.update(&dot.actor.incarnation.0.to_le_bytes());
                hasher.update(&dot.counter.to_le_bytes());
            }
        }
        hasher.finalize().to_hex()[..TAG_DIGITS].to_owned()
    }

    /// What the totals of `replica` become when it adds `amount`: (increments, decrements).
    ///
    /// # Errors
    /// [`CounterOverflow`].
    pub fn totals_after(&self, replica: ReplicaId, amount: i64) -> Result<(u64, u64), CounterOverflow> {
        let (increments, decrements) = (self.increments.get(&replica), self.decrements.get(&replica));
        let step = amount.unsigned_abs();
        if amount >= 0 {
            Ok((increments.checked_add(step).ok_or(CounterOverflow)?, decrements))
        } else {
            Ok((increments, decrements.checked_add(step).ok_or(CounterOverflow)?))
        }
    }

    /// The floors that make the value seen here 0.
    #[must_use]
    pub fn floors_for_reset(&self) -> Vec<(ReplicaId, u64, u64)> {
        let mut replicas: Vec<ReplicaId> = self
            .increments
            .iter()
            .chain(self.decrements.iter())
            .map(|dot| *dot.actor)
            .collect();
        replicas.sort_unstable();
        replicas.dedup();
        replicas
            .into_iter()
            .map(|r| (r, self.increments.get(&r), self.decrements.get(&r)))
            .collect()
    }

    /// Takes the maximum of the totals known and given for `replica`.
    pub fn merge_totals(&mut self, replica: ReplicaId, increments: u64, decrements: u64) {
        if mutation::is_on(Mutation::AddTotals) {
            let sum = self.increments.get(&replica) + increments;
            raise(&mut self.increments, replica, sum);
        }
        raise(&mut self.increments, replica, increments);
        raise(&mut self.decrements, replica, decrements);
    }

    /// Takes the maximum of the floors known and given.
    pub fn merge_floors(&mut self, floors: &[(ReplicaId, u64, u64)]) {
        for (replica, increments, decrements) in floors {
            if mutation::is_on(Mutation::ResetUnseen) {
                raise(&mut self.increment_floors, *replica, self.increments.get(replica));
            }
            raise(&mut self.increment_floors, *replica, *increments);
            raise(&mut self.decrement_floors, *replica, *decrements);
        }
    }
}

/// `VClock` ignores what is not higher, so a zero leaves no entry and rows stay canonical.
fn raise(totals: &mut VClock<ReplicaId>, replica: ReplicaId, total: u64) {
    totals.apply(crdts::Dot::new(replica, total));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Incarnation;

    fn replica(region: &str) -> ReplicaId {
        ReplicaId {
            region: region.parse().unwrap(),
            incarnation: Incarnation::FIRST,
        }
    }

    fn add(row: &mut CounterRow, region: &str, amount: i64) {
        let (up, down) = row.totals_after(replica(region), amount).unwrap();
        row.merge_totals(replica(region), up, down);
    }

    #[test]
    fn adding_nothing_leaves_a_canonical_row() {
        let mut row = CounterRow::default();
        add(&mut row, "a", 0);
        assert_eq!(row, CounterRow::default());
    }

    #[test]
    fn concurrent_resets_do_not_subtract_twice() {
        let mut row = CounterRow::default();
        add(&mut row, "a", 10);
        let floors = row.floors_for_reset();
        row.merge_floors(&floors);
        row.merge_floors(&floors);
        assert_eq!(row.value(), 0);
    }

    #[test]
    fn a_reset_leaves_what_it_did_not_see() {
        let mut seen = CounterRow::default();
        add(&mut seen, "a", 10);
        let floors = seen.floors_for_reset();
        let mut row = seen;
        add(&mut row, "a", 5);
        add(&mut row, "b", -2);
        row.merge_floors(&floors);
        assert_eq!(row.value(), 3);
    }

    #[test]
    fn every_change_gives_another_tag_and_a_value_that_comes_back_does_not_give_its_tag_back() {
        let mut row = CounterRow::default();
        let mut tags = vec![row.entity_tag()];
        for (region, amount) in [("a", 10), ("a", -10), ("b", 10), ("b", -10), ("ab", 1)] {
            add(&mut row, region, amount);
            tags.push(row.entity_tag());
        }
        let floors = row.floors_for_reset();
        row.merge_floors(&floors);
        tags.push(row.entity_tag());
        add(&mut row, "a", 0);
        assert_eq!(Some(&row.entity_tag()), tags.last(), "nothing has changed");
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 7);
        assert!(tags.iter().all(|tag| tag.len() == TAG_DIGITS));
    }

    #[test]
    fn the_tag_does_not_depend_on_the_order_of_the_changes() {
        let (mut one, mut other) = (CounterRow::default(), CounterRow::default());
        one.merge_totals(replica("a"), 3, 1);
        one.merge_totals(replica("b"), 0, 9);
        other.merge_totals(replica("b"), 0, 9);
        other.merge_totals(replica("a"), 2, 1);
        assert_ne!(one.entity_tag(), other.entity_tag());
        other.merge_totals(replica("a"), 3, 1);
        assert_eq!(one.entity_tag(), other.entity_tag());
    }

    #[test]
    fn extremes_are_exact_and_overflow_is_refused() {
        let mut row = CounterRow::default();
        add(&mut row, "a", i64::MIN);
        assert_eq!(row.value(), i128::from(i64::MIN));
        add(&mut row, "a", i64::MAX);
        add(&mut row, "a", i64::MAX);
        assert_eq!(row.totals_after(replica("a"), i64::MAX), Err(CounterOverflow));
        assert!(row.totals_after(replica("b"), i64::MAX).is_ok());
    }
}
