//! The state of one partition in one region: how far its log reaches and what it covers.
//!
//! Invariants (numbers of docs/architecture.md): 1 the replica's own entry of `vector` is the last seq it has given
//! out; 2 `applied_index` counts every entry whose changes are in the rows; 3 vectors never move back; 4 stamps of own
//! commits grow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::change::{Change, Commit};
use crate::model::hlc::Hlc;
use crate::model::ids::{LogIndex, PartitionCount, PartitionId, RegionId, ReplicaId, Seq};
use crate::model::mutation::{self, Mutation};
use crate::model::placement::partition_of;
use crate::model::record::RecordId;
use crate::model::vector::VersionVector;

/// Persisted with every batch of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Which partition.
    pub partition: PartitionId,
    /// The last log entry whose changes are in the rows.
    pub applied_index: LogIndex,
    /// The first log entry that is still kept; `applied_index + 1` if none is.
    pub first_index: LogIndex,
    /// What was applied, of every replica. The causal context of every row.
    pub vector: VersionVector,
    /// The highest stamp of any commit applied.
    pub last_hlc: Hlc,
    /// The highest stamp applied of each region: what session tokens are held against.
    pub stamps: BTreeMap<RegionId, Hlc>,
    /// Bytes of the log entries that are kept.
    pub log_bytes: u64,
    /// Entries in the ledger that this partition has ever written.
    pub losers_written: u64,
}

/// A commit cannot follow what was applied. Only a peer that breaks the protocol causes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitRefusal {
    /// Changes are missing in between.
    #[error("commit {origin}:{first_seq} does not follow seq {applied}")]
    Gap {
        /// Its origin.
        origin: ReplicaId,
        /// Its first seq.
        first_seq: Seq,
        /// The last one applied.
        applied: Seq,
    },
    /// It was applied in part: a replica has used a seq twice, or cut its log in two ways.
    #[error(
        "commit {origin}:{first_seq}-{last_seq} overlaps what was applied up to {applied}: a seq was used twice; re-admit {origin} as a new incarnation"
    )]
    Overlap {
        /// Its origin.
        origin: ReplicaId,
        /// Its first seq.
        first_seq: Seq,
        /// Its last seq.
        last_seq: Seq,
        /// The last one applied.
        applied: Seq,
    },
    /// A peer sends changes of this very replica that this replica has not made: it has lost a part of its log, as after
    /// a restore from a backup, and would use their seqs again (LESSONS 5).
    #[error(
        "commit {origin}:{first_seq} is this region's own, but it has made none beyond seq {applied}: a part of its data was lost; re-admit {origin} as a new incarnation"
    )]
    OwnReplica {
        /// Its origin.
        origin: ReplicaId,
        /// Its first seq.
        first_seq: Seq,
        /// The last one that this replica knows to have made.
        applied: Seq,
    },
    /// It changes a record that belongs to another partition.
    #[error(
        "commit {origin}:{first_seq} was sent for partition {partition}, but {record:?} belongs to partition {home}"
    )]
    Misplaced {
        /// Its origin.
        origin: ReplicaId,
        /// Its first seq.
        first_seq: Seq,
        /// Where it was sent to.
        partition: PartitionId,
        /// A record that does not belong there.
        record: Box<RecordId>,
        /// Where that belongs.
        home: PartitionId,
    },
    /// It has seen what this partition has not.
    #[error("commit {origin}:{first_seq} depends on changes that are not here yet")]
    MissingDependencies {
        /// Its origin.
        origin: ReplicaId,
        /// Its first seq.
        first_seq: Seq,
    },
}

/// How a commit relates to what was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was applied before.
    Duplicate,
    /// It can be applied now.
    Next,
    /// Something must come first.
    Early,
    /// Part of it was applied: see [`CommitRefusal::Overlap`].
    Overlapping,
}

