//! What preconditions look at, as far as it can be known from logs and answers, for the checker of linearizability.
//!
//! Registers and members have tags that say which changes they consist of. The tag of a counter is a hash of totals that
//! nobody outside knows: of it is known only the value that was shown with it.

use std::collections::BTreeMap;
use std::fmt;

use atoll::model::record::{RecordId, RecordType};

use crate::evidence::{Condition, Evidence, Operation, Shown};

use super::linearizability::holds;
use super::report::{OperationName, Report};
use super::study::expectation::{entity_tag, member_tag};
use super::study::{Journal, Shows};

/// What a row held when a precondition looked at it.
pub(crate) enum Held {
    /// It was not there, or showed nothing.
    Nothing,
    /// Something with this tag, without quotes.
    Tagged(String),
    /// A counter that was touched, with this value.
    Total(i128),
}

impl Held {
    /// Of a row of a record of this type.
    pub(crate) fn of(journal: &Journal<'_>, record_type: RecordType, shows: Option<&Shows>) -> Self {
        let tag = match (record_type, shows) {
            (_, Some(Shows::Total(total))) => return Self::Total(*total),
            (RecordType::Set, Some(shows)) => member_tag(journal, shows.live()),
            (_, Some(shows)) => entity_tag(journal, shows.live()),
            (_, None) => None,
        };
        tag.map_or(Self::Nothing, Self::Tagged)
    }

    /// Whether the condition of an operation on it holds; none if nobody can tell.
    pub(crate) fn meets(&self, operation: &Operation, shown: &ShownTags<'_>) -> Option<bool> {
        let condition = operation.action.condition();
        match (self, condition) {
            (Self::Nothing, _) => Some(holds(condition, None)),
            (Self::Tagged(tag), _) => Some(holds(condition, Some(tag))),
            (Self::Total(_), Condition::None | Condition::Present) => Some(true),
            (Self::Total(_), Condition::Absent) => Some(false),
            // Another value has another tag. The same value may have another one too.
            (Self::Total(total), Condition::Tag(tag)) => {
                let is_value = *total == i128::from(shown.total(&operation.record, tag)?);
                (!is_value).then_some(false)
            }
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Tagged(tag) => write!(f, "something with the tag {tag:?}"),
            Self::Total(total) => write!(f, "a counter with the value {total}"),
        }
    }
}

/// The values of counters by the tags that were shown with them.
pub(crate) struct ShownTags<'a>(BTreeMap<(&'a RecordId, &'a str), i64>);

impl<'a> ShownTags<'a> {
    /// Of all answers. A tag that was shown with two values is wrong, wherever that was: it must change with what it names.
    pub(crate) fn of(evidence: &'a Evidence, report: &mut Report) -> Self {
        let mut totals = BTreeMap::new();
        for operation in &evidence.operations {
            let Some(answer) = operation.answer() else {
                continue;
            };
            if let (Some(tag), Shown::Total(total)) = (answer.tag.as_deref(), &answer.shown) {
                let known = *totals.entry((&operation.record, tag)).or_insert(*total);
                if known != *total {
                    report.add(format!(
                        "{} shows {total} with the tag {tag}, with which {known} was shown too",
                        OperationName(operation)
                    ));
                }
            }
        }
        Self(totals)
    }

    fn total(&self, record: &RecordId, tag: &str) -> Option<i64> {
        self.0.get(&(record, tag)).copied()
    }
}
