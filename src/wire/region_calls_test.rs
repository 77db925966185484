//! Golden bytes of submissions and verdicts, round trips, and what no surface lets through.

use proptest::prelude::*;

use super::*;
use crate::model::hlc::{Hlc, WallTime};
use crate::model::record::Version;
use crate::model::request::{BatchRefusal, WriteAnswer, WriteEffect, WriteRefusal};
use crate::model::rows::counter::CounterOverflow;
use crate::wire::samples_test::{any_bytes, any_dot, any_namespace, any_policy, damaged, hex, replica};

fn part(text: &str) -> SubKey {
    SubKey::new(text).unwrap()
}

fn content() -> Content {
    Content {
        content_type: "text/plain".to_owned(),
        payload: Bytes::from_static(b"hi"),
        expires_at: Some(WallTime::from_micros(300)),
    }
}

fn write(operation: Operation) -> WriteRequest {
    WriteRequest {
        namespace: "shop".parse().unwrap(),
        key: Key::new("k").unwrap(),
        policy: ConflictPolicy::Lww,
        precondition: Precondition::None,
        operation,
    }
}

fn put(content: Content, context: Option<Vec<Dot>>) -> WriteRequest {
    write(Operation::PutRegister { content, context })
}

fn set(add: Vec<SubKey>, remove: Vec<SubKey>) -> WriteRequest {
    write(Operation::UpdateSet { add, remove })
}

fn map(value: Bytes) -> WriteRequest {
    write(Operation::UpdateMap {
        set: vec![(part("f"), value)],
        remove: vec![part("g")],
    })
}

/// Every operation and every precondition, in the order of their numbers.
fn submission() -> Submission {
    let dot = Dot {
        replica: replica("eu", 2),
        seq: 9,
    };
    let mut writes = vec![
        put(content(), Some(vec![dot])),
        write(Operation::DeleteRegister),
        write(Operation::AddCounter { amount: -3 }),
        write(Operation::ResetCounter),
        set(vec![part("m")], Vec::new()),
        map(Bytes::from_static(b"[1]")),
    ];
    let tags = || vec!["tag".to_owned()];
    writes[1].policy = ConflictPolicy::Siblings;
    writes[1].precondition = Precondition::Exists;
    writes[2].precondition = Precondition::Matches(tags());
    writes[3].precondition = Precondition::Absent;
    writes[4].precondition = Precondition::DiffersFrom(tags());
    Submission {
        writes,
        idempotency: Some(Idempotency {
            key: IdempotencyKey::new("id").unwrap(),
            fingerprint: Fingerprint([7; 32]),
        }),
    }
}

#[test]
fn golden_bytes_of_a_submission() {
    let bytes = encode_submission(&submission());
    assert_eq!(hex(&bytes), SUBMISSION_GOLDEN, "the bytes have changed");
    assert_eq!(decode_submission(&bytes), Ok(submission()));
}

const SUBMISSION_GOLDEN: &str = concat!(
    "010473686f7006016b0000000a746578742f706c61696e02686901fb2c0101010265750209016b020101016b00020103",
    "7461670205016b000303016b000401037461670401016d00016b000005010166035b315d010167010269640707070707",
    "070707070707070707070707070707070707070707070707070707",
);

fn decided(outcome: crate::model::idempotency::Outcome) -> PassedVerdict {
    Ok(Decision {
        outcome,
        is_repeat: true,
    })
}

fn verdicts() -> Vec<(PassedVerdict, usize, &'static str)> {
    let answer = WriteAnswer {
        version: Some(Version {
            hlc: Hlc(5 << 32),
            region: replica("eu", 1).region,
        }),
        tag: None,
        effect: WriteEffect::Counter { value: -3 },
    };
    let refusal = WriteRefusal::CounterOverflow(CounterOverflow);
    let refused = BatchRefusal { position: 1, refusal };
    let why = || "why".to_owned();
    let unavailable = PassedError::Unavailable {
        reason: why(),
        outcome_unknown: true,
    };
    let leader = Some("eu-2".parse().unwrap());
    vec![
        (
            decided(Ok(vec![answer])),
            1,
            "0100000101fd0000000005000000026575010501",
        ),
        (decided(Err(refused)), 2, "010001010101"),
        (Err(PassedError::Invalid(why())), 1, "01010003776879"),
        (Err(PassedError::NotFound(why())), 1, "01010103776879"),
        (Err(PassedError::Conflict(why())), 1, "01010203776879"),
        (Err(PassedError::Overloaded(why())), 1, "01010303776879"),
        (Err(unavailable), 1, "0101040377687901"),
        (Err(PassedError::Internal(why())), 1, "01010503776879"),
        (Err(PassedError::NotLeader { leader }), 1, "010106010465752d32"),
        (Err(PassedError::NotLeader { leader: None }), 1, "01010600"),
        (Err(PassedError::NotHome(why())), 1, "01010703776879"),
    ]
}

