//! Row keys: (partition, namespace, type, key, sub-key). A partition is one contiguous range, a record another inside
//! it, and sub-keys are in byte order at the end.

use crate::model::ids::{Key, PartitionId, SubKey};
use crate::model::record::{RecordId, RowId};
use crate::wire::codec::DecodeError;
use crate::wire::keys::{KeyReader, end_of_prefix, push_namespace};

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowKey {
    /// Its partition.
    pub partition: PartitionId,
    /// What it is the row of.
    pub row: RowId,
}

/// Bytes `from <= key < to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key in it.
    pub from: Vec<u8>,
    /// The first key after it.
    pub to: Vec<u8>,
}

impl KeyRange {
    /// All keys that start with `prefix`.
    #[must_use]
    pub fn of_prefix(prefix: Vec<u8>) -> Self {
        let to = end_of_prefix(&prefix);
        Self { from: prefix, to }
    }
}

fn record_prefix(partition: PartitionId, record: &RecordId) -> Vec<u8> {
    let key = record.key.as_str().as_bytes();
    let mut bytes = Vec::with_capacity(8 + record.namespace.as_str().len() + key.len() + 16);
    bytes.extend_from_slice(&partition.0.to_be_bytes());
    push_namespace(&mut bytes, &record.namespace);
    bytes.push(record.record_type.tag());
    bytes.extend_from_slice(
        &u16::try_from(key.len())
            .expect("keys have at most 1024 bytes")
            .to_be_bytes(),
    );
    bytes.extend_from_slice(key);
    bytes
}

impl RowKey {
    /// The bytes.
    #[must_use]
    pub fn encode(partition: PartitionId, row: &RowId) -> Vec<u8> {
        let mut bytes = record_prefix(partition, &row.record);
        if let Some(sub_key) = &row.sub_key {
            bytes.extend_from_slice(sub_key.as_str().as_bytes());
        }
        bytes
    }

