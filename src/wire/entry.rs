//! What the nodes of a region agree on, as they store and send it. Starts with a format number of its own.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::entry::{AgedOutcome, DecidedOutcome, Entry};
use crate::model::hlc::WallTime;
use crate::model::idempotency::{IdempotencyKey, IdempotencyScope};
use crate::model::ids::{LogIndex, Namespace};
use crate::model::replication::retention::Cut;
use crate::model::vector::VersionVector;
use crate::wire::codec::{self, DecodeError};
use crate::wire::{idempotency, values};

const ENTRY_FORMAT: u8 = 1;
const WHAT: &str = "an entry";

#[derive(Serialize, Deserialize)]
struct StoredScope {
    namespace: Namespace,
    key: String,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    at: WallTime,
    /// As they will stand in the partition log.
    commits: Vec<Bytes>,
    /// Outcomes as they will be stored.
    decided: Vec<(StoredScope, Option<Bytes>)>,
    /// First index that stays, bytes that go, the last change of each replica that goes.
    cut: Option<(LogIndex, u64, VersionVector)>,
    aged: Vec<(WallTime, StoredScope)>,
}

/// The bytes of an entry.
#[must_use]
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    let commits = entry.commits.iter();
    let decided = entry.decided.iter().map(|(scope, remembered)| {
        let remembered = remembered.as_ref().map(idempotency::encode_remembered);
        (stored(scope), remembered.map(Bytes::from))
    });
    let cut = entry.cut.clone();
    let stored = StoredEntry {
        at: entry.at,
        commits: commits
            .map(|commit| values::encode_commit(commit).into())
            .collect(),
        decided: decided.collect(),
        cut: cut.map(|cut| (cut.first_index, cut.size_bytes, cut.forgotten)),
        aged: entry
            .aged
            .iter()
            .map(|(at, scope)| (*at, stored(scope)))
            .collect(),
    };
    codec::encode_versioned(ENTRY_FORMAT, &stored)
}

/// Reads what [`encode_entry`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, DecodeError> {
    let stored: StoredEntry = codec::decode_versioned(WHAT, ENTRY_FORMAT, bytes)?;
    let commits = stored.commits.iter().map(|bytes| values::decode_commit(bytes));
    let decided = stored.decided.into_iter().map(|(scope, bytes)| {
        let remembered = bytes.map(|bytes| idempotency::decode_remembered(&bytes));
        Ok((scope_of(scope)?, remembered.transpose()?))
    });
    let aged = stored.aged.into_iter();
    Ok(Entry {
        at: stored.at,
        commits: commits.collect::<Result<_, _>>()?,
        decided: decided.collect::<Result<Vec<DecidedOutcome>, DecodeError>>()?,
        cut: stored.cut.map(|(first_index, size_bytes, forgotten)| Cut {
            first_index,
            size_bytes,
            forgotten,
        }),
        aged: aged
            .map(|(at, scope)| Ok((at, scope_of(scope)?)))
            .collect::<Result<Vec<AgedOutcome>, DecodeError>>()?,
    })
}

fn stored(scope: &IdempotencyScope) -> StoredScope {
    StoredScope {
        namespace: scope.namespace.clone(),
        key: scope.key.as_str().to_owned(),
    }
}

fn scope_of(stored: StoredScope) -> Result<IdempotencyScope, DecodeError> {
    let key = IdempotencyKey::new(&stored.key).map_err(|error| DecodeError::new(WHAT, error.to_string()))?;
    Ok(IdempotencyScope {
        namespace: stored.namespace,
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::idempotency::{Fingerprint, Remembered};
    use crate::wire::samples_test::{commit, hex, vector};

    fn scope(key: &str) -> IdempotencyScope {
        IdempotencyScope {
            namespace: "shop".parse().unwrap(),
            key: IdempotencyKey::new(key).unwrap(),
        }
    }

    fn sample() -> Entry {
        let remembered = Remembered {
            fingerprint: Fingerprint([7; 32]),
            at: WallTime::from_micros(300),
            outcome: Ok(Vec::new()),
        };
        Entry {
            at: WallTime::from_micros(300),
            commits: vec![commit()],
            decided: vec![(scope("old"), None), (scope("new"), Some(remembered))],
            cut: Some(Cut {
                first_index: LogIndex(5),
                size_bytes: 70_000,
                forgotten: vector(&[("us", 3), ("eu", 9)]),
            }),
            aged: vec![(WallTime::from_micros(7), scope("aged"))],
        }
    }

    #[test]
    fn golden_bytes_of_an_entry() {
        let mut entry = sample();
        assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry.clone()));
        // The bytes of a commit are pinned with the log.
        entry.commits.clear();
        let bytes = encode_entry(&entry);
        assert_eq!(hex(&bytes), GOLDEN, "the persisted bytes have changed");
        assert_eq!(decode_entry(&bytes), Ok(entry));
    }

    const GOLDEN: &str = concat!(
        "01fb2c0100020473686f70036f6c64000473686f70036e657701260107070707070707070707070707070707070707",
        "07070707070707070707070707fb2c0100000105fc70110100020265750109027573010301070473686f700461676564",
    );

    #[test]
    fn damaged_entries_are_refused() {
        let bytes = encode_entry(&sample());
        for cut in 0..bytes.len() {
            assert!(decode_entry(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut entry = sample();
        entry.commits[0].changes.clear();
        assert!(
            decode_entry(&encode_entry(&entry)).is_err(),
            "a commit without changes"
        );
    }
}
