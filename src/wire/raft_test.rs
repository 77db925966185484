//! Golden bytes of the family `raft`, and bytes that are none of it.

use proptest::prelude::*;

use super::*;
use crate::model::ids::Incarnation;
use crate::wire::samples_test::{any_bytes, damaged, hex};

fn node(name: &str) -> RaftNodeId {
    RaftNodeId::new(name.parse().unwrap(), Incarnation(300))
}

fn id(index: u64) -> StoredLogId {
    StoredLogId {
        term: Term(7),
        leader: node("n1"),
        index: RaftIndex(index),
    }
}

fn members() -> StoredMembers {
    StoredMembers {
        voters: vec![[node("n1")].into(), [node("n1"), node("n2")].into()],
        nodes: [
            (node("n1"), NodeRole::Active),
            (node("n2"), NodeRole::Drained),
            (node("n3"), NodeRole::Leaving),
        ]
        .into(),
    }
}

fn entry(payload: StoredPayload) -> StoredEntry {
    StoredEntry { id: id(772), payload }
}

fn applied() -> StoredApplied {
    StoredApplied {
        last: Some(id(772)),
        members_from: Some(id(9)),
        members: members(),
    }
}

const N1: &str = "01026e31fb2c01";
const N2: &str = "01026e32fb2c01";
const N3: &str = "01026e33fb2c01";

fn golden_members() -> String {
    format!("0201{N1}02{N1}{N2}03{N1}00{N2}01{N3}02")
}

#[test]
fn golden_bytes_of_entries() {
    let group = StoredPayload::Group(Bytes::from_static(b"ab"));
    let golden = [
        (StoredPayload::Blank, "00".to_owned()),
        (group, "01026162".to_owned()),
        (
            StoredPayload::Members(members()),
            format!("02{}", golden_members()),
        ),
    ];
    for (payload, bytes) in golden {
        let entry = entry(payload);
        assert_eq!(
            hex(&encode_entry(&entry)),
            format!("0107{N1}fb0403{bytes}"),
            "the persisted bytes have changed"
        );
        assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
    }
}

#[test]
fn golden_bytes_of_votes() {
    let vote = StoredVote {
        term: Term(300),
        leader: node("n2"),
        is_committed: true,
    };
    assert_eq!(hex(&encode_vote(&vote)), format!("01fb2c01{N2}01"));
    assert_eq!(decode_vote(&encode_vote(&vote)), Ok(vote));
    let none = StoredVote {
        term: Term(0),
        leader: RaftNodeId::default(),
        is_committed: false,
    };
    assert_eq!(hex(&encode_vote(&none)), "01000000");
    assert_eq!(decode_vote(&encode_vote(&none)), Ok(none));
}

#[test]
fn golden_bytes_of_the_purge_mark_and_of_what_was_applied() {
    assert_eq!(hex(&encode_log_id(&id(772))), format!("0107{N1}fb0403"));
    assert_eq!(decode_log_id(&encode_log_id(&id(772))), Ok(id(772)));
    assert_eq!(
        hex(&encode_applied(&applied())),
        format!("010107{N1}fb04030107{N1}09{}", golden_members())
    );
    assert_eq!(decode_applied(&encode_applied(&applied())), Ok(applied()));
    let nothing = StoredApplied::default();
    assert_eq!(hex(&encode_applied(&nothing)), "0100000000");
    assert_eq!(decode_applied(&encode_applied(&nothing)), Ok(nothing));
}

#[test]
fn an_entry_that_nothing_could_follow_is_refused() {
    let last = StoredEntry {
        id: id(u64::MAX),
        payload: StoredPayload::Blank,
    };
    assert!(decode_entry(&encode_entry(&last)).is_err());
    assert!(decode_log_id(&encode_log_id(&id(u64::MAX))).is_err());
    assert!(decode_log_id(&encode_log_id(&id(u64::MAX - 1))).is_ok());
    for applied in [
        StoredApplied {
            last: Some(id(u64::MAX)),
            ..applied()
        },
        StoredApplied {
            members_from: Some(id(u64::MAX)),
            ..applied()
        },
    ] {
        assert!(decode_applied(&encode_applied(&applied)).is_err());
    }
}

#[test]
fn another_format_is_refused() {
    let mut bytes = encode_entry(&entry(StoredPayload::Blank));
    bytes[0] = 2;
    assert!(decode_entry(&bytes).is_err());
    assert!(decode_vote(&[2, 0, 0, 0]).is_err());
    assert!(decode_log_id(&[]).is_err());
    assert!(decode_applied(&[0, 0, 0, 0, 0]).is_err());
}

proptest! {
    #[test]
    fn groups_of_any_bytes_round_trip(bytes in any_bytes(), index in 0..u64::MAX) {
        let entry = StoredEntry { id: id(index), payload: StoredPayload::Group(bytes) };
        prop_assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
    }

    #[test]
    fn damaged_values_are_refused_or_another_value(
        entry in damaged(encode_entry(&entry(StoredPayload::Members(members())))),
        applied in damaged(encode_applied(&applied())),
    ) {
        if let Ok(found) = decode_entry(&entry) {
            prop_assert_eq!(decode_entry(&encode_entry(&found)), Ok(found));
        }
        if let Ok(found) = decode_applied(&applied) {
            prop_assert_eq!(decode_applied(&encode_applied(&found)), Ok(found));
        }
    }
}
