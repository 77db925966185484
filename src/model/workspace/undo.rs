//! Taking back what the first operations of a batch have done to the overlay, when a later one is refused.
//!
//! Rows that were only read stay in the overlay: they are as stored, and nothing is written for them.

use crate::model::record::{RecordId, RowId};
use crate::model::rows::Row;
use crate::model::workspace::{Summary, Workspace};

/// What was overwritten since the beginning, in that order.
#[derive(Debug)]
pub(super) struct UndoLog {
    rows: Vec<(RowId, Option<Row>)>,
    summaries: Vec<(RecordId, Option<Summary>)>,
    losers: usize,
}

impl UndoLog {
    /// A row is about to be another than `before`.
    pub(super) fn note_row(&mut self, id: RowId, before: Option<Row>) {
        self.rows.push((id, before));
    }

    /// A summary is about to be another than `before`.
    pub(super) fn note_summary(&mut self, id: RecordId, before: Option<Summary>) {
        self.summaries.push((id, before));
    }
}

impl<S> Workspace<'_, S> {
    /// From here on what is done can be taken back.
    pub(super) fn begin(&mut self) {
        self.undo = Some(UndoLog {
            rows: Vec::new(),
            summaries: Vec::new(),
            losers: self.overlay.losers.len(),
        });
    }

    /// What was done since [`Workspace::begin`] stays.
    pub(super) fn keep(&mut self) {
        self.undo = None;
    }

    /// What was done since [`Workspace::begin`] is taken back.
    pub(super) fn take_back(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        // Backwards: what was overwritten several times ends as it was first.
        for (id, before) in undo.rows.into_iter().rev() {
            if let Some(exchange) = self.overlay.rows.get_mut(&id) {
                exchange.after = before;
            }
        }
        for (id, before) in undo.summaries.into_iter().rev() {
            if let Some(exchange) = self.overlay.summaries.get_mut(&id) {
                exchange.after = before;
            }
        }
        self.overlay.losers.truncate(undo.losers);
    }
}
