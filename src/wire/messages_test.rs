//! Golden bytes of every message, round trips, and frames that nobody should have sent.

use proptest::prelude::*;

use super::*;
use crate::model::raft::Term;
use crate::wire::samples_test::{any_bytes, any_replica, any_vector, damaged, hex, replica, vector};

fn introduction() -> Introduction {
    Introduction {
        protocol_min: 1,
        protocol_max: 300,
        software: "0.1.0".to_owned(),
        cluster: "demo".parse().unwrap(),
        region: "eu".parse().unwrap(),
        node: "eu-1".parse().unwrap(),
        partitions: PartitionCount::new(64).unwrap(),
        incarnation: Incarnation(2),
    }
}

fn ping(tick: u64) -> Ping {
    Ping { life: 9, tick }
}

fn vectors() -> Vec<PartitionVector> {
    vec![(PartitionId(3), vector(&[("eu", 7), ("us", 70_000)]))]
}

fn leads() -> Leads {
    Leads::These([(PartitionId(3), Term(7)), (PartitionId(300), Term(1))].into())
}

fn commits() -> Commits {
    Commits {
        parts: vec![(
            PartitionId(3),
            vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")],
        )],
    }
}

fn messages() -> Vec<(Message, &'static str, &'static str)> {
    let zstd = Batch::Zstd {
        plain_bytes: 1000,
        bytes: Bytes::from_static(b"zz"),
    };
    let rewind = |reason| Message::Rewind {
        partition: PartitionId(3),
        vector: vector(&[("eu", 7)]),
        reason,
        detail: "why".to_owned(),
    };
    let welcome = Message::Welcome {
        introduction: introduction(),
        vectors: vectors(),
    };
    let heartbeat = Message::Heartbeat {
        sent_at: WallTime::from_micros(300),
        vectors: vectors(),
        through: Hlc(7),
        busy: vec![PartitionId(300)],
        own: ping(300),
        heard: Some(ping(1)),
        leads: Some(leads()),
    };
    let only_node = Message::Heartbeat {
        sent_at: WallTime::from_micros(300),
        vectors: Vec::new(),
        through: Hlc(7),
        busy: Vec::new(),
        own: ping(300),
        heard: None,
        leads: Some(Leads::All),
    };
    let fetch = Message::Fetch {
        partition: PartitionId(3),
        replica: replica("us", 1),
        first_seq: 7,
        last_seq: 300,
    };
    vec![
        (
            Message::Hello(introduction()),
            "hello",
            "010001fb2c0105302e312e300464656d6f0265750465752d314002",
        ),
        (
            welcome,
            "welcome",
            "010101fb2c0105302e312e300464656d6f0265750465752d314002010302026575010702757301fc70110100",
        ),
        (
            heartbeat,
            "heartbeat",
            "0102fb2c01010302026575010702757301fc701101000701fb2c0109fb2c010109010101020307fb2c0101",
        ),
        (only_node, "heartbeat", "0102fb2c0100070009fb2c01000100"),
        (Message::OpenLane { lane: 2 }, "open-lane", "010302"),
        (
            Message::Batch(Batch::Plain(commits())),
            "batch",
            "010400010302036f6e650374776f",
        ),
        (Message::Batch(zstd.clone()), "batch", "010401fbe803027a7a"),
        (
            Message::Acknowledge { vectors: vectors() },
            "acknowledge",
            "0105010302026575010702757301fc70110100",
        ),
        (
            rewind(RewindReason::Full),
            "rewind",
            "0106030102657501070003776879",
        ),
        (
            rewind(RewindReason::Clock),
            "rewind",
            "0106030102657501070103776879",
        ),
        (
            rewind(RewindReason::Storage),
            "rewind",
            "0106030102657501070203776879",
        ),
        (
            rewind(RewindReason::Poison),
            "rewind",
            "0106030102657501070303776879",
        ),
        (
            rewind(RewindReason::NotLeader),
            "rewind",
            "0106030102657501070403776879",
        ),
        (fetch, "fetch", "0107030275730107fb2c01"),
        (Message::Fetched(zstd), "fetched", "010801fbe803027a7a"),
        (Message::FetchEnd { complete: true }, "fetch-end", "010901"),
        (
            Message::AskVectors {
                partitions: vec![PartitionId(3)],
            },
            "ask-vectors",
            "010a0103",
        ),
        (
            Message::Vectors {
                vectors: vectors(),
                leads: leads(),
            },
            "vectors",
            "010b010302026575010702757301fc7011010001020307fb2c0101",
        ),
        (
            Message::Forward(ForwardedRequest {
                method: "GET".to_owned(),
                target: "/".to_owned(),
                headers: vec![("a".to_owned(), Bytes::from_static(b"b"))],
                body: Bytes::from_static(b"c"),
                patience_ms: 300,
            }),
            "forward",
            "010c03474554012f01016101620163fb2c01",
        ),
        (
            Message::AnswerHead {
                status: 204,
                headers: vec![("a".to_owned(), Bytes::from_static(b"b"))],
            },
            "answer-head",
            "010dcc0101610162",
        ),
        (
            Message::AnswerBody(Bytes::from_static(b"c")),
            "answer-body",
            "010e0163",
        ),
        (Message::AnswerEnd, "answer-end", "010f"),
    ]
}

