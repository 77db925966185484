//! Who votes in a group, and what a majority of them has reached.

use std::collections::BTreeSet;

use crate::model::agreement::member::MemberId;

/// The voters of a group: one set, or two while the membership changes (joint consensus, Ongaro and Ousterhout 2014),
/// each of which must agree. Learners are not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voters {
    current: BTreeSet<MemberId>,
    next: Option<BTreeSet<MemberId>>,
}

impl Voters {
    /// One set.
    ///
    /// # Panics
    /// When it is empty: no group is.
    #[must_use]
    pub fn new(members: BTreeSet<MemberId>) -> Self {
        assert!(!members.is_empty(), "a group has voters");
        Self {
            current: members,
            next: None,
        }
    }

    /// Both sets of a change.
    ///
    /// # Panics
    /// When one is empty.
    #[must_use]
    pub fn joint(current: BTreeSet<MemberId>, next: BTreeSet<MemberId>) -> Self {
        assert!(!next.is_empty(), "a group has voters");
        Self {
            next: Some(next),
            ..Self::new(current)
        }
    }

    /// Whether the membership is changing.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        self.next.is_some()
    }

    /// Who votes when the change under way is finished.
    #[must_use]
    pub fn latest(&self) -> &BTreeSet<MemberId> {
        self.next.as_ref().unwrap_or(&self.current)
    }

    /// Whether a member votes.
    #[must_use]
    pub fn contains(&self, member: MemberId) -> bool {
        self.current.contains(&member) || self.latest().contains(&member)
    }

    /// These voters and others, each of which must agree: while the former are replaced by the latter.
    #[must_use]
    pub fn and(&self, next: &BTreeSet<MemberId>) -> Self {
        Self::joint(self.current.clone(), next.clone())
    }

    /// The greatest value that a majority of each set has reached; with `bool`, whether a majority agrees.
    #[must_use]
    pub fn reached_by_majority<T: Ord + Copy>(&self, value: impl Fn(MemberId) -> T) -> T {
        let reached = |members: &BTreeSet<MemberId>| {
            let mut values: Vec<T> = members.iter().map(|member| value(*member)).collect();
            values.sort_unstable();
            // Of 3 the middle one, of 4 the second smallest: so many and those above are a majority.
            values[(values.len() - 1) / 2]
        };
        let current = reached(&self.current);
        self.next
            .as_ref()
            .map_or(current, |next| reached(next).min(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Incarnation;

    fn members(numbers: std::ops::RangeInclusive<u32>) -> BTreeSet<MemberId> {
        let member = |number| MemberId {
            node: "n".parse().unwrap(),
            incarnation: Incarnation(number),
        };
        numbers.map(member).collect()
    }

    #[test]
    fn a_majority_is_more_than_half() {
        for (count, majority) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            let voters = Voters::new(members(1..=count));
            for agreeing in 0..=count {
                let agrees = voters.reached_by_majority(|member| member.incarnation.0 <= agreeing);
                assert_eq!(agrees, agreeing >= majority, "{agreeing} of {count}");
            }
        }
    }

    #[test]
    fn a_value_is_reached_when_a_majority_has_it_or_more() {
        let reached = Voters::new(members(1..=3)).reached_by_majority(|member| member.incarnation.0 * 10);
        assert_eq!(reached, 20);
    }

    #[test]
    fn both_sets_of_a_change_must_agree() {
        let voters = Voters::joint(members(1..=3), members(3..=5));
        assert!(!voters.reached_by_majority(|member| member.incarnation.0 <= 3));
        assert!(!voters.reached_by_majority(|member| member.incarnation.0 >= 3));
        assert!(voters.reached_by_majority(|member| member.incarnation.0 >= 2 && member.incarnation.0 <= 4));
    }
}
