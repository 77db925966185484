//! What clients ask of one record, and what they are told: the vocabulary between the API and the partition.

use bytes::Bytes;

use crate::model::change::{ConflictPolicy, Content, DOT_BYTES};
use crate::model::idempotency::{Idempotency, IdempotencyScope, scope_of};
use crate::model::ids::{Key, Namespace, SubKey};
use crate::model::record::{RecordId, RecordType, RowId, Version};
use crate::model::rows::counter::CounterOverflow;
use crate::model::vector::Dot;

/// An operation on one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a register.
    PutRegister {
        /// What it shows from now on.
        content: Content,
        /// Exactly which versions it replaces; none replaces all that the region has seen. Those under `lww` that are
        /// seen and not named lose to it and go to the ledger.
        context: Option<Vec<Dot>>,
    },
    /// Deletes a register, also if it is absent.
    DeleteRegister,
    /// Adds to a counter.
    AddCounter {
        /// How much; negative subtracts.
        amount: i64,
    },
    /// Sets what the region has seen of a counter to 0.
    ResetCounter,
    /// Adds and removes members of a set.
    UpdateSet {
        /// Members to add.
        add: Vec<SubKey>,
        /// Members to remove; one that is also added is added.
        remove: Vec<SubKey>,
    },
    /// Sets and removes fields of a map.
    UpdateMap {
        /// Fields and their JSON texts.
        set: Vec<(SubKey, Bytes)>,
        /// Fields to remove; one that is also set is set.
        remove: Vec<SubKey>,
    },
}

impl Operation {
    /// The type of record it is for.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        match self {
            Self::PutRegister { .. } | Self::DeleteRegister => RecordType::Register,
            Self::AddCounter { .. } | Self::ResetCounter => RecordType::Counter,
            Self::UpdateSet { .. } => RecordType::Set,
            Self::UpdateMap { .. } => RecordType::Map,
        }
    }

    /// The only member or field that it names; none if it names none or several, and of registers and counters.
    #[must_use]
    pub fn only_part(&self) -> Option<&SubKey> {
        match self {
            Self::UpdateSet { add, remove } => only(add.iter().chain(remove)),
            Self::UpdateMap { set, remove } => only(set.iter().map(|(field, _)| field).chain(remove)),
            _ => None,
        }
    }

    /// The most changes that it can turn into.
    #[must_use]
    pub fn changes_max(&self) -> usize {
        match self {
            Self::PutRegister { .. }
            | Self::DeleteRegister
            | Self::AddCounter { .. }
            | Self::ResetCounter => 1,
            Self::UpdateSet { add, remove } => add.len() + remove.len(),
            Self::UpdateMap { set, remove } => set.len() + remove.len(),
        }
    }

    /// About how many bytes of changes it can turn into, the record's name apart.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let sizes = |keys: &[SubKey]| keys.iter().map(|key| key.as_str().len() + 16).sum::<usize>();
        match self {
            Self::PutRegister { content, context } => {
                let dots = context.as_ref().map_or(0, Vec::len) * DOT_BYTES;
                dots + content.payload.len() + content.content_type.len()
            }
            Self::DeleteRegister | Self::AddCounter { .. } | Self::ResetCounter => 16,
            Self::UpdateSet { add, remove } => sizes(add) + sizes(remove),
            Self::UpdateMap { set, remove } => {
                set.iter()
                    .map(|(field, value)| field.as_str().len() + value.len() + 16)
                    .sum::<usize>()
                    + sizes(remove)
            }
        }
    }
}

/// What must hold of a register, a counter, a member of a set or a field of a map for a write to it to be made (RFC 9110,
/// 13.1). A counter is there once it was touched. Tags without quotes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// `If-Match: *`: it is there.
    Exists,
    /// `If-Match`: it is there with one of these tags.
    Matches(Vec<String>),
    /// `If-None-Match: *`: it is not there.
    Absent,
    /// `If-None-Match`: it is not there with one of these tags.
    DiffersFrom(Vec<String>),
}

impl Precondition {
    /// Whether what has this tag (none: it is not there) fulfils it.
    #[must_use]
    pub fn holds(&self, tag: Option<&str>) -> bool {
        let among = |tags: &[String]| tag.is_some_and(|tag| tags.iter().any(|given| given == tag));
        match self {
            Self::None => true,
            Self::Exists => tag.is_some(),
            Self::Absent => tag.is_none(),
            Self::Matches(tags) => among(tags),
            Self::DiffersFrom(tags) => !among(tags),
        }
    }
}

/// A write as the partition gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteRequest {
    /// The namespace.
    pub namespace: Namespace,
    /// The record's key.
    pub key: Key,
    /// The policy of the namespace at this moment; the change carries it from here on.
    pub policy: ConflictPolicy,
    /// What must hold first. Writes of sets and maps that name several parts, or none, have no precondition.
    pub precondition: Precondition,
    /// What to do.
    pub operation: Operation,
}

