//! Inputs of the binary targets.

use std::sync::Arc;
use std::time::SystemTime;

use atoll::actors::link::batch;
use atoll::fuzzing;
use atoll::model::agreement::{FoundingAnswer, FoundingRecord, FoundingState, MemberId};
use atoll::model::digest::{DigestSum, LeafId};
use atoll::model::entry::Entry;
use atoll::model::hlc::{Hlc, WallTime};
use atoll::model::idempotency::{Fingerprint, IdempotencyKey, IdempotencyScope, Remembered};
use atoll::model::ids::{Incarnation, LogIndex, PartitionCount, PartitionId};
use atoll::model::partition::PartitionState;
use atoll::model::raft::Term;
use atoll::model::record::RecordType;
use atoll::model::replication::leadership::Leads;
use atoll::model::replication::retention::Cut;
use atoll::model::request::{WriteAnswer, WriteEffect};
use atoll::model::rows::LossReason;
use atoll::model::workspace::Summary;
use atoll::storage::Identity;
use atoll::transport::certificates::{Authority, Validity, create_authority};
use atoll::wire::entry::encode_entry;
use atoll::wire::founding::encode_founding;
use atoll::wire::idempotency;
use atoll::wire::keys::digest::{DigestKey, encode_sum};
use atoll::wire::keys::ledger::LedgerKey;
use atoll::wire::keys::log::{LogKey, LogSeqKey, encode_log_index};
use atoll::wire::keys::meta;
use atoll::wire::keys::names::NameKey;
use atoll::wire::keys::row::RowKey;
use atoll::wire::keys::staging::ChunkKey;
use atoll::wire::mesh::{
    Acknowledgement, CallId, MeshAnswer, MeshIntroduction, MeshMessage, MeshRequest, SignNumber, SignOfLife,
};
use atoll::wire::messages::{
    Batch, Commits, ForwardedRequest, Introduction, Message, PartitionVector, Ping, RewindReason,
};
use atoll::wire::namespace::{self, StoredNamespace};
use atoll::wire::snapshot::{self, Chain, Chunk, ChunkContent, Section, SnapshotEnd, SnapshotId};
use atoll::wire::values::{self, LedgerEntry};
use bytes::{Bytes, BytesMut};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::values as samples;
use super::{Seed, refused, valid};

fn commits() -> Commits {
    let encoded = |deltas| Bytes::from(values::encode_commit(&samples::commit(deltas)));
    let all = samples::deltas();
    Commits {
        parts: vec![
            (
                PartitionId(3),
                vec![encoded(all.clone()), encoded(all[..1].to_vec())],
            ),
            (PartitionId(700), vec![encoded(all)]),
        ],
    }
}

fn introduction() -> Introduction {
    Introduction {
        protocol_min: 1,
        protocol_max: 300,
        software: "0.1.0".to_owned(),
        cluster: "demo".parse().unwrap(),
        region: "eu-west".parse().unwrap(),
        node: "eu-west-1".parse().unwrap(),
        partitions: PartitionCount::new(64).unwrap(),
        incarnation: Incarnation(1_790_000_000),
    }
}

fn vectors() -> Vec<PartitionVector> {
    vec![
        (PartitionId(3), samples::vector()),
        (PartitionId(700), samples::vector()),
    ]
}

