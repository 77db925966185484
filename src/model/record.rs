//! Records and the rows they are made of: what is addressed, before what it holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::hlc::Hlc;
use crate::model::ids::{Key, Namespace, RegionId, SubKey};

/// The type of a record. It is part of the record's name, so two regions can never disagree on a key's type.
///
/// The numbers are persisted in row keys: never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RecordType {
    /// A value that writes replace.
    Register = 1,
    /// A number that writes add to.
    Counter = 2,
    /// Members, each a row.
    Set = 3,
    /// Fields with JSON values, each a row.
    Map = 4,
}

impl RecordType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::Register, Self::Counter, Self::Set, Self::Map];

    /// The persisted number.
    #[must_use]
    pub fn tag(self) -> u8 {
        self as u8
    }

    /// The type of a persisted number.
    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|record_type| record_type.tag() == tag)
    }

    /// Whether its records have a row for each of their parts, instead of one row.
    #[must_use]
    pub fn has_parts(self) -> bool {
        matches!(self, Self::Set | Self::Map)
    }

    /// The name in answers: `register`, `counter`, `set`, `map`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Counter => "counter",
            Self::Set => "set",
            Self::Map => "map",
        }
    }
}

/// The name of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its type.
    pub record_type: RecordType,
    /// Its key.
    pub key: Key,
}

impl RecordId {
    /// Names a record.
    #[must_use]
    pub fn new(namespace: Namespace, record_type: RecordType, key: Key) -> Self {
        Self {
            namespace,
            record_type,
            key,
        }
    }

    /// The record's only row, of a register or counter.
    #[must_use]
    pub fn row(self) -> RowId {
        RowId {
            record: self,
            sub_key: None,
        }
    }

    /// The row of one member or field.
    #[must_use]
    pub fn sub_row(self, sub_key: SubKey) -> RowId {
        RowId {
            record: self,
            sub_key: Some(sub_key),
        }
    }
}

/// The name of a row: a register, a counter, one member of a set or one field of a map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// The record it belongs to.
    pub record: RecordId,
    /// Member or field; none for registers and counters.
    pub sub_key: Option<SubKey>,
}

/// A version as clients see it: total order by stamp, then region; sortable as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// When, in hybrid time.
    pub hlc: Hlc,
    /// Where it was written.
    pub region: RegionId,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.hlc, self.region)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version: pass one as Atoll-Version or ETag gave it")]
pub struct VersionError(String);

impl std::str::FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let (hlc, region) = text.split_once('-').ok_or_else(error)?;
        if hlc.len() != 16
            || !hlc
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(error());
        }
        let hlc = u64::from_str_radix(hlc, 16).map_err(|_| error())?;
        Ok(Self {
            hlc: Hlc(hlc),
            region: region.parse().map_err(|_| error())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_round_trip_and_sort_as_text() {
        let version = |hlc, region: &str| Version {
            hlc: Hlc(hlc),
            region: region.parse().unwrap(),
        };
        let mut versions = [
            version(256, "a"),
            version(16, "us-east"),
            version(16, "eu"),
            version(u64::MAX, "a"),
        ];
        versions.sort();
        let texts = versions.map(|v| v.to_string());
        assert!(texts.is_sorted());
        for (text, version) in texts.iter().zip(versions) {
            assert_eq!(text.parse(), Ok(version));
        }
        for bad in [
            "",
            "16",
            "00000000000000zz-a",
            "0000000000000010-",
            "0000000000000010-A",
            "+000000000000010-a",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    #[test]
    fn type_tags_are_fixed() {
        assert_eq!(RecordType::ALL.map(RecordType::tag), [1, 2, 3, 4]);
        assert_eq!(RecordType::from_tag(0), None);
    }
}
