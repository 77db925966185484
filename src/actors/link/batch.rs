//! Batches on the wire: packed, compressed where it pays, and unpacked within their announced bounds.

use bytes::Bytes;

use crate::model::limits;
use crate::wire::codec::{self, DecodeError};
use crate::wire::messages::{Batch, Commits};

/// Under this, compression costs more than it saves.
const COMPRESS_BYTES_MIN: usize = 128;

/// Packs commits for the wire.
#[must_use]
pub fn pack(commits: Commits, compression_level: i32) -> Batch {
    let plain = codec::encode(&commits);
    if plain.len() < COMPRESS_BYTES_MIN {
        return Batch::Plain(commits);
    }
    match zstd::bulk::compress(&plain, compression_level) {
        // What does not shrink goes as it is: the receiver is spared the work.
        Ok(compressed) if compressed.len() < plain.len() => Batch::Zstd {
            plain_bytes: u32::try_from(plain.len()).expect("batches are bounded far below 4 GiB"),
            bytes: compressed.into(),
        },
        Ok(_) | Err(_) => Batch::Plain(commits),
    }
}

/// Unpacks what a peer has packed.
///
/// # Errors
/// [`DecodeError`] for damaged bytes and for more than a frame may hold.
pub fn unpack(batch: Batch) -> Result<Commits, DecodeError> {
    match batch {
        Batch::Plain(commits) => Ok(commits),
        Batch::Zstd { plain_bytes, bytes } => {
            let plain_bytes = usize::try_from(plain_bytes).unwrap_or(usize::MAX);
            if plain_bytes > limits::FRAME_BYTES_MAX {
                return Err(DecodeError::new(
                    "a batch",
                    format!("it announces {plain_bytes} bytes, over the limit"),
                ));
            }
            let plain: Bytes = zstd::bulk::decompress(&bytes, plain_bytes)
                .map_err(|error| DecodeError::new("a batch", error.to_string()))?
                .into();
            codec::decode("a batch", &plain)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::PartitionId;

    fn commits(bytes: usize) -> Commits {
        Commits {
            parts: vec![(PartitionId(3), vec![Bytes::from(vec![7; bytes]), Bytes::new()])],
        }
    }

    #[test]
    fn batches_round_trip_compressed_and_plain() {
        for bytes in [0, 10, 100_000] {
            assert_eq!(unpack(pack(commits(bytes), 1)), Ok(commits(bytes)));
        }
        assert!(matches!(pack(commits(100_000), 1), Batch::Zstd { .. }));
    }

    #[test]
    fn a_bomb_is_refused() {
        let Batch::Zstd { bytes, .. } = pack(commits(1_000_000), 1) else {
            panic!("it compresses")
        };
        let too_small = Batch::Zstd {
            plain_bytes: 1000,
            bytes: bytes.clone(),
        };
        assert!(unpack(too_small).is_err());
        assert!(
            unpack(Batch::Zstd {
                plain_bytes: u32::MAX,
                bytes
            })
            .is_err()
        );
    }
}