/// Every message, and batches.
pub(super) fn messages() -> Vec<Seed> {
    let partition = PartitionId(3);
    let all = [
        Message::Hello(introduction()),
        Message::Welcome {
            introduction: introduction(),
            vectors: vectors(),
        },
        Message::Heartbeat {
            sent_at: WallTime::from_micros(1_790_000_000_000_000),
            vectors: vectors(),
            through: Hlc(0x6b01_7016_d902_aba0),
            busy: vec![partition],
            own: Ping {
                life: 7,
                tick: 70_000,
            },
            heard: None,
            leads: Some(Leads::These([(partition, Term(2))].into())),
        },
        Message::AskVectors {
            partitions: vec![partition],
        },
        Message::Vectors {
            vectors: vectors(),
            leads: Leads::All,
        },
        Message::Forward(ForwardedRequest {
            method: "PUT".to_owned(),
            target: "/v1/data/shop/registers/k".to_owned(),
            headers: vec![("atoll-consistency".to_owned(), Bytes::from_static(b"strong"))],
            body: Bytes::from_static(b"value"),
            patience_ms: 5000,
        }),
        Message::AnswerHead {
            status: 204,
            headers: vec![("etag".to_owned(), Bytes::from_static(b"x"))],
        },
        Message::AnswerBody(Bytes::from_static(b"value")),
        Message::AnswerEnd,
        Message::OpenLane { lane: 2 },
        Message::Batch(Batch::Plain(commits())),
        Message::Batch(batch::pack(commits(), 1)),
        Message::Acknowledge { vectors: vectors() },
        Message::Rewind {
            partition,
            vector: samples::vector(),
            reason: RewindReason::Poison,
            detail: "why".to_owned(),
        },
        Message::Fetch {
            partition,
            replica: samples::replica("us-east", 1),
            first_seq: 7,
            last_seq: 300,
        },
        Message::Fetched(batch::pack(commits(), 1)),
        Message::FetchEnd { complete: true },
    ];
    let mut seeds = valid("message", all.iter().map(|message| message.encode().to_vec()));
    let Batch::Zstd { plain_bytes, bytes } = batch::pack(commits(), 1) else {
        panic!("it compresses")
    };
    let announced = |plain_bytes: u32| [plain_bytes.to_le_bytes().as_slice(), &bytes].concat();
    seeds.extend(valid("batch", [announced(plain_bytes)]));
    seeds.extend(refused(
        "batch",
        [announced(plain_bytes - 1), announced(u32::MAX)],
    ));
    seeds
}

fn member(node: &str) -> MemberId {
    MemberId {
        node: node.parse().unwrap(),
        incarnation: Incarnation(1_790_000_000),
    }
}

fn founding_record() -> FoundingRecord {
    FoundingRecord {
        replica: Incarnation(1_790_000_007),
        members: ["us-east-1", "us-east-2", "us-east-3"].map(member).into(),
    }
}

/// Every message of the mesh.
pub(super) fn mesh_messages() -> Vec<Seed> {
    let introduction = || MeshIntroduction {
        introduction: introduction(),
        life: 0x6b01_7016_d902_aba0,
    };
    let through = Hlc(0x6b01_7016_d902_aba0);
    let sign = SignOfLife {
        number: SignNumber(70_000),
        clock: WallTime::from_micros(1_790_000_000_000_000),
        through,
        leads: (0..22).map(|number| (PartitionId(3 * number), Term(7))).collect(),
        suspects: ["n3".parse().unwrap()].into(),
    };
    let request = |id, body: &'static [u8]| MeshRequest {
        id: CallId(id),
        partition: PartitionId(3),
        patience_ms: 5000,
        body: Bytes::from_static(body),
    };
    let answer = |id, result: Result<&'static [u8], &str>| MeshAnswer {
        id: CallId(id),
        result: result.map(Bytes::from_static).map_err(str::to_owned),
    };
    let all = [
        MeshMessage::Hello(introduction()),
        MeshMessage::Welcome(introduction()),
        MeshMessage::SignOfLife(Arc::new(sign)),
        MeshMessage::Acknowledge(Acknowledgement {
            number: SignNumber(70_000),
            through,
            except: [PartitionId(3), PartitionId(63)].into(),
        }),
        MeshMessage::Requests(vec![request(7, b"append"), request(70_000, b"vote")]),
        MeshMessage::Answers(vec![answer(70_000, Ok(b"granted")), answer(7, Err("it stops"))]),
        MeshMessage::AskFounding,
        MeshMessage::Founding(FoundingAnswer {
            member: member("us-east-1"),
            nodes: founding_record().nodes(),
            state: FoundingState::Complete(founding_record()),
            members: founding_record().members,
        }),
    ];
    let mut seeds = valid(
        "mesh-message",
        all.iter().map(|message| message.encode().to_vec()),
    );
    seeds.extend(refused("mesh-message", [Message::AnswerEnd.encode().to_vec()]));
    seeds
}

