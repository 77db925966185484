//! Golden bytes of every message of the mesh, round trips, and frames that nobody should have sent.

use proptest::prelude::*;

use super::*;
use crate::model::agreement::{FoundingRecord, FoundingState};
use crate::model::ids::{Incarnation, PartitionCount};
use crate::model::limits;
use crate::wire::messages::Message;
use crate::wire::samples_test::{any_bytes, damaged, hex};

fn introduction() -> MeshIntroduction {
    MeshIntroduction {
        introduction: Introduction {
            protocol_min: 1,
            protocol_max: 300,
            software: "0.1.0".to_owned(),
            cluster: "demo".parse().unwrap(),
            region: "eu".parse().unwrap(),
            node: "eu-1".parse().unwrap(),
            partitions: PartitionCount::new(64).unwrap(),
            incarnation: Incarnation(300),
        },
        life: 9,
    }
}

fn member(node: &str, incarnation: u32) -> MemberId {
    MemberId {
        node: node.parse().unwrap(),
        incarnation: Incarnation(incarnation),
    }
}

/// The answer of `n1` with a record of two lives.
fn founding(incarnations: [u32; 2]) -> FoundingAnswer {
    let [own, other] = incarnations;
    let record = FoundingRecord {
        replica: Incarnation(7),
        members: [member("n1", own), member("n2", other)].into(),
    };
    FoundingAnswer {
        member: member("n1", own),
        nodes: record.nodes(),
        state: FoundingState::Complete(record),
        members: [member("n1", own)].into(),
    }
}

fn sign() -> SignOfLife {
    SignOfLife {
        number: SignNumber(7),
        clock: WallTime::from_micros(300),
        through: Hlc(70_000),
        leads: [(PartitionId(3), Term(1)), (PartitionId(300), Term(251))].into(),
        suspects: ["n2".parse().unwrap()].into(),
    }
}

fn messages() -> Vec<(MeshMessage, &'static str, &'static str)> {
    let acknowledgement = Acknowledgement {
        number: SignNumber(7),
        through: Hlc(70_000),
        except: [PartitionId(3)].into(),
    };
    let requests = vec![
        MeshRequest {
            id: CallId(0),
            partition: PartitionId(3),
            patience_ms: 300,
            body: Bytes::from_static(b"one"),
        },
        MeshRequest {
            id: CallId(300),
            partition: PartitionId(63),
            patience_ms: 1,
            body: Bytes::new(),
        },
    ];
    let answers = vec![
        MeshAnswer {
            id: CallId(300),
            result: Ok(Bytes::from_static(b"two")),
        },
        MeshAnswer {
            id: CallId(0),
            result: Err("why".to_owned()),
        },
    ];
    vec![
        (
            MeshMessage::Hello(introduction()),
            "mesh hello",
            "810001fb2c0105302e312e300464656d6f0265750465752d3140fb2c0109",
        ),
        (
            MeshMessage::Welcome(introduction()),
            "mesh welcome",
            "810101fb2c0105302e312e300464656d6f0265750465752d3140fb2c0109",
        ),
        (
            MeshMessage::SignOfLife(Arc::new(sign())),
            "sign of life",
            "810207fb2c01fc70110100020301fb2c01fbfb0001026e32",
        ),
        (
            MeshMessage::Acknowledge(acknowledgement),
            "acknowledgement",
            "810307fc701101000103",
        ),
        (
            MeshMessage::Requests(requests),
            "requests",
            "8104020003fb2c01036f6e65fb2c013f0100",
        ),
        (
            MeshMessage::Answers(answers),
            "answers",
            "810502fb2c01000374776f000103776879",
        ),
        (MeshMessage::AskFounding, "ask-founding", "8106"),
        (
            MeshMessage::Founding(founding([300, 5])),
            "founding",
            "8107026e31fb2c0102026e31026e32020702026e31fb2c01026e320501026e31fb2c01",
        ),
        (
            MeshMessage::Question(Bytes::from_static(b"who")),
            "question",
            "81080377686f",
        ),
        (MeshMessage::Answer(Ok(300)), "answer", "810900fb2c01"),
        (
            MeshMessage::Answer(Err("why".to_owned())),
            "answer",
            "81090103776879",
        ),
        (
            MeshMessage::AnswerBody(Bytes::from_static(b"two")),
            "answer-body",
            "810a0374776f",
        ),
        (MeshMessage::AnswerEnd, "answer-end", "810b"),
    ]
}

#[test]
fn golden_bytes_of_every_message() {
    for (message, name, golden) in messages() {
        let frame = message.encode();
        assert_eq!(hex(&frame), golden, "the bytes of {name} have changed");
        assert_eq!(message.name(), name);
        assert_eq!(MeshMessage::decode(&frame), Ok(message));
    }
}

#[test]
fn an_unknown_message_or_format_is_refused() {
    let last = MeshMessage::AnswerEnd.encode();
    assert_eq!(last[1], 11, "the last variant");
    assert!(MeshMessage::decode(&[129, 12, 0]).is_err());
    let error = MeshMessage::decode(&[130, 5, 0]).unwrap_err();
    assert!(error.detail.contains("format 130"), "{error}");
    assert!(MeshMessage::decode(&[]).is_err());
}

#[test]
fn a_founding_record_that_is_none_is_refused() {
    let mut answer = founding([300, 5]);
    answer.state = FoundingState::Recorded(FoundingRecord {
        replica: Incarnation(7),
        members: [member("n1", 1), member("n1", 2)].into(),
    });
    assert!(MeshMessage::decode(&MeshMessage::Founding(answer).encode()).is_err());
}

