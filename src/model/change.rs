//! Changes and commits: what the log holds and regions exchange.
//!
//! A change is a mergeable delta, never a command: every region and every replay applies the same thing. It carries
//! the policy it was made under (DESIGN rule 8). The order of the variants is persisted: append only.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::hlc::{Hlc, WallTime};
use crate::model::ids::{ReplicaId, Seq, SubKey};
use crate::model::record::{RecordId, RecordType, Version};
use crate::model::vector::{Dot, VersionVector};

/// About how many bytes a dot takes in a change.
pub const DOT_BYTES: usize = 40;

/// How concurrent versions of a register are resolved. Ordered by strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConflictPolicy {
    /// The highest stamp stays, the region's name breaks ties; the others go to the ledger.
    Lww,
    /// A registered handler computes the visible value from all.
    Custom,
    /// All stay and are shown.
    Siblings,
}

/// The visible part of a register's version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// As the writer gave it.
    pub content_type: String,
    /// The bytes.
    pub payload: Bytes,
    /// From when on it is hidden on read; it stays stored until its region deletes it.
    pub expires_at: Option<WallTime>,
}

impl Content {
    /// Whether it is hidden at `now`.
    #[must_use]
    pub fn is_expired(&self, now: WallTime) -> bool {
        // `<=`: with a life of n seconds it is gone when n seconds have passed.
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Which versions a register write takes the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replaces {
    /// All that its region had applied.
    Seen,
    /// Exactly these, if its region had applied them: the client showed which siblings it had read. Whatever else is
    /// there is resolved as if it were concurrent.
    Exactly(Vec<Dot>),
}

/// What happens to one row of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delta {
    /// A register gets a version: content, or none for a delete.
    Register {
        /// The policy of the namespace where and when it was written.
        policy: ConflictPolicy,
        /// What it takes the place of.
        replaces: Replaces,
        /// None deletes.
        content: Option<Content>,
    },
    /// The origin's totals of a counter after an addition. Totals, not steps: applying twice changes nothing.
    CounterTotals {
        /// All increments of the origin so far.
        increments: u64,
        /// All decrements of the origin so far.
        decrements: u64,
    },
    /// A counter forgets what the origin had seen of it: for each replica the totals that no longer count.
    CounterFloors {
        /// Replica, increments, decrements; by replica.
        floors: Vec<(ReplicaId, u64, u64)>,
    },
    /// A set gets a member.
    MemberAdd {
        /// The member.
        member: SubKey,
    },
    /// A set loses those adds of a member that the origin had seen.
    MemberRemove {
        /// The member.
        member: SubKey,
    },
    /// A map field gets a value.
    FieldPut {
        /// The field.
        field: SubKey,
        /// JSON text.
        value: Bytes,
    },
    /// A map field loses those values that the origin had seen.
    FieldRemove {
        /// The field.
        field: SubKey,
    },
}

impl Delta {
    /// The type of record it is for.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        match self {
            Self::Register { .. } => RecordType::Register,
            Self::CounterTotals { .. } | Self::CounterFloors { .. } => RecordType::Counter,
            Self::MemberAdd { .. } | Self::MemberRemove { .. } => RecordType::Set,
            Self::FieldPut { .. } | Self::FieldRemove { .. } => RecordType::Map,
        }
    }
}

/// One change to one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What is changed.
    pub record: RecordId,
    /// How.
    pub delta: Delta,
}

