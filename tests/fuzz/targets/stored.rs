//! Values under the storage keys. Commits also come from peers.

use std::convert::Infallible;
use std::fmt::Debug;

use atoll::fuzzing;
use atoll::model::change::Commit;
use atoll::model::hlc::WallTime;
use atoll::model::partition::standing;
use atoll::model::record::{RecordId, RecordType, RowId};
use atoll::model::replication::inbox::Inbox;
use atoll::model::rows::Row;
use atoll::model::tick::Tick;
use atoll::model::vector::VersionVector;
use atoll::model::workspace::{RowSource, Summary, Workspace, register_summary};
use atoll::wire::codec::DecodeError;
use atoll::wire::snapshot::{self, Record, RecordReader};
use atoll::wire::{entry, founding, idempotency, namespace, values};

use bytes::BytesMut;

use super::Verdict;

/// What decodes encodes to bytes that decode to the same.
fn round_trip<T: PartialEq + Debug>(
    input: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<T> {
    let value = decode(input).ok()?;
    assert_eq!(decode(&encode(&value)).as_ref(), Ok(&value));
    Some(value)
}

/// A commit: its header agrees with it, and a receiver can use all of it, whatever it claims.
pub(super) fn commit(input: &[u8]) -> Verdict {
    let header = values::peek_commit(input);
    if let Ok(header) = &header {
        assert!(header.last().seq >= header.first_seq);
    }
    let Some(commit) = round_trip(input, values::decode_commit, values::encode_commit) else {
        return Verdict::Refused;
    };
    let header = header.expect("what decodes has a header");
    assert_eq!(
        (header.origin, header.first_seq, header.hlc),
        (commit.origin, commit.first_seq, commit.hlc)
    );
    assert_eq!(
        (&header.deps, header.last().seq),
        (&commit.deps, commit.last_seq())
    );
    use_as_a_receiver(&commit);
    Verdict::Accepted
}

/// A store without rows.
struct Nothing;

impl RowSource for Nothing {
    type Error = Infallible;

    fn row(&self, _: &RowId) -> Result<Option<Row>, Infallible> {
        Ok(None)
    }

    fn summary(&self, _: &RecordId) -> Result<Option<Summary>, Infallible> {
        Ok(None)
    }
}

fn use_as_a_receiver(commit: &Commit) {
    let nothing = VersionVector::new();
    let _ = (
        standing(&nothing, commit),
        commit.size_bytes(),
        commit.last_hlc().wall(),
    );
    let mut inbox = Inbox::default();
    let _ = inbox.offer(&nothing, commit.clone(), commit.origin.region, Tick::default());
    let _ = inbox.missing(&nothing, Tick::from_micros(u64::MAX), 1);
    let _ = inbox.take_next(&nothing);
    let mut workspace = Workspace::new(&Nothing);
    workspace.apply(commit).expect("every change fits its record");
    for (id, exchange) in workspace.into_overlay().rows {
        if let Some(row) = exchange.after {
            let bytes = values::encode_row(&row);
            assert_eq!(values::decode_row(id.record.record_type, &bytes), Ok(row));
        }
    }
}

fn row(record_type: RecordType, input: &[u8]) -> Option<Row> {
    round_trip(
        input,
        |bytes| values::decode_row(record_type, bytes),
        values::encode_row,
    )
}

/// A register's row: also what is shown of it.
pub(super) fn register_row(input: &[u8]) -> Verdict {
    let Some(Row::Register(row)) = row(RecordType::Register, input) else {
        return Verdict::Refused;
    };
    let now = WallTime::from_micros(1_750_000_000_000_000);
    let _ = (
        row.visible(now).count(),
        row.entity_tag(now),
        register_summary(&row),
    );
    Verdict::Accepted
}

/// A counter's row: also its value and tag.
pub(super) fn counter_row(input: &[u8]) -> Verdict {
    let Some(Row::Counter(row)) = row(RecordType::Counter, input) else {
        return Verdict::Refused;
    };
    let _ = (row.value(), row.floors_for_reset(), row.entity_tag());
    Verdict::Accepted
}

/// The row of a set's member: also its tag.
pub(super) fn member_row(input: &[u8]) -> Verdict {
    let Some(Row::Member(row)) = row(RecordType::Set, input) else {
        return Verdict::Refused;
    };
    let _ = row.entity_tag();
    Verdict::Accepted
}

/// The row of a map's field: also what is shown of it.
pub(super) fn field_row(input: &[u8]) -> Verdict {
    let Some(Row::Field(row)) = row(RecordType::Map, input) else {
        return Verdict::Refused;
    };
    let _ = (
        row.shown().map(|version| version.version().to_string()),
        row.entity_tag(),
    );
    Verdict::Accepted
}

/// A summary in the listing index.
pub(super) fn summary(input: &[u8]) -> Verdict {
    Verdict::of(round_trip(input, values::decode_summary, values::encode_summary).is_some())
}

/// The state of a partition.
pub(super) fn partition_state(input: &[u8]) -> Verdict {
    let state = round_trip(
        input,
        values::decode_partition_state,
        values::encode_partition_state,
    );
    if let Some(state) = &state {
        let _ = state.log_entries();
    }
    Verdict::of(state.is_some())
}

/// An entry of the conflict ledger.
pub(super) fn ledger_entry(input: &[u8]) -> Verdict {
    Verdict::of(round_trip(input, values::decode_ledger_entry, values::encode_ledger_entry).is_some())
}

/// What was decided of a write with an idempotency key.
pub(super) fn remembered_outcome(input: &[u8]) -> Verdict {
    let remembered = round_trip(
        input,
        idempotency::decode_remembered,
        idempotency::encode_remembered,
    );
    Verdict::of(remembered.is_some())
}

/// What the nodes of a region agree on.
pub(super) fn entry(input: &[u8]) -> Verdict {
    Verdict::of(round_trip(input, entry::decode_entry, entry::encode_entry).is_some())
}

/// A chunk of a snapshot.
pub(super) fn snapshot_chunk(input: &[u8]) -> Verdict {
    Verdict::of(round_trip(input, snapshot::decode_chunk, snapshot::encode_chunk).is_some())
}

/// The records in the chunks of a snapshot: in pieces they are the same as in one, and encode to the same bytes.
pub(super) fn snapshot_records(input: &[u8]) -> Verdict {
    let Some((records, left)) = records_in(input, input.len().max(1)) else {
        assert!(records_in(input, 3).is_none());
        return Verdict::Refused;
    };
    assert_eq!(records_in(input, 3), Some((records.clone(), left)));
    let mut stream = BytesMut::new();
    for record in &records {
        snapshot::push_record(&mut stream, record.section, &record.key, &record.value);
    }
    assert_eq!(stream, input[..input.len() - left]);
    Verdict::of(left == 0 && !records.is_empty())
}

/// The records, and how many bytes are left over.
fn records_in(input: &[u8], piece: usize) -> Option<(Vec<Record>, usize)> {
    let (mut reader, mut records, mut taken) = (RecordReader::default(), Vec::new(), 0);
    for piece in input.chunks(piece) {
        reader.feed(piece);
        while let Some(record) = reader.next_record().ok()? {
            taken += 9 + record.key.len() + record.value.len();
            records.push(record);
        }
    }
    assert_eq!(reader.is_empty(), taken == input.len());
    Some((records, input.len() - taken))
}

/// A namespace's configuration, which replicates like data.
pub(super) fn namespace_configuration(input: &[u8]) -> Verdict {
    Verdict::of(round_trip(input, namespace::decode, namespace::encode).is_some())
}

/// What a data folder says of the founding of its region.
pub(super) fn founding(input: &[u8]) -> Verdict {
    Verdict::of(round_trip(input, founding::decode_founding, founding::encode_founding).is_some())
}

/// The identity of a data folder.
pub(super) fn identity(input: &[u8]) -> Verdict {
    let Some(identity) = fuzzing::identity(input) else {
        return Verdict::Refused;
    };
    assert_eq!(
        fuzzing::identity(&fuzzing::identity_bytes(&identity)),
        Some(identity)
    );
    Verdict::Accepted
}
