//! What the log may forget (DESIGN rule 9): entries that every peer's watermark covers; and, when the log would pass
//! its limit, the oldest ones, which turns the peers that still need them to `resync` instead of filling the disk.

use crate::model::ids::LogIndex;
use crate::model::mutation::{self, Mutation};
use crate::model::vector::{Dot, VersionVector};

/// A log entry, as far as forgetting it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryMark {
    /// Its place.
    pub index: LogIndex,
    /// The last change in it.
    pub last: Dot,
    /// Its bytes.
    pub size_bytes: u64,
}

/// How far a log is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The first entry that stays.
    pub first_index: LogIndex,
    /// Bytes that go.
    pub size_bytes: u64,
    /// Of each replica, the last change that goes.
    pub forgotten: VersionVector,
}

/// Looks at entries from the oldest on and says how many may go.
#[derive(Debug)]
pub struct Cutter {
    covered: VersionVector,
    /// Bytes that must go whether or not everybody has them.
    excess_bytes: u64,
    cut: Cut,
}

impl Cutter {
    /// `watermarks`: of every peer, none left out; a peer never heard of counts with an empty vector. `excess_bytes`:
    /// what the log has over its limit.
    pub fn new<'a>(
        first_index: LogIndex,
        watermarks: impl IntoIterator<Item = &'a VersionVector>,
        own: &VersionVector,
        excess_bytes: u64,
    ) -> Self {
        // With no peers at all, everything that is applied here may go.
        let mut covered = own.clone();
        for watermark in watermarks {
            if mutation::is_on(Mutation::CutLogEarly) {
                continue;
            }
            covered.intersect(watermark);
        }
        Self {
            covered,
            excess_bytes,
            cut: Cut {
                first_index,
                size_bytes: 0,
                forgotten: VersionVector::new(),
            },
        }
    }

    /// Looks at the next entry; false when it stays, and with it all later ones.
    pub fn consider(&mut self, entry: &EntryMark) -> bool {
        // `<`: bytes over the limit go, the limit itself stays.
        if !self.covered.covers(&entry.last) && self.cut.size_bytes >= self.excess_bytes {
            return false;
        }
        self.cut.first_index = entry.index.next();
        self.cut.size_bytes += entry.size_bytes;
        self.cut.forgotten.merge(&[entry.last].into_iter().collect());
        true
    }

    /// The cut; none if nothing goes.
    #[must_use]
    pub fn finish(self) -> Option<Cut> {
        (self.cut.size_bytes > 0).then_some(self.cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{Incarnation, ReplicaId};

    fn dot(region: &str, seq: u64) -> Dot {
        let replica = ReplicaId {
            region: region.parse().unwrap(),
            incarnation: Incarnation::FIRST,
        };
        Dot { replica, seq }
    }

    fn vector(dots: &[Dot]) -> VersionVector {
        dots.iter().copied().collect()
    }

    fn entries() -> Vec<EntryMark> {
        let last = [dot("a", 1), dot("b", 1), dot("a", 2), dot("a", 3)];
        let marks = last.into_iter().zip(1..);
        marks
            .map(|(last, index)| EntryMark {
                index: LogIndex(index),
                last,
                size_bytes: 10,
            })
            .collect()
    }

    fn cut(watermarks: &[VersionVector], excess_bytes: u64) -> Option<Cut> {
        let own = vector(&[dot("a", 3), dot("b", 1)]);
        let mut cutter = Cutter::new(LogIndex(1), watermarks, &own, excess_bytes);
        for entry in entries() {
            if !cutter.consider(&entry) {
                break;
            }
        }
        cutter.finish()
    }

    #[test]
    fn what_every_peer_has_goes_and_the_rest_stays() {
        let watermarks = [
            vector(&[dot("a", 3), dot("b", 1)]),
            vector(&[dot("a", 2), dot("b", 1)]),
        ];
        let cut = cut(&watermarks, 0).unwrap();
        assert_eq!(cut.first_index, LogIndex(4));
        assert_eq!(cut.size_bytes, 30);
        assert_eq!(cut.forgotten, vector(&[dot("a", 2), dot("b", 1)]));
    }

    #[test]
    fn a_peer_that_was_never_heard_of_keeps_everything() {
        assert_eq!(
            cut(&[vector(&[dot("a", 3), dot("b", 1)]), VersionVector::new()], 0),
            None
        );
    }

    #[test]
    fn over_the_limit_the_oldest_go_though_somebody_needs_them() {
        let cut = cut(&[VersionVector::new()], 15).unwrap();
        assert_eq!(
            cut.first_index,
            LogIndex(3),
            "two entries of 10 bytes make up for 15"
        );
    }

    #[test]
    fn without_peers_nothing_is_kept() {
        assert_eq!(cut(&[], 0).unwrap().first_index, LogIndex(5));
    }
}
