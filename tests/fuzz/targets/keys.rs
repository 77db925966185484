//! Storage keys: one target for all families, since what a decoder must do with the key of another is refuse it.

use std::fmt::Debug;

use atoll::wire::codec::DecodeError;
use atoll::wire::keys::digest::{self, DigestKey};
use atoll::wire::keys::idempotency::{OutcomeKey, OutcomeTimeKey};
use atoll::wire::keys::ledger::LedgerKey;
use atoll::wire::keys::log::{self, LogKey, LogSeqKey};
use atoll::wire::keys::names::NameKey;
use atoll::wire::keys::raft::RaftEntryKey;
use atoll::wire::keys::row::RowKey;
use atoll::wire::keys::staging::ChunkKey;
use atoll::wire::keys::{end_of_prefix, meta};

use super::Verdict;

/// Any key: each decoder refuses it or decodes it to what encodes to exactly these bytes, since a key is its bytes.
pub(super) fn key(input: &[u8]) -> Verdict {
    let end = end_of_prefix(input);
    assert!(end.is_empty() || end.as_slice() > input);
    let accepted = [
        same(input, RowKey::decode(input), |key| {
            RowKey::encode(key.partition, &key.row)
        }),
        same(input, NameKey::decode(input), |key| NameKey::encode(&key.0)),
        same(input, LogKey::decode(input), |key| key.encode()),
        same(input, LogSeqKey::decode(input), |key| key.encode()),
        same(input, LedgerKey::decode(input), |key| key.encode()),
        same(input, OutcomeKey::decode(input), |key| key.encode()),
        same(input, OutcomeTimeKey::decode(input), |key| key.encode()),
        same(input, DigestKey::decode(input), |key| key.encode()),
        same(input, RaftEntryKey::decode(input), |key| key.encode()),
        same(input, ChunkKey::decode(input), |key| key.encode()),
        same(input, meta::decode_paused_link(input), meta::paused_link),
        same(input, digest::decode_sum(input), |sum| {
            digest::encode_sum(*sum).to_vec()
        }),
        same(input, log::decode_log_index(input), |index| {
            log::encode_log_index(*index).to_vec()
        }),
    ];
    Verdict::of(accepted.contains(&true))
}

fn same<T: Debug>(input: &[u8], decoded: Result<T, DecodeError>, encode: impl Fn(&T) -> Vec<u8>) -> bool {
    let Ok(key) = decoded else { return false };
    assert_eq!(encode(&key), input, "{key:?}");
    true
}
