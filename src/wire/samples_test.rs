//! Values for the tests of encodings: fixed ones for golden bytes, arbitrary ones for properties.

use bytes::Bytes;
use proptest::prelude::*;

use crate::model::change::{Change, Commit, ConflictPolicy, Content, Delta, Replaces};
use crate::model::hlc::{Hlc, WallTime};
use crate::model::ids::{Incarnation, Key, Namespace, ReplicaId, SubKey};
use crate::model::record::{RecordId, RecordType, RowId};
use crate::model::rows::{self, Row};
use crate::model::vector::{Dot, VersionVector};

/// Half a line of golden bytes.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn replica(region: &str, incarnation: u32) -> ReplicaId {
    ReplicaId {
        region: region.parse().unwrap(),
        incarnation: Incarnation(incarnation),
    }
}

pub(super) fn vector(entries: &[(&str, u64)]) -> VersionVector {
    let dots = entries.iter().map(|(region, seq)| Dot {
        replica: replica(region, 1),
        seq: *seq,
    });
    dots.collect()
}

pub(super) fn record(record_type: RecordType) -> RecordId {
    RecordId::new("shop".parse().unwrap(), record_type, Key::new("k").unwrap())
}

fn content() -> Content {
    Content {
        content_type: "text/plain".to_owned(),
        payload: Bytes::from_static(b"hi"),
        expires_at: Some(WallTime::from_micros(300)),
    }
}

/// Every kind of delta, in the order of their persisted numbers.
pub(super) fn deltas() -> Vec<Delta> {
    let part = || SubKey::new("m").unwrap();
    let dot = Dot {
        replica: replica("eu", 2),
        seq: 9,
    };
    vec![
        Delta::Register {
            policy: ConflictPolicy::Lww,
            replaces: Replaces::Seen,
            content: Some(content()),
        },
        Delta::Register {
            policy: ConflictPolicy::Siblings,
            replaces: Replaces::Exactly(vec![dot]),
            content: None,
        },
        Delta::CounterTotals {
            increments: 70_000,
            decrements: 3,
        },
        Delta::CounterFloors {
            floors: vec![(replica("eu", 2), 5, 0)],
        },
        Delta::MemberAdd { member: part() },
        Delta::MemberRemove { member: part() },
        Delta::FieldPut {
            field: part(),
            value: Bytes::from_static(b"[1]"),
        },
        Delta::FieldRemove { field: part() },
    ]
}

/// A commit with every kind of delta.
pub(super) fn commit() -> Commit {
    let change = |delta: Delta| Change {
        record: record(delta.record_type()),
        delta,
    };
    Commit {
        origin: replica("us", 1),
        first_seq: 300,
        hlc: Hlc(0x0102_0304_0506_0708),
        deps: vector(&[("eu", 7)]),
        changes: deltas().into_iter().map(change).collect(),
    }
}

/// The row that the given deltas make, each a change of another region that had seen nothing.
pub(super) fn row_of(deltas: &[Delta]) -> (RowId, Row) {
    let mut row = None;
    let nothing = VersionVector::new();
    for (delta, number) in deltas.iter().zip(1_u64..) {
        let stamped = crate::model::change::Stamped {
            dot: Dot {
                replica: replica(&format!("r{number}"), 1),
                seq: 250 + number,
            },
            hlc: Hlc(number << 32),
            deps: &nothing,
        };
        row = rows::merge(row, delta, &stamped).unwrap().0;
    }
    let change = Change {
        record: record(deltas[0].record_type()),
        delta: deltas[0].clone(),
    };
    (crate::model::workspace::row_of(&change), row.unwrap())
}

pub(super) fn any_replica() -> impl Strategy<Value = ReplicaId> {
    ("[a-z0-9][a-z0-9-]{0,23}", any::<u32>()).prop_map(|(region, incarnation)| replica(&region, incarnation))
}

pub(super) fn any_dot() -> impl Strategy<Value = Dot> {
    (any_replica(), any::<u64>()).prop_map(|(replica, seq)| Dot { replica, seq })
}

