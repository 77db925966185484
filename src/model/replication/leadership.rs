//! Who leads what in a region of several nodes, as these tell it: to whom a partition is shipped, who has answered for the
//! region, and who may say that a disk has lost what was acknowledged. The only node of a region leads everything.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::raft::Term;
use crate::model::tick::Tick;
use crate::model::vector::VersionVector;

/// What a node says it leads in its region. The order of the variants is on the wire: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leads {
    /// Everything: it is the only node.
    All,
    /// These partitions, each since this term.
    These(BTreeMap<PartitionId, Term>),
}

impl Leads {
    /// Of a node that leads nothing, or of which nothing is known.
    #[must_use]
    pub fn nothing() -> Self {
        Self::These(BTreeMap::new())
    }

    /// Since when the node leads a partition, if it says that it does.
    #[must_use]
    pub fn term(&self, partition: PartitionId) -> Option<Term> {
        match self {
            Self::All => Some(Term::default()),
            Self::These(terms) => terms.get(&partition).copied(),
        }
    }

    /// Whether the node says that it leads a partition.
    #[must_use]
    pub fn contains(&self, partition: PartitionId) -> bool {
        self.term(partition).is_some()
    }

    /// The partitions that are named, if not all are.
    pub fn named(&self) -> impl Iterator<Item = PartitionId> + '_ {
        let terms = match self {
            Self::All => None,
            Self::These(terms) => Some(terms),
        };
        terms.into_iter().flat_map(|terms| terms.keys().copied())
    }
}

/// Which of a region's nodes leads a partition, by what each of them has told last: the one that says so of the latest
/// term. One that was deposed may say for a while that it leads, and one that is gone for ever; who comes after them has a
/// later term. None while nobody says so: then nothing is shipped, and waits in the log.
pub fn leader<'a>(told: impl Iterator<Item = &'a Leads>, partition: PartitionId) -> Option<usize> {
    let claims = told.enumerate();
    let claims: Vec<(usize, Term)> = claims
        .filter_map(|(node, leads)| Some((node, leads.term(partition)?)))
        .collect();
    // A term has one leader. Two that lead everything are a mistake of the configuration, and the first is as good: of equals
    // `max_by_key` takes the last.
    let latest = claims.into_iter().rev().max_by_key(|(_, term)| *term);
    latest.map(|(node, _)| node)
}

/// What the nodes of one region answer when they are asked what was applied there. Only a partition's leader knows what its
/// region has acknowledged; the region has answered when the leaders of all partitions have.
#[derive(Debug)]
pub struct RegionAnswers {
    awaited: BTreeSet<PartitionId>,
    vectors: BTreeMap<PartitionId, VersionVector>,
}

impl RegionAnswers {
    /// Nobody has answered yet.
    #[must_use]
    pub fn new(asked: impl IntoIterator<Item = PartitionId>) -> Self {
        Self {
            awaited: asked.into_iter().collect(),
            vectors: BTreeMap::new(),
        }
    }

    /// Whether all partitions were answered for.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.awaited.is_empty()
    }

    /// A node has answered for what it leads. A partition without a vector has none. Where two answer for one partition the
    /// leadership has moved in between: what either has applied is committed.
    pub fn take(&mut self, leads: &Leads, vectors: impl IntoIterator<Item = (PartitionId, VersionVector)>) {
        for (partition, vector) in vectors {
            if leads.contains(partition) {
                self.vectors.entry(partition).or_default().merge(&vector);
            }
        }
        self.awaited.retain(|partition| !leads.contains(*partition));
    }

    /// What the region has applied, by partition.
    #[must_use]
    pub fn into_vectors(self) -> BTreeMap<PartitionId, VersionVector> {
        self.vectors
    }
}

/// A look that comes later than this after the one before counts as no more: a process that was frozen in between has not
/// led all the time, as far as it knows.
const LOOK_MS_MAX: u64 = 500;

/// For how long changes of the own region have been missing.
#[derive(Debug)]
struct Missing {
    term: Term,
    looked_at: Tick,
    lasted_ms: u64,
}

/// Who may say that this node's disk has lost what was acknowledged, when others tell of changes of its own region that it
/// has not. The only node of a region may, at once. Among several a follower is merely behind, and so is a leader that was
/// deposed and has not noticed: whoever leads in one and the same term for as long as it takes to be given up is neither.
#[derive(Debug, Default)]
pub struct LossWatch(BTreeMap<PartitionId, Missing>);

impl LossWatch {
    /// Nothing of the partition's own region is missing, or this node does not lead it.
    pub fn clear(&mut self, partition: PartitionId) {
        self.0.remove(&partition);
    }

