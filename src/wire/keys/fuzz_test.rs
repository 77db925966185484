//! Bytes that no key encoder wrote, for every key decoder: each decodes to what encodes so again, or is refused, and
//! none panics.

use proptest::prelude::*;

use super::digest::DigestKey;
use super::idempotency::{OutcomeKey, OutcomeTimeKey};
use super::ledger::LedgerKey;
use super::log::{LogKey, LogSeqKey};
use super::meta;
use super::raft::RaftEntryKey;
use super::staging::ChunkKey;

/// Half of them random; half start as a row or listing key does, so that decoders get past their first checks.
pub(super) fn key_like() -> impl Strategy<Value = Vec<u8>> {
    let noise = || prop::collection::vec(any::<u8>(), 0..40);
    let text = prop_oneof![Just(b"m".to_vec()), Just(Vec::new()), noise()];
    let front = prop_oneof![
        Just(b"\x01\x02\x04shop\x03\x00\x01k".to_vec()),
        Just(b"\x01\x02\x04shop\x01\x00\x01k".to_vec()),
        Just(b"\x01\x02\x07_system\x01\x00\x01k".to_vec()),
        Just(b"\x01\x02\x04shop\x03\x00\x00".to_vec()),
        Just(b"\x04shop\x02k".to_vec()),
        Just(b"\x07_system\x01".to_vec()),
        Just(b"\x01\x02\x02eu".to_vec()),
        Just(b"\x01\x02\x01\x04shop".to_vec()),
        Just(b"\x01\x02\x02\x00\x00\x00\x00\x00\x00\x01\x02\x04shop".to_vec()),
        Just(b"\x01\x02\x04\x00\x00\x00\x00\x00\x00\x01\x02".to_vec()),
        Just(b"\x01\x02\x02\x00\x00\x03\x04".to_vec()),
        Just(vec![meta::DIGEST_TAG]),
    ];
    prop_oneof![
        noise(),
        (front, text).prop_map(|(front, text)| [front, text].concat()),
    ]
}

proptest! {
    #[test]
    fn any_bytes_decode_to_what_encodes_so_or_are_refused(bytes in key_like()) {
        if let Ok(key) = DigestKey::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes.clone());
        }
        if let Ok(key) = LedgerKey::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes.clone());
        }
        if let Ok(key) = OutcomeKey::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes.clone());
        }
        if let Ok(key) = OutcomeTimeKey::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes.clone());
        }
        if let Ok(key) = LogKey::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes.clone());
        }
        if let Ok(key) = LogSeqKey::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes.clone());
        }
        if let Ok(key) = RaftEntryKey::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes.clone());
        }
        if let Ok(key) = ChunkKey::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes.clone());
        }
        if let Ok(region) = meta::decode_paused_link(&bytes) {
            prop_assert_eq!(meta::paused_link(&region), bytes);
        }
    }

    #[test]
    fn every_key_round_trips(partition in any::<u16>(), number in any::<u64>(), micros in any::<u64>()) {
        let partition = crate::model::ids::PartitionId(partition);
        let ledger = LedgerKey {
            lost_at: crate::model::hlc::WallTime::from_micros(micros),
            partition,
            number,
        };
        prop_assert_eq!(LedgerKey::decode(&ledger.encode()), Ok(ledger));
        let log = LogKey { partition, index: crate::model::ids::LogIndex(number) };
        prop_assert_eq!(LogKey::decode(&log.encode()), Ok(log));
        let raft = RaftEntryKey { partition, index: crate::model::raft::RaftIndex(number) };
        prop_assert_eq!(RaftEntryKey::decode(&raft.encode()), Ok(raft));
    }
}
