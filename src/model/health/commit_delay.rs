//! How long group commits take, from the moment a partition hands its group over until it hears that it is durable, the
//! wait for the committer included.

use std::collections::BTreeMap;

use crate::model::ids::PartitionId;
use crate::model::tick::Tick;

/// Seconds over which commits are averaged: a single slow fsync is none, a slow disk shows soon.
const WINDOW_SECONDS: u64 = 5;

/// What commits of the last seconds took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitDelay {
    /// On average; 0 when there were none.
    pub mean_ms: u64,
    /// How long the oldest one waits that is not done; 0 when there is none.
    pub oldest_ms: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    total_ms: u64,
    commits: u64,
}

/// The commits of a node.
#[derive(Debug, Default)]
pub struct CommitDelays {
    begun: BTreeMap<PartitionId, Tick>,
    seconds: [Second; WINDOW_SECONDS as usize],
}

impl CommitDelays {
    /// A partition has handed over a group. It has one at a time.
    pub fn begun(&mut self, partition: PartitionId, now: Tick) {
        self.begun.insert(partition, now);
    }

    /// The group is durable, or has failed.
    pub fn ended(&mut self, partition: PartitionId, now: Tick) {
        let Some(begun) = self.begun.remove(&partition) else {
            return;
        };
        let number = second_of(now);
        let place = usize::try_from(number % WINDOW_SECONDS).unwrap_or_default();
        let second = &mut self.seconds[place];
        if second.number != number {
            *second = Second {
                number,
                ..Second::default()
            };
        }
        second.total_ms += now.millis_since(begun);
        second.commits += 1;
    }

    /// This process itself did not run for so long until `now`: the disk is not to blame.
    pub fn forgive(&mut self, pause_ms: u64, now: Tick) {
        for begun in self.begun.values_mut() {
            *begun = begun.plus_millis(pause_ms).min(now);
        }
    }

    /// What they took until `now`.
    #[must_use]
    pub fn read(&self, now: Tick) -> CommitDelay {
        let current = second_of(now);
        let recent = self
            .seconds
            .iter()
            // `<`: the second that is as old as the window has been replaced.
            .filter(|second| current.saturating_sub(second.number) < WINDOW_SECONDS);
        let (total_ms, commits) = recent.fold((0, 0), |(total, commits), second| {
            (total + second.total_ms, commits + second.commits)
        });
        let oldest = self.begun.values().min();
        CommitDelay {
            mean_ms: total_ms.checked_div(commits).unwrap_or(0),
            oldest_ms: oldest.map_or(0, |begun| now.millis_since(*begun)),
        }
    }
}

fn second_of(now: Tick) -> u64 {
    now.millis_since(Tick::default()) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    #[test]
    fn commits_are_averaged_over_the_last_seconds() {
        let mut delays = CommitDelays::default();
        for (begin, took) in [(0, 10), (1000, 30)] {
            delays.begun(PartitionId(0), at(begin));
            delays.ended(PartitionId(0), at(begin + took));
        }
        assert_eq!(delays.read(at(2000)).mean_ms, 20);
        assert_eq!(delays.read(at(5500)).mean_ms, 30);
        assert_eq!(delays.read(at(60_000)), CommitDelay::default());
    }

    #[test]
    fn the_oldest_that_waits_shows_until_it_is_done_or_forgiven() {
        let mut delays = CommitDelays::default();
        delays.begun(PartitionId(1), at(100));
        delays.begun(PartitionId(0), at(400));
        assert_eq!(delays.read(at(1100)).oldest_ms, 1000);
        delays.forgive(600, at(1100));
        assert_eq!(delays.read(at(1100)).oldest_ms, 400);
        delays.ended(PartitionId(1), at(1100));
        assert_eq!(delays.read(at(1100)).oldest_ms, 100, "the other began at 400");
    }
}