#[test]
fn golden_bytes_of_verdicts() {
    for (verdict, writes, golden) in verdicts() {
        let bytes = encode_verdict(&verdict);
        assert_eq!(hex(&bytes), golden, "the bytes of {verdict:?} have changed");
        assert_eq!(decode_verdict(&bytes, writes), Ok(verdict));
    }
}

#[test]
fn verdicts_about_another_number_of_writes_are_refused() {
    let verdicts = verdicts();
    let (made, refused) = (encode_verdict(&verdicts[0].0), encode_verdict(&verdicts[1].0));
    for writes in [0, 2, 3] {
        assert!(decode_verdict(&made, writes).is_err(), "one answer to {writes}");
    }
    assert!(decode_verdict(&refused, 1).is_err(), "the second of one");
    assert!(decode_verdict(&refused, 5).is_ok());
}

#[test]
fn long_words_are_cut_where_a_character_ends() {
    let error = PassedError::Internal("é".repeat(limits::MESH_REASON_BYTES_MAX));
    let Ok(Err(PassedError::Internal(words))) = decode_verdict(&encode_verdict(&Err(error)), 1) else {
        panic!("it decodes to the same error");
    };
    assert_eq!(words, "é".repeat(limits::MESH_REASON_BYTES_MAX / 2));
    let longer = PassedError::Internal("x".repeat(limits::MESH_REASON_BYTES_MAX + 1));
    let longer = codec::encode_versioned(VERDICT_FORMAT, &SentVerdict::NotDecided(longer));
    assert!(decode_verdict(&longer, 1).is_err());
}

#[test]
fn who_leads_is_said_where_it_is_known() {
    let error = |leader| PassedError::NotLeader { leader }.to_string();
    assert!(error(Some("eu-2".parse().unwrap())).ends_with("eu-2 does"));
    assert!(error(None).ends_with("it knows no leader"));
}

fn decoded(writes: Vec<WriteRequest>) -> Result<Submission, DecodeError> {
    decode_submission(&encode_submission(&Submission {
        writes,
        idempotency: None,
    }))
}

#[test]
fn what_is_as_large_as_its_limit_passes_and_what_is_larger_does_not() {
    let with_type = |bytes| Content {
        content_type: "x".repeat(bytes),
        ..content()
    };
    let payload = |bytes| Content {
        payload: vec![7; bytes].into(),
        ..content()
    };
    let parts = |count: usize| {
        (0..count)
            .map(|number| part(&number.to_string()))
            .collect::<Vec<_>>()
    };
    let dots = |count| {
        let dot = Dot {
            replica: replica("eu", 2),
            seq: 9,
        };
        Some(vec![dot; count])
    };
    let operations = limits::OPERATIONS_PER_REQUEST_MAX;
    let half = set(parts(operations / 2), Vec::new());
    for (good, bad) in [
        (
            vec![write(Operation::ResetCounter); operations],
            vec![write(Operation::ResetCounter); operations + 1],
        ),
        (
            vec![half.clone(), half.clone()],
            vec![half.clone(), half, write(Operation::DeleteRegister)],
        ),
        (
            vec![put(with_type(limits::CONTENT_TYPE_BYTES_MAX), None)],
            vec![put(with_type(limits::CONTENT_TYPE_BYTES_MAX + 1), None)],
        ),
        (
            vec![put(payload(limits::VALUE_BYTES_MAX), None)],
            vec![put(payload(limits::VALUE_BYTES_MAX + 1), None)],
        ),
        (
            vec![map(vec![b'1'; limits::VALUE_BYTES_MAX].into())],
            vec![map(vec![b'1'; limits::VALUE_BYTES_MAX + 1].into())],
        ),
        (
            vec![put(content(), dots(limits::CONTEXT_DOTS_MAX))],
            vec![put(content(), dots(limits::CONTEXT_DOTS_MAX + 1))],
        ),
        (vec![put(content(), None)], vec![put(with_type(0), None)]),
        (
            vec![put(payload(limits::VALUE_BYTES_MAX), None); 3],
            vec![put(payload(limits::VALUE_BYTES_MAX), None); 4],
        ),
    ] {
        assert_eq!(decoded(good.clone()).unwrap().writes, good);
        assert!(decoded(bad).is_err(), "{} writes", good.len());
    }
    // A change of a namespace by force overrules whatever is there.
    let by_force = vec![put(content(), dots(0))];
    assert_eq!(decoded(by_force.clone()).unwrap().writes, by_force);
}

