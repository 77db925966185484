//! Keys in `meta`: a tag byte, then what it is about. Tags are never renumbered; 0x01 is the folder's identity, which
//! `storage` reads before anything else.

use crate::model::ids::{PartitionId, RegionId};
use crate::wire::codec::DecodeError;
use crate::wire::keys::KeyReader;

/// Partition states.
const PARTITION_TAG: u8 = 0x02;
/// Digest leaves: see [`crate::wire::keys::digest`].
pub(crate) const DIGEST_TAG: u8 = 0x03;
/// What operators have decided about links.
const PAUSED_LINK_TAG: u8 = 0x04;
/// The founding of a region of several nodes.
const FOUNDING_TAG: u8 = 0x05;

/// The stamps that this node's groups have promised.
const STAMP_FLOOR_TAG: u8 = 0x06;

/// The key of the stamp up to which this node gives none in leaderships that begin later.
#[must_use]
pub fn stamp_floor() -> [u8; 1] {
    [STAMP_FLOOR_TAG]
}

/// The key of a partition's state.
#[must_use]
pub fn partition_state(partition: PartitionId) -> [u8; 3] {
    let [high, low] = partition.0.to_be_bytes();
    [PARTITION_TAG, high, low]
}

/// The key of what this node knows of the founding of its region.
#[must_use]
pub fn founding() -> [u8; 1] {
    [FOUNDING_TAG]
}

/// The key of what an operator has decided about the links to a region.
#[must_use]
pub fn paused_link(region: &RegionId) -> Vec<u8> {
    let mut bytes = vec![PAUSED_LINK_TAG];
    bytes.extend_from_slice(region.as_str().as_bytes());
    bytes
}

/// All keys of [`paused_link`].
#[must_use]
pub fn paused_links() -> crate::wire::keys::row::KeyRange {
    crate::wire::keys::row::KeyRange::of_prefix(vec![PAUSED_LINK_TAG])
}

/// The region of a [`paused_link`] key.
///
/// # Errors
/// [`DecodeError`] when it is not one.
pub fn decode_paused_link(bytes: &[u8]) -> Result<RegionId, DecodeError> {
    let mut reader = KeyReader::new("a paused link", bytes);
    if reader.u8()? != PAUSED_LINK_TAG {
        return Err(reader.error("its tag is another's"));
    }
    let rest = reader.rest.len();
    reader
        .text(rest)?
        .parse()
        .map_err(|_| reader.error("its region is not valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_keys() {
        assert_eq!(partition_state(PartitionId(258)), [2, 1, 2]);
        assert_eq!(founding(), [5]);
        let region = "eu".parse().unwrap();
        assert_eq!(paused_link(&region), b"\x04eu");
        assert_eq!(decode_paused_link(b"\x04eu"), Ok(region));
        assert!(decode_paused_link(b"\x05eu").is_err());
        assert!(decode_paused_link(b"\x04").is_err());
        assert!(decode_paused_link(b"\x04EU").is_err());
        assert_eq!(stamp_floor(), [6]);
        let range = paused_links();
        assert!(range.from.as_slice() < b"\x04eu".as_slice() && b"\x04zz".as_slice() < range.to.as_slice());
        assert!(range.from.as_slice() > partition_state(PartitionId(u16::MAX)).as_slice());
    }
}
