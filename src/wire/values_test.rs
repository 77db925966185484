//! Golden bytes of everything persisted under keys, round trips, and bytes that nobody should have written.

use proptest::prelude::*;

use super::*;
use crate::model::change::{ConflictPolicy, Content, Delta, Replaces};
use crate::model::hlc::Hlc;
use crate::model::ids::{LogIndex, PartitionId, SubKey};
use crate::model::tick::Tick;
use crate::model::vector::VersionVector;
use crate::wire::samples_test::{
    any_commit, any_content, any_delta, any_policy, any_replica, any_vector, commit, damaged, deltas, hex,
    record, replica, row_of, vector,
};

fn pinned(what: &str, bytes: &[u8], golden: &str) {
    assert_eq!(hex(bytes), golden, "the persisted bytes of {what} have changed");
}

#[test]
fn golden_bytes_of_rows() {
    let all = deltas();
    for (what, deltas, golden) in [
        (
            "a register with a version",
            &all[..1],
            "010102723101fbfb00fd000000000100000000010a746578742f706c61696e02686901fb2c01",
        ),
        (
            "a register with siblings",
            &[all[1].clone(), all[1].clone()],
            "010202723101fbfb00fd0000000001000000020002723201fbfc00fd00000000020000000200",
        ),
        (
            "a counter",
            &all[2..4],
            "010102723101fc7011010001027231010301026575020500",
        ),
        (
            "a member",
            &[all[4].clone(), all[4].clone()],
            "010202723101fbfb0002723201fbfc00",
        ),
        (
            "a field",
            &all[6..7],
            "010102723101fbfb00fd0000000001000000035b315d",
        ),
    ] {
        let (id, row) = row_of(deltas);
        let bytes = encode_row(&row);
        pinned(what, &bytes, golden);
        assert_eq!(decode_row(id.record.record_type, &bytes), Ok(row));
    }
}

fn summaries() -> [Summary; 3] {
    let version = Version {
        hlc: Hlc(5 << 32),
        region: replica("eu", 1).region,
    };
    [
        Summary::Register {
            size_bytes: 300,
            content_type: "text/plain".to_owned(),
            version,
            expires_at: Some(WallTime::from_micros(7)),
        },
        Summary::Counter,
        Summary::Parts { count: 70_000 },
    ]
}

#[test]
fn golden_bytes_of_summaries() {
    for (summary, golden) in summaries().into_iter().zip([
        "0100fb2c010a746578742f706c61696efd00000000050000000265750107",
        "0101",
        "0102fc70110100",
    ]) {
        let bytes = encode_summary(&summary);
        pinned("a summary", &bytes, golden);
        assert_eq!(decode_summary(&bytes), Ok(summary));
    }
}

#[test]
fn golden_bytes_of_a_commit_with_every_delta() {
    let bytes = encode_commit(&commit());
    pinned(
        "a commit",
        &bytes,
        "0102757301fb2c01fd0807060504030201010265750107080473686f7000016b000000010a746578742f706c61696e02686901fb2c010473686f7000016b000201010265750209000473686f7001016b01fc70110100030473686f7001016b02010265750205000473686f7002016b03016d0473686f7002016b04016d0473686f7003016b05016d035b315d0473686f7003016b06016d",
    );
    assert_eq!(decode_commit(&bytes), Ok(commit()));
}

fn partition_state() -> PartitionState {
    PartitionState {
        partition: PartitionId(300),
        applied_index: LogIndex(9),
        first_index: LogIndex(3),
        vector: vector(&[("eu", 7), ("us", 70_000)]),
        last_hlc: Hlc(6 << 32),
        stamps: [("eu".parse().unwrap(), Hlc(5))].into(),
        log_bytes: 1000,
        losers_written: 2,
    }
}

#[test]
fn golden_bytes_of_a_partition_state() {
    let bytes = encode_partition_state(&partition_state());
    pinned(
        "a partition state",
        &bytes,
        "02fb2c01090302026575010702757301fc70110100fd00000000060000000102657505fbe80302",
    );
    assert_eq!(decode_partition_state(&bytes), Ok(partition_state()));
}