#[test]
fn what_partitions_count_on_is_checked() {
    let several = WriteRequest {
        precondition: Precondition::Exists,
        ..set(vec![part("a"), part("b")], Vec::new())
    };
    assert!(decoded(vec![several]).is_err(), "a precondition on two members");
    for content_type in ["text/é", "a\nb", "a\0"] {
        let content = Content {
            content_type: content_type.to_owned(),
            ..content()
        };
        assert!(decoded(vec![put(content, None)]).is_err(), "{content_type:?}");
    }
    let nothing = SentSubmission {
        namespace: "shop".parse().unwrap(),
        writes: Vec::new(),
        idempotency: None,
    };
    assert!(decode_submission(&codec::encode_versioned(SUBMISSION_FORMAT, &nothing)).is_err());
    let bad_key = SentSubmission {
        writes: vec![SentWrite {
            key: Key::new("k").unwrap(),
            policy: ConflictPolicy::Lww,
            precondition: SentPrecondition::None,
            operation: SentOperation::ResetCounter,
        }],
        idempotency: Some(("a\nb".to_owned(), [7; 32])),
        ..nothing
    };
    assert!(decode_submission(&codec::encode_versioned(SUBMISSION_FORMAT, &bad_key)).is_err());
}

#[test]
fn the_largest_batch_fits_into_a_request_of_the_mesh() {
    // As much as a body of the HTTP surface can hold: values up to the limit of a commit, and tags for the rest of it.
    let value = Content {
        payload: vec![7; limits::VALUE_BYTES_MAX - 4096].into(),
        ..content()
    };
    let tags = limits::BATCH_BODY_BYTES_MAX - limits::COMMIT_BYTES_MAX;
    let mut writes = vec![put(value, None); 4];
    writes.extend(vec![write(Operation::ResetCounter); 996 / 8]);
    writes[0].precondition = Precondition::Matches(vec!["x".repeat(tags)]);
    let bytes = encode_submission(&Submission {
        writes,
        idempotency: None,
    });
    assert!(
        bytes.len() <= limits::MESH_BODY_BYTES_MAX,
        "{} bytes",
        bytes.len()
    );
    assert!(bytes.len() > limits::BATCH_BODY_BYTES_MAX - 64 * 1024);
    assert!(decode_submission(&bytes).is_ok());
}

#[test]
fn the_largest_verdicts_are_as_large_as_is_said() {
    let region = "r".repeat(limits::LABEL_BYTES_MAX);
    let version = Version {
        hlc: Hlc(u64::MAX),
        region: replica(&region, 1).region,
    };
    let dot = Dot {
        replica: replica(&region, u32::MAX),
        seq: u64::MAX,
    };
    let answer = WriteAnswer {
        version: Some(version),
        tag: Some(dot.to_string()),
        effect: WriteEffect::Counter { value: i128::MIN },
    };
    let answers = vec![answer; limits::OPERATIONS_PER_REQUEST_MAX];
    let current = Some(vec![version.to_string(); limits::CONTEXT_DOTS_MAX].join("+"));
    let refusal = WriteRefusal::PreconditionFailed { current };
    let refused = BatchRefusal { position: 0, refusal };
    for outcome in [Ok(answers), Err(refused)] {
        let len = encode_verdict(&decided(outcome)).len();
        assert!(
            (VERDICT_BYTES_MAX / 2..=VERDICT_BYTES_MAX).contains(&len),
            "{len} bytes"
        );
    }
}