    /// Takes bytes apart.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not a row key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = KeyReader::new("a row key", bytes);
        let partition = PartitionId(reader.u16()?);
        let namespace = reader.namespace()?;
        let record_type = reader.record_type()?;
        let key_len = usize::from(reader.u16()?);
        let key = Key::new(reader.text(key_len)?).map_err(|e| reader.error(&e.to_string()))?;
        let rest = reader.rest.len();
        let sub_key = match reader.text(rest)? {
            "" => None,
            text => Some(SubKey::new(text).map_err(|e| reader.error(&e.to_string()))?),
        };
        if sub_key.is_some() != record_type.has_parts() {
            return Err(reader.error("a set or map needs a sub-key, and no other type has one"));
        }
        Ok(Self {
            partition,
            row: RowId {
                record: RecordId::new(namespace, record_type, key),
                sub_key,
            },
        })
    }

    /// All rows of a partition.
    #[must_use]
    pub fn partition_range(partition: PartitionId) -> KeyRange {
        KeyRange::of_prefix(partition.0.to_be_bytes().to_vec())
    }

    /// The members or fields of a record, from right after `after` on if it is given.
    #[must_use]
    pub fn parts_range(partition: PartitionId, record: &RecordId, after: Option<&str>) -> KeyRange {
        let mut range = KeyRange::of_prefix(record_prefix(partition, record));
        match after {
            // The shortest key that is greater: the same and a zero byte.
            Some(after) => {
                range.from.extend_from_slice(after.as_bytes());
                range.from.push(0);
            }
            None => range.from.push(0),
        }
        range
    }

    /// The member or field at the end of a key from [`RowKey::parts_range`].
    ///
    /// # Errors
    /// [`DecodeError`] when it is not one.
    pub fn part_of(partition: PartitionId, record: &RecordId, bytes: &[u8]) -> Result<String, DecodeError> {
        let prefix_len = record_prefix(partition, record).len();
        let tail = bytes.get(prefix_len..).unwrap_or_default();
        String::from_utf8(tail.to_vec())
            .map_err(|_| DecodeError::new("a row key", "its sub-key is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::RecordType;
    use proptest::prelude::*;

    fn row(namespace: &str, record_type: RecordType, key: &str, sub_key: Option<&str>) -> RowId {
        let record = RecordId::new(namespace.parse().unwrap(), record_type, Key::new(key).unwrap());
        RowId {
            record,
            sub_key: sub_key.map(|text| SubKey::new(text).unwrap()),
        }
    }

    #[test]
    fn golden_bytes() {
        let bytes = RowKey::encode(PartitionId(258), &row("shop", RecordType::Set, "kéy", Some("m")));
        assert_eq!(bytes, b"\x01\x02\x04shop\x03\x00\x04k\xc3\xa9ym");
    }

    proptest! {
        #[test]
        fn keys_round_trip(partition in 0_u16..1024, key in ".{1,20}", sub_key in prop::option::of(".{1,20}")) {
            let record_type = if sub_key.is_some() { RecordType::Map } else { RecordType::Register };
            let row = row("shop", record_type, &key, sub_key.as_deref());
            let bytes = RowKey::encode(PartitionId(partition), &row);
            let decoded = RowKey::decode(&bytes).unwrap();
            prop_assert_eq!(decoded, RowKey { partition: PartitionId(partition), row });
        }

        #[test]
        fn any_bytes_decode_to_what_encodes_so_or_are_refused(bytes in super::super::fuzz_test::key_like()) {
            if let Ok(RowKey { partition, row }) = RowKey::decode(&bytes) {
                prop_assert_eq!(RowKey::encode(partition, &row), bytes);
            }
        }

        #[test]
        fn keys_of_a_record_are_in_the_order_of_their_sub_keys(a in ".{1,8}", b in ".{1,8}") {
            let key = |sub_key: &str| RowKey::encode(PartitionId(1), &row("shop", RecordType::Set, "k", Some(sub_key)));
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.as_bytes().cmp(b.as_bytes()));
        }
    }

    #[test]
    fn sub_keys_belong_to_sets_and_maps_only() {
        for record_type in RecordType::ALL {
            for sub_key in [None, Some("m")] {
                let bytes = RowKey::encode(PartitionId(1), &row("shop", record_type, "k", sub_key));
                let is_right = record_type.has_parts() == sub_key.is_some();
                assert_eq!(
                    RowKey::decode(&bytes).is_ok(),
                    is_right,
                    "{record_type:?} {sub_key:?}"
                );
            }
        }
    }

    #[test]
    fn a_partition_is_one_range_with_nothing_of_others() {
        let range = RowKey::partition_range(PartitionId(255));
        let inside = |partition| {
            let key = RowKey::encode(
                PartitionId(partition),
                &row("shop", RecordType::Map, "k", Some("m")),
            );
            range.from <= key && key < range.to
        };
        assert!(inside(255));
        assert!(!inside(254) && !inside(256));
    }

    #[test]
    fn parts_of_a_record_are_in_its_range_and_others_are_not() {
        let p = PartitionId(1);
        let member = row("shop", RecordType::Set, "k", Some("m"));
        let range = RowKey::parts_range(p, &member.record, None);
        let inside = |row: &RowId| {
            let key = RowKey::encode(p, row);
            range.from <= key && key < range.to
        };
        assert!(inside(&member));
        assert!(inside(&row("shop", RecordType::Set, "k", Some("\u{10ffff}"))));
        assert!(!inside(&row("shop", RecordType::Set, "km", Some("m"))));
        assert!(!inside(&row("shop", RecordType::Map, "k", Some("m"))));
        let after = RowKey::parts_range(p, &member.record, Some("m"));
        assert!(RowKey::encode(p, &member) < after.from);
        let next = row("shop", RecordType::Set, "k", Some("m!"));
        assert!(after.from <= RowKey::encode(p, &next));
        assert_eq!(
            RowKey::part_of(p, &next.record, &RowKey::encode(p, &next)).unwrap(),
            "m!"
        );
    }
}
