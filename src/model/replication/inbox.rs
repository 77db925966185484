//! What a partition holds of remote commits until they can be applied: exactly once, in order, causally (DESIGN
//! rule 2). Says what is missing when waiting does not help (rule 5).
//!
//! Each region may fill its share of the room only. Commits of two regions often depend on each other in turns; if one
//! region filled all of it, of the other's only the next one would be taken in each round trip. For the same reason half
//! of a share is kept for commits that leave no hole behind them: those that were on their way when one was refused
//! would else take the place of the refused one.
//!
//! Invariant 6: a commit leaves the inbox only as a duplicate, or as the next one whose dependencies are covered.

use std::collections::BTreeMap;

use crate::model::change::Commit;
use crate::model::ids::{RegionId, ReplicaId, Seq};
use crate::model::limits;
use crate::model::partition::{CommitRefusal, Standing, standing};
use crate::model::tick::Tick;
use crate::model::vector::VersionVector;

#[derive(Debug)]
struct Held {
    commit: Commit,
    size_bytes: usize,
    source: RegionId,
    since: Tick,
}

/// What became of a commit that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It was applied before; its source may be told so.
    Duplicate,
    /// It is held; [`Inbox::take_next`] gives it out in its turn.
    Held,
    /// There is no room: its source must send again, from what was applied on.
    Full,
}

/// Changes of one replica that somebody must be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Whose changes.
    pub replica: ReplicaId,
    /// The first one missing.
    pub first_seq: Seq,
    /// The last one known to be missing.
    pub last_seq: Seq,
    /// The region that sent what depends on them, and so has them (DESIGN rule 9).
    pub holder: RegionId,
}

/// What comes out of an inbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// A commit that can be applied now, and who sent it.
    Next(Commit, RegionId),
    /// A commit that can never be applied, and who sent it.
    Refused(CommitRefusal, RegionId),
}

/// Remote commits of one partition.
#[derive(Debug, Default)]
pub struct Inbox {
    held: BTreeMap<(ReplicaId, Seq), Held>,
    /// What is held of each region, where there is anything.
    loads: BTreeMap<RegionId, Load>,
    /// How far the commits of a replica were held without a hole. It may be less, never more than what was offered.
    reaches: BTreeMap<ReplicaId, Seq>,
    peers: usize,
}

/// What is held of one region.
#[derive(Debug, Default, Clone, Copy)]
struct Load {
    commits: usize,
    bytes: usize,
}

impl Inbox {
    /// An inbox for the commits of so many other regions, which share its room evenly.
    #[must_use]
    pub fn for_peers(peers: usize) -> Self {
        Self {
            peers,
            ..Self::default()
        }
    }

    /// Takes a commit in.
    ///
    /// # Errors
    /// [`CommitRefusal::Overlap`] when the commit was applied in part: its origin's lane must stop.
    pub fn offer(
        &mut self,
        vector: &VersionVector,
        commit: Commit,
        source: RegionId,
        now: Tick,
    ) -> Result<Offered, CommitRefusal> {
        match standing(vector, &commit) {
            Standing::Duplicate => return Ok(Offered::Duplicate),
            Standing::Overlapping => {
                return Err(overlap(vector, &commit));
            }
            Standing::Next | Standing::Early => {}
        }
        let position = (commit.origin, commit.first_seq);
        if self.held.contains_key(&position) {
            return Ok(Offered::Held);
        }
        let size_bytes = commit.size_bytes();
        // `>`: the limit itself may be reached. The next in order always fits, else a full inbox could never empty.
        let leaves_hole = commit.first_seq > self.reach(vector, commit.origin) + 1;
        let load = self.loads.entry(commit.origin.region).or_default();
        let shares = self.peers.max(1) * if leaves_hole { 2 } else { 1 };
        let is_full = load.commits + 1 > limits::HELD_COMMITS_MAX / shares
            || load.bytes + size_bytes > limits::HELD_BYTES_MAX / shares;
        if is_full && standing(vector, &commit) != Standing::Next {
            return Ok(Offered::Full);
        }
        load.commits += 1;
        load.bytes += size_bytes;
        self.held.insert(
            position,
            Held {
                commit,
                size_bytes,
                source,
                since: now,
            },
        );
        Ok(Offered::Held)
    }