#[test]
fn a_partition_state_of_format_1_is_read_without_stamps() {
    let text = "01fb2c01090302026575010702757301fc70110100fd0000000006000000fbe80302";
    let digits = text.as_bytes().chunks(2);
    let bytes: Vec<u8> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let state = PartitionState {
        stamps: [].into(),
        ..partition_state()
    };
    assert_eq!(decode_partition_state(&bytes), Ok(state));
}

#[test]
fn a_partition_state_that_cannot_be_is_refused() {
    // Found by the fuzzer: the entries of such a log were counted below zero.
    let decoded = |applied, first| {
        let (applied_index, first_index) = (LogIndex(applied), LogIndex(first));
        let state = PartitionState {
            applied_index,
            first_index,
            ..partition_state()
        };
        decode_partition_state(&encode_partition_state(&state))
    };
    assert_eq!(decoded(9, 10).unwrap().log_entries(), 0);
    for (applied, first) in [(9, 11), (9, 0), (u64::MAX, 3)] {
        assert!(decoded(applied, first).is_err(), "{first} to {applied}");
    }
    let mut state = partition_state();
    state.vector = vector(&[("eu", u64::MAX)]);
    assert!(decode_partition_state(&encode_partition_state(&state)).is_err());
}

fn ledger_entry(reason: LossReason) -> LedgerEntry {
    let version = |hlc, region| Version {
        hlc: Hlc(hlc),
        region: replica(region, 1).region,
    };
    LedgerEntry {
        record: record(RecordType::Map),
        field: Some(SubKey::new("m").unwrap()),
        winner: version(2, "eu"),
        loser: version(1, "us"),
        value: Some(Bytes::from_static(b"[1]")),
        reason,
    }
}

#[test]
fn golden_bytes_of_ledger_entries() {
    let reasons = [
        LossReason::ConcurrentWrite,
        LossReason::ConcurrentDelete,
        LossReason::DeleteOverruled,
        LossReason::ConcurrentField,
        LossReason::Overruled,
    ];
    for (reason, number) in reasons.into_iter().zip(0..) {
        let bytes = encode_ledger_entry(&ledger_entry(reason));
        let golden = format!("010473686f7003016b01016d020265750102757301035b315d{number:02x}");
        pinned("a ledger entry", &bytes, &golden);
        assert_eq!(decode_ledger_entry(&bytes), Ok(ledger_entry(reason)));
    }
}

#[test]
fn an_unknown_format_number_is_refused_everywhere() {
    let other = |mut bytes: Vec<u8>| {
        bytes[0] += 1;
        bytes
    };
    for record_type in RecordType::ALL {
        let delta = deltas()
            .into_iter()
            .find(|delta| delta.record_type() == record_type)
            .unwrap();
        let bytes = other(encode_row(&row_of(&[delta]).1));
        assert!(
            decode_row(record_type, &bytes)
                .unwrap_err()
                .detail
                .contains("format 2")
        );
    }
    assert!(decode_summary(&other(encode_summary(&Summary::Counter))).is_err());
    assert!(decode_commit(&other(encode_commit(&commit()))).is_err());
    assert!(peek_commit(&other(encode_commit(&commit()))).is_err());
    assert!(decode_partition_state(&other(encode_partition_state(&partition_state()))).is_err());
    let entry = ledger_entry(LossReason::ConcurrentField);
    assert!(decode_ledger_entry(&other(encode_ledger_entry(&entry))).is_err());
}