#[test]
fn golden_bytes_of_every_message() {
    for (message, name, golden) in messages() {
        let frame = message.encode();
        assert_eq!(hex(&frame), golden, "the bytes of {name} have changed");
        assert_eq!(message.name(), name);
        assert_eq!(Message::decode(&frame), Ok(message));
    }
}

#[test]
fn an_unknown_message_or_format_is_refused() {
    let mut frame = Message::AnswerEnd.encode().to_vec();
    assert_eq!(frame[1], 15, "the last variant");
    frame[1] = 10;
    assert!(Message::decode(&frame).is_err());
    frame[..2].copy_from_slice(&[2, 9]);
    assert!(Message::decode(&frame).unwrap_err().detail.contains("format 2"));
    assert!(Message::decode(&[]).is_err());
}

#[test]
fn an_introduction_with_an_impossible_name_or_count_is_refused() {
    let frame = Message::Hello(introduction()).encode();
    let replaced = |from: &[u8], to: &[u8]| {
        let position = frame
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        let mut bytes = frame.to_vec();
        bytes[position..position + to.len()].copy_from_slice(to);
        Message::decode(&bytes)
    };
    assert!(replaced(b"demo", b"demo").is_ok());
    assert!(replaced(b"demo", b"Demo").is_err());
    assert!(replaced(b"eu-1", b"-u-1").is_err());
    assert!(replaced(b"eu-1@", b"eu-1\x3f").is_err(), "63 partitions");
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let part = (
        any::<u16>().prop_map(PartitionId),
        prop::collection::vec(any_bytes(), 0..3),
    );
    prop_oneof![
        prop::collection::vec(part, 0..3).prop_map(|parts| Batch::Plain(Commits { parts })),
        (any::<u32>(), any_bytes()).prop_map(|(plain_bytes, bytes)| Batch::Zstd { plain_bytes, bytes }),
    ]
}

fn header_list() -> impl Strategy<Value = Vec<(String, Bytes)>> {
    proptest::collection::vec(("[a-z-]{1,8}", any_bytes()), 0..3)
}

fn forwarded() -> impl Strategy<Value = ForwardedRequest> {
    let parts = ("[A-Z]{1,6}", ".{0,20}", header_list(), any_bytes(), any::<u64>());
    parts.prop_map(|(method, target, headers, body, patience_ms)| ForwardedRequest {
        method,
        target,
        headers,
        body,
        patience_ms,
    })
}

fn any_leads() -> impl Strategy<Value = Leads> {
    let terms = (any::<u16>().prop_map(PartitionId), any::<u64>().prop_map(Term));
    prop_oneof![
        Just(Leads::All),
        proptest::collection::btree_map(terms.0, terms.1, 0..3).prop_map(Leads::These),
    ]
}