/// Every value under a storage key.
pub(super) fn stored() -> Vec<Seed> {
    let all = samples::deltas();
    let each = all.iter().map(|delta| vec![delta.clone()]).chain([all.clone()]);
    let mut seeds = valid(
        "commit",
        each.map(|deltas| values::encode_commit(&samples::commit(deltas))),
    );
    seeds.extend(refused(
        "commit",
        [values::encode_commit(&samples::commit(Vec::new()))],
    ));
    for (target, rows) in [
        (
            "register-row",
            vec![samples::register_row(), samples::siblings_row()],
        ),
        ("counter-row", vec![samples::counter_row()]),
        ("member-row", vec![samples::member_row()]),
        ("field-row", vec![samples::field_row()]),
    ] {
        seeds.extend(valid(target, rows.iter().map(values::encode_row)));
    }
    let register = Summary::Register {
        size_bytes: 5,
        content_type: "text/plain".to_owned(),
        version: samples::version(),
        expires_at: Some(WallTime::from_micros(1_790_000_000_000_000)),
    };
    let summaries = [register, Summary::Counter, Summary::Parts { count: 70_000 }];
    seeds.extend(valid("summary", summaries.iter().map(values::encode_summary)));
    let state = PartitionState {
        partition: PartitionId(3),
        applied_index: LogIndex(900),
        first_index: LogIndex(7),
        vector: samples::vector(),
        last_hlc: Hlc(0x6b01_7016_d902_aba0),
        stamps: [("us-east".parse().unwrap(), Hlc(0x6b01_7016_d902_aba0))].into(),
        log_bytes: 70_000,
        losers_written: 3,
    };
    seeds.extend(valid("partition-state", [values::encode_partition_state(&state)]));
    let made = |tag: Option<&str>| Remembered {
        fingerprint: Fingerprint::of_parts(&[b"PUT"]),
        at: WallTime::from_micros(1_790_000_000_000_000),
        outcome: Ok(vec![WriteAnswer {
            version: Some(samples::version()),
            tag: tag.map(str::to_owned),
            effect: WriteEffect::Counter { value: 7 },
        }]),
    };
    let outcomes = [made(None), made(Some("us-east@1790000000:12"))];
    seeds.extend(valid(
        "remembered-outcome",
        outcomes.iter().map(idempotency::encode_remembered),
    ));
    let scope = |key: &str| IdempotencyScope {
        namespace: "shop".parse().unwrap(),
        key: IdempotencyKey::new(key).unwrap(),
    };
    let entry = Entry {
        at: WallTime::from_micros(1_790_000_000_000_000),
        commits: vec![samples::commit(samples::deltas())],
        decided: vec![(scope("old"), None), (scope("new"), Some(made(None)))],
        cut: Some(Cut {
            first_index: LogIndex(7),
            size_bytes: 4096,
            forgotten: samples::vector(),
        }),
        aged: vec![(WallTime::from_micros(1), scope("aged"))],
    };
    seeds.extend(valid("entry", [encode_entry(&entry)]));
    let lost = |record_type: RecordType, reason| LedgerEntry {
        record: samples::record(record_type),
        field: samples::row_id(record_type).sub_key,
        winner: samples::version(),
        loser: samples::version(),
        value: Some(Bytes::from_static(b"lost")),
        reason,
    };
    let entries = [
        lost(RecordType::Register, LossReason::ConcurrentWrite),
        lost(RecordType::Map, LossReason::ConcurrentField),
    ];
    seeds.extend(valid(
        "ledger-entry",
        entries.iter().map(values::encode_ledger_entry),
    ));
    seeds.extend(valid(
        "namespace-configuration",
        [namespace::encode(&StoredNamespace {
            conflict_policy: "siblings".to_owned(),
            home_region: Some("us-east".parse().unwrap()),
            default_consistency: "local_quorum".to_owned(),
            mode: None,
            takeover: None,
        })],
    ));
    let identity = Identity {
        format_version: 2,
        cluster: "demo".parse().unwrap(),
        region: "us-east".parse().unwrap(),
        node: "us-east-1".parse().unwrap(),
        partitions: PartitionCount::new(64).unwrap(),
        incarnation: Incarnation(1_790_000_000),
    };
    let founding = [
        FoundingState::Unfounded(Some(member("us-east-1"))),
        FoundingState::Complete(founding_record()),
    ];
    seeds.extend(valid("founding", founding.iter().map(encode_founding)));
    seeds.extend(valid("identity", [fuzzing::identity_bytes(&identity)]));
    seeds.extend(refused(
        "identity",
        [br#"{"format_version":3,"new":[]}"#.to_vec()],
    ));
    seeds
}

/// Chunks of a snapshot, and the stream of records that is in them.
pub(super) fn snapshots() -> Vec<Seed> {
    let (partition, snapshot) = (PartitionId(3), SnapshotId(0x6b01_7016_d902_aba0));
    let mut stream = BytesMut::new();
    for section in Section::ALL {
        snapshot::push_record(&mut stream, section, b"key", b"value");
    }
    let chunk = |number, content: ChunkContent| {
        let chain = Chain::start(partition, snapshot).after(number, &content);
        snapshot::encode_chunk(&Chunk {
            snapshot,
            partition,
            number,
            content,
            chain,
        })
    };
    let records = |bytes: &[u8]| ChunkContent::Records(Bytes::copy_from_slice(bytes));
    let end = ChunkContent::End(SnapshotEnd::new(9, DigestSum(7)));
    let mut seeds = valid("snapshot-chunk", [chunk(0, records(&stream)), chunk(70_000, end)]);
    seeds.extend(refused("snapshot-chunk", [chunk(0, records(b""))]));
    seeds.extend(valid("snapshot-records", [stream.to_vec()]));
    let cut_off = stream[..stream.len() - 1].to_vec();
    let unknown = [&[10], &stream[1..]].concat();
    seeds.extend(refused("snapshot-records", [cut_off, unknown]));
    seeds
}

/// A key of every family.
pub(super) fn keys() -> Vec<Seed> {
    let partition = PartitionId(258);
    let mut all: Vec<_> = RecordType::ALL
        .map(|kind| RowKey::encode(partition, &samples::row_id(kind)))
        .into();
    all.extend([
        NameKey::encode(&samples::record(RecordType::Map)),
        NameKey::encode(&samples::system_record()),
        LogKey {
            partition,
            index: LogIndex(900),
        }
        .encode(),
        LogSeqKey {
            partition,
            origin: samples::replica("us-east", 7),
            first_seq: 900,
        }
        .encode(),
        LedgerKey {
            lost_at: WallTime::from_micros(1_790_000_000_000_000),
            partition,
            number: 3,
        }
        .encode(),
        DigestKey {
            partition,
            leaf: LeafId(1023),
        }
        .encode(),
        ChunkKey {
            partition,
            number: 70_000,
        }
        .encode(),
        meta::paused_link(&"eu-west".parse().unwrap()),
        encode_sum(DigestSum(7)).to_vec(),
        encode_log_index(LogIndex(900)).to_vec(),
    ]);
    valid("key", all)
}

/// A physical record of RocksDB's log.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut covered = vec![kind];
    if matches!(kind, 5..=8) {
        covered.extend_from_slice(&7_u32.to_le_bytes());
    }
    covered.extend_from_slice(payload);
    let mut record = fuzzing::log_checksum(&covered).to_le_bytes().to_vec();
    record.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_le_bytes());
    record.extend_from_slice(&covered);
    record
}

