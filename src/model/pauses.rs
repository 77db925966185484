//! Links that an operator has paused or resumed, as the nodes of a region tell each other.
//!
//! Each node keeps all decisions, also those to resume; of two about one region the later counts. A decision has a greater stamp
//! than all that the node knows of which it was asked, so an operator who sees a pause undoes it, whatever the clocks say; of two that
//! have not heard of each other the later by the clocks of the nodes counts, everywhere the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::hlc::WallTime;
use crate::model::ids::{NodeId, RegionId};

/// When something was decided, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PauseStamp {
    /// By the clock of the node that was asked, or greater.
    pub at: WallTime,
    /// That node: two nodes never give the same stamp.
    pub node: NodeId,
}

/// What an operator has decided about the links to a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPause {
    /// Nothing is sent there or taken from there.
    pub is_paused: bool,
    /// Which decision it is.
    pub stamp: PauseStamp,
}

/// All decisions that a node knows of, by region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkPauses(BTreeMap<RegionId, LinkPause>);

impl LinkPauses {
    /// What was stored.
    #[must_use]
    pub fn new(known: BTreeMap<RegionId, LinkPause>) -> Self {
        Self(known)
    }

    /// Whether the links to a region are paused.
    #[must_use]
    pub fn is_paused(&self, region: &RegionId) -> bool {
        self.0.get(region).is_some_and(|pause| pause.is_paused)
    }

    /// All that is known.
    #[must_use]
    pub fn all(&self) -> Vec<(RegionId, LinkPause)> {
        self.0.iter().map(|(region, pause)| (*region, *pause)).collect()
    }

    /// An operator decides, on this node: the decision, which is taken in.
    pub fn decide(&mut self, region: RegionId, is_paused: bool, now: WallTime, own: NodeId) -> LinkPause {
        let known = self.0.get(&region).map(|pause| pause.stamp.at);
        let after = known.map_or(now, |known| now.max(WallTime::from_micros(known.as_micros() + 1)));
        let stamp = PauseStamp { at: after, node: own };
        let pause = LinkPause { is_paused, stamp };
        self.0.insert(region, pause);
        pause
    }

    /// Takes in what another node tells; false when nothing is new in it.
    pub fn take(&mut self, region: RegionId, told: LinkPause) -> bool {
        let is_new = self
            .0
            .get(&region)
            // `<`: the same decision may be told many times.
            .is_none_or(|known| known.stamp < told.stamp);
        if is_new {
            self.0.insert(region, told);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> WallTime {
        WallTime::from_micros(micros)
    }

    fn node(number: usize) -> NodeId {
        format!("n{number}").parse().unwrap()
    }

    fn eu() -> RegionId {
        "eu".parse().unwrap()
    }

    #[test]
    fn what_an_operator_sees_can_be_undone_by_a_node_whose_clock_is_behind() {
        let (mut ahead, mut behind) = (LinkPauses::default(), LinkPauses::default());
        let pause = ahead.decide(eu(), true, at(9_000), node(1));
        assert!(behind.take(eu(), pause) && behind.is_paused(&eu()));
        let resumed = behind.decide(eu(), false, at(20), node(2));
        assert!(ahead.take(eu(), resumed) && !ahead.is_paused(&eu()));
        // The pause, told again, changes nothing.
        assert!(!ahead.take(eu(), pause) && !ahead.is_paused(&eu()));
    }

    #[test]
    fn nothing_is_paused_that_nobody_has_decided_about() {
        assert!(!LinkPauses::default().is_paused(&eu()));
    }

    proptest! {
        /// Decisions on any nodes, and exchanges between any two, in any order; then all have told all.
        #[test]
        fn whatever_was_decided_where_all_nodes_end_with_the_same(
            steps in prop::collection::vec((0_usize..3, 0_usize..3, any::<bool>(), 0_u64..100), 0..40),
        ) {
            let mut nodes = vec![LinkPauses::default(); 3];
            let tell = |nodes: &mut Vec<LinkPauses>, from: usize, to: usize| {
                for (region, pause) in nodes[from].all() {
                    nodes[to].take(region, pause);
                }
            };
            for (one, other, is_paused, now) in steps {
                if one == other {
                    nodes[one].decide(eu(), is_paused, at(now), node(one));
                } else {
                    tell(&mut nodes, one, other);
                }
            }
            for (from, to) in [(0, 1), (1, 2), (2, 1), (1, 0)] {
                tell(&mut nodes, from, to);
            }
            prop_assert_eq!(&nodes[0], &nodes[1]);
            prop_assert_eq!(&nodes[1], &nodes[2]);
        }
    }
}