#[test]
fn commits_that_break_the_protocol_are_refused() {
    let refused = |change: fn(&mut Commit)| {
        let mut commit = commit();
        change(&mut commit);
        decode_commit(&encode_commit(&commit)).unwrap_err().detail
    };
    assert!(refused(|c| c.changes.clear()).contains("no changes"));
    assert!(refused(|c| c.first_seq = 0).contains("seqs"));
    assert!(refused(|c| c.first_seq = u64::MAX).contains("seqs"));
    assert!(refused(|c| c.first_seq = u64::MAX - 7).contains("seqs"));
    assert!(refused(|c| c.hlc = Hlc(u64::MAX - 7)).contains("stamps"));
    assert!(refused(|c| c.deps = vector(&[("us", 1)])).contains("its own origin"));
    for position in 0..deltas().len() {
        let mut commit = commit();
        let record_type = commit.changes[position].record.record_type;
        for other in RecordType::ALL.into_iter().filter(|other| *other != record_type) {
            commit.changes[position].record.record_type = other;
            let error = decode_commit(&encode_commit(&commit)).unwrap_err();
            assert!(error.detail.contains("does not fit"), "{error}");
        }
    }
    for change in [
        |c: &mut Commit| c.changes.clear(),
        |c: &mut Commit| c.first_seq = u64::MAX,
    ] {
        let mut commit = commit();
        change(&mut commit);
        assert!(peek_commit(&encode_commit(&commit)).is_err());
    }
    let mut highest = commit();
    (highest.first_seq, highest.hlc) = (u64::MAX - 8, Hlc(u64::MAX - 8));
    let decoded = decode_commit(&encode_commit(&highest)).unwrap();
    assert_eq!(
        (decoded.last_seq(), decoded.last_hlc()),
        (u64::MAX - 1, Hlc(u64::MAX - 1))
    );
}

proptest! {
    #[test]
    fn commits_round_trip_and_their_header_is_in_front(commit in any_commit()) {
        let bytes = encode_commit(&commit);
        let header = peek_commit(&bytes).unwrap();
        prop_assert_eq!((header.origin, header.first_seq), (commit.origin, commit.first_seq));
        prop_assert_eq!(decode_commit(&bytes), Ok(commit));
    }

    #[test]
    fn rows_round_trip(delta in any_delta(), policy in any_policy(), content in any_content()) {
        let other = match &delta {
            Delta::Register { .. } => Delta::Register { policy, replaces: Replaces::Seen, content: Some(content) },
            other => other.clone(),
        };
        if !matches!(delta, Delta::MemberRemove { .. } | Delta::FieldRemove { .. }) {
            let (id, row) = row_of(&[delta, other]);
            prop_assert_eq!(decode_row(id.record.record_type, &encode_row(&row)), Ok(row));
        }
    }

    #[test]
    fn partition_states_round_trip(vector in any_vector(), numbers in any::<[u64; 5]>(), partition in any::<u16>()) {
        let [applied, first, hlc, log_bytes, losers_written] = numbers;
        prop_assume!(applied < u64::MAX - 1 && vector.iter().all(|dot| dot.seq < u64::MAX));
        let first = 1 + first % (applied + 1);
        let state = PartitionState {
            partition: PartitionId(partition),
            applied_index: LogIndex(applied),
            first_index: LogIndex(first),
            vector,
            last_hlc: Hlc(hlc),
            stamps: [("eu".parse().unwrap(), Hlc(hlc))].into(),
            log_bytes,
            losers_written,
        };
        prop_assert_eq!(decode_partition_state(&encode_partition_state(&state)), Ok(state));
    }

    #[test]
    fn damaged_commits_are_refused_or_safe_to_use(bytes in any_commit().prop_flat_map(|c| damaged(encode_commit(&c)))) {
        let _ = peek_commit(&bytes).map(|header| header.last());
        if let Ok(commit) = decode_commit(&bytes) {
            use_everything_of(&commit);
        }
    }

    #[test]
    fn damaged_rows_are_refused_or_safe_to_use(
        bytes in any_delta()
            .prop_filter("leaves no row", |d| !matches!(d, Delta::MemberRemove { .. } | Delta::FieldRemove { .. }))
            .prop_flat_map(|delta| damaged(encode_row(&row_of(&[delta]).1)))
    ) {
        for record_type in RecordType::ALL {
            if let Ok(row) = decode_row(record_type, &bytes) {
                match &row {
                    Row::Register(row) => drop(row.entity_tag(WallTime::from_millis(1))),
                    Row::Counter(row) => drop((row.value(), row.floors_for_reset())),
                    Row::Member(_) | Row::Field(_) => {}
                }
                prop_assert_eq!(decode_row(record_type, &encode_row(&row)), Ok(row));
            }
        }
    }

    #[test]
    fn other_damaged_values_are_refused_or_decode_to_what_round_trips(
        bytes in prop_oneof![
            damaged(encode_partition_state(&partition_state())),
            damaged(encode_ledger_entry(&ledger_entry(LossReason::ConcurrentField))),
            damaged(encode_summary(&summaries()[0])),
        ]
    ) {
        if let Ok(state) = decode_partition_state(&bytes) {
            prop_assert_eq!(decode_partition_state(&encode_partition_state(&state)), Ok(state));
        }
        if let Ok(entry) = decode_ledger_entry(&bytes) {
            prop_assert_eq!(decode_ledger_entry(&encode_ledger_entry(&entry)), Ok(entry));
        }
        if let Ok(summary) = decode_summary(&bytes) {
            prop_assert_eq!(decode_summary(&encode_summary(&summary)), Ok(summary));
        }
    }

    #[test]
    fn summaries_round_trip(
        numbers in any::<[u64; 3]>(),
        replica in any_replica(),
        content_type in ".{0,20}",
        expires in any::<bool>(),
    ) {
        let version = Version { hlc: Hlc(numbers[0]), region: replica.region };
        let expires_at = expires.then(|| WallTime::from_micros(numbers[1]));
        let summary = Summary::Register { size_bytes: numbers[2], content_type, version, expires_at };
        prop_assert_eq!(decode_summary(&encode_summary(&summary)), Ok(summary));
    }
}

