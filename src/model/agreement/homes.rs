//! Writes under way that rely on their region being the home of a namespace, as a node of several counts them.
//!
//! Where a region has several nodes it is the leaders of partitions that make such writes, each in the epoch that it has
//! noted *before* it looked whether the region is the home; the partition makes the write in that epoch or not at all. So
//! a leader that is asked what a new home must have waits only for the writes of the epoch in which it leads: what it has
//! begun in earlier ones was applied before it led again, or never will be. And only for those that had begun when it was
//! asked: whatever begins later finds that the region is not the home. Under load there is always more of that.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::agreement::epoch::Epoch;
use crate::model::ids::PartitionId;

/// The writes under way of one node.
#[derive(Debug, Default)]
pub struct HomeWrites {
    /// How many there ever were: each has its number.
    begun: u64,
    /// By partition, and the epoch in which they are made. Nothing is kept of what has none.
    under_way: BTreeMap<(PartitionId, Epoch), BTreeSet<u64>>,
}

/// One write; to be given back when it has ended, whatever came of it.
#[derive(Debug, PartialEq, Eq)]
pub struct HomeWrite {
    partition: PartitionId,
    epoch: Epoch,
    number: u64,
}

/// A moment: what had begun then, and what had not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HomeMark(u64);

impl HomeWrites {
    /// A write begins that is to be made in an epoch. To be called before it is looked whether the region is the home.
    pub fn begin(&mut self, partition: PartitionId, epoch: Epoch) -> HomeWrite {
        let number = self.begun;
        self.begun += 1;
        self.under_way
            .entry((partition, epoch))
            .or_default()
            .insert(number);
        HomeWrite {
            partition,
            epoch,
            number,
        }
    }

    /// A write has ended: it was made, refused, or left to its partition by a client that has gone.
    pub fn end(&mut self, write: &HomeWrite) {
        let place = (write.partition, write.epoch);
        if let Some(numbers) = self.under_way.get_mut(&place) {
            numbers.remove(&write.number);
            if numbers.is_empty() {
                self.under_way.remove(&place);
            }
        }
    }

    /// Now.
    #[must_use]
    pub fn mark(&self) -> HomeMark {
        HomeMark(self.begun)
    }

    /// Whether a write of a partition in an epoch that had begun then has not ended.
    #[must_use]
    pub fn is_under_way(&self, partition: PartitionId, epoch: Epoch, mark: HomeMark) -> bool {
        let numbers = self.under_way.get(&(partition, epoch));
        let first = numbers.and_then(BTreeSet::first);
        // `<`: the mark is the number of the next one that begins.
        first.is_some_and(|first| *first < mark.0)
    }
}

#[cfg(test)]
#[path = "homes_test.rs"]
mod tests;