impl Change {
    /// Whether the delta is one of the record's type. Only a peer that breaks the protocol sends others; stored, they
    /// would make rows that decode as something else.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.record.record_type == self.delta.record_type()
    }

    /// About how many bytes it takes in a commit.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let own = match &self.delta {
            Delta::Register {
                replaces, content, ..
            } => {
                let dots = match replaces {
                    Replaces::Seen => 0,
                    Replaces::Exactly(dots) => dots.len() * DOT_BYTES,
                };
                let content = content.as_ref();
                dots + content.map_or(0, |content| content.payload.len() + content.content_type.len())
            }
            Delta::CounterTotals { .. } => 16,
            Delta::CounterFloors { floors } => floors.len() * 48,
            Delta::MemberAdd { member } | Delta::MemberRemove { member } => member.as_str().len(),
            Delta::FieldPut { field, value } => field.as_str().len() + value.len(),
            Delta::FieldRemove { field } => field.as_str().len(),
        };
        own + self.record.namespace.as_str().len() + self.record.key.as_str().len() + 16
    }
}

/// What one partition agrees on at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The replica whose changes these are.
    pub origin: ReplicaId,
    /// The seq of the first change; the others follow without gaps.
    pub first_seq: Seq,
    /// The stamp of the first change; the n-th after it has this plus n.
    pub hlc: Hlc,
    /// The origin's partition vector when the commit was prepared, without the origin's own entry, which is
    /// `first_seq - 1`.
    pub deps: VersionVector,
    /// At least one.
    pub changes: Vec<Change>,
}

impl Commit {
    /// The seq of the last change.
    #[must_use]
    pub fn last_seq(&self) -> Seq {
        self.first_seq + self.changes.len() as u64 - 1
    }

    /// The stamp of the last change.
    #[must_use]
    pub fn last_hlc(&self) -> Hlc {
        self.hlc.plus(self.changes.len() as u64 - 1)
    }

    /// The `position`-th change with its name, stamp and what it had seen.
    #[must_use]
    pub fn stamped(&self, position: usize) -> Stamped<'_> {
        let offset = position as u64;
        Stamped {
            dot: Dot {
                replica: self.origin,
                seq: self.first_seq + offset,
            },
            hlc: self.hlc.plus(offset),
            deps: &self.deps,
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.changes.iter().map(Change::size_bytes).sum::<usize>() + 32 * (self.deps.len() + 1)
    }
}

/// Name, stamp and causal context of one change.
#[derive(Debug, Clone, Copy)]
pub struct Stamped<'a> {
    /// Its name.
    pub dot: Dot,
    /// Its stamp.
    pub hlc: Hlc,
    /// What its commit had seen of other replicas.
    pub deps: &'a VersionVector,
}

impl Stamped<'_> {
    /// Whether this change was made with knowledge of `other`; if not, the two are concurrent (DESIGN rule 3).
    #[must_use]
    pub fn has_seen(&self, other: &Dot) -> bool {
        if other.replica == self.dot.replica {
            // `<`: a replica has seen all of its own earlier changes, but a change has not seen itself.
            return other.seq < self.dot.seq;
        }
        self.deps.covers(other)
    }

    /// The version that it gives to what it writes.
    #[must_use]
    pub fn version(&self) -> Version {
        Version {
            hlc: self.hlc,
            region: self.dot.replica.region,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Incarnation;

    #[test]
    fn a_change_has_seen_what_came_before_it_and_neither_itself_nor_what_is_concurrent() {
        let dot = |region: &str, incarnation, seq| Dot {
            replica: ReplicaId {
                region: region.parse().unwrap(),
                incarnation: Incarnation(incarnation),
            },
            seq,
        };
        let deps: VersionVector = [dot("b", 1, 4), dot("a", 1, 9)].into_iter().collect();
        let stamped = Stamped {
            dot: dot("a", 2, 6),
            hlc: Hlc(1),
            deps: &deps,
        };
        for (other, is_seen) in [
            (dot("a", 2, 5), true),
            (dot("a", 2, 6), false),
            (dot("a", 2, 7), false),
            (dot("a", 1, 9), true),
            (dot("a", 1, 10), false),
            (dot("b", 1, 4), true),
            (dot("b", 1, 5), false),
            (dot("b", 2, 1), false),
            (dot("c", 1, 1), false),
        ] {
            assert_eq!(stamped.has_seen(&other), is_seen, "{other:?}");
        }
    }
}