#[test]
fn frames_of_links_and_of_the_mesh_are_told_apart_by_their_first_byte() {
    let of_a_link = Message::Hello(introduction().introduction).encode();
    let error = MeshMessage::decode(&of_a_link).unwrap_err();
    assert!(error.detail.contains("format 1 is unknown"), "{error}");
    let error = Message::decode(&MeshMessage::Hello(introduction()).encode()).unwrap_err();
    assert!(error.detail.contains("format 129 is unknown"), "{error}");
}

#[test]
fn the_largest_body_fits_into_a_frame_with_its_envelope() {
    let body = Bytes::from(vec![7; limits::MESH_BODY_BYTES_MAX]);
    let request = |body: &Bytes| MeshRequest {
        id: CallId(u64::MAX),
        partition: PartitionId(u16::MAX),
        patience_ms: u32::MAX,
        body: body.clone(),
    };
    let frame = MeshMessage::Requests(vec![request(&body)]).encode();
    assert!(frame.len() <= limits::FRAME_BYTES_MAX);
    assert!(MeshMessage::decode(&frame).is_ok());
    let two = MeshMessage::Requests(vec![request(&Bytes::new()), request(&body)]).encode();
    assert!(two.len() - frame.len() <= ENVELOPE_BYTES_MAX);
    let answer = |result| MeshAnswer {
        id: CallId(u64::MAX),
        result,
    };
    let answers = |count: usize| {
        let body = Ok(Bytes::from(vec![7; limits::MESH_ANSWER_BYTES_MAX]));
        MeshMessage::Answers(vec![answer(body); count]).encode().len()
    };
    assert!(answers(2) - answers(1) <= limits::MESH_ANSWER_BYTES_MAX + ENVELOPE_BYTES_MAX);
}

fn any_partition() -> impl Strategy<Value = PartitionId> {
    any::<u16>().prop_map(PartitionId)
}

fn any_sign() -> impl Strategy<Value = SignOfLife> {
    let leads = prop::collection::btree_map(any_partition(), any::<u64>().prop_map(Term), 0..4);
    let suspects = prop::collection::btree_set((0u8..9).prop_map(|n| format!("n{n}").parse().unwrap()), 0..3);
    (any::<[u64; 3]>(), leads, suspects).prop_map(|([number, clock, through], leads, suspects)| SignOfLife {
        number: SignNumber(number),
        clock: WallTime::from_micros(clock),
        through: Hlc(through),
        leads,
        suspects,
    })
}

fn any_acknowledgement() -> impl Strategy<Value = Acknowledgement> {
    let except = prop::collection::btree_set(any_partition(), 0..4);
    (any::<[u64; 2]>(), except).prop_map(|([number, through], except)| Acknowledgement {
        number: SignNumber(number),
        through: Hlc(through),
        except,
    })
}

fn any_request() -> impl Strategy<Value = MeshRequest> {
    let parts = (any::<u64>(), any_partition(), any::<u32>(), any_bytes());
    parts.prop_map(|(id, partition, patience_ms, body)| MeshRequest {
        id: CallId(id),
        partition,
        patience_ms,
        body,
    })
}

fn any_answer() -> impl Strategy<Value = MeshAnswer> {
    let result = prop_oneof![any_bytes().prop_map(Ok), ".{0,20}".prop_map(Err)];
    (any::<u64>(), result).prop_map(|(id, result)| MeshAnswer {
        id: CallId(id),
        result,
    })
}

fn any_introduction() -> impl Strategy<Value = MeshIntroduction> {
    let parts = (any::<[u16; 2]>(), any::<u32>(), 0_u32..=10, any::<u64>());
    parts.prop_map(|(protocols, incarnation, power, life)| {
        let mut introduced = introduction();
        [
            introduced.introduction.protocol_min,
            introduced.introduction.protocol_max,
        ] = protocols;
        introduced.introduction.incarnation = Incarnation(incarnation);
        introduced.introduction.partitions = PartitionCount::new(1 << power).unwrap();
        introduced.life = life;
        introduced
    })
}

fn any_message() -> impl Strategy<Value = MeshMessage> {
    prop_oneof![
        any_introduction().prop_map(MeshMessage::Hello),
        any_introduction().prop_map(MeshMessage::Welcome),
        any_sign().prop_map(|sign| MeshMessage::SignOfLife(Arc::new(sign))),
        any_acknowledgement().prop_map(MeshMessage::Acknowledge),
        prop::collection::vec(any_request(), 0..4).prop_map(MeshMessage::Requests),
        prop::collection::vec(any_answer(), 0..4).prop_map(MeshMessage::Answers),
        Just(MeshMessage::AskFounding),
        any::<[u32; 2]>().prop_map(|lives| MeshMessage::Founding(founding(lives))),
        any_bytes().prop_map(MeshMessage::Question),
        prop_oneof![any::<u64>().prop_map(Ok), ".{0,20}".prop_map(Err)].prop_map(MeshMessage::Answer),
        any_bytes().prop_map(MeshMessage::AnswerBody),
        Just(MeshMessage::AnswerEnd),
    ]
}

proptest! {
    #[test]
    fn messages_round_trip(message in any_message()) {
        prop_assert_eq!(MeshMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn damaged_frames_are_refused_or_decode_to_what_round_trips(
        frame in any_message().prop_flat_map(|message| damaged(message.encode().to_vec()))
    ) {
        if let Ok(message) = MeshMessage::decode(&frame) {
            prop_assert_eq!(MeshMessage::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn any_bytes_behind_a_good_front_decode_or_are_refused(
        variant in 0_u8..12,
        tail in prop::collection::vec(any::<u8>(), 0..60)
    ) {
        let frame = [&[129, variant], tail.as_slice()].concat();
        let _ = MeshMessage::decode(&frame);
    }
}
