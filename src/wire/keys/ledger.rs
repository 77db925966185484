//! Keys of the conflict ledger: (time lost, partition, number). In order of time, so that the oldest go first and a
//! listing goes on where it stopped.

use crate::model::hlc::WallTime;
use crate::model::ids::PartitionId;
use crate::wire::codec::DecodeError;
use crate::wire::keys::KeyReader;
use crate::wire::keys::row::KeyRange;

/// The key of a ledger entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LedgerKey {
    /// When this region's resolution decided.
    pub lost_at: WallTime,
    /// The partition that did.
    pub partition: PartitionId,
    /// Counts the partition's ledger entries.
    pub number: u64,
}

impl LedgerKey {
    /// The bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(18);
        bytes.extend_from_slice(&self.lost_at.as_micros().to_be_bytes());
        bytes.extend_from_slice(&self.partition.0.to_be_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// All entries, of all partitions.
    #[must_use]
    pub fn whole_range() -> KeyRange {
        // No key has more than 18 bytes.
        KeyRange {
            from: Vec::new(),
            to: vec![u8::MAX; 19],
        }
    }

    /// Takes bytes apart.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not such a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = KeyReader::new("a ledger key", bytes);
        let key = Self {
            lost_at: WallTime::from_micros(reader.u64()?),
            partition: PartitionId(reader.u16()?),
            number: reader.u64()?,
        };
        reader.end()?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_order_by_time() {
        let key = |micros| LedgerKey {
            lost_at: WallTime::from_micros(micros),
            partition: PartitionId(9),
            number: 1,
        };
        assert_eq!(
            key(258).encode(),
            [0, 0, 0, 0, 0, 0, 1, 2, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1]
        );
        assert_eq!(LedgerKey::decode(&key(258).encode()), Ok(key(258)));
        assert!(key(255).encode() < key(256).encode());
        let last = LedgerKey {
            lost_at: WallTime::from_micros(u64::MAX),
            partition: PartitionId(u16::MAX),
            number: u64::MAX,
        };
        let all = LedgerKey::whole_range();
        assert!(all.from <= key(0).encode() && last.encode() < all.to);
        assert!(LedgerKey::decode(&[0; 17]).is_err());
        assert!(LedgerKey::decode(&[0; 19]).is_err());
    }
}
