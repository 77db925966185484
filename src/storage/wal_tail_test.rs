//! Logs written here byte by byte as RocksDB would; that the format is RocksDB's is shown in `rocks_test.rs`.

use super::*;

fn physical(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut covered = vec![kind];
    if matches!(kind, 5..=8) {
        covered.extend_from_slice(&7u32.to_le_bytes());
    }
    covered.extend_from_slice(payload);
    let mut record = crc32c::masked_checksum(&covered).to_le_bytes().to_vec();
    record.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_le_bytes());
    record.extend_from_slice(&covered);
    record
}

fn full(payload: &[u8]) -> Vec<u8> {
    physical(1, payload)
}

/// A folder with an old log and a newest one of these bytes.
fn folder_with(bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("000009.log"), b"an older log is not looked at").unwrap();
    std::fs::write(folder.path().join("000010.log"), bytes).unwrap();
    std::fs::write(folder.path().join("LOG"), b"neither is this").unwrap();
    folder
}

fn tail_of(bytes: &[u8]) -> WalTail {
    inspect(folder_with(bytes).path()).unwrap()
}

fn dropped_bytes(bytes: &[u8]) -> u64 {
    match tail_of(bytes) {
        WalTail::Truncated(tail) => {
            assert!(tail.file.ends_with("000010.log"));
            tail.bytes
        }
        other => panic!("expected a truncated tail, found {other:?}"),
    }
}

#[test]
fn a_folder_without_logs_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(inspect(folder.path()).unwrap(), WalTail::Whole);
    assert_eq!(inspect(&folder.path().join("absent")).unwrap(), WalTail::Whole);
}

#[test]
fn whole_records_of_all_types_are_whole() {
    let mut bytes = full(b"one");
    bytes.extend(physical(5, b"recyclable"));
    bytes.extend(physical(9, b"note"));
    bytes.extend(physical(200, b"ignorable"));
    bytes.extend(
        [
            physical(2, b"first"),
            physical(3, b"middle"),
            physical(4, b"last"),
        ]
        .concat(),
    );
    assert_eq!(tail_of(&bytes), WalTail::Whole);
    assert_eq!(tail_of(b""), WalTail::Whole);
}

#[test]
fn preallocated_zeros_behind_whole_records_are_whole() {
    let mut bytes = full(b"one");
    bytes.resize(3 * BLOCK_SIZE + 17, 0);
    assert_eq!(tail_of(&bytes), WalTail::Whole);
    bytes.truncate(full(b"one").len() + 3);
    assert_eq!(tail_of(&bytes), WalTail::Whole);
}

#[test]
fn every_cut_of_the_last_record_is_reported_with_its_bytes() {
    let first = full(b"acknowledged");
    let both = [first.clone(), full(b"torn")].concat();
    for cut in first.len() + 1..both.len() {
        assert_eq!(
            dropped_bytes(&both[..cut]),
            (cut - first.len()) as u64,
            "cut at {cut}"
        );
    }
    assert_eq!(tail_of(&both[..first.len()]), WalTail::Whole);
}

#[test]
fn a_record_over_blocks_that_lacks_its_end_is_dropped_from_its_beginning() {
    let mut bytes = full(b"acknowledged");
    let whole = bytes.len();
    let room = BLOCK_SIZE - bytes.len() - HEADER_SIZE;
    bytes.extend(physical(2, &vec![7; room]));
    assert_eq!(bytes.len(), BLOCK_SIZE);
    assert_eq!(dropped_bytes(&bytes), (BLOCK_SIZE - whole) as u64);
    bytes.extend(physical(3, b"middle"));
    assert_eq!(dropped_bytes(&bytes), (bytes.len() - whole) as u64);
    bytes.extend(physical(4, b"last"));
    assert_eq!(tail_of(&bytes), WalTail::Whole);
}

#[test]
fn a_trailer_at_the_end_of_a_block_is_skipped() {
    let mut bytes = full(&vec![7; BLOCK_SIZE - HEADER_SIZE - 5]);
    bytes.extend([0; 5]);
    bytes.extend(full(b"next block"));
    assert_eq!(tail_of(&bytes), WalTail::Whole);
    assert_eq!(
        dropped_bytes(&bytes[..bytes.len() - 1]),
        full(b"next block").len() as u64 - 1
    );
}

#[test]
fn a_damaged_length_with_intact_records_behind_it_is_damage_and_not_a_torn_write() {
    let mut bytes = [full(b"one"), full(b"two"), full(b"three")].concat();
    let second = full(b"one").len();
    bytes[second + 5] = 0x70; // the high byte of the length: the record now seems to reach past the end
    match tail_of(&bytes) {
        WalTail::Damaged(damage) => assert_eq!(damage.offset, second as u64),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_zeroed_page_between_records_is_damage() {
    let mut bytes = full(&[7; 5000]);
    let hole = bytes.len();
    bytes.resize(hole + 4096, 0);
    bytes.extend(full(b"acknowledged later"));
    match tail_of(&bytes) {
        WalTail::Damaged(damage) => assert_eq!(damage.offset, hole as u64),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_torn_record_that_holds_the_bytes_of_another_log_is_still_a_torn_write() {
    let payload = [full(b"a copy of a log"), full(b"as a value"), vec![1; 100]].concat();
    let torn = full(&payload);
    let bytes = [full(b"acknowledged"), torn[..torn.len() - 10].to_vec()].concat();
    assert_eq!(dropped_bytes(&bytes), torn.len() as u64 - 10);
}

#[test]
fn a_flipped_byte_is_found_with_its_file_and_record() {
    let mut bytes = [full(b"one"), full(b"two"), full(b"three")].concat();
    let second = full(b"one").len();
    bytes[second + HEADER_SIZE] ^= 1;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("000003.log"), full(b"fine")).unwrap();
    std::fs::write(folder.path().join("000012.log"), &bytes).unwrap();
    let damage = find_damage(folder.path()).unwrap();
    assert!(damage.file.ends_with("000012.log"));
    assert_eq!(damage.offset, second as u64);
}