pub(super) fn any_vector() -> impl Strategy<Value = VersionVector> {
    prop::collection::vec(any_dot(), 0..4).prop_map(|dots| dots.into_iter().collect())
}

pub(super) fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

pub(super) fn any_namespace() -> impl Strategy<Value = Namespace> {
    prop_oneof![
        Just(Namespace::system()),
        "[a-z0-9][a-z0-9-]{1,62}".prop_map(|text| text.parse().unwrap())
    ]
}

pub(super) fn any_policy() -> impl Strategy<Value = ConflictPolicy> {
    prop_oneof![
        Just(ConflictPolicy::Lww),
        Just(ConflictPolicy::Custom),
        Just(ConflictPolicy::Siblings)
    ]
}

pub(super) fn any_content() -> impl Strategy<Value = Content> {
    let expires_at = prop::option::of(any::<u64>().prop_map(WallTime::from_micros));
    (".{0,20}", any_bytes(), expires_at).prop_map(|(content_type, payload, expires_at)| Content {
        content_type,
        payload,
        expires_at,
    })
}

fn any_part() -> impl Strategy<Value = SubKey> {
    ".{1,20}".prop_map(|text| SubKey::new(&text).unwrap())
}

pub(super) fn any_delta() -> impl Strategy<Value = Delta> {
    let replaces = prop_oneof![
        Just(Replaces::Seen),
        prop::collection::vec(any_dot(), 0..3).prop_map(Replaces::Exactly)
    ];
    let register = (any_policy(), replaces, prop::option::of(any_content()));
    let floors = prop::collection::vec((any_replica(), any::<u64>(), any::<u64>()), 0..3);
    prop_oneof![
        register.prop_map(|(policy, replaces, content)| Delta::Register {
            policy,
            replaces,
            content
        }),
        (any::<u64>(), any::<u64>()).prop_map(|(increments, decrements)| Delta::CounterTotals {
            increments,
            decrements
        }),
        floors.prop_map(|floors| Delta::CounterFloors { floors }),
        any_part().prop_map(|member| Delta::MemberAdd { member }),
        any_part().prop_map(|member| Delta::MemberRemove { member }),
        (any_part(), any_bytes()).prop_map(|(field, value)| Delta::FieldPut { field, value }),
        any_part().prop_map(|field| Delta::FieldRemove { field }),
    ]
}

pub(super) fn any_commit() -> impl Strategy<Value = Commit> {
    let change = (any_namespace(), ".{1,20}", any_delta()).prop_map(|(namespace, key, delta)| Change {
        record: RecordId::new(namespace, delta.record_type(), Key::new(&key).unwrap()),
        delta,
    });
    let changes = prop::collection::vec(change, 1..5);
    let numbers = (1_u64..u64::MAX - 5, 0_u64..u64::MAX - 5);
    (any_replica(), numbers, any_vector(), changes).prop_map(|(origin, (first_seq, hlc), deps, changes)| {
        Commit {
            origin,
            first_seq,
            hlc: Hlc(hlc),
            deps: deps.without(&origin),
            changes,
        }
    })
}

/// Bytes as a bad disk, a bad network or a bad peer could make them of good ones.
pub(super) fn damaged(good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = good.len();
    let (cut, grown) = (good.clone(), good.clone());
    let changes = prop::collection::vec((0..len, any::<u8>()), 1..4);
    prop_oneof![
        (0..len).prop_map(move |end| cut[..end].to_vec()),
        (0..len, 0_u32..8).prop_map({
            let good = good.clone();
            move |(position, bit)| {
                let mut bytes = good.clone();
                bytes[position] ^= 1 << bit;
                bytes
            }
        }),
        changes.prop_map(move |changes| {
            let mut bytes = good.clone();
            for (position, value) in changes {
                bytes[position] = value;
            }
            bytes
        }),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(move |tail| [grown.as_slice(), &tail].concat()),
        prop::collection::vec(any::<u8>(), 0..80),
    ]
}
