//! Values of the model from which the corpus is encoded, and of which the fixed region consists.

use atoll::model::change::{Change, Commit, ConflictPolicy, Content, Delta, Replaces, Stamped};
use atoll::model::hlc::{Hlc, WallTime};
use atoll::model::ids::{Incarnation, Key, Namespace, ReplicaId, SubKey};
use atoll::model::record::{RecordId, RecordType, RowId, Version};
use atoll::model::rows::{self, Row};
use atoll::model::vector::{Dot, VersionVector};
use bytes::Bytes;

/// A replica.
pub(crate) fn replica(region: &str, incarnation: u32) -> ReplicaId {
    ReplicaId {
        region: region.parse().unwrap(),
        incarnation: Incarnation(incarnation),
    }
}

/// A dot with a seq of three bytes.
pub(crate) fn dot() -> Dot {
    Dot {
        replica: replica("eu-west", 1_790_000_000),
        seq: 900,
    }
}

/// A vector of three replicas.
pub(crate) fn vector() -> VersionVector {
    let others = [
        Dot {
            replica: replica("ap-south", 1),
            seq: 3,
        },
        Dot {
            replica: replica("eu-west", 7),
            seq: 70_000,
        },
    ];
    others.into_iter().chain([dot()]).collect()
}

/// A record of a type.
pub(crate) fn record(record_type: RecordType) -> RecordId {
    RecordId::new(
        "shop".parse().unwrap(),
        record_type,
        Key::new("{user1}:café").unwrap(),
    )
}

/// A row of a type.
pub(crate) fn row_id(record_type: RecordType) -> RowId {
    RowId {
        record: record(record_type),
        sub_key: record_type.has_parts().then(part),
    }
}

/// A record of the store's own.
pub(crate) fn system_record() -> RecordId {
    RecordId::new(
        Namespace::system(),
        RecordType::Register,
        Key::new("shop").unwrap(),
    )
}

/// A version.
pub(crate) fn version() -> Version {
    Version {
        hlc: Hlc(0x6b01_7016_d902_aba0),
        region: "us-east".parse().unwrap(),
    }
}

/// A member or field.
pub(crate) fn part() -> SubKey {
    SubKey::new("member é").unwrap()
}

/// The content of a register.
pub(crate) fn content() -> Content {
    Content {
        content_type: "text/plain; charset=utf-8".to_owned(),
        payload: Bytes::from_static(b"hello"),
        expires_at: Some(WallTime::from_micros(1_790_000_000_000_000)),
    }
}

/// Every kind of delta.
pub(crate) fn deltas() -> Vec<Delta> {
    vec![
        register(ConflictPolicy::Lww, Some(content())),
        Delta::Register {
            policy: ConflictPolicy::Siblings,
            replaces: Replaces::Exactly(vec![dot()]),
            content: None,
        },
        Delta::CounterTotals {
            increments: 70_000,
            decrements: 3,
        },
        Delta::CounterFloors {
            floors: vec![(replica("eu-west", 2), 5, 0)],
        },
        Delta::MemberAdd { member: part() },
        Delta::MemberRemove { member: part() },
        Delta::FieldPut {
            field: part(),
            value: Bytes::from_static(b"{\"n\": 1.10}"),
        },
        Delta::FieldRemove { field: part() },
    ]
}

fn register(policy: ConflictPolicy, content: Option<Content>) -> Delta {
    Delta::Register {
        policy,
        replaces: Replaces::Seen,
        content,
    }
}

/// A commit of these deltas.
pub(crate) fn commit(deltas: Vec<Delta>) -> Commit {
    let change = |delta: Delta| Change {
        record: record(delta.record_type()),
        delta,
    };
    Commit {
        origin: replica("us-east", 1_790_000_001),
        first_seq: 300,
        hlc: Hlc(0x6b01_7016_d902_aba0),
        deps: vector(),
        changes: deltas.into_iter().map(change).collect(),
    }
}

/// The row that deltas make of which none has seen another.
fn row(deltas: &[Delta]) -> Row {
    let nothing = VersionVector::new();
    let mut row = None;
    for (delta, number) in deltas.iter().zip(1_u64..) {
        let stamped = Stamped {
            dot: Dot {
                replica: replica(&format!("r{number}"), 1),
                seq: 250 + number,
            },
            hlc: Hlc(number << 40),
            deps: &nothing,
        };
        row = rows::merge(row, delta, &stamped).unwrap().0;
    }
    row.unwrap()
}

/// A register with one version.
pub(crate) fn register_row() -> Row {
    row(&[register(ConflictPolicy::Lww, Some(content()))])
}

/// A register with versions in conflict, one of them a delete.
pub(crate) fn siblings_row() -> Row {
    let version = |content| register(ConflictPolicy::Siblings, content);
    row(&[version(Some(content())), version(None), version(Some(content()))])
}

/// A counter that two replicas have changed.
pub(crate) fn counter_row() -> Row {
    let totals = |increments| Delta::CounterTotals {
        increments,
        decrements: 3,
    };
    let floors = vec![(replica("r1", 1), 5, 0)];
    row(&[totals(70_000), totals(u64::MAX), Delta::CounterFloors { floors }])
}

/// A member that was added twice.
pub(crate) fn member_row() -> Row {
    row(&[
        Delta::MemberAdd { member: part() },
        Delta::MemberAdd { member: part() },
    ])
}

/// A field with two values.
pub(crate) fn field_row() -> Row {
    let put = |value| Delta::FieldPut {
        field: part(),
        value: Bytes::from_static(value),
    };
    row(&[put(b"{\"n\": 1.10}"), put(b"null")])
}
