//! One field of a map: the values that no later write or remove has seen, each under its own dot, so that a remove
//! which saw only one of them leaves the others. Shown is the highest stamp; an update wins over a concurrent remove.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::change::Stamped;
use crate::model::hlc::Hlc;
use crate::model::mutation::{self, Mutation};
use crate::model::record::Version;
use crate::model::rows::{Loser, LossReason};
use crate::model::vector::Dot;

/// One value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldVersion {
    /// The change that wrote it.
    pub dot: Dot,
    /// Its stamp.
    pub hlc: Hlc,
    /// JSON text.
    pub value: Bytes,
}

impl FieldVersion {
    /// The version as clients see it.
    #[must_use]
    pub fn version(&self) -> Version {
        Version {
            hlc: self.hlc,
            region: self.dot.replica.region,
        }
    }

    fn rank(&self) -> (Version, Dot) {
        (self.version(), self.dot)
    }
}

/// The row of a field; it exists while the field is in the map.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FieldRow {
    /// Lowest rank first.
    versions: Vec<FieldVersion>,
}

impl FieldRow {
    /// Puts a value in place of those it has seen. Where others remain, the one that is now hidden is returned: it
    /// stays in the row until somebody who has seen it writes, but nobody is shown it.
    pub fn put(&mut self, value: &Bytes, stamped: &Stamped<'_>) -> Option<Loser> {
        self.remove(stamped);
        let shown_before = self.versions.last().map(|version| version.dot);
        let incoming = FieldVersion {
            dot: stamped.dot,
            hlc: stamped.hlc,
            value: value.clone(),
        };
        let position = self
            .versions
            .partition_point(|version| version.rank() < incoming.rank());
        self.versions.insert(position, incoming);
        let winner = self.versions.last()?.version();
        let hidden_dot = match shown_before {
            None => return None,
            // The incoming value is on top: what was shown before is hidden now.
            Some(before) if position == self.versions.len() - 1 => before,
            Some(_) => stamped.dot,
        };
        let hidden = self.versions.iter().find(|version| version.dot == hidden_dot)?;
        Some(Loser {
            winner,
            loser: hidden.version(),
            value: Some(hidden.value.clone()),
            reason: LossReason::ConcurrentField,
        })
    }

    /// Removes the values that the remover had seen.
    pub fn remove(&mut self, stamped: &Stamped<'_>) {
        if !mutation::is_on(Mutation::KeepRemovedField) {
            self.versions.retain(|version| !stamped.has_seen(&version.dot));
        }
    }

    /// Whether the field is no longer in the map.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// What a reader is shown.
    #[must_use]
    pub fn shown(&self) -> Option<&FieldVersion> {
        self.versions.last()
    }

    /// The entity tag, without quotes: the versions, highest first, so that it also changes with what is hidden; none if
    /// the field is not in the map.
    #[must_use]
    pub fn entity_tag(&self) -> Option<String> {
        let versions = self.versions.iter().rev();
        let versions: Vec<_> = versions.map(|version| version.version().to_string()).collect();
        (!versions.is_empty()).then(|| versions.join("+"))
    }

    /// All values, lowest rank first.
    #[must_use]
    pub fn versions(&self) -> &[FieldVersion] {
        &self.versions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Incarnation;
    use crate::model::vector::VersionVector;

    /// Puts a value that has seen the given dots of others, and answers what it hid.
    fn put(row: &mut FieldRow, region: &str, hlc: u64, seen: &[Dot]) -> Option<(Version, Bytes)> {
        let deps: VersionVector = seen.iter().copied().collect();
        let stamped = Stamped {
            dot: dot(region, hlc),
            hlc: Hlc(hlc),
            deps: &deps,
        };
        let loser = row.put(&Bytes::from(format!("{region}{hlc}")), &stamped)?;
        assert_eq!(
            (loser.winner, loser.reason),
            (row.shown()?.version(), LossReason::ConcurrentField)
        );
        Some((loser.loser, loser.value?))
    }

    fn dot(region: &str, seq: u64) -> Dot {
        let replica = crate::model::ids::ReplicaId {
            region: region.parse().unwrap(),
            incarnation: Incarnation::FIRST,
        };
        Dot { replica, seq }
    }

    fn hidden(region: &str, hlc: u64) -> Option<(Version, Bytes)> {
        let region_id = region.parse().unwrap();
        let version = Version {
            hlc: Hlc(hlc),
            region: region_id,
        };
        Some((version, Bytes::from(format!("{region}{hlc}"))))
    }

    #[test]
    fn the_ledger_gets_the_value_that_a_put_hides_or_the_put_itself() {
        let mut row = FieldRow::default();
        assert_eq!(put(&mut row, "b", 5, &[]), None, "nothing was there");
        assert_eq!(
            put(&mut row, "a", 5, &[]),
            hidden("a", 5),
            "the region's name breaks ties"
        );
        assert_eq!(
            put(&mut row, "c", 4, &[]),
            hidden("c", 4),
            "an older stamp is not shown"
        );
        assert_eq!(
            put(&mut row, "d", 9, &[]),
            hidden("b", 5),
            "a later one hides what was shown"
        );
        let all = [dot("a", 5), dot("b", 5), dot("c", 4), dot("d", 9)];
        assert_eq!(put(&mut row, "e", 10, &all), None, "nothing concurrent remains");
        assert_eq!(row.versions().len(), 1);
    }
}
