//! A bug of a partition, as far as anybody can see: its actor panics in the middle of its work.

use std::sync::Arc;

use atoll::actors::partition::{Origin, PartitionHandle, PartitionMessage, Receipts};
use atoll::model::change::{Change, Commit, Delta};
use atoll::model::hlc::Hlc;
use atoll::model::ids::{Incarnation, Key, Namespace, PartitionId, RegionId, ReplicaId, SubKey};
use atoll::model::record::{RecordId, RecordType};
use atoll::model::vector::VersionVector;
use atoll::wire::messages::RewindReason;

/// What such a panic says; others are bugs indeed.
pub const DELIBERATE: &str = "deliberate: a partition breaks down";

/// Panics when it is told anything.
struct Fatal;

impl Receipts for Fatal {
    fn applied(&self, _partition: PartitionId, _vector: VersionVector) {
        panic!("{DELIBERATE}");
    }

    fn rewind(
        &self,
        _partition: PartitionId,
        _vector: VersionVector,
        _reason: RewindReason,
        _detail: String,
    ) {
        panic!("{DELIBERATE}");
    }
}

/// Breaks a partition down when it comes to this: it is offered what it must refuse, and telling so panics.
pub fn break_down(handle: &PartitionHandle, region: RegionId) {
    let namespace: Namespace = "nowhere".parse().expect("a valid name");
    let key = Key::new("k").expect("a valid key");
    let record = RecordId::new(namespace, RecordType::Set, key);
    let commit = Commit {
        // A later life of this very region, of which it would know.
        origin: ReplicaId {
            region,
            incarnation: Incarnation(u32::MAX),
        },
        first_seq: 1,
        hlc: Hlc(1),
        deps: VersionVector::new(),
        changes: vec![Change {
            record,
            delta: Delta::MemberAdd {
                member: SubKey::new("m").expect("a valid member"),
            },
        }],
    };
    let origin = Origin {
        region,
        receipts: Some(Arc::new(Fatal)),
    };
    handle.send(PartitionMessage::Offer {
        origin,
        commits: vec![commit],
        permit: None,
    });
}