impl PartitionState {
    /// The state of a partition that has applied nothing.
    #[must_use]
    pub fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            applied_index: LogIndex(0),
            first_index: LogIndex(1),
            vector: VersionVector::new(),
            last_hlc: Hlc::ZERO,
            stamps: BTreeMap::new(),
            log_bytes: 0,
            losers_written: 0,
        }
    }

    /// How `commit` relates to what was applied.
    #[must_use]
    pub fn standing(&self, commit: &Commit) -> Standing {
        standing(&self.vector, commit)
    }

    /// Whether a commit that a peer has sent for this partition may be taken in at all. To be asked before anything
    /// of it is persisted: the stored log is believed.
    ///
    /// # Errors
    /// [`CommitRefusal::OwnReplica`], [`CommitRefusal::Misplaced`].
    pub fn check_remote(
        &self,
        own: ReplicaId,
        count: PartitionCount,
        commit: &Commit,
    ) -> Result<(), CommitRefusal> {
        let (origin, first_seq) = (commit.origin, commit.first_seq);
        let applied = self.vector.get(&origin);
        // `>=`: earlier incarnations are other replicas, whose changes a restored region gets back from its peers.
        let is_own = origin.region == own.region && origin.incarnation >= own.incarnation;
        if is_own && commit.last_seq() > applied {
            return Err(CommitRefusal::OwnReplica {
                origin,
                first_seq,
                applied,
            });
        }
        for Change { record, .. } in &commit.changes {
            let home = partition_of(&record.namespace, &record.key, count);
            if home != self.partition {
                return Err(CommitRefusal::Misplaced {
                    origin,
                    first_seq,
                    partition: self.partition,
                    record: Box::new(record.clone()),
                    home,
                });
            }
        }
        Ok(())
    }

    /// Takes note that `commit` is applied as the next log entry of `size_bytes`.
    ///
    /// # Errors
    /// [`CommitRefusal`] when it may not be applied now; the state is unchanged then.
    pub fn advance(&mut self, commit: &Commit, size_bytes: u64) -> Result<LogIndex, CommitRefusal> {
        let (origin, first_seq) = (commit.origin, commit.first_seq);
        let applied = self.vector.get(&origin);
        if first_seq > applied + 1 && !mutation::is_on(Mutation::SkipGap) {
            return Err(CommitRefusal::Gap {
                origin,
                first_seq,
                applied,
            });
        }
        // `<=`: the first seq itself was applied before.
        if first_seq <= applied && !mutation::is_on(Mutation::ApplyTwice) {
            return Err(CommitRefusal::Overlap {
                origin,
                first_seq,
                last_seq: commit.last_seq(),
                applied,
            });
        }
        if !self.vector.covers_all(&commit.deps) && !mutation::is_on(Mutation::SkipDependencies) {
            return Err(CommitRefusal::MissingDependencies { origin, first_seq });
        }
        self.vector.advance(origin, commit.last_seq().max(applied));
        self.applied_index = self.applied_index.next();
        self.last_hlc = self.last_hlc.max(commit.last_hlc());
        let stamp = self.stamps.entry(origin.region).or_default();
        *stamp = (*stamp).max(commit.last_hlc());
        self.log_bytes += size_bytes;
        Ok(self.applied_index)
    }

    /// How many entries the log keeps.
    #[must_use]
    pub fn log_entries(&self) -> u64 {
        self.applied_index.0 + 1 - self.first_index.0
    }
}

/// How `commit` relates to what `vector` covers.
#[must_use]
pub fn standing(vector: &VersionVector, commit: &Commit) -> Standing {
    let applied = vector.get(&commit.origin);
    // `<=`: all its seqs were applied.
    if commit.last_seq() <= applied {
        if mutation::is_on(Mutation::ApplyTwice) {
            return Standing::Next;
        }
        return Standing::Duplicate;
    }
    if commit.first_seq <= applied {
        return Standing::Overlapping;
    }
    let follows = commit.first_seq == applied + 1 || mutation::is_on(Mutation::SkipGap);
    let is_covered = vector.covers_all(&commit.deps) || mutation::is_on(Mutation::SkipDependencies);
    if follows && is_covered {
        Standing::Next
    } else {
        Standing::Early
    }
}

#[cfg(test)]
#[path = "partition_test.rs"]
mod tests;
