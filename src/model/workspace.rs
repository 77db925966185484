//! Apply and prepare: rows + commits → new rows, losers and summaries, as an overlay that is written or dropped whole.
//!
//! Apply is a function of the rows and the commit alone (DESIGN rule 8): it looks up no configuration, no clock and no
//! node-local fact. Prepare turns client operations into a commit and applies its changes at once, so that the next
//! operation of the group sees them.

mod batch;
mod preparation;
mod undo;

use std::collections::BTreeMap;

use crate::model::change::{Change, Commit, Delta, Stamped};
use crate::model::hlc::WallTime;
use crate::model::mutation::{self, Mutation};
use crate::model::record::{RecordId, RowId, Version};
use crate::model::rows::{self, Loser, RegisterRow, Row, TypeMismatch};

pub use preparation::Preparation;

/// What the listing index holds of a record; derived from its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Summary {
    /// A register with something to show.
    Register {
        /// Bytes of the visible value of highest rank.
        size_bytes: u64,
        /// Its content type.
        content_type: String,
        /// Its version.
        version: Version,
        /// From when on it is hidden.
        expires_at: Option<WallTime>,
    },
    /// A counter that was touched.
    Counter,
    /// A set or map that is not empty.
    Parts {
        /// Members or fields.
        count: u64,
    },
}

/// Where rows are read from: the store, decoded.
pub trait RowSource {
    /// Why a row could not be read.
    type Error;

    /// The row as stored.
    ///
    /// # Errors
    /// When the store fails or holds what cannot be decoded.
    fn row(&self, id: &RowId) -> Result<Option<Row>, Self::Error>;

    /// The summary as stored.
    ///
    /// # Errors
    /// As [`RowSource::row`].
    fn summary(&self, id: &RecordId) -> Result<Option<Summary>, Self::Error>;
}

/// Something before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange<T> {
    /// As stored; none if there is nothing.
    pub before: Option<T>,
    /// As it shall be; none if there shall be nothing.
    pub after: Option<T>,
}

/// A loser and the record it was a version of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedLoser {
    /// The row.
    pub row: RowId,
    /// What lost.
    pub loser: Loser,
}

/// Why a commit could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError<E> {
    /// The rows could not be read.
    #[error("reading rows failed")]
    Source(#[source] E),
    /// The commit holds a change that does not fit.
    #[error(transparent)]
    Mismatch(#[from] TypeMismatch),
}

/// Rows, summaries and losers as they will be.
#[derive(Debug, Default)]
pub struct Overlay {
    /// Rows that were looked at or changed.
    pub rows: BTreeMap<RowId, Exchange<Row>>,
    /// Summaries that were looked at or changed.
    pub summaries: BTreeMap<RecordId, Exchange<Summary>>,
    /// In the order in which they lost.
    pub losers: Vec<RecordedLoser>,
}

/// An overlay over a row source.
#[derive(Debug)]
pub struct Workspace<'a, S> {
    source: &'a S,
    overlay: Overlay,
    /// How to take back what a batch has done so far; none while no batch is being made.
    undo: Option<undo::UndoLog>,
}

impl<'a, S: RowSource> Workspace<'a, S> {
    /// An empty overlay.
    #[must_use]
    pub fn new(source: &'a S) -> Self {
        Self {
            source,
            overlay: Overlay::default(),
            undo: None,
        }
    }

    /// The overlay, to be written.
    #[must_use]
    pub fn into_overlay(self) -> Overlay {
        self.overlay
    }

    /// The row as it will be.
    ///
    /// # Errors
    /// When the source fails.
    pub fn row(&mut self, id: &RowId) -> Result<Option<Row>, S::Error> {
        if let Some(exchange) = self.overlay.rows.get(id) {
            return Ok(exchange.after.clone());
        }
        let row = self.source.row(id)?;
        self.overlay.rows.insert(
            id.clone(),
            Exchange {
                before: row.clone(),
                after: row.clone(),
            },
        );
        Ok(row)
    }