fn any_heartbeat() -> impl Strategy<Value = Message> {
    let busy = proptest::collection::vec(any::<u16>().prop_map(PartitionId), 0..3);
    let pings = (any::<u64>(), proptest::option::of(any::<u64>()));
    let vectors = proptest::collection::vec((any::<u16>().prop_map(PartitionId), any_vector()), 0..3);
    let leads = proptest::option::of(any_leads());
    (any::<u64>(), vectors, any::<u64>(), busy, pings, leads).prop_map(
        |(sent_at, vectors, through, busy, (own, heard), leads)| Message::Heartbeat {
            sent_at: WallTime::from_micros(sent_at),
            vectors,
            through: Hlc(through),
            busy,
            own: ping(own),
            heard: heard.map(ping),
            leads,
        },
    )
}

fn any_message() -> impl Strategy<Value = Message> {
    let partition = || any::<u16>().prop_map(PartitionId);
    let vectors = || prop::collection::vec((partition(), any_vector()), 0..3);
    let reason = prop_oneof![
        Just(RewindReason::Full),
        Just(RewindReason::Clock),
        Just(RewindReason::Storage),
        Just(RewindReason::Poison),
        Just(RewindReason::NotLeader),
    ];
    let introduced = (any::<[u16; 2]>(), ".{0,20}", any_replica(), 0_u32..=10);
    let introduced = introduced.prop_map(|(protocols, software, replica, power)| Introduction {
        protocol_min: protocols[0],
        protocol_max: protocols[1],
        software,
        cluster: "demo".parse().unwrap(),
        region: replica.region,
        node: "eu-1".parse().unwrap(),
        partitions: PartitionCount::new(1 << power).unwrap(),
        incarnation: replica.incarnation,
    });
    let introduced = introduced.boxed();
    prop_oneof![
        introduced.clone().prop_map(Message::Hello),
        (introduced, vectors()).prop_map(|(introduction, vectors)| Message::Welcome {
            introduction,
            vectors
        }),
        any_heartbeat(),
        (vectors(), any_leads()).prop_map(|(vectors, leads)| Message::Vectors { vectors, leads }),
        proptest::collection::vec(partition(), 0..3)
            .prop_map(|partitions| Message::AskVectors { partitions }),
        forwarded().prop_map(Message::Forward),
        (any::<u16>(), header_list()).prop_map(|(status, headers)| Message::AnswerHead { status, headers }),
        any_bytes().prop_map(Message::AnswerBody),
        Just(Message::AnswerEnd),
        any::<u8>().prop_map(|lane| Message::OpenLane { lane }),
        any_batch().prop_map(Message::Batch),
        vectors().prop_map(|vectors| Message::Acknowledge { vectors }),
        (partition(), any_vector(), reason, ".{0,20}").prop_map(|(partition, vector, reason, detail)| {
            Message::Rewind {
                partition,
                vector,
                reason,
                detail,
            }
        }),
        (partition(), any_replica(), any::<u64>(), any::<u64>()).prop_map(
            |(partition, replica, first_seq, last_seq)| Message::Fetch {
                partition,
                replica,
                first_seq,
                last_seq
            }
        ),
        any_batch().prop_map(Message::Fetched),
        any::<bool>().prop_map(|complete| Message::FetchEnd { complete }),
    ]
}

proptest! {
    #[test]
    fn messages_round_trip(message in any_message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn damaged_frames_are_refused_or_decode_to_what_round_trips(
        frame in any_message().prop_flat_map(|message| damaged(message.encode().to_vec()))
    ) {
        if let Ok(message) = Message::decode(&frame) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn any_bytes_behind_a_good_front_decode_or_are_refused(variant in 0_u8..12, tail in prop::collection::vec(any::<u8>(), 0..60)) {
        let frame = [&[1, variant], tail.as_slice()].concat();
        let _ = Message::decode(&frame);
    }
}