    /// The next commit that `vector` allows, with its source; duplicates are dropped on the way. One that was applied in
    /// part is given out as refused.
    pub fn take_next(&mut self, vector: &VersionVector) -> Option<Taken> {
        let mut origin = self.held.keys().next()?.0;
        loop {
            let first = self.first_of(origin)?;
            match standing(vector, &self.held[&first].commit) {
                Standing::Duplicate => {
                    self.remove(first);
                }
                Standing::Overlapping => {
                    let held = self.remove(first);
                    return Some(Taken::Refused(overlap(vector, &held.commit), held.source));
                }
                Standing::Next => {
                    let held = self.remove(first);
                    return Some(Taken::Next(held.commit, held.source));
                }
                Standing::Early => {
                    // The lowest seq of an origin blocks its others; look at the next origin.
                    let later = self.held.range((origin, Seq::MAX)..);
                    origin = later.map(|(key, _)| key.0).find(|other| *other != origin)?;
                    continue;
                }
            }
            // Something was dropped: the origin may have another, or the map may have moved on to the next.
            origin = self.held.range((origin, 0)..).next()?.0.0;
        }
    }

    /// How far the commits of a replica are applied or held without a hole.
    fn reach(&mut self, vector: &VersionVector, origin: ReplicaId) -> Seq {
        let reach = self.reaches.entry(origin).or_default();
        *reach = vector.get(&origin).max(*reach);
        // Each held commit is passed once, as the reach only grows.
        while let Some(held) = self.held.get(&(origin, *reach + 1)) {
            *reach = held.commit.last_seq();
        }
        *reach
    }

    fn first_of(&self, origin: ReplicaId) -> Option<(ReplicaId, Seq)> {
        self.held
            .range((origin, 0)..=(origin, Seq::MAX))
            .next()
            .map(|(key, _)| *key)
    }

    fn remove(&mut self, position: (ReplicaId, Seq)) -> Held {
        let held = self.held.remove(&position).expect("the caller has just found it");
        let load = self
            .loads
            .get_mut(&held.commit.origin.region)
            .expect("what is held was added to the load");
        load.commits -= 1;
        load.bytes -= held.size_bytes;
        held
    }

    /// What to ask for: whatever blocks a commit that has waited for `patience_ms` or longer.
    #[must_use]
    pub fn missing(&self, vector: &VersionVector, now: Tick, patience_ms: u64) -> Vec<Missing> {
        let mut missing: BTreeMap<ReplicaId, Missing> = BTreeMap::new();
        let mut note = |replica: ReplicaId, last_seq: Seq, holder: RegionId| {
            let first_seq = vector.get(&replica) + 1;
            let entry = missing.entry(replica).or_insert(Missing {
                replica,
                first_seq,
                last_seq,
                holder,
            });
            // The longest reach is asked for, of the region that is known to have it.
            if last_seq > entry.last_seq {
                *entry = Missing {
                    replica,
                    first_seq,
                    last_seq,
                    holder,
                };
            }
        };
        for ((origin, first_seq), held) in &self.held {
            // `<`: at exactly the patience it is asked for.
            if now.millis_since(held.since) < patience_ms {
                continue;
            }
            // What directly precedes is missing only if it is not held itself.
            if *first_seq > vector.get(origin) + 1 && self.first_of(*origin) == Some((*origin, *first_seq)) {
                note(*origin, first_seq - 1, held.source);
            }
            for dot in held.commit.deps.iter().filter(|dot| !vector.covers(dot)) {
                if self
                    .first_of(dot.replica)
                    .is_none_or(|(_, first)| first > vector.get(&dot.replica) + 1)
                {
                    note(dot.replica, dot.seq, held.source);
                }
            }
        }
        missing.into_values().collect()
    }

    /// Forgets everything, as when the partition is reloaded; sources send again what is not acknowledged.
    pub fn clear(&mut self) {
        self.held.clear();
        self.loads.clear();
        self.reaches.clear();
    }

    #[cfg(test)]
    pub(super) fn size_bytes(&self) -> usize {
        self.loads.values().map(|load| load.bytes).sum()
    }

    /// Commits held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

fn overlap(vector: &VersionVector, commit: &Commit) -> CommitRefusal {
    CommitRefusal::Overlap {
        origin: commit.origin,
        first_seq: commit.first_seq,
        last_seq: commit.last_seq(),
        applied: vector.get(&commit.origin),
    }
}
