//! Dots and version vectors: `crdts::Dot` and `crdts::VClock` over [`ReplicaId`].
//!
//! A partition's vector holds, for each replica, the highest seq up to which ALL of its changes were applied. It is
//! the causal context of every row (DESIGN rule 2), so rows carry dots only.

use std::fmt;

use crdts::{CmRDT, CvRDT, VClock};
use serde::{Deserialize, Serialize};

use crate::model::ids::{ReplicaId, Seq};

/// Names one change: the `seq`-th of its replica in its partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// Who made the change.
    pub replica: ReplicaId,
    /// Which of its changes.
    pub seq: Seq,
}

impl fmt::Display for Dot {
    /// Replica and seq: `us-east@1790000000:12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.replica, self.seq)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Replica → highest contiguous seq. Absent replicas count as 0.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VersionVector(VClock<ReplicaId>);

impl VersionVector {
    /// The vector of a partition that has applied nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The highest contiguous seq of `replica`.
    #[must_use]
    pub fn get(&self, replica: &ReplicaId) -> Seq {
        self.0.get(replica)
    }

    /// Whether the change `dot` is among those applied.
    #[must_use]
    pub fn covers(&self, dot: &Dot) -> bool {
        // `<=`: the seq itself was applied.
        dot.seq <= self.get(&dot.replica)
    }

    /// Whether everything that `other` covers is covered.
    #[must_use]
    pub fn covers_all(&self, other: &Self) -> bool {
        other.iter().all(|dot| self.covers(&dot))
    }

    /// Moves `replica` forward to `seq`.
    ///
    /// # Panics
    /// When that would move it back: a partition's vector never does (invariant 3).
    pub fn advance(&mut self, replica: ReplicaId, seq: Seq) {
        assert!(
            seq >= self.get(&replica),
            "{replica} would move back from {} to {seq}",
            self.get(&replica)
        );
        self.0.apply(crdts::Dot::new(replica, seq));
    }

    /// Takes the maximum of each entry.
    pub fn merge(&mut self, other: &Self) {
        self.0.merge(other.0.clone());
    }

    /// Takes the minimum of each entry: what both cover.
    pub fn intersect(&mut self, other: &Self) {
        self.0.glb(&other.0);
    }

    /// This vector with the entry of `replica` left out.
    #[must_use]
    pub fn without(&self, replica: &ReplicaId) -> Self {
        let mut rest = self.clone();
        rest.0.dots.remove(replica);
        rest
    }

    /// The entries, by replica.
    pub fn iter(&self) -> impl Iterator<Item = Dot> + '_ {
        self.0.iter().map(|dot| Dot {
            replica: *dot.actor,
            seq: dot.counter,
        })
    }

    /// How many replicas have an entry.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.dots.len()
    }

    /// Whether nothing was applied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many changes `self` covers that `other` does not; at most `u64::MAX`, whatever a peer claims to have.
    #[must_use]
    pub fn changes_beyond(&self, other: &Self) -> u64 {
        self.iter()
            .map(|dot| dot.seq.saturating_sub(other.get(&dot.replica)))
            .fold(0, u64::saturating_add)
    }
}

impl FromIterator<Dot> for VersionVector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut vector = Self::new();
        for dot in dots {
            vector.0.apply(crdts::Dot::new(dot.replica, dot.seq));
        }
        vector
    }
}

impl fmt::Debug for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|dot| (dot.replica, dot.seq)))
            .finish()
    }
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

    fn vector(entries: &[(&str, Seq)]) -> VersionVector {
        entries
            .iter()
            .map(|(region, seq)| Dot {
                replica: replica(region),
                seq: *seq,
            })
            .collect()
    }

    #[test]
    fn covers_what_it_counts_and_no_more() {
        let v = vector(&[("a", 3)]);
        assert!(v.covers(&Dot {
            replica: replica("a"),
            seq: 3
        }));
        assert!(!v.covers(&Dot {
            replica: replica("a"),
            seq: 4
        }));
        assert!(!v.covers(&Dot {
            replica: replica("b"),
            seq: 1
        }));
        assert!(v.covers_all(&VersionVector::new()));
        assert!(!v.covers_all(&vector(&[("a", 3), ("b", 1)])));
    }

    #[test]
    fn incarnations_are_replicas_of_their_own() {
        let mut second = replica("a");
        second.incarnation = Incarnation(2);
        assert_eq!(vector(&[("a", 3)]).get(&second), 0);
    }

    #[test]
    fn merge_takes_the_maximum_and_intersection_the_minimum() {
        let mut merged = vector(&[("a", 3), ("b", 1)]);
        merged.merge(&vector(&[("a", 2), ("b", 5), ("c", 1)]));
        assert_eq!(merged, vector(&[("a", 3), ("b", 5), ("c", 1)]));
        let mut common = vector(&[("a", 3), ("b", 1)]);
        common.intersect(&vector(&[("a", 2), ("c", 1)]));
        assert_eq!(common, vector(&[("a", 2)]));
    }

    #[test]
    #[should_panic(expected = "would move back")]
    fn a_vector_never_moves_back() {
        vector(&[("a", 3)]).advance(replica("a"), 2);
    }

    #[test]
    fn changes_beyond_an_absurd_claim_do_not_overflow() {
        let claim = vector(&[("a", Seq::MAX), ("b", Seq::MAX)]);
        assert_eq!(claim.changes_beyond(&VersionVector::new()), u64::MAX);
    }

    #[test]
    fn changes_beyond_counts_each_replica() {
        assert_eq!(
            vector(&[("a", 3), ("b", 4)]).changes_beyond(&vector(&[("a", 5), ("b", 1)])),
            3
        );
    }
}
