//! Collecting what a checker finds, and naming what it is about so that people find it in a trace.

use std::fmt;

use atoll::model::record::RecordId;

use crate::evidence::{Action, Condition, Operation, Outcome, Violation};

use super::study::{ChangeNumber, Journal};

/// Details of one checker that are kept: one bug can break thousands of operations, and nobody reads more.
const DETAILS_MAX: usize = 20;

/// What one checker has found.
#[derive(Debug)]
pub(crate) struct Report {
    checker: &'static str,
    details: Vec<String>,
    further: usize,
}

impl Report {
    /// Nothing yet. The checker is named after its file.
    pub(crate) fn new(checker: &'static str) -> Self {
        Self {
            checker,
            details: Vec::new(),
            further: 0,
        }
    }

    /// Something is wrong.
    pub(crate) fn add(&mut self, detail: String) {
        if self.details.len() < DETAILS_MAX {
            self.details.push(detail);
        } else {
            self.further += 1;
        }
    }

    /// All that was found.
    pub(crate) fn into_violations(self) -> Vec<Violation> {
        let Self {
            checker,
            mut details,
            further,
        } = self;
        if further > 0 {
            details.push(format!("and {further} more like these"));
        }
        let violation = |detail| Violation { checker, detail };
        details.into_iter().map(violation).collect()
    }
}

/// A record as `register shop/cart`.
#[derive(Debug)]
pub(crate) struct RecordName<'a>(pub(crate) &'a RecordId);

impl fmt::Display for RecordName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecordId {
            namespace,
            record_type,
            key,
        } = self.0;
        write!(f, "{} {namespace}/{key}", record_type.name())
    }
}

/// An operation with all that is needed to find it.
#[derive(Debug)]
pub(crate) struct OperationName<'a>(pub(crate) &'a Operation);

impl fmt::Display for OperationName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.0;
        write!(
            f,
            "operation {} (client {} in {}, {} of {}, {} to ",
            operation.id.0,
            operation.client.0,
            operation.region,
            ActionName(&operation.action),
            RecordName(&operation.record),
            operation.started,
        )?;
        match operation.ended {
            Some(ended) => write!(f, "{ended}"),
            None => f.write_str("no answer"),
        }?;
        match &operation.outcome {
            Outcome::Done(answer) => match answer.version {
                Some(version) => write!(f, ", done, version {version})"),
                None => f.write_str(", done)"),
            },
            Outcome::Refused { status, code } => write!(f, ", refused with {status} {code})"),
            Outcome::Unknown { .. } => f.write_str(", outcome unknown)"),
        }
    }
}

struct ActionName<'a>(&'a Action);

impl fmt::Display for ActionName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Action::Put { value, condition, .. } => {
                write!(f, "put {:?}{}", text(value), ConditionName(condition))
            }
            Action::Delete { condition } => write!(f, "delete{}", ConditionName(condition)),
            Action::Get => f.write_str("get"),
            Action::Add { delta, condition } => write!(f, "add {delta}{}", ConditionName(condition)),
            Action::Reset => f.write_str("reset"),
            Action::Count => f.write_str("count"),
            Action::ChangeMembers {
                add,
                remove,
                condition,
            } => write!(f, "add {add:?}, remove {remove:?}{}", ConditionName(condition)),
            Action::Contains { member } => write!(f, "contains {member:?}"),
            Action::Members => f.write_str("members"),
            Action::DropSet => f.write_str("drop"),
            Action::ChangeFields { set, remove } => write!(f, "set {set:?}, remove {remove:?}"),
            Action::Fields => f.write_str("fields"),
            Action::DropMap => f.write_str("drop"),
        }
    }
}

struct ConditionName<'a>(&'a Condition);

impl fmt::Display for ConditionName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Condition::None => Ok(()),
            Condition::Absent => f.write_str(" if absent"),
            Condition::Present => f.write_str(" if present"),
            Condition::Tag(tag) => write!(f, " if {tag}"),
        }
    }
}

/// A change with its commit and version.
pub(crate) fn change_name(journal: &Journal<'_>, change: ChangeNumber) -> String {
    let record = journal.record_of(change);
    let part = journal.row(journal.change(change).row).sub_key;
    format!(
        "change {:?} (version {}) of {}{}",
        journal.dot(change),
        journal.change(change).version,
        RecordName(record.id),
        part.map(|part| format!(" {part:?}")).unwrap_or_default(),
    )
}

/// Bytes as text, as far as they are text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
