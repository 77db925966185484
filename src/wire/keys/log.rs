//! Log keys: (partition, index) for entries, and (partition, replica, seq) → index to find a replica's changes.

use crate::model::ids::{Incarnation, LogIndex, PartitionId, ReplicaId, Seq};
use crate::wire::codec::DecodeError;
use crate::wire::keys::KeyReader;
use crate::wire::keys::row::KeyRange;

/// The key of a log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogKey {
    /// Its partition.
    pub partition: PartitionId,
    /// Its place.
    pub index: LogIndex,
}

impl LogKey {
    /// The bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(10);
        bytes.extend_from_slice(&self.partition.0.to_be_bytes());
        bytes.extend_from_slice(&self.index.0.to_be_bytes());
        bytes
    }

    /// Takes bytes apart.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not a log key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = KeyReader::new("a log key", bytes);
        let key = Self {
            partition: PartitionId(reader.u16()?),
            index: LogIndex(reader.u64()?),
        };
        reader.end()?;
        Ok(key)
    }

    /// All entries of a partition.
    #[must_use]
    pub fn partition_range(partition: PartitionId) -> KeyRange {
        KeyRange::of_prefix(partition.0.to_be_bytes().to_vec())
    }

    /// The entries of a partition from `first` up to, not including, `end`.
    #[must_use]
    pub fn range(partition: PartitionId, first: LogIndex, end: LogIndex) -> KeyRange {
        KeyRange {
            from: Self {
                partition,
                index: first,
            }
            .encode(),
            to: Self {
                partition,
                index: end,
            }
            .encode(),
        }
    }
}

/// The key that leads from a commit's origin and first seq to its log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSeqKey {
    /// The partition.
    pub partition: PartitionId,
    /// The commit's origin.
    pub origin: ReplicaId,
    /// The commit's first seq.
    pub first_seq: Seq,
}

impl LogSeqKey {
    /// The bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let region = self.origin.region.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(15 + region.len());
        bytes.extend_from_slice(&self.partition.0.to_be_bytes());
        bytes.push(u8::try_from(region.len()).expect("region names have at most 24 bytes"));
        bytes.extend_from_slice(region);
        bytes.extend_from_slice(&self.origin.incarnation.0.to_be_bytes());
        bytes.extend_from_slice(&self.first_seq.to_be_bytes());
        bytes
    }

    /// Takes bytes apart.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not such a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = KeyReader::new("a log seq key", bytes);
        let partition = PartitionId(reader.u16()?);
        let len = usize::from(reader.u8()?);
        let region = reader
            .text(len)?
            .parse()
            .map_err(|_| reader.error("its region is not valid"))?;
        let incarnation = u32::from_be_bytes(reader.bytes(4)?.try_into().expect("four bytes were taken"));
        let first_seq = reader.u64()?;
        reader.end()?;
        let origin = ReplicaId {
            region,
            incarnation: Incarnation(incarnation),
        };
        Ok(Self {
            partition,
            origin,
            first_seq,
        })
    }

    /// All of a partition.
    #[must_use]
    pub fn partition_range(partition: PartitionId) -> KeyRange {
        KeyRange::of_prefix(partition.0.to_be_bytes().to_vec())
    }

    /// The commits of `origin` whose first seq is from `first` up to, not including, `end`.
    #[must_use]
    pub fn range(partition: PartitionId, origin: ReplicaId, first: Seq, end: Seq) -> KeyRange {
        KeyRange {
            from: Self {
                partition,
                origin,
                first_seq: first,
            }
            .encode(),
            to: Self {
                partition,
                origin,
                first_seq: end,
            }
            .encode(),
        }
    }
}

/// The index under a [`LogSeqKey`].
#[must_use]
pub fn encode_log_index(index: LogIndex) -> [u8; 8] {
    index.0.to_be_bytes()
}

/// Reads what [`encode_log_index`] wrote.
///
/// # Errors
/// [`DecodeError`] when the bytes are not eight.
pub fn decode_log_index(bytes: &[u8]) -> Result<LogIndex, DecodeError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| DecodeError::new("a log index", "it is not eight bytes long"))?;
    Ok(LogIndex(u64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_keys_round_trip_and_order_by_index() {
        let key = |index| LogKey {
            partition: PartitionId(3),
            index: LogIndex(index),
        };
        assert_eq!(key(258).encode(), [0, 3, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(LogKey::decode(&key(258).encode()), Ok(key(258)));
        assert!(key(255).encode() < key(256).encode());
        assert!(LogKey::decode(&[0; 9]).is_err());
        assert!(LogKey::decode(&[0; 11]).is_err());
    }

    #[test]
    fn log_seq_keys_round_trip_and_order_by_seq_inside_a_replica() {
        let key = |region: &str, incarnation, first_seq| LogSeqKey {
            partition: PartitionId(3),
            origin: ReplicaId {
                region: region.parse().unwrap(),
                incarnation: Incarnation(incarnation),
            },
            first_seq,
        };
        let bytes = key("eu", 1, 258).encode();
        assert_eq!(
            bytes,
            b"\x00\x03\x02eu\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x02"
        );
        assert_eq!(LogSeqKey::decode(&bytes), Ok(key("eu", 1, 258)));
        assert!(key("eu", 1, u64::MAX).encode() < key("eu", 2, 0).encode());
        assert!(LogSeqKey::decode(&bytes[..10]).is_err());
        assert!(LogSeqKey::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
        assert!(LogSeqKey::decode(b"\x00\x03\x02EU\0\0\0\x01\0\0\0\0\0\0\0\x01").is_err());
    }

    #[test]
    fn ranges_hold_their_first_and_not_their_end() {
        let (partition, eu) = (PartitionId(3), "eu".parse().unwrap());
        let range = LogKey::range(partition, LogIndex(5), LogIndex(300));
        let inside = |partition, index| {
            let key = LogKey {
                partition,
                index: LogIndex(index),
            }
            .encode();
            range.from <= key && key < range.to
        };
        assert!(inside(partition, 5) && inside(partition, 299));
        assert!(!inside(partition, 4) && !inside(partition, 300) && !inside(PartitionId(2), 7));

        let origin = ReplicaId {
            region: eu,
            incarnation: Incarnation(1),
        };
        let range = LogSeqKey::range(partition, origin, 5, 300);
        let inside = |incarnation, first_seq| {
            let origin = ReplicaId {
                region: eu,
                incarnation: Incarnation(incarnation),
            };
            let key = LogSeqKey {
                partition,
                origin,
                first_seq,
            }
            .encode();
            range.from <= key && key < range.to
        };
        assert!(inside(1, 5) && inside(1, 299));
        assert!(!inside(1, 4) && !inside(1, 300) && !inside(2, 7) && !inside(0, 7));
    }

    #[test]
    fn log_indexes_round_trip() {
        assert_eq!(encode_log_index(LogIndex(258)), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(decode_log_index(&[0, 0, 0, 0, 0, 0, 1, 2]), Ok(LogIndex(258)));
        assert!(decode_log_index(&[0; 7]).is_err());
        assert!(decode_log_index(&[0; 9]).is_err());
    }
}
