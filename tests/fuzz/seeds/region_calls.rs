//! Writes as the nodes of a region pass them on, and what becomes of them.

use atoll::model::change::ConflictPolicy;
use atoll::model::idempotency::{Decision, Fingerprint, Idempotency, IdempotencyKey};
use atoll::model::ids::{Key, SubKey};
use atoll::model::request::{
    BatchRefusal, Operation, Precondition, Submission, WriteAnswer, WriteEffect, WriteRefusal, WriteRequest,
};
use atoll::wire::region_calls::{PassedError, PassedVerdict, encode_submission, encode_verdict};
use bytes::Bytes;

use super::values as samples;
use super::{Seed, refused, valid};

fn write(operation: Operation, precondition: Precondition) -> WriteRequest {
    WriteRequest {
        namespace: "shop".parse().unwrap(),
        key: Key::new("{user1}:café").unwrap(),
        policy: ConflictPolicy::Siblings,
        precondition,
        operation,
    }
}

fn set(add: Vec<SubKey>, remove: Vec<SubKey>) -> Operation {
    Operation::UpdateSet { add, remove }
}

fn tags() -> Vec<String> {
    vec!["us-east@1790000000:12".to_owned()]
}

/// Every operation and every precondition.
fn writes() -> Vec<WriteRequest> {
    let part = samples::part;
    let put = Operation::PutRegister {
        content: samples::content(),
        context: Some(vec![samples::dot()]),
    };
    let map = Operation::UpdateMap {
        set: vec![(part(), Bytes::from_static(b"[1]"))],
        remove: vec![SubKey::new("other").unwrap()],
    };
    vec![
        write(put, Precondition::DiffersFrom(tags())),
        write(Operation::DeleteRegister, Precondition::Exists),
        write(
            Operation::AddCounter { amount: -7 },
            Precondition::Matches(tags()),
        ),
        write(Operation::ResetCounter, Precondition::Absent),
        write(set(vec![part()], vec![part()]), Precondition::Exists),
        write(map, Precondition::None),
    ]
}

fn verdicts() -> Vec<PassedVerdict> {
    let answer = |tag: Option<&str>, effect| WriteAnswer {
        version: Some(samples::version()),
        tag: tag.map(str::to_owned),
        effect,
    };
    let decided = |outcome| {
        Ok(Decision {
            outcome,
            is_repeat: false,
        })
    };
    let made = vec![
        answer(None, WriteEffect::Register),
        answer(Some("us-east@1790000000:12"), WriteEffect::Counter { value: 7 }),
    ];
    let refusal = BatchRefusal {
        position: 1,
        refusal: WriteRefusal::TooManySiblings { count: 64 },
    };
    let unavailable = PassedError::Unavailable {
        reason: "the disk is full".to_owned(),
        outcome_unknown: true,
    };
    let leader = Some("us-east-2".parse().unwrap());
    vec![
        decided(Ok(made)),
        decided(Err(refusal)),
        Err(unavailable),
        Err(PassedError::Conflict("the key was used".to_owned())),
        Err(PassedError::NotLeader { leader }),
    ]
}

/// Submissions and verdicts. Each verdict has the number of its writes before it.
pub(super) fn all() -> Vec<Seed> {
    let each = writes().into_iter().map(Submission::single);
    let together = Submission {
        writes: writes(),
        idempotency: Some(Idempotency {
            key: IdempotencyKey::new("6f9619ff-8b86").unwrap(),
            fingerprint: Fingerprint::of_parts(&[b"PUT"]),
        }),
    };
    let submissions = each.chain([together]);
    let mut seeds = valid(
        "submission",
        submissions.map(|submission| encode_submission(&submission)),
    );
    let two_members = set(vec![samples::part(), SubKey::new("other").unwrap()], Vec::new());
    let unclear = Submission::single(write(two_members, Precondition::Exists));
    seeds.extend(refused("submission", [encode_submission(&unclear)]));
    let counted =
        |writes: u8, verdict: &PassedVerdict| [&[writes], encode_verdict(verdict).as_slice()].concat();
    let verdicts = verdicts();
    let good = verdicts.iter().map(|verdict| counted(2, verdict));
    seeds.extend(valid("verdict", good));
    seeds.extend(refused("verdict", [counted(1, &verdicts[0])]));
    seeds
}
