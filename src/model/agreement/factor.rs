//! How many nodes of a region hold a partition: the option `replication_factor` and what may be said there.
//!
//! It belongs to a region, since regions differ in their number of nodes, and nothing outside a region depends on it.

use crate::model::limits;

/// Replicas where the option is not set: they survive the loss of one node.
const DEFAULT: usize = 3;

/// How many replicas a partition has: 1 to [`limits::REPLICATION_FACTOR_MAX`], and not more than the region has nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicationFactor(usize);

/// Why a replication factor was not accepted. The message says what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FactorError {
    /// Zero or more than the limit.
    #[error("{0} is out of range: use an odd number from 1 to {max}", max = limits::REPLICATION_FACTOR_MAX)]
    Range(i64),
    /// An even number costs a replica and survives nothing more: a majority of 4 is 3, as is one of 5.
    #[error(
        "{given} is even: {given} replicas survive the loss of no more nodes than {below} do; use {below} or {above}"
    )]
    Even {
        /// The number as given.
        given: usize,
        /// The odd number below.
        below: usize,
        /// The odd number above.
        above: usize,
    },
    /// The region has fewer nodes.
    #[error(
        "{given} replicas need {given} nodes, and the region has {nodes}: add nodes, or use {most} or less"
    )]
    TooFewNodes {
        /// The number as given.
        given: usize,
        /// The nodes of the region.
        nodes: usize,
        /// The greatest number that the region can have.
        most: usize,
    },
}

impl ReplicationFactor {
    /// Where there are fewer nodes than that yet: one for each.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn at_most(self, nodes: usize) -> Self {
        assert!(nodes > 0, "a region has at least one node");
        Self(self.0.min(nodes))
    }

    /// What holds in a region of so many nodes, with the option as given. Without it: 3, or the number of nodes if
    /// fewer. Two nodes have two replicas then: no write is lost with one of them, but none is taken either until it is
    /// back.
    ///
    /// # Errors
    /// [`FactorError`] when the option is out of range, even, or greater than the number of nodes.
    ///
    /// # Panics
    /// When the region has no node, which no configuration has.
    pub fn of_region(given: Option<i64>, nodes: usize) -> Result<Self, FactorError> {
        assert!(nodes > 0, "a region has at least one node");
        let Some(number) = given else {
            return Ok(Self(nodes.min(DEFAULT)));
        };
        let given = usize::try_from(number)
            .ok()
            .filter(|given| (1..=limits::REPLICATION_FACTOR_MAX).contains(given))
            .ok_or(FactorError::Range(number))?;
        if given.is_multiple_of(2) {
            return Err(FactorError::Even {
                given,
                below: given - 1,
                above: given + 1,
            });
        }
        // `>`: as many replicas as nodes is usual.
        if given > nodes {
            return Err(FactorError::TooFewNodes {
                given,
                nodes,
                // The odd numbers are those that would be accepted.
                most: nodes - (nodes + 1) % 2,
            });
        }
        Ok(Self(given))
    }

    /// The number of replicas.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(given: i64, nodes: usize) -> Result<usize, FactorError> {
        ReplicationFactor::of_region(Some(given), nodes).map(ReplicationFactor::get)
    }

    #[test]
    fn without_the_option_it_is_three_or_all_nodes() {
        let defaults =
            [1, 2, 3, 4, 256].map(|nodes| ReplicationFactor::of_region(None, nodes).unwrap().get());
        assert_eq!(defaults, [1, 2, 3, 3, 3]);
    }

    #[test]
    fn odd_numbers_up_to_the_number_of_nodes_are_accepted() {
        for (given, nodes) in [(1, 1), (1, 9), (3, 3), (5, 5), (7, 8)] {
            assert_eq!(factor(given, nodes), Ok(usize::try_from(given).unwrap()));
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        for given in [i64::MIN, -1, 0, 8, 9, i64::MAX] {
            assert_eq!(factor(given, 9), Err(FactorError::Range(given)));
        }
        for given in [2, 4, 6] {
            let message = factor(given, 9).unwrap_err().to_string();
            let (below, above) = (given - 1, given + 1);
            assert!(message.contains(&format!("use {below} or {above}")), "{message}");
        }
        for (nodes, most) in [(1, 1), (2, 1), (3, 3), (4, 3)] {
            let message = factor(5, nodes).unwrap_err().to_string();
            assert!(message.contains(&format!("use {most} or less")), "{message}");
        }
    }
}
