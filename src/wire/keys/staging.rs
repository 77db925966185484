//! Keys of snapshots that are not installed yet: (partition, kind, …), so that all of a partition is one range. Kinds: how
//! far it is, and its chunks by number.

use crate::model::ids::PartitionId;
use crate::wire::codec::DecodeError;
use crate::wire::keys::KeyReader;
use crate::wire::keys::row::KeyRange;

/// How far a snapshot is.
const PROGRESS_TAG: u8 = 0x01;
/// Chunks.
const CHUNK_TAG: u8 = 0x02;

/// The key of how far a partition is with a snapshot.
#[must_use]
pub fn progress(partition: PartitionId) -> [u8; 3] {
    front(partition, PROGRESS_TAG)
}

/// Everything that is staged of a partition.
#[must_use]
pub fn staged_range(partition: PartitionId) -> KeyRange {
    KeyRange::of_prefix(partition.0.to_be_bytes().to_vec())
}

/// The key of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkKey {
    /// Of which partition.
    pub partition: PartitionId,
    /// Its place.
    pub number: u32,
}

impl ChunkKey {
    /// The bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(7);
        bytes.extend_from_slice(&front(self.partition, CHUNK_TAG));
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// Takes bytes apart.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not such a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = KeyReader::new("the key of a chunk", bytes);
        let partition = PartitionId(reader.u16()?);
        if reader.u8()? != CHUNK_TAG {
            return Err(reader.error("its tag is another's"));
        }
        let number = u32::from_be_bytes(reader.bytes(4)?.try_into().expect("four bytes were taken"));
        reader.end()?;
        Ok(Self { partition, number })
    }

    /// All chunks of a partition.
    #[must_use]
    pub fn range(partition: PartitionId) -> KeyRange {
        KeyRange::of_prefix(front(partition, CHUNK_TAG).to_vec())
    }
}

fn front(partition: PartitionId, tag: u8) -> [u8; 3] {
    let [high, low] = partition.0.to_be_bytes();
    [high, low, tag]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(partition: u16, number: u32) -> Vec<u8> {
        let partition = PartitionId(partition);
        ChunkKey { partition, number }.encode()
    }

    #[test]
    fn golden_keys_that_round_trip() {
        assert_eq!(progress(PartitionId(258)), [1, 2, 1]);
        assert_eq!(chunk(258, 772), [1, 2, 2, 0, 0, 3, 4]);
        let key = ChunkKey::decode(&chunk(258, 772)).unwrap();
        assert_eq!((key.partition, key.number), (PartitionId(258), 772));
        assert!(chunk(258, 255) < chunk(258, 256));
        let long = [chunk(258, 772).as_slice(), &[0]].concat();
        for bad in [&chunk(258, 772)[..6], &long, &[1, 2, 1, 0, 0, 3, 4], b""] {
            assert!(ChunkKey::decode(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn all_of_a_partition_is_one_range_and_its_chunks_another_inside_it() {
        let (whole, chunks) = (staged_range(PartitionId(255)), ChunkKey::range(PartitionId(255)));
        for key in [chunk(255, 0), chunk(255, u32::MAX)] {
            assert!(whole.from <= key && key < whole.to);
            assert!(chunks.from <= key && key < chunks.to);
        }
        let told = progress(PartitionId(255)).to_vec();
        assert!(whole.from <= told && told < chunks.from);
        for key in [
            chunk(254, u32::MAX),
            chunk(256, 0),
            progress(PartitionId(256)).to_vec(),
        ] {
            assert!(key < whole.from || key >= whole.to);
        }
    }
}
