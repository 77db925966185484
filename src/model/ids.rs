//! Names and numbers that identify things, each a type of its own (STYLE: newtypes for every identifier).
//!
//! Parsed once at the edge; inside, a value of these types is valid by construction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::hlc::WallTime;
use crate::model::limits;

/// Why a name was not accepted. The message says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Region, node or cluster name with a wrong length or character.
    #[error(
        "{kind} name {given:?} is not valid: use 1 to {max} characters of a-z, 0-9 and '-', starting with a letter or digit"
    )]
    Label {
        /// What was being named.
        kind: &'static str,
        /// The text as given.
        given: String,
        /// The length limit in bytes.
        max: usize,
    },
    /// Namespace with a wrong length or character.
    #[error(
        "namespace {0:?} is not valid: use 2 to 63 characters of a-z, 0-9 and '-', starting with a letter or digit"
    )]
    Namespace(String),
    /// Key, member or field with a wrong length.
    #[error("{kind} is {len} bytes long: it must have 1 to {max} bytes of UTF-8", max = limits::KEY_BYTES_MAX)]
    KeyLength {
        /// `key`, `member` or `field`.
        kind: &'static str,
        /// The length as given, in bytes.
        len: usize,
    },
    /// Partition count that is not a power of two in range.
    #[error("partition count {0} is not valid: use a power of two from 1 to {max}", max = limits::PARTITIONS_MAX)]
    PartitionCount(u32),
}

/// A short lower-case label kept inline, so that ids are `Copy` and vectors need no allocation per entry.
///
/// The unused tail is zero, which makes the derived order the lexicographic order of the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Label([u8; limits::LABEL_BYTES_MAX]);

impl Label {
    fn parse(kind: &'static str, text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let valid_character = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        if bytes.is_empty()
            || bytes.len() > limits::LABEL_BYTES_MAX
            || bytes[0] == b'-'
            || !bytes.iter().all(valid_character)
        {
            return Err(NameError::Label {
                kind,
                given: text.to_owned(),
                max: limits::LABEL_BYTES_MAX,
            });
        }
        let mut inline = [0; limits::LABEL_BYTES_MAX];
        inline[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(inline))
    }

    fn as_str(&self) -> &str {
        let len = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        std::str::from_utf8(&self.0[..len]).expect("labels hold ASCII by construction")
    }
}

macro_rules! label_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Label);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Label::parse($kind, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

label_type!(
    /// A region: a failure domain with low latency inside, and ONE logical replica for conflict resolution.
    RegionId,
    "region"
);
label_type!(
    /// One `atoll serve` process, member of one region. Unique in the cluster.
    NodeId,
    "node"
);
label_type!(
    /// The cluster that certificates, data folders and links belong to.
    ClusterName,
    "cluster"
);
label_type!(
    /// A part of a region that fails together, such as a rack or an availability zone.
    Zone,
    "zone"
);

/// A number that a region gets anew when it is created, restored from a backup or re-admitted, so that a dot is
/// never used twice (LESSONS 5).
///
/// It is the time of that event, in seconds since the Unix epoch: unique without asking anybody, also when the folder
/// that knew the one before is lost, or is an old copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u32);

impl Incarnation {
    /// The smallest one.
    pub const FIRST: Self = Self(1);

    /// The incarnation that begins at `now`, after `previous` if there was one: always a greater one, whatever the
    /// clock says.
    #[must_use]
    pub fn begin(now: WallTime, previous: Option<Self>) -> Self {
        let seconds = u32::try_from(now.as_millis() / 1000).unwrap_or(u32::MAX);
        let least = previous.map_or(Self::FIRST.0, |previous| previous.0.saturating_add(1));
        Self(seconds.max(least))
    }
}

/// The actor of every dot: a region in one incarnation.
///
/// Ordered by region name first, as the tie-break of last-write-wins needs it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaId {
    /// The region.
    pub region: RegionId,
    /// Which life of it.
    pub incarnation: Incarnation,
}

impl fmt::Display for ReplicaId {
    /// Region and incarnation: `us-east@1790000000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.region, self.incarnation.0)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A hash slice of the keyspace, `0..partition_count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId(pub u16);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many partitions the cluster has: a power of two, fixed for ever and equal in all regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PartitionCount(u16);

impl PartitionCount {
    /// Checks the count.
    ///
    /// # Errors
    /// [`NameError::PartitionCount`] unless it is a power of two from 1 to [`limits::PARTITIONS_MAX`].
    pub fn new(count: u32) -> Result<Self, NameError> {
        if count.is_power_of_two() && count <= u32::from(limits::PARTITIONS_MAX) {
            Ok(Self(u16::try_from(count).expect("checked against a u16 limit")))
        } else {
            Err(NameError::PartitionCount(count))
        }
    }

