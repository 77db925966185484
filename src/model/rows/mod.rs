//! What rows hold and how a change merges into one, by type: pure functions of the row and the change alone
//! (DESIGN rule 8). Rows are canonical: the same changes give the same bytes, in whatever causal order they came.

pub mod counter;
pub mod field;
pub mod member;
pub mod register;

#[cfg(test)]
mod actions_test;
#[cfg(test)]
mod convergence_test;
#[cfg(test)]
mod harness_test;
#[cfg(test)]
mod reference_test;

use bytes::Bytes;

use crate::model::change::{Delta, Stamped};
use crate::model::hlc::WallTime;
use crate::model::record::Version;

pub use counter::CounterRow;
pub use field::{FieldRow, FieldVersion};
pub use member::MemberRow;
pub use register::{RegisterRow, RegisterVersion};

/// The content of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Of a register.
    Register(RegisterRow),
    /// Of a counter.
    Counter(CounterRow),
    /// Of a set's member.
    Member(MemberRow),
    /// Of a map's field.
    Field(FieldRow),
}

impl Row {
    /// The entity tag at `now`, without quotes: another one whenever something else is shown, and the same wherever the row
    /// is the same. None of a register that shows nothing.
    #[must_use]
    pub fn entity_tag(&self, now: WallTime) -> Option<String> {
        match self {
            Self::Register(row) => row.entity_tag(now),
            Self::Counter(row) => Some(row.entity_tag()),
            Self::Member(row) => row.entity_tag(),
            Self::Field(row) => row.entity_tag(),
        }
    }
}

/// A version that conflict resolution did not keep visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loser {
    /// What is visible instead.
    pub winner: Version,
    /// What is not.
    pub loser: Version,
    /// The bytes that lost; none if a delete lost.
    pub value: Option<Bytes>,
    /// Why.
    pub reason: LossReason,
}

/// Why a version lost. Persisted: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum LossReason {
    /// A concurrent register write has the higher stamp (or region name).
    ConcurrentWrite,
    /// A concurrent delete has the higher stamp.
    ConcurrentDelete,
    /// A delete lost against a concurrent write with the higher stamp.
    DeleteOverruled,
    /// A concurrent value of the same map field has the higher stamp.
    ConcurrentField,
    /// A register write that had seen it has taken its place without naming it among what it replaces.
    Overruled,
}

impl LossReason {
    /// The name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConcurrentWrite => "concurrent_write",
            Self::ConcurrentDelete => "concurrent_delete",
            Self::DeleteOverruled => "delete_overruled",
            Self::ConcurrentField => "concurrent_field",
            Self::Overruled => "overruled",
        }
    }
}

/// A change does not fit the row it is meant for. Only a peer that breaks the protocol, or corruption, causes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {delta} does not fit a record of another type")]
pub struct TypeMismatch {
    delta: &'static str,
}

impl TypeMismatch {
    /// The error of a change that does not fit the record it names.
    #[must_use]
    pub fn of(delta: &Delta) -> Self {
        Self {
            delta: match delta {
                Delta::Register { .. } => "register write",
                Delta::CounterTotals { .. } | Delta::CounterFloors { .. } => "counter change",
                Delta::MemberAdd { .. } | Delta::MemberRemove { .. } => "set change",
                Delta::FieldPut { .. } | Delta::FieldRemove { .. } => "map change",
            },
        }
    }
}

/// Merges one change into a row. None means that there is no row.
///
/// # Errors
/// [`TypeMismatch`] when row and delta are of different types.
pub fn merge(
    row: Option<Row>,
    delta: &Delta,
    stamped: &Stamped<'_>,
) -> Result<(Option<Row>, Vec<Loser>), TypeMismatch> {
    let mismatch = || TypeMismatch::of(delta);
    match (delta, row) {
        (
            Delta::Register {
                policy,
                replaces,
                content,
            },
            row,
        ) => {
            let row = register_row(row).ok_or_else(mismatch)?;
            let write = register::Write {
                policy: *policy,
                replaces,
                content: content.as_ref(),
            };
            let (row, losers) = row.merge(&write, stamped);
            Ok((Some(Row::Register(row)), losers))
        }
        (
            Delta::CounterTotals {
                increments,
                decrements,
            },
            row,
        ) => {
            let mut row = counter_row(row).ok_or_else(mismatch)?;
            row.merge_totals(stamped.dot.replica, *increments, *decrements);
            Ok((Some(Row::Counter(row)), Vec::new()))
        }
        (Delta::CounterFloors { floors }, row) => {
            let mut row = counter_row(row).ok_or_else(mismatch)?;
            row.merge_floors(floors);
            Ok((Some(Row::Counter(row)), Vec::new()))
        }
        (Delta::MemberAdd { .. }, row) => {
            let mut row = member_row(row).ok_or_else(mismatch)?;
            row.add(stamped);
            Ok((Some(Row::Member(row)), Vec::new()))
        }
        (Delta::MemberRemove { .. }, row) => {
            let mut row = member_row(row).ok_or_else(mismatch)?;
            row.remove(stamped);
            Ok(((!row.is_empty()).then_some(Row::Member(row)), Vec::new()))
        }
        (Delta::FieldPut { value, .. }, row) => {
            let mut row = field_row(row).ok_or_else(mismatch)?;
            let loser = row.put(value, stamped);
            Ok((Some(Row::Field(row)), loser.into_iter().collect()))
        }
        (Delta::FieldRemove { .. }, row) => {
            let mut row = field_row(row).ok_or_else(mismatch)?;
            row.remove(stamped);
            Ok(((!row.is_empty()).then_some(Row::Field(row)), Vec::new()))
        }
    }
}

fn register_row(row: Option<Row>) -> Option<RegisterRow> {
    match row {
        None => Some(RegisterRow::default()),
        Some(Row::Register(row)) => Some(row),
        Some(_) => None,
    }
}

fn counter_row(row: Option<Row>) -> Option<CounterRow> {
    match row {
        None => Some(CounterRow::default()),
        Some(Row::Counter(row)) => Some(row),
        Some(_) => None,
    }
}

fn member_row(row: Option<Row>) -> Option<MemberRow> {
    match row {
        None => Some(MemberRow::default()),
        Some(Row::Member(row)) => Some(row),
        Some(_) => None,
    }
}

fn field_row(row: Option<Row>) -> Option<FieldRow> {
    match row {
        None => Some(FieldRow::default()),
        Some(Row::Field(row)) => Some(row),
        Some(_) => None,
    }
}