    /// Applies all changes of a commit. On error the overlay is spoilt and must be dropped.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn apply(&mut self, commit: &Commit) -> Result<(), ApplyError<S::Error>> {
        for (position, change) in commit.changes.iter().enumerate() {
            let mut stamped = commit.stamped(position);
            if mutation::is_on(Mutation::RestampOnMerge) {
                stamped.hlc = stamped.hlc.plus(1 << 20);
            }
            self.apply_change(change, &stamped)?;
        }
        Ok(())
    }

    fn apply_change(&mut self, change: &Change, stamped: &Stamped<'_>) -> Result<(), ApplyError<S::Error>> {
        if !change.fits() {
            return Err(TypeMismatch::of(&change.delta).into());
        }
        let id = row_of(change);
        let row = self.row(&id).map_err(ApplyError::Source)?;
        let existed = row.is_some();
        let (after, losers) = rows::merge(row, &change.delta, stamped)?;
        self.summarise(&change.record, existed, after.as_ref())
            .map_err(ApplyError::Source)?;
        self.overlay
            .losers
            .extend(losers.into_iter().map(|loser| RecordedLoser {
                row: id.clone(),
                loser,
            }));
        let exchange = self
            .overlay
            .rows
            .get_mut(&id)
            .expect("reading the row has put it into the overlay");
        let before = std::mem::replace(&mut exchange.after, after);
        if let Some(undo) = &mut self.undo {
            undo.note_row(id, before);
        }
        Ok(())
    }

    fn summarise(&mut self, record: &RecordId, existed: bool, after: Option<&Row>) -> Result<(), S::Error> {
        // A set or map whose member came or went neither way keeps its count.
        if record.record_type.has_parts() && existed == after.is_some() {
            return Ok(());
        }
        if !self.overlay.summaries.contains_key(record) {
            let before = self.source.summary(record)?;
            self.overlay.summaries.insert(
                record.clone(),
                Exchange {
                    before: before.clone(),
                    after: before,
                },
            );
        }
        let exchange = self
            .overlay
            .summaries
            .get_mut(record)
            .expect("inserted right above");
        if let Some(undo) = &mut self.undo {
            undo.note_summary(record.clone(), exchange.after.clone());
        }
        exchange.after = match after {
            Some(Row::Register(row)) => register_summary(row),
            Some(Row::Counter(_)) => Some(Summary::Counter),
            Some(Row::Member(_) | Row::Field(_)) | None => {
                let count = match &exchange.after {
                    Some(Summary::Parts { count }) => *count,
                    _ => 0,
                };
                let count = if after.is_some() {
                    count + 1
                } else {
                    count.saturating_sub(1)
                };
                (count > 0).then_some(Summary::Parts { count })
            }
        };
        Ok(())
    }
}

/// What a register shows, expiry left aside: that is the reader's business.
#[must_use]
pub fn register_summary(row: &RegisterRow) -> Option<Summary> {
    let (version, content) = row.visible(WallTime::default()).next()?;
    Some(Summary::Register {
        size_bytes: content.payload.len() as u64,
        content_type: content.content_type.clone(),
        version: version.version(),
        expires_at: content.expires_at,
    })
}

/// The row that a change is for.
#[must_use]
pub fn row_of(change: &Change) -> RowId {
    let sub_key = match &change.delta {
        Delta::Register { .. } | Delta::CounterTotals { .. } | Delta::CounterFloors { .. } => None,
        Delta::MemberAdd { member } | Delta::MemberRemove { member } => Some(member.clone()),
        Delta::FieldPut { field, .. } | Delta::FieldRemove { field } => Some(field.clone()),
    };
    RowId {
        record: change.record.clone(),
        sub_key,
    }
}

#[cfg(test)]
#[path = "workspace_test.rs"]
mod tests;