/// Write-ahead logs, whole, torn and damaged, and marks of torn ones.
pub(super) fn logs() -> Vec<Seed> {
    let whole = [record(1, b"one"), record(5, b"recyclable"), record(9, b"note")].concat();
    let in_parts = [record(2, b"first"), record(3, b"middle"), record(4, b"last")].concat();
    let preallocated = [whole.clone(), vec![0; 100]].concat();
    let torn = in_parts[..in_parts.len() - 3].to_vec();
    let mut damaged_length = [record(1, b"one"), whole.clone()].concat();
    damaged_length[5] = 0x70;
    let mut seeds = valid("write-ahead-log", [whole, in_parts, preallocated]);
    seeds.extend(refused("write-ahead-log", [torn, damaged_length]));
    seeds.extend(valid("torn-tail-mark", [b"17\n/data/db/000012.log\n".to_vec()]));
    seeds.extend(refused("torn-tail-mark", [b"17".to_vec(), b"\xff\n".to_vec()]));
    seeds
}

/// The certificates of an authority and of a node.
pub(super) fn certificates() -> Vec<Seed> {
    let validity = Validity::days(SystemTime::now(), 365).unwrap();
    let pair = create_authority("demo".parse().unwrap(), validity).unwrap();
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let certificate = der(&pair.certificate);
    let authority = Authority::new("ca.pem", &certificate, &pair.key).unwrap();
    let node = authority
        .issue("us-east".parse().unwrap(), "us-east-1".parse().unwrap(), validity)
        .unwrap();
    valid(
        "certificate",
        [certificate.to_vec(), der(&node.certificate).to_vec()],
    )
}
