//! Keys of remembered outcomes: (partition, kind, …), so that all of a partition is one range. Three kinds: the outcomes by
//! namespace and idempotency key, the same in the order of time, by which they expire, and how many there are.

use crate::model::hlc::WallTime;
use crate::model::idempotency::{IdempotencyKey, IdempotencyScope};
use crate::model::ids::PartitionId;
use crate::wire::codec::DecodeError;
use crate::wire::keys::row::KeyRange;
use crate::wire::keys::{KeyReader, push_namespace};

/// Outcomes.
const OUTCOME_TAG: u8 = 0x01;
/// Outcomes by time.
const TIME_TAG: u8 = 0x02;
/// How many there are.
const TALLY_TAG: u8 = 0x03;

/// The key of a remembered outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeKey {
    /// The partition that decided.
    pub partition: PartitionId,
    /// Under what it is remembered.
    pub scope: IdempotencyScope,
}

impl OutcomeKey {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = front(self.partition, OUTCOME_TAG);
        push_scope(&mut bytes, &self.scope);
        bytes
    }

    /// Takes bytes apart.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not such a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = KeyReader::new("the key of an outcome", bytes);
        Ok(Self {
            partition: partition_of(&mut reader, OUTCOME_TAG)?,
            scope: scope_of(reader)?,
        })
    }

    /// All outcomes of a partition.
    #[must_use]
    pub fn range(partition: PartitionId) -> KeyRange {
        KeyRange::of_prefix(front(partition, OUTCOME_TAG))
    }
}

/// The key that leads, in the order of time, to a remembered outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeTimeKey {
    /// The partition that decided.
    pub partition: PartitionId,
    /// When.
    pub at: WallTime,
    /// Under what it is remembered.
    pub scope: IdempotencyScope,
}

impl OutcomeTimeKey {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = front(self.partition, TIME_TAG);
        bytes.extend_from_slice(&self.at.as_micros().to_be_bytes());
        push_scope(&mut bytes, &self.scope);
        bytes
    }

    /// Takes bytes apart.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not such a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = KeyReader::new("the time of an outcome", bytes);
        Ok(Self {
            partition: partition_of(&mut reader, TIME_TAG)?,
            at: WallTime::from_micros(reader.u64()?),
            scope: scope_of(reader)?,
        })
    }

    /// All of a partition, oldest first.
    #[must_use]
    pub fn range(partition: PartitionId) -> KeyRange {
        KeyRange::of_prefix(front(partition, TIME_TAG))
    }
}

/// Everything that a partition remembers.
#[must_use]
pub fn partition_range(partition: PartitionId) -> KeyRange {
    KeyRange::of_prefix(partition.0.to_be_bytes().to_vec())
}

/// The key of how much a partition remembers.
#[must_use]
pub fn tally(partition: PartitionId) -> Vec<u8> {
    front(partition, TALLY_TAG)
}

fn front(partition: PartitionId, tag: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&partition.0.to_be_bytes());
    bytes.push(tag);
    bytes
}

fn push_scope(bytes: &mut Vec<u8>, scope: &IdempotencyScope) {
    push_namespace(bytes, &scope.namespace);
    bytes.extend_from_slice(scope.key.as_str().as_bytes());
}

fn partition_of(reader: &mut KeyReader<'_>, tag: u8) -> Result<PartitionId, DecodeError> {
    let partition = PartitionId(reader.u16()?);
    if reader.u8()? != tag {
        return Err(reader.error("its tag is another's"));
    }
    Ok(partition)
}

fn scope_of(mut reader: KeyReader<'_>) -> Result<IdempotencyScope, DecodeError> {
    let namespace = reader.namespace()?;
    let rest = reader.rest.len();
    let key = IdempotencyKey::new(reader.text(rest)?).map_err(|error| reader.error(&error.to_string()))?;
    Ok(IdempotencyScope { namespace, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(key: &str) -> IdempotencyScope {
        IdempotencyScope {
            namespace: "shop".parse().unwrap(),
            key: IdempotencyKey::new(key).unwrap(),
        }
    }

    #[test]
    fn golden_keys() {
        let partition = PartitionId(258);
        let outcome = OutcomeKey {
            partition,
            scope: scope("k-1"),
        };
        assert_eq!(outcome.encode(), b"\x01\x02\x01\x04shopk-1");
        assert_eq!(OutcomeKey::decode(&outcome.encode()), Ok(outcome));
        let time = OutcomeTimeKey {
            partition,
            at: WallTime::from_micros(258),
            scope: scope("k-1"),
        };
        assert_eq!(
            time.encode(),
            b"\x01\x02\x02\x00\x00\x00\x00\x00\x00\x01\x02\x04shopk-1"
        );
        assert_eq!(OutcomeTimeKey::decode(&time.encode()), Ok(time));
        assert_eq!(tally(partition), b"\x01\x02\x03");
    }

    #[test]
    fn times_are_in_order_and_kinds_apart() {
        let key = |micros| {
            OutcomeTimeKey {
                partition: PartitionId(1),
                at: WallTime::from_micros(micros),
                scope: scope("k"),
            }
            .encode()
        };
        assert!(key(255) < key(256));
        let range = OutcomeTimeKey::range(PartitionId(1));
        assert!(range.from <= key(0) && key(u64::MAX) < range.to);
        assert!(tally(PartitionId(1)) >= range.to);
        assert!(OutcomeKey::range(PartitionId(1)).to <= range.from);
        let all = partition_range(PartitionId(1));
        assert!(all.from <= OutcomeKey::range(PartitionId(1)).from && tally(PartitionId(1)) < all.to);
        assert!(tally(PartitionId(0)) < all.from && all.to <= OutcomeKey::range(PartitionId(2)).from);
    }

    #[test]
    fn what_is_no_such_key_is_refused() {
        for bad in [
            &b""[..],
            b"\x01\x02\x01",
            b"\x01\x02\x01\x04shop",
            b"\x01\x02\x03\x04shopk",
            b"\x01\x02\x01\x04SHOPk",
            b"\x01\x02\x01\x04shop\xc3\xa9",
        ] {
            assert!(OutcomeKey::decode(bad).is_err(), "{bad:?}");
        }
        assert!(OutcomeTimeKey::decode(b"\x01\x02\x02\x00\x04shopk").is_err());
    }
}
