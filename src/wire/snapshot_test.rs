//! Golden bytes, what is refused, and records in pieces.

use proptest::prelude::*;

use super::*;
use crate::wire::samples_test::hex;

const PARTITION: PartitionId = PartitionId(258);
const SNAPSHOT: SnapshotId = SnapshotId(772);

fn chunk(number: u32, content: ChunkContent, before: &Chain) -> Chunk {
    let chain = before.after(number, &content);
    Chunk {
        snapshot: SNAPSHOT,
        partition: PARTITION,
        number,
        content,
        chain,
    }
}

fn records(bytes: &'static [u8]) -> ChunkContent {
    ChunkContent::Records(Bytes::from_static(bytes))
}

#[test]
fn golden_bytes() {
    let start = Chain::start(PARTITION, SNAPSHOT);
    let first = chunk(0, records(b"piece"), &start);
    let last = chunk(
        1,
        ChunkContent::End(SnapshotEnd::new(3, DigestSum(7))),
        &first.chain,
    );
    for (chunk, golden) in [(&first, FIRST), (&last, LAST)] {
        let bytes = encode_chunk(chunk);
        assert_eq!(hex(&bytes), golden, "the bytes have changed");
        assert_eq!(decode_chunk(&bytes).as_ref(), Ok(chunk));
    }
    let progress = StoredProgress {
        snapshot: SNAPSHOT,
        is_installing: true,
    };
    assert_eq!(hex(&encode_progress(&progress)), "01fb040301");
    assert_eq!(decode_progress(&encode_progress(&progress)), Ok(progress));
    let mut stream = BytesMut::new();
    push_record(&mut stream, Section::Row, b"key", b"value");
    assert_eq!(hex(&stream), "0800000003000000056b657976616c7565");
}

const FIRST: &str =
    "01fb0403fb02010000057069656365103ca0037210387ab9967e49390438361e4464491adb8486da663d7254d00bb2";
const LAST: &str = "01fb0403fb020101010307ee4360d56e913ab6d28487b9ff51ca323141a53e94c4f9ab695e6728be4873c6";

#[test]
fn the_numbers_of_sections_never_change() {
    let tags = Section::ALL.map(|section| section as u8);
    assert_eq!(tags, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn every_part_of_a_chunk_is_in_the_chain() {
    let start = Chain::start(PARTITION, SNAPSHOT);
    let end = |records, root| ChunkContent::End(SnapshotEnd::new(records, DigestSum(root)));
    let other_start = start.after(0, &records(b"x"));
    let chains = [
        start,
        Chain::start(PartitionId(1), SNAPSHOT),
        Chain::start(PARTITION, SnapshotId(1)),
        start.after(0, &records(b"a")),
        start.after(1, &records(b"a")),
        start.after(0, &records(b"b")),
        other_start.after(0, &records(b"a")),
        start.after(0, &end(1, 2)),
        start.after(0, &end(2, 2)),
        start.after(0, &end(1, 3)),
    ];
    for (position, one) in chains.iter().enumerate() {
        assert!(!chains[..position].contains(one), "{position}");
    }
}

#[test]
fn chunks_that_are_damaged_empty_or_too_large_are_refused() {
    let start = Chain::start(PARTITION, SNAPSHOT);
    let bytes = encode_chunk(&chunk(0, records(b"piece"), &start));
    for cut in 0..bytes.len() {
        assert!(decode_chunk(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(decode_chunk(&[bytes.as_slice(), &[0]].concat()).is_err());
    assert!(decode_chunk(&encode_chunk(&chunk(0, records(b""), &start))).is_err());
    assert!(decode_chunk(&encode_chunk(&chunk(u32::MAX, records(b"x"), &start))).is_err());
    let of_size = |size| encode_chunk(&chunk(0, ChunkContent::Records(vec![0; size].into()), &start));
    assert!(decode_chunk(&of_size(limits::SNAPSHOT_CHUNK_BYTES)).is_ok());
    assert!(decode_chunk(&of_size(limits::SNAPSHOT_CHUNK_BYTES + 1)).is_err());
}

#[test]
fn a_full_chunk_fits_into_a_request_between_nodes() {
    let content = ChunkContent::Records(vec![0; limits::SNAPSHOT_CHUNK_BYTES].into());
    let bytes = encode_chunk(&chunk(u32::MAX, content, &Chain::start(PARTITION, SNAPSHOT)));
    assert!(bytes.len() <= limits::MESH_BODY_BYTES_MAX);
}

#[test]
fn records_of_unknown_kind_or_beyond_the_limits_are_refused_before_they_have_come() {
    let front = |tag: u8, key: usize, value: usize| {
        let mut reader = RecordReader::default();
        reader.feed(&[tag]);
        for length in [key, value] {
            reader.feed(&u32::try_from(length).unwrap().to_be_bytes());
        }
        reader.next_record()
    };
    let (key, value) = (limits::SNAPSHOT_KEY_BYTES_MAX, limits::SNAPSHOT_VALUE_BYTES_MAX);
    assert_eq!(front(9, key, value), Ok(None));
    for (tag, key, value) in [(0, 1, 1), (10, 1, 1), (9, key + 1, 1), (9, 1, value + 1)] {
        assert!(front(tag, key, value).is_err(), "{tag} {key} {value}");
    }
}

proptest! {
    #[test]
    fn records_come_out_as_they_went_in_however_the_stream_is_cut(
        all in prop::collection::vec(
            (0..9_usize, prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..20)),
            0..20,
        ),
        piece in 1..50_usize,
    ) {
        let mut stream = BytesMut::new();
        let all: Vec<_> = all
            .into_iter()
            .map(|(section, key, value)| Record {
                section: Section::ALL[section],
                key: key.into(),
                value: value.into(),
            })
            .collect();
        for record in &all {
            push_record(&mut stream, record.section, &record.key, &record.value);
        }
        let (mut reader, mut found) = (RecordReader::default(), Vec::new());
        for piece in stream.chunks(piece) {
            reader.feed(piece);
            while let Some(record) = reader.next_record().unwrap() {
                found.push(record);
            }
        }
        prop_assert!(reader.is_empty());
        prop_assert_eq!(found, all);
    }
}
