//! Registers: versions that are causally current, resolved by the policy that each was written under.
//!
//! Which versions stay is a function of the set of writes alone, not of the order they came in:
//! a version under `siblings` or `custom` stays until a write that has seen it replaces it; a version under `lww` stays
//! only while it has the highest stamp of all (decision 0004 shows why that is order-independent). What goes because it
//! was replaced leaves no trace; what goes because something ranks higher is a loser.

use serde::{Deserialize, Serialize};

use crate::model::change::{ConflictPolicy, Content, Replaces, Stamped};
use crate::model::hlc::{Hlc, WallTime};
use crate::model::mutation::{self, Mutation};
use crate::model::record::Version;
use crate::model::rows::{Loser, LossReason};
use crate::model::vector::Dot;

/// One version of a register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterVersion {
    /// The change that wrote it.
    pub dot: Dot,
    /// Its stamp.
    pub hlc: Hlc,
    /// The policy it was written under.
    pub policy: ConflictPolicy,
    /// What it shows; none is a delete, kept so that it can win or lose against concurrent writes.
    pub content: Option<Content>,
}

impl RegisterVersion {
    /// The version as clients see it.
    #[must_use]
    pub fn version(&self) -> Version {
        Version {
            hlc: self.hlc,
            region: self.dot.replica.region,
        }
    }

    /// The total order of last-write-wins: stamp, then region; the dot settles what corrupt peers could make equal.
    fn rank(&self) -> (Version, Dot) {
        (self.version(), self.dot)
    }
}

/// The row of a register: its current versions, lowest rank first. Never empty once written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegisterRow {
    versions: Vec<RegisterVersion>,
}

/// A write to a register.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The policy it is made under.
    pub policy: ConflictPolicy,
    /// What it takes the place of.
    pub replaces: &'a Replaces,
    /// What it shows; none deletes.
    pub content: Option<&'a Content>,
}

impl RegisterRow {
    /// Merges a write: drops what it replaces, adds it, resolves what is left.
    #[must_use]
    pub fn merge(mut self, write: &Write<'_>, stamped: &Stamped<'_>) -> (Self, Vec<Loser>) {
        self.versions
            .retain(|version| !is_replaced(version, write, stamped));
        let incoming = RegisterVersion {
            dot: stamped.dot,
            hlc: stamped.hlc,
            policy: write.policy,
            content: write.content.cloned(),
        };
        let position = self
            .versions
            .partition_point(|version| version.rank() < incoming.rank());
        self.versions.insert(position, incoming);
        let losers = self.resolve(stamped);
        if mutation::is_on(Mutation::CollectTombstoneEarly) {
            self.versions.retain(|version| version.content.is_some());
        }
        (self, losers)
    }

    /// Drops the versions under `lww` that do not have the highest rank of all.
    fn resolve(&mut self, incoming: &Stamped<'_>) -> Vec<Loser> {
        let is_incoming = |version: &&RegisterVersion| version.dot == incoming.dot;
        let winner = if mutation::is_on(Mutation::LastArrivalWins) {
            self.versions.iter().find(is_incoming)
        } else {
            self.versions.last()
        };
        let Some(winner) = winner else {
            return Vec::new();
        };
        let (winner_dot, winner_version) = (winner.dot, winner.version());
        let winner_deletes = winner.content.is_none();
        let is_loser =
            |version: &RegisterVersion| version.policy == ConflictPolicy::Lww && version.dot != winner_dot;
        let mut losers = Vec::new();
        self.versions.retain(|version| {
            if !is_loser(version) {
                return true;
            }
            losers.push(Loser {
                winner: winner_version,
                loser: version.version(),
                value: version.content.as_ref().map(|content| content.payload.clone()),
                reason: match (&version.content, winner_deletes) {
                    (None, _) => LossReason::DeleteOverruled,
                    // Seen and still here: the write has not named it. It ranks higher than what it has seen, and
                    // nothing under `lww` stays beside what ranks higher, so that this write is the winner.
                    (Some(_), _) if incoming.has_seen(&version.dot) => LossReason::Overruled,
                    (Some(_), true) => LossReason::ConcurrentDelete,
                    (Some(_), false) => LossReason::ConcurrentWrite,
                },
            });
            false
        });
        losers
    }

    /// The versions, lowest rank first, deletes included.
    #[must_use]
    pub fn versions(&self) -> &[RegisterVersion] {
        &self.versions
    }

    /// The versions that a reader is shown at `now`, highest rank first: neither deletes nor what has expired.
    pub fn visible(&self, now: WallTime) -> impl Iterator<Item = (&RegisterVersion, &Content)> {
        self.versions.iter().rev().filter_map(move |version| {
            let content = version.content.as_ref()?;
            (!content.is_expired(now)).then_some((version, content))
        })
    }

    /// The entity tag at `now`, without quotes: the visible versions, highest first; none if nothing is visible.
    #[must_use]
    pub fn entity_tag(&self, now: WallTime) -> Option<String> {
        let versions: Vec<_> = self
            .visible(now)
            .map(|(version, _)| version.version().to_string())
            .collect();
        (!versions.is_empty()).then(|| versions.join("+"))
    }
}

fn is_replaced(version: &RegisterVersion, write: &Write<'_>, stamped: &Stamped<'_>) -> bool {
    match write.replaces {
        Replaces::Seen => stamped.has_seen(&version.dot),
        // Both: a client can show a sibling that it has read in another region and this one had not applied. Where
        // that sibling came later it would stay, so it has to stay everywhere.
        Replaces::Exactly(_) if mutation::is_on(Mutation::ReplaceUnseenSiblings) => true,
        Replaces::Exactly(dots) => dots.contains(&version.dot) && stamped.has_seen(&version.dot),
    }
}
