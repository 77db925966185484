//! Keys of digest leaves in `meta`: (tag, partition, leaf).

use crate::model::digest::{DigestSum, LEAF_COUNT, LeafId};
use crate::model::ids::PartitionId;
use crate::wire::codec::DecodeError;
use crate::wire::keys::row::KeyRange;
use crate::wire::keys::{KeyReader, meta};

/// The key of a digest leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestKey {
    /// The partition.
    pub partition: PartitionId,
    /// The leaf.
    pub leaf: LeafId,
}

impl DigestKey {
    /// The bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(5);
        bytes.push(meta::DIGEST_TAG);
        bytes.extend_from_slice(&self.partition.0.to_be_bytes());
        bytes.extend_from_slice(&self.leaf.0.to_be_bytes());
        bytes
    }

    /// Takes bytes apart.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not such a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = KeyReader::new("a digest key", bytes);
        if reader.u8()? != meta::DIGEST_TAG {
            return Err(reader.error("its tag is another's"));
        }
        let key = Self {
            partition: PartitionId(reader.u16()?),
            leaf: LeafId(reader.u16()?),
        };
        if usize::from(key.leaf.0) >= LEAF_COUNT {
            return Err(reader.error("there is no such leaf"));
        }
        reader.end()?;
        Ok(key)
    }

    /// All leaves of a partition.
    #[must_use]
    pub fn partition_range(partition: PartitionId) -> KeyRange {
        let mut prefix = vec![meta::DIGEST_TAG];
        prefix.extend_from_slice(&partition.0.to_be_bytes());
        KeyRange::of_prefix(prefix)
    }
}

/// The sum under a [`DigestKey`].
#[must_use]
pub fn encode_sum(sum: DigestSum) -> [u8; 16] {
    sum.0.to_be_bytes()
}

/// Reads what [`encode_sum`] wrote.
///
/// # Errors
/// [`DecodeError`] when the bytes are not sixteen.
pub fn decode_sum(bytes: &[u8]) -> Result<DigestSum, DecodeError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| DecodeError::new("a digest leaf", "it is not 16 bytes long"))?;
    Ok(DigestSum(u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_sums_round_trip() {
        let key = DigestKey {
            partition: PartitionId(258),
            leaf: LeafId(3),
        };
        assert_eq!(key.encode(), [meta::DIGEST_TAG, 1, 2, 0, 3]);
        assert_eq!(DigestKey::decode(&key.encode()), Ok(key));
        assert_eq!(decode_sum(&encode_sum(DigestSum(7))), Ok(DigestSum(7)));
        assert!(decode_sum(&[0; 15]).is_err());
    }

    #[test]
    fn leaves_that_do_not_exist_are_refused() {
        let key = |leaf| DigestKey {
            partition: PartitionId(1),
            leaf: LeafId(leaf),
        };
        assert!(DigestKey::decode(&key(1023).encode()).is_ok());
        assert!(DigestKey::decode(&key(1024).encode()).is_err());
        assert!(DigestKey::decode(&[meta::DIGEST_TAG, 0, 1, 0]).is_err());
        assert!(DigestKey::decode(&[meta::DIGEST_TAG, 0, 1, 0, 0, 0]).is_err());
        assert!(DigestKey::decode(&[meta::DIGEST_TAG + 1, 0, 1, 0, 0]).is_err());
    }

    #[test]
    fn the_leaves_of_a_partition_are_in_its_range_and_others_are_not() {
        let range = DigestKey::partition_range(PartitionId(255));
        let inside = |partition, leaf| {
            let key = DigestKey {
                partition: PartitionId(partition),
                leaf: LeafId(leaf),
            }
            .encode();
            range.from <= key && key < range.to
        };
        assert!(inside(255, 0) && inside(255, 1023));
        assert!(!inside(254, 1023) && !inside(256, 0));
    }
}
