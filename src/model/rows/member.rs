//! One member of a set: the dots of the adds that no remove has seen. An observed-remove set without tombstones
//! (Bieniusa et al., 2012), decomposed into a row per member; the partition's vector is its causal context. Add wins
//! over a concurrent remove.

use serde::{Deserialize, Serialize};

use crate::model::change::Stamped;
use crate::model::mutation::{self, Mutation};
use crate::model::vector::Dot;

/// The row of a member; it exists while the member is in the set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemberRow {
    /// Sorted.
    dots: Vec<Dot>,
}

impl MemberRow {
    /// Adds: this add takes the place of those it has seen, so a member keeps at most one dot per concurrent adder.
    pub fn add(&mut self, stamped: &Stamped<'_>) {
        self.remove(stamped);
        if mutation::is_on(Mutation::DropDot) {
            self.dots.clear();
        }
        let position = self.dots.partition_point(|dot| *dot < stamped.dot);
        self.dots.insert(position, stamped.dot);
    }

    /// Removes the adds that the remover had seen.
    pub fn remove(&mut self, stamped: &Stamped<'_>) {
        let takes_all = mutation::is_on(Mutation::RemoveUnseen);
        self.dots.retain(|dot| !takes_all && !stamped.has_seen(dot));
    }

    /// Whether the member is no longer in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dots.is_empty()
    }

    /// The entity tag, without quotes: the adds, in their order; none if it is not in the set.
    #[must_use]
    pub fn entity_tag(&self) -> Option<String> {
        let adds: Vec<_> = self.dots.iter().map(ToString::to_string).collect();
        (!adds.is_empty()).then(|| adds.join("+"))
    }

    /// The adds that keep it in the set.
    #[must_use]
    pub fn dots(&self) -> &[Dot] {
        &self.dots
    }
}
