//! The one place that knows the binary codec: bincode 2 through serde, variable-length integers, little endian.
//! Decision 0002 says how it would be replaced.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the bytes of the largest frame may claim to decode to: [`CLAIMED_BYTES_PER_BYTE_MAX`] for integers of one byte
/// is more than this, but real frames are not made of them alone.
const CLAIMED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The codec counts an integer by its width, and one of 128 bits may be encoded in a single byte.
const CLAIMED_BYTES_PER_BYTE_MAX: usize = 16;

/// Sizes of encodings that have a limit of their own: contexts and small rows, ordinary commits, most batches. Each is
/// sixteen times the one before, so a length can claim at most 256 times the bytes that it came with.
const SMALL_BYTES_MAX: usize = 1024;
/// See [`SMALL_BYTES_MAX`].
const MEDIUM_BYTES_MAX: usize = 16 * SMALL_BYTES_MAX;
/// See [`SMALL_BYTES_MAX`].
const LARGE_BYTES_MAX: usize = 16 * MEDIUM_BYTES_MAX;

/// Bytes are not what the codec writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be decoded: {detail}")]
pub struct DecodeError {
    /// What was to be decoded.
    pub what: &'static str,
    /// What the codec says.
    pub detail: String,
}

impl DecodeError {
    /// An error of a decoder above the codec.
    pub fn new(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            detail: detail.into(),
        }
    }
}

/// Appends the encoding of `value` to `bytes`.
pub fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    // Encoding is not limited: what is encoded here was limited where it was made.
    bincode::serde::encode_into_std_write(value, bytes, bincode::config::standard())
        .expect("plain data structures always encode into memory");
}

/// The encoding of `value`.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    encode_into(value, &mut bytes);
    bytes
}

/// Decodes a value that takes up all of `bytes`.
///
/// # Errors
/// [`DecodeError`], also when bytes are left over.
pub fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, used) = decode_prefix(what, bytes)?;
    if used != bytes.len() {
        return Err(DecodeError::new(
            what,
            format!("{} bytes are left over", bytes.len() - used),
        ));
    }
    Ok(value)
}

/// Decodes a value from the front of `bytes` and says how many it took.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_prefix<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<(T, usize), DecodeError> {
    // The codec reserves what an announced length claims before it looks whether as much follows, and only a limit that is
    // known at compile time stops it. With one limit for all, ten bytes of a peer or of a client could reserve what the
    // largest frame may; so there is one for each order of size, and each holds whatever bytes so few can rightly claim.
    // `<=`: so many bytes claim at most the limit of their class.
    let decoded = match bytes.len() {
        len if len <= SMALL_BYTES_MAX => {
            decode_claiming::<T, { CLAIMED_BYTES_PER_BYTE_MAX * SMALL_BYTES_MAX }>(bytes)
        }
        len if len <= MEDIUM_BYTES_MAX => {
            decode_claiming::<T, { CLAIMED_BYTES_PER_BYTE_MAX * MEDIUM_BYTES_MAX }>(bytes)
        }
        len if len <= LARGE_BYTES_MAX => {
            decode_claiming::<T, { CLAIMED_BYTES_PER_BYTE_MAX * LARGE_BYTES_MAX }>(bytes)
        }
        _ => decode_claiming::<T, CLAIMED_BYTES_MAX>(bytes),
    };
    decoded.map_err(|error| DecodeError::new(what, error.to_string()))
}

fn decode_claiming<T: DeserializeOwned, const BYTES_MAX: usize>(
    bytes: &[u8],
) -> Result<(T, usize), bincode::error::DecodeError> {
    bincode::serde::decode_from_slice(bytes, bincode::config::standard().with_limit::<BYTES_MAX>())
}

/// Puts a format number in front of an encoding.
#[must_use]
pub fn encode_versioned<T: Serialize>(format: u8, value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(format);
    encode_into(value, &mut bytes);
    bytes
}

/// Decodes what [`encode_versioned`] wrote with the same format number.
///
/// # Errors
/// [`DecodeError`], which names an unknown format number.
pub fn decode_versioned<T: DeserializeOwned>(
    what: &'static str,
    format: u8,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    match bytes.split_first() {
        Some((first, rest)) if *first == format => decode(what, rest),
        Some((first, _)) => Err(DecodeError::new(
            what,
            format!("format {first} is unknown, this version reads {format}"),
        )),
        None => Err(DecodeError::new(what, "it is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_the_codec() {
        let value = (1_u64, 250_u64, 251_u64, 65_536_u32, "ab", Some(true), [7_u8; 2]);
        assert_eq!(
            encode(&value),
            [1, 250, 251, 251, 0, 252, 0, 0, 1, 0, 2, b'a', b'b', 1, 1, 7, 7]
        );
    }

    #[test]
    fn left_over_and_missing_bytes_are_refused() {
        let mut bytes = encode(&(1_u64, "ab"));
        bytes.push(0);
        assert!(decode::<(u64, String)>("pair", &bytes).is_err());
        assert!(decode::<(u64, String)>("pair", &bytes[..2]).is_err());
    }

    #[test]
    fn an_announced_length_is_not_believed() {
        let mut bytes = vec![253];
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode::<Vec<u64>>("list", &bytes).is_err());
        assert!(decode::<String>("text", &bytes).is_err());
    }

    #[test]
    fn an_announced_length_beyond_what_the_bytes_can_claim_is_refused_before_memory_is_reserved() {
        // Found by the fuzzer: 32 MiB were reserved for 16 bytes.
        let mut bytes = vec![252];
        bytes.extend_from_slice(&(32_u32 << 20).to_le_bytes());
        let error = decode::<String>("text", &bytes).unwrap_err();
        assert_eq!(error.detail, "LimitExceeded");
    }

    #[test]
    fn bytes_of_every_size_may_claim_what_they_hold() {
        let edges = [SMALL_BYTES_MAX, MEDIUM_BYTES_MAX, LARGE_BYTES_MAX];
        let around = edges.into_iter().flat_map(|edge| [edge - 10, edge, edge + 1]);
        for len in around.chain([1, 1 << 20]) {
            // Zeros are encoded in a byte each, and claim the eight or sixteen of their type.
            let (narrow, wide) = (vec![0_u64; len], vec![0_u128; len]);
            assert_eq!(decode::<Vec<u64>>("list", &encode(&narrow)), Ok(narrow), "{len}");
            assert_eq!(decode::<Vec<u128>>("list", &encode(&wide)), Ok(wide), "{len}");
            let text = "x".repeat(len);
            assert_eq!(decode::<String>("text", &encode(&text)), Ok(text), "{len}");
        }
    }

    #[test]
    fn another_format_number_is_named() {
        let bytes = encode_versioned(2, &1_u8);
        let error = decode_versioned::<u8>("thing", 1, &bytes).unwrap_err();
        assert!(error.to_string().contains("format 2 is unknown"), "{error}");
    }
}
