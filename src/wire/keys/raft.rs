//! Keys of the agreement inside a region, one raft group for each partition: (partition, kind, …), so that all of a
//! group is one range. Kinds: the vote, the purge mark, what was applied, and the entries by index.

use crate::model::ids::PartitionId;
use crate::model::raft::RaftIndex;
use crate::wire::codec::DecodeError;
use crate::wire::keys::KeyReader;
use crate::wire::keys::row::KeyRange;

/// The vote.
const VOTE_TAG: u8 = 0x01;
/// The id of the last purged entry.
const PURGED_TAG: u8 = 0x02;
/// The id of the last applied entry, and the members.
const APPLIED_TAG: u8 = 0x03;
/// Entries.
const ENTRY_TAG: u8 = 0x04;

/// The key of a group's vote.
#[must_use]
pub fn vote(partition: PartitionId) -> [u8; 3] {
    front(partition, VOTE_TAG)
}

/// The key of the id of the last entry that was purged.
#[must_use]
pub fn purged(partition: PartitionId) -> [u8; 3] {
    front(partition, PURGED_TAG)
}

/// The key of the id of the last entry that was applied, in the same write as the rows, and of the members as of then.
#[must_use]
pub fn applied(partition: PartitionId) -> [u8; 3] {
    front(partition, APPLIED_TAG)
}

/// Everything of a group.
#[must_use]
pub fn group_range(partition: PartitionId) -> KeyRange {
    KeyRange::of_prefix(partition.0.to_be_bytes().to_vec())
}

/// The key of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftEntryKey {
    /// The partition whose group it is.
    pub partition: PartitionId,
    /// Its place.
    pub index: RaftIndex,
}

impl RaftEntryKey {
    /// The bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(11);
        bytes.extend_from_slice(&front(self.partition, ENTRY_TAG));
        bytes.extend_from_slice(&self.index.0.to_be_bytes());
        bytes
    }

    /// Takes bytes apart.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not such a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = KeyReader::new("the key of a raft entry", bytes);
        let partition = PartitionId(reader.u16()?);
        if reader.u8()? != ENTRY_TAG {
            return Err(reader.error("its tag is another's"));
        }
        let index = RaftIndex(reader.u64()?);
        reader.end()?;
        Ok(Self { partition, index })
    }

    /// The entries of a group from `first` up to, not including, `end`; with [`RaftIndex::END`] all from `first` on.
    #[must_use]
    pub fn range(partition: PartitionId, first: RaftIndex, end: RaftIndex) -> KeyRange {
        let key = |index| Self { partition, index }.encode();
        KeyRange {
            from: key(first),
            to: key(end),
        }
    }
}

fn front(partition: PartitionId, tag: u8) -> [u8; 3] {
    let [high, low] = partition.0.to_be_bytes();
    [high, low, tag]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITION: PartitionId = PartitionId(258);

    fn entry(partition: u16, index: u64) -> Vec<u8> {
        let key = RaftEntryKey {
            partition: PartitionId(partition),
            index: RaftIndex(index),
        };
        key.encode()
    }

    #[test]
    fn golden_keys() {
        assert_eq!(vote(PARTITION), [1, 2, 1]);
        assert_eq!(purged(PARTITION), [1, 2, 2]);
        assert_eq!(applied(PARTITION), [1, 2, 3]);
        assert_eq!(entry(258, 772), [1, 2, 4, 0, 0, 0, 0, 0, 0, 3, 4]);
    }

    #[test]
    fn entry_keys_round_trip_and_order_by_index() {
        let key = RaftEntryKey::decode(&entry(258, 772)).unwrap();
        assert_eq!((key.partition, key.index), (PARTITION, RaftIndex(772)));
        assert!(entry(258, 255) < entry(258, 256));
        let good = entry(258, 772);
        let long = [good.as_slice(), &[0]].concat();
        for bad in [
            &good[..10],
            &long,
            &vote(PARTITION),
            &[1, 2, 5, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(RaftEntryKey::decode(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_range_holds_its_first_and_not_its_end_and_none_of_another_group() {
        let range = RaftEntryKey::range(PARTITION, RaftIndex(5), RaftIndex(300));
        let inside = |key: Vec<u8>| range.from <= key && key < range.to;
        assert!(inside(entry(258, 5)) && inside(entry(258, 299)));
        assert!(!inside(entry(258, 4)) && !inside(entry(258, 300)));
        assert!(!inside(entry(257, 7)) && !inside(entry(259, 7)));
    }

    #[test]
    fn all_of_a_group_is_one_range_and_its_entries_are_apart_from_the_rest() {
        let whole = group_range(PARTITION);
        let entries = RaftEntryKey::range(PARTITION, RaftIndex(0), RaftIndex::END);
        assert!(whole.from <= entries.from && entries.to < whole.to);
        for key in [vote(PARTITION), purged(PARTITION), applied(PARTITION)] {
            assert!(whole.from.as_slice() <= key.as_slice() && key.as_slice() < entries.from.as_slice());
        }
        for other in [257, 259] {
            assert!(entry(other, 0) < whole.from || entry(other, 0) >= whole.to);
            assert!(entry(other, u64::MAX) < whole.from || entry(other, u64::MAX) >= whole.to);
        }
    }
}
