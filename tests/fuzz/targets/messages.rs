//! What peers send: frames between regions and inside one, and the batches and writes in them.

use atoll::actors::link::batch;
use atoll::model::limits;
use atoll::model::request::Precondition;
use atoll::model::vector::VersionVector;
use atoll::wire::mesh::MeshMessage;
use atoll::wire::messages::{Batch, Message, PartitionVector};
use atoll::wire::region_calls;

use super::Verdict;
use crate::judge::input_expands_to;

/// A frame: what decodes round-trips, and a batch in it is unpacked within bounds.
pub(super) fn message(input: &[u8]) -> Verdict {
    let Ok(message) = Message::decode(input) else {
        return Verdict::Refused;
    };
    assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(&message));
    assert!(!message.name().is_empty());
    match message {
        Message::Batch(batch) | Message::Fetched(batch) => {
            unpack(batch);
        }
        Message::Welcome { vectors, .. }
        | Message::Heartbeat { vectors, .. }
        | Message::Vectors { vectors, .. }
        | Message::Acknowledge { vectors } => use_as_a_receiver(&vectors),
        _ => {}
    }
    Verdict::Accepted
}

/// A frame between nodes of one region: what decodes round-trips.
pub(super) fn mesh_message(input: &[u8]) -> Verdict {
    let Ok(message) = MeshMessage::decode(input) else {
        return Verdict::Refused;
    };
    assert_eq!(MeshMessage::decode(&message.encode()).as_ref(), Ok(&message));
    assert!(!message.name().is_empty());
    assert!(Message::decode(input).is_err(), "it is no frame of a link");
    Verdict::Accepted
}

/// Writes that a node passes on: what decodes round-trips, is within the limits of a request, and can be asked of a partition.
pub(super) fn submission(input: &[u8]) -> Verdict {
    let Ok(submission) = region_calls::decode_submission(input) else {
        return Verdict::Refused;
    };
    let encoded = region_calls::encode_submission(&submission);
    assert_eq!(
        region_calls::decode_submission(&encoded).as_ref(),
        Ok(&submission)
    );
    assert!((1..=limits::OPERATIONS_PER_REQUEST_MAX).contains(&submission.writes.len()));
    assert!(submission.size_bytes() <= limits::COMMIT_BYTES_MAX);
    for write in &submission.writes {
        assert!(write.row().is_some() || write.precondition == Precondition::None);
    }
    Verdict::Accepted
}

/// What became of writes that were passed on. The first byte says how many there were.
pub(super) fn verdict(input: &[u8]) -> Verdict {
    let Some((writes, bytes)) = input.split_first() else {
        return Verdict::Refused;
    };
    let writes = usize::from(*writes);
    let Ok(verdict) = region_calls::decode_verdict(bytes, writes) else {
        return Verdict::Refused;
    };
    let encoded = region_calls::encode_verdict(&verdict);
    assert_eq!(
        region_calls::decode_verdict(&encoded, writes).as_ref(),
        Ok(&verdict)
    );
    Verdict::Accepted
}

/// What a region does with the vectors of a peer, whatever they claim.
fn use_as_a_receiver(vectors: &[PartitionVector]) {
    let mut merged = VersionVector::new();
    let mut common = vectors
        .first()
        .map(|(_, vector)| vector.clone())
        .unwrap_or_default();
    for (_, vector) in vectors {
        merged.merge(vector);
        common.intersect(vector);
        assert!(merged.covers_all(vector) && vector.covers_all(&common));
        let _ = (merged.changes_beyond(vector), vector.changes_beyond(&merged));
    }
}

/// The compressed part of a batch alone: four bytes of announced length, then what was compressed. Mutating a frame
/// around it would mostly break the frame.
pub(super) fn batch(input: &[u8]) -> Verdict {
    let Some((announced, compressed)) = input.split_first_chunk::<4>() else {
        return Verdict::Refused;
    };
    Verdict::of(unpack(Batch::Zstd {
        plain_bytes: u32::from_le_bytes(*announced),
        bytes: bytes::Bytes::copy_from_slice(compressed),
    }))
}

/// Unpacks a batch; what comes out round-trips and is not larger than announced.
fn unpack(batch: Batch) -> bool {
    let announced_bytes = match &batch {
        Batch::Plain(_) => 0,
        Batch::Zstd { plain_bytes, bytes } => {
            let announced = usize::try_from(*plain_bytes).unwrap();
            if announced <= limits::FRAME_BYTES_MAX {
                // What the announced bytes decode to counts as input, since they may be good ones.
                let plain = zstd::bulk::decompress(bytes, announced).map_or(0, |plain| plain.len());
                input_expands_to(plain + announced / super::CODEC.bytes_per_byte);
            }
            announced
        }
    };
    let is_compressed = matches!(batch, Batch::Zstd { .. });
    let Ok(commits) = batch::unpack(batch) else {
        return false;
    };
    let bytes: usize = commits
        .parts
        .iter()
        .flat_map(|(_, commits)| commits)
        .map(bytes::Bytes::len)
        .sum();
    assert!(!is_compressed || bytes <= announced_bytes);
    assert_eq!(batch::unpack(batch::pack(commits.clone(), 1)), Ok(commits));
    true
}