/// What a receiver does with a commit that decodes: none of it may panic, whatever the commit claims.
fn use_everything_of(commit: &Commit) {
    use crate::model::partition::standing;
    use crate::model::replication::inbox::Inbox;
    use crate::model::workspace::{RowSource, Workspace};

    struct Nothing;
    impl RowSource for Nothing {
        type Error = std::convert::Infallible;
        fn row(&self, _: &RowId) -> Result<Option<Row>, Self::Error> {
            Ok(None)
        }
        fn summary(&self, _: &crate::model::record::RecordId) -> Result<Option<Summary>, Self::Error> {
            Ok(None)
        }
    }

    let (nothing, later) = (VersionVector::new(), Tick::from_micros(u64::MAX));
    let _ = (
        standing(&nothing, commit),
        commit.size_bytes(),
        commit.last_hlc().wall(),
    );
    let mut inbox = Inbox::default();
    let region = commit.origin.region;
    let _ = inbox.offer(&nothing, commit.clone(), region, Tick::default());
    let _ = inbox.missing(&nothing, later, 1);
    let _ = inbox.take_next(&nothing);
    let mut workspace = Workspace::new(&Nothing);
    workspace.apply(commit).expect("every change fits its record");
    for (id, exchange) in workspace.into_overlay().rows {
        let Some(row) = exchange.after else { continue };
        if let Row::Counter(counter) = &row {
            let _ = (counter.value(), counter.totals_after(commit.origin, i64::MIN));
        }
        assert_eq!(decode_row(id.record.record_type, &encode_row(&row)), Ok(row));
    }
}

#[test]
fn content_that_expired_long_ago_or_never_round_trips() {
    for expires_at in [
        None,
        Some(WallTime::default()),
        Some(WallTime::from_micros(u64::MAX)),
    ] {
        let content = Content {
            content_type: String::new(),
            payload: Bytes::new(),
            expires_at,
        };
        let delta = Delta::Register {
            policy: ConflictPolicy::Custom,
            replaces: Replaces::Seen,
            content: Some(content),
        };
        let (_, row) = row_of(&[delta]);
        assert_eq!(decode_row(RecordType::Register, &encode_row(&row)), Ok(row));
    }
}
