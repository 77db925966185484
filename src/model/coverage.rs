//! What one partition has of the other regions, in their time: through which stamp everything was applied, and how long
//! ago that was so. Session tokens wait on the first, bounded staleness on the second.
//!
//! A region tells in each heartbeat what it has (a vector), a stamp that its later commits all exceed (the clock
//! promise), and the last tick of ours that it had heard. None of this holds here before the vector is applied here too;
//! until then it waits. No clock of another region is compared with ours.

use std::collections::{BTreeMap, VecDeque};

use crate::model::hlc::Hlc;
use crate::model::ids::RegionId;
use crate::model::tick::Tick;
use crate::model::vector::VersionVector;

/// What another region has said of a partition in one heartbeat, by a node that leads it there. Each stands for itself,
/// whichever node it is of: a leader tells the vector after it has looked at what it promises, so the vector has all that does
/// not follow the promise. That is as true of an older leader, whose successors give greater stamps (decision 0018).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What it had applied of its own changes.
    pub vector: VersionVector,
    /// Its later commits have greater stamps; none while one was on its way to the disk.
    pub through: Option<Hlc>,
    /// It said so after this tick of ours; none before it has heard of us.
    pub after: Option<Tick>,
}

/// The first that waits, so that a busy partition gets anywhere, and the last.
const WAITING_MAX: usize = 2;

#[derive(Debug, Clone, Default)]
struct Peer {
    through: Hlc,
    after: Option<Tick>,
    waiting: VecDeque<Said>,
}

impl Peer {
    fn take_over(&mut self, said: &Said) {
        self.through = self.through.max(said.through.unwrap_or_default());
        self.after = self.after.max(said.after);
    }

    fn advance(&mut self, applied: &VersionVector) {
        while self
            .waiting
            .front()
            .is_some_and(|said| applied.covers_all(&said.vector))
        {
            if let Some(said) = self.waiting.pop_front() {
                self.take_over(&said);
            }
        }
    }
}

/// What a partition has of all other regions.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<RegionId, Peer>);

impl Coverage {
    /// A region has said something; `applied` is what this partition has.
    pub fn hear(&mut self, region: RegionId, said: Said, applied: &VersionVector) {
        let peer = self.0.entry(region).or_default();
        peer.advance(applied);
        // What holds already need not wait behind what does not yet: of several nodes one may be behind another, and then
        // its word, which is true all the same, must not take the other one's place.
        if applied.covers_all(&said.vector) {
            peer.take_over(&said);
            return;
        }
        if peer.waiting.len() == WAITING_MAX {
            peer.waiting.pop_back();
        }
        peer.waiting.push_back(said);
    }

    /// The partition has applied more.
    pub fn advance(&mut self, applied: &VersionVector) {
        for peer in self.0.values_mut() {
            peer.advance(applied);
        }
    }

    /// Everything of a region with a stamp up to this one was applied, as far as it has promised.
    #[must_use]
    pub fn through(&self, region: RegionId) -> Hlc {
        self.0.get(&region).map(|peer| peer.through).unwrap_or_default()
    }

    /// Everything that a region had acknowledged to its clients at this tick of ours was applied here; none if it was
    /// not heard of since the start.
    #[must_use]
    pub fn as_of(&self, region: RegionId) -> Option<Tick> {
        self.0.get(&region).and_then(|peer| peer.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{Incarnation, ReplicaId};
    use crate::model::vector::Dot;

    fn us() -> RegionId {
        "us".parse().unwrap()
    }

    fn vector(seq: u64) -> VersionVector {
        let replica = ReplicaId {
            region: us(),
            incarnation: Incarnation(1),
        };
        VersionVector::from_iter([Dot { replica, seq }])
    }

    fn said(seq: u64, through: u64, after: u64) -> Said {
        Said {
            vector: vector(seq),
            through: Some(Hlc(through)),
            after: Some(Tick::from_micros(after)),
        }
    }

    #[test]
    fn a_promise_holds_once_what_was_there_when_it_was_made_is_here() {
        let mut coverage = Coverage::default();
        coverage.hear(us(), said(5, 100, 1000), &vector(4));
        assert_eq!((coverage.through(us()), coverage.as_of(us())), (Hlc::ZERO, None));
        coverage.advance(&vector(5));
        assert_eq!(coverage.through(us()), Hlc(100));
        assert_eq!(coverage.as_of(us()), Some(Tick::from_micros(1000)));
    }

    #[test]
    fn a_partition_that_is_always_a_little_behind_still_gets_on() {
        let mut coverage = Coverage::default();
        for seq in 1..100 {
            coverage.hear(us(), said(seq, seq * 10, seq), &vector(seq - 1));
        }
        assert!(coverage.through(us()) >= Hlc(970), "{:?}", coverage.through(us()));
    }

    #[test]
    fn a_node_that_is_behind_does_not_take_the_place_of_its_leader() {
        let mut coverage = Coverage::default();
        coverage.hear(us(), said(5, 100, 1000), &vector(4));
        coverage.hear(us(), said(9, 200, 2000), &vector(4));
        // An old leader that has not noticed speaks in between.
        coverage.hear(us(), said(3, 50, 2100), &vector(4));
        assert_eq!(coverage.through(us()), Hlc(50));
        coverage.advance(&vector(9));
        assert_eq!(coverage.through(us()), Hlc(200));
    }

    #[test]
    fn nothing_moves_back_and_a_busy_partition_promises_nothing() {
        let mut coverage = Coverage::default();
        coverage.hear(us(), said(5, 100, 1000), &vector(5));
        let busy = Said {
            through: None,
            ..said(5, 0, 900)
        };
        coverage.hear(us(), busy, &vector(5));
        assert_eq!(coverage.through(us()), Hlc(100));
        assert_eq!(coverage.as_of(us()), Some(Tick::from_micros(1000)));
    }
}
