//! A set of partitions, small enough to be copied: requests carry one.

use serde::{Deserialize, Serialize};

use crate::model::ids::{PartitionCount, PartitionId};
use crate::model::limits;

const WORD_BITS: usize = u64::BITS as usize;
const WORDS: usize = limits::PARTITIONS_MAX as usize / WORD_BITS;

/// Some of the partitions of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct PartitionSet([u64; WORDS]);

impl PartitionSet {
    /// All partitions of a cluster.
    #[must_use]
    pub fn all(count: PartitionCount) -> Self {
        count.ids().collect()
    }

    /// Adds one.
    ///
    /// # Panics
    /// When no cluster has it.
    pub fn insert(&mut self, partition: PartitionId) {
        let (word, bit) = place(partition);
        self.0[word] |= bit;
    }

    /// Takes one out.
    ///
    /// # Panics
    /// When no cluster has it.
    pub fn remove(&mut self, partition: PartitionId) {
        let (word, bit) = place(partition);
        self.0[word] &= !bit;
    }

    /// Whether it is among them.
    #[must_use]
    pub fn contains(&self, partition: PartitionId) -> bool {
        let (word, bit) = place(partition);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = PartitionId> + use<> {
        let set = *self;
        (0..limits::PARTITIONS_MAX)
            .map(PartitionId)
            .filter(move |partition| set.contains(*partition))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// Those that are not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }
}

impl FromIterator<PartitionId> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = PartitionId>>(partitions: I) -> Self {
        let mut set = Self::default();
        partitions.into_iter().for_each(|partition| set.insert(partition));
        set
    }
}

fn place(partition: PartitionId) -> (usize, u64) {
    let number = usize::from(partition.0);
    (number / WORD_BITS, 1 << (number % WORD_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(partitions: &[u16]) -> PartitionSet {
        partitions
            .iter()
            .map(|partition| PartitionId(*partition))
            .collect()
    }

    #[test]
    fn it_holds_what_was_put_in_and_no_more() {
        let mut some = set(&[0, 63, 64, 1023]);
        assert_eq!(
            some.iter().map(|partition| partition.0).collect::<Vec<_>>(),
            [0, 63, 64, 1023]
        );
        assert_eq!((some.len(), some.is_empty()), (4, false));
        assert!(!some.contains(PartitionId(1)) && !some.contains(PartitionId(u16::MAX)));
        some.remove(PartitionId(63));
        assert_eq!(some, set(&[0, 64, 1023]));
        assert_eq!(some.and(&set(&[0, 1, 64])), set(&[0, 64]));
        assert_eq!(some.without(&set(&[0, 1, 64])), set(&[1023]));
        assert!(some.without(&some).is_empty());
        assert_eq!(PartitionSet::all(PartitionCount::new(64).unwrap()).len(), 64);
    }
}