fn any_part() -> impl Strategy<Value = SubKey> {
    ".{1,20}".prop_map(|text| part(&text))
}

fn any_parts() -> impl Strategy<Value = Vec<SubKey>> {
    prop::collection::vec(any_part(), 0..3)
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let expires_at = prop::option::of(any::<u64>().prop_map(WallTime::from_micros));
    let content = ("[ -~]{1,20}", any_bytes(), expires_at);
    let content = content.prop_map(|(content_type, payload, expires_at)| Content {
        content_type,
        payload,
        expires_at,
    });
    let context = prop::option::of(prop::collection::vec(any_dot(), 0..3));
    let fields = prop::collection::vec((any_part(), any_bytes()), 0..3);
    prop_oneof![
        (content, context).prop_map(|(content, context)| Operation::PutRegister { content, context }),
        Just(Operation::DeleteRegister),
        any::<i64>().prop_map(|amount| Operation::AddCounter { amount }),
        Just(Operation::ResetCounter),
        (any_parts(), any_parts()).prop_map(|(add, remove)| Operation::UpdateSet { add, remove }),
        (fields, any_parts()).prop_map(|(set, remove)| Operation::UpdateMap { set, remove }),
    ]
}

fn any_precondition() -> impl Strategy<Value = Precondition> {
    let tags = || prop::collection::vec("[!-~]{0,20}", 0..3);
    prop_oneof![
        Just(Precondition::None),
        Just(Precondition::Exists),
        tags().prop_map(Precondition::Matches),
        Just(Precondition::Absent),
        tags().prop_map(Precondition::DiffersFrom),
    ]
}

fn any_submission() -> impl Strategy<Value = Submission> {
    let write = (".{1,20}", any_policy(), any_precondition(), any_operation());
    let idempotency = prop::option::of(("[ -~]{1,128}", any::<[u8; 32]>()));
    let parts = (any_namespace(), prop::collection::vec(write, 1..5), idempotency);
    parts.prop_map(|(namespace, writes, idempotency)| {
        let writes = writes.into_iter().map(|(key, policy, precondition, operation)| {
            let mut write = WriteRequest {
                namespace: namespace.clone(),
                key: Key::new(&key).unwrap(),
                policy,
                precondition,
                operation,
            };
            if write.row().is_none() {
                write.precondition = Precondition::None;
            }
            write
        });
        Submission {
            writes: writes.collect(),
            idempotency: idempotency.map(|(key, fingerprint)| Idempotency {
                key: IdempotencyKey::new(&key).unwrap(),
                fingerprint: Fingerprint(fingerprint),
            }),
        }
    })
}

fn any_verdict() -> impl Strategy<Value = (PassedVerdict, usize)> {
    (0..verdicts().len(), any::<bool>(), ".{0,40}").prop_map(|(index, is_repeat, said)| {
        let (mut verdict, writes, _) = verdicts().swap_remove(index);
        match &mut verdict {
            Ok(decision) => decision.is_repeat = is_repeat,
            Err(error) => {
                if let Some(words) = error.words_mut() {
                    *words = said;
                }
            }
        }
        (verdict, writes)
    })
}

proptest! {
    #[test]
    fn submissions_round_trip(submission in any_submission()) {
        prop_assert_eq!(decode_submission(&encode_submission(&submission)), Ok(submission));
    }

    #[test]
    fn damaged_submissions_are_refused_or_decode_to_what_round_trips(
        bytes in any_submission().prop_flat_map(|submission| damaged(encode_submission(&submission)))
    ) {
        if let Ok(submission) = decode_submission(&bytes) {
            prop_assert_eq!(decode_submission(&encode_submission(&submission)), Ok(submission));
        }
    }

    #[test]
    fn verdicts_round_trip((verdict, writes) in any_verdict()) {
        prop_assert_eq!(decode_verdict(&encode_verdict(&verdict), writes), Ok(verdict));
    }

    #[test]
    fn damaged_verdicts_are_refused_or_decode_to_what_round_trips(
        bytes in any_verdict().prop_flat_map(|(verdict, _)| damaged(encode_verdict(&verdict))),
        writes in 1_usize..4
    ) {
        if let Ok(verdict) = decode_verdict(&bytes, writes) {
            prop_assert_eq!(decode_verdict(&encode_verdict(&verdict), writes), Ok(verdict));
        }
    }
}