    /// Changes of the own region are missing in a partition that this node leads since `term`.
    #[must_use]
    pub fn is_lost(&mut self, partition: PartitionId, term: Term, now: Tick) -> bool {
        let new = || Missing {
            term,
            looked_at: now,
            lasted_ms: 0,
        };
        let missing = self.0.entry(partition).or_insert_with(new);
        if missing.term != term {
            *missing = new();
        }
        missing.lasted_ms += now.millis_since(missing.looked_at).min(LOOK_MS_MAX);
        missing.looked_at = now;
        // `>=`: at exactly the limit it has lasted long enough.
        missing.lasted_ms >= limits::OWN_LOSS_AFTER_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{Incarnation, ReplicaId};
    use crate::model::vector::Dot;

    const P: PartitionId = PartitionId(1);
    const Q: PartitionId = PartitionId(2);

    fn leads(terms: &[(PartitionId, u64)]) -> Leads {
        Leads::These(
            terms
                .iter()
                .map(|(partition, term)| (*partition, Term(*term)))
                .collect(),
        )
    }

    fn vector(seq: u64) -> VersionVector {
        let replica = ReplicaId {
            region: "eu".parse().unwrap(),
            incarnation: Incarnation::FIRST,
        };
        [Dot { replica, seq }].into_iter().collect()
    }

    #[test]
    fn the_latest_term_leads_whoever_else_says_so() {
        let told = [
            leads(&[(P, 3), (Q, 7)]),
            Leads::nothing(),
            leads(&[(P, 4), (Q, 6)]),
        ];
        assert_eq!(leader(told.iter(), P), Some(2));
        assert_eq!(leader(told.iter(), Q), Some(0), "the other one was deposed");
        assert_eq!(leader(told.iter(), PartitionId(9)), None);
        assert_eq!(
            leader([Leads::nothing()].iter(), P),
            None,
            "a node may lead nothing"
        );
        assert_eq!(leader([Leads::All].iter(), P), Some(0));
        assert_eq!(leader([Leads::All, Leads::All].iter(), P), Some(0));
        let grown = [Leads::All, leads(&[(P, 1)])];
        assert_eq!(leader(grown.iter(), P), Some(1), "it was the only node once");
        assert_eq!(leader(grown.iter(), Q), Some(0));
    }

    #[test]
    fn a_region_has_answered_when_the_leaders_of_all_partitions_have() {
        let mut answers = RegionAnswers::new([P, Q]);
        assert!(!answers.is_complete());
        // It is behind in what it does not lead, and says so of both.
        answers.take(&leads(&[(P, 1)]), [(P, vector(5)), (Q, vector(1))]);
        assert!(!answers.is_complete(), "nobody who leads the other one");
        answers.take(&Leads::nothing(), []);
        assert!(!answers.is_complete());
        answers.take(&leads(&[(Q, 1)]), []);
        assert!(answers.is_complete());
        assert_eq!(answers.into_vectors(), [(P, vector(5))].into());
    }

    #[test]
    fn the_only_node_of_a_region_answers_for_everything() {
        let mut answers = RegionAnswers::new([P, Q]);
        answers.take(&Leads::All, [(Q, vector(4)), (PartitionId(9), vector(1))]);
        assert!(answers.is_complete());
        assert_eq!(answers.into_vectors().get(&Q), Some(&vector(4)));
    }

    #[test]
    fn of_two_leaders_that_answer_the_more_advanced_counts() {
        let mut answers = RegionAnswers::new([P]);
        answers.take(&leads(&[(P, 2)]), [(P, vector(9))]);
        answers.take(&leads(&[(P, 1)]), [(P, vector(5))]);
        assert_eq!(answers.into_vectors(), [(P, vector(9))].into());
    }

    /// Looks each 200 ms from one moment to another; whether the last one finds a loss.
    fn watch(watch: &mut LossWatch, term: u64, from_ms: u64, to_ms: u64) -> bool {
        let looks = (from_ms..=to_ms).step_by(200);
        looks.fold(false, |_, ms| watch.is_lost(P, Term(term), Tick::from_millis(ms)))
    }

    #[test]
    fn a_loss_is_one_only_for_a_leader_that_stays_it() {
        let mut losses = LossWatch::default();
        let limit = limits::OWN_LOSS_AFTER_MS;
        assert!(!watch(&mut losses, 1, 0, limit - 200));
        // Elected anew, it has applied all that there was before it began.
        assert!(!watch(&mut losses, 2, limit, 2 * limit - 200));
        assert!(watch(&mut losses, 2, 2 * limit, 2 * limit));
        let now = Tick::from_millis(2 * limit);
        assert!(!losses.is_lost(Q, Term(2), now), "each partition by itself");
        losses.clear(P);
        assert!(!watch(&mut losses, 2, 2 * limit, 3 * limit - 200));
    }

    #[test]
    fn a_leader_that_was_frozen_has_not_led_meanwhile() {
        let mut losses = LossWatch::default();
        assert!(!watch(&mut losses, 1, 0, 0));
        // What has come meanwhile is looked at in one moment.
        for _ in 0..100 {
            assert!(!watch(&mut losses, 1, 60_000, 60_000));
        }
    }
}
