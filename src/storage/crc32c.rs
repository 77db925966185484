//! CRC-32C (Castagnoli) as RocksDB's write-ahead log uses it, for [`super::wal_tail`].
//!
//! Table-driven and slow by intent: it runs over a few kilobytes at a damaged tail, or to name the file after an open was
//! refused; never on a path that is measured.

const POLYNOMIAL_REFLECTED: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = build_table();

const fn build_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            remainder = if remainder & 1 == 1 {
                (remainder >> 1) ^ POLYNOMIAL_REFLECTED
            } else {
                remainder >> 1
            };
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
}

/// The checksum of `bytes`.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |remainder, byte| {
        (remainder >> 8) ^ TABLE[usize::from((remainder ^ u32::from(*byte)).to_le_bytes()[0])]
    })
}

/// The checksum as RocksDB stores it: rotated and offset, so that a checksum over bytes that hold checksums stays sound.
pub(crate) fn masked_checksum(bytes: &[u8]) -> u32 {
    checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_standard_check_string_is_the_published_one() {
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(b""), 0);
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
    }
}