    /// The count as a number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    /// All partitions in order.
    pub fn ids(self) -> impl Iterator<Item = PartitionId> {
        (0..self.0).map(PartitionId)
    }
}

impl TryFrom<u32> for PartitionCount {
    type Error = NameError;

    fn try_from(count: u32) -> Result<Self, NameError> {
        Self::new(count)
    }
}

impl From<PartitionCount> for u32 {
    fn from(count: PartitionCount) -> Self {
        u32::from(count.0)
    }
}

/// Position of a change among those of its replica in one partition; counts from 1 without gaps, 0 means "none yet".
pub type Seq = u64;

/// Position of an entry in a region's partition log; counts from 1 without gaps, 0 means "none yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct LogIndex(pub u64);

impl LogIndex {
    /// The index after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of records with one configuration.
///
/// Names that users choose match `[a-z0-9][a-z0-9-]{1,62}`; the system namespace starts with `_` and can thus never
/// collide with one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(std::sync::Arc<str>);

/// Where namespace configurations are kept, as registers replicated like all data.
const SYSTEM_NAMESPACE: &str = "_system";

impl Namespace {
    /// The namespace of the store's own records.
    #[must_use]
    pub fn system() -> Self {
        Self(SYSTEM_NAMESPACE.into())
    }

    /// Whether this is the store's own.
    #[must_use]
    pub fn is_system(&self) -> bool {
        &*self.0 == SYSTEM_NAMESPACE
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let valid_character = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let valid = (limits::NAMESPACE_BYTES_MIN..=limits::NAMESPACE_BYTES_MAX).contains(&bytes.len())
            && bytes[0] != b'-'
            && bytes.iter().all(valid_character);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Namespace(text.to_owned()))
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        if text == SYSTEM_NAMESPACE {
            return Ok(Self::system());
        }
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! key_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks the length; the text may hold any UTF-8.
            ///
            /// # Errors
            /// [`NameError::KeyLength`] unless it has 1 to [`limits::KEY_BYTES_MAX`] bytes.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if text.is_empty() || text.len() > limits::KEY_BYTES_MAX {
                    return Err(NameError::KeyLength { kind: $kind, len: text.len() });
                }
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

key_type!(
    /// The key of a record in its namespace and type.
    Key,
    "key"
);
key_type!(
    /// A member of a set, or a field of a map.
    SubKey,
    "member or field"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_order_as_their_text() {
        let mut names = ["b", "a-b", "a", "ab", "a0"].map(|t| t.parse::<RegionId>().unwrap());
        names.sort();
        assert_eq!(
            names.map(|n| n.as_str().to_owned()),
            ["a", "a-b", "a0", "ab", "b"]
        );
    }

    #[test]
    fn a_new_incarnation_is_greater_whatever_the_clock_says() {
        let at = |seconds: u64| WallTime::from_millis(seconds * 1000);
        assert_eq!(
            Incarnation::begin(at(1_800_000_000), None),
            Incarnation(1_800_000_000)
        );
        assert_eq!(Incarnation::begin(at(5), Some(Incarnation(9))), Incarnation(10));
        assert_eq!(Incarnation::begin(at(0), None), Incarnation::FIRST);
    }

    #[test]
    fn bad_labels_are_refused_with_their_kind() {
        for bad in [
            "",
            "-a",
            "A",
            "a_b",
            "a.b",
            &"x".repeat(limits::LABEL_BYTES_MAX + 1),
        ] {
            let error = bad.parse::<NodeId>().unwrap_err();
            assert!(error.to_string().contains("node"), "{error}");
        }
        assert!("x".repeat(limits::LABEL_BYTES_MAX).parse::<NodeId>().is_ok());
    }

    #[test]
    fn namespaces_follow_the_contract() {
        for good in ["ab", "0-", "packages", &"n".repeat(63)] {
            assert!(good.parse::<Namespace>().is_ok(), "{good}");
        }
        for bad in ["a", "", "-a", "_system", "Ab", "a.b", &"n".repeat(64)] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_have_1_to_1024_bytes() {
        assert!(Key::new("").is_err());
        assert!(Key::new(&"é".repeat(512)).is_ok());
        assert!(Key::new(&"é".repeat(513)).is_err());
    }

    #[test]
    fn partition_counts_are_powers_of_two() {
        for good in [1, 2, 64, u32::from(limits::PARTITIONS_MAX)] {
            assert!(PartitionCount::new(good).is_ok(), "{good}");
        }
        for bad in [0, 3, 65, u32::from(limits::PARTITIONS_MAX) * 2, u32::MAX] {
            assert!(PartitionCount::new(bad).is_err(), "{bad}");
        }
    }
}