impl WriteRequest {
    /// The record it is for.
    #[must_use]
    pub fn record(&self) -> RecordId {
        RecordId::new(
            self.namespace.clone(),
            self.operation.record_type(),
            self.key.clone(),
        )
    }

    /// The only row that it is for; none of writes of sets and maps that name several parts, or none.
    #[must_use]
    pub fn row(&self) -> Option<RowId> {
        let record = self.record();
        if record.record_type.has_parts() {
            let part = self.operation.only_part()?.clone();
            return Some(record.sub_row(part));
        }
        Some(record.row())
    }

    /// About how many bytes of changes it can turn into.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let name = self.namespace.as_str().len() + self.key.as_str().len() + 64;
        self.operation.size_bytes() + name * self.operation.changes_max()
    }
}

/// Writes that are made together, in one commit, or not at all: one, or the operations of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// At least one; all of one namespace and one partition.
    pub writes: Vec<WriteRequest>,
    /// Set where the client may send it again.
    pub idempotency: Option<Idempotency>,
}

impl Submission {
    /// A single write.
    #[must_use]
    pub fn single(write: WriteRequest) -> Self {
        Self {
            writes: vec![write],
            idempotency: None,
        }
    }

    /// The most changes that it can turn into.
    #[must_use]
    pub fn changes_max(&self) -> usize {
        let changes = self.writes.iter().map(|write| write.operation.changes_max());
        changes.sum()
    }

    /// About how many bytes of changes it can turn into.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.writes.iter().map(WriteRequest::size_bytes).sum()
    }

    /// Under what its outcome is remembered.
    #[must_use]
    pub fn scope(&self) -> Option<IdempotencyScope> {
        let first = self.writes.first()?;
        let idempotency = self.idempotency.as_ref()?;
        Some(scope_of(&first.namespace, idempotency))
    }
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteAnswer {
    /// The version of the last change; none if there was nothing to change.
    pub version: Option<Version>,
    /// The entity tag, right after it, of the counter, member or field that it was for; none if that is not there any more,
    /// or if it was for several. None of registers, whose tag is the version where no sibling may remain.
    pub tag: Option<String>,
    /// What else there is to say.
    pub effect: WriteEffect,
}

/// What a write did, by operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteEffect {
    /// A register was written or deleted.
    Register,
    /// A counter has this value now.
    Counter {
        /// The value in this region.
        value: i128,
    },
    /// Members or fields that came new (fields: were set), and that went.
    Parts {
        /// Members that were not there before; fields that were set.
        added: usize,
        /// Members or fields that were there before.
        removed: usize,
    },
}

/// Why a write was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteRefusal {
    /// The precondition does not hold.
    #[error("the precondition does not hold: {}", current_text(.current.as_deref()))]
    PreconditionFailed {
        /// The tag of what it is about; none if that is not there.
        current: Option<String>,
    },
    /// A counter's total would overflow.
    #[error(transparent)]
    CounterOverflow(#[from] CounterOverflow),
    /// A register has too many siblings.
    #[error(
        "the register has {count} siblings, the most that are kept: read them and write back with Atoll-Context"
    )]
    TooManySiblings {
        /// How many.
        count: usize,
    },
}

/// Why a submission was not made: one of its writes was refused, and so all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("operation {position} was refused, and so the whole batch: {refusal}")]
pub struct BatchRefusal {
    /// Which of its writes, counted from 0.
    pub position: usize,
    /// Why.
    pub refusal: WriteRefusal,
}

/// The one that all of them are.
fn only<'a>(mut named: impl Iterator<Item = &'a SubKey>) -> Option<&'a SubKey> {
    let first = named.next()?;
    named.all(|part| part == first).then_some(first)
}

fn current_text(tag: Option<&str>) -> String {
    match tag {
        Some(tag) => format!("what it is about has the entity tag \"{tag}\""),
        None => "what it is about does not exist".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preconditions_follow_rfc_9110() {
        let tags = || vec!["a".to_owned(), "b".to_owned()];
        for (precondition, absent, tagged_a, tagged_c) in [
            (Precondition::None, true, true, true),
            (Precondition::Exists, false, true, true),
            (Precondition::Absent, true, false, false),
            (Precondition::Matches(tags()), false, true, false),
            (Precondition::DiffersFrom(tags()), true, false, true),
        ] {
            assert_eq!(precondition.holds(None), absent, "{precondition:?}");
            assert_eq!(precondition.holds(Some("a")), tagged_a, "{precondition:?}");
            assert_eq!(precondition.holds(Some("c")), tagged_c, "{precondition:?}");
        }
    }
}
