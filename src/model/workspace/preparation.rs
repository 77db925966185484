//! Prepare: operations of clients become changes of one local commit, each applied at once, so that the next one sees it.
//!
//! A refused request leaves nothing: neither a change in the commit nor a trace in the overlay.

use crate::model::change::{Change, Commit, Delta, Replaces};
use crate::model::hlc::{Hlc, WallTime};
use crate::model::ids::{ReplicaId, SubKey};
use crate::model::limits;
use crate::model::mutation::{self, Mutation};
use crate::model::record::{RecordId, Version};
use crate::model::request::{Operation, Precondition, WriteAnswer, WriteEffect, WriteRefusal, WriteRequest};
use crate::model::rows::{CounterRow, RegisterRow, Row};
use crate::model::vector::{Dot, VersionVector};
use crate::model::workspace::{ApplyError, RowSource, Workspace};

/// A local commit that is being put together.
#[derive(Debug)]
pub struct Preparation {
    pub(super) commit: Commit,
    now: WallTime,
}

impl Preparation {
    /// Starts a commit of `origin` after what `vector` covers, with stamps from `hlc` on.
    #[must_use]
    pub fn begin(origin: ReplicaId, vector: &VersionVector, hlc: Hlc, now: WallTime) -> Self {
        let first_seq = vector.get(&origin) + 1;
        let commit = Commit {
            origin,
            first_seq,
            hlc,
            deps: vector.without(&origin),
            changes: Vec::new(),
        };
        Self { commit, now }
    }

    /// Another commit, behind this one, of which `vector` may cover the changes.
    #[must_use]
    pub fn restart(&self, vector: &VersionVector, now: WallTime) -> Self {
        let hlc = self.commit.hlc.plus(self.commit.changes.len() as u64);
        Self::begin(self.commit.origin, vector, hlc, now)
    }

    /// The commit; none if nothing was changed.
    #[must_use]
    pub fn finish(self) -> Option<Commit> {
        (!self.commit.changes.is_empty()).then_some(self.commit)
    }

    /// Turns a request into changes, and applies them to the workspace.
    ///
    /// # Errors
    /// The outer one when rows cannot be read: the workspace must be dropped. The inner one when the request is
    /// refused: nothing of it was done.
    pub fn execute<S: RowSource>(
        &mut self,
        workspace: &mut Workspace<'_, S>,
        request: &WriteRequest,
    ) -> Result<Result<WriteAnswer, WriteRefusal>, ApplyError<S::Error>> {
        // Before anything else: it decides also where there would be nothing to do.
        if let Some(refusal) = self.unmet_precondition(workspace, request)? {
            return Ok(Err(refusal));
        }
        let record = request.record();
        match &request.operation {
            Operation::PutRegister { .. } | Operation::DeleteRegister => {
                self.write_register(workspace, request, record)
            }
            Operation::AddCounter { .. } | Operation::ResetCounter => {
                self.write_counter(workspace, &request.operation, record)
            }
            Operation::UpdateSet { add, remove } => {
                let adds = add
                    .iter()
                    .map(|m| (m.clone(), Delta::MemberAdd { member: m.clone() }))
                    .collect();
                let removes = remove
                    .iter()
                    .map(|m| (m.clone(), Delta::MemberRemove { member: m.clone() }));
                self.write_parts(workspace, request, adds, removes.collect(), Count::OnlyNew)
            }
            Operation::UpdateMap { set, remove } => {
                let put = |(f, v): &(SubKey, bytes::Bytes)| {
                    (
                        f.clone(),
                        Delta::FieldPut {
                            field: f.clone(),
                            value: v.clone(),
                        },
                    )
                };
                let sets = set.iter().map(put).collect();
                let removes = remove
                    .iter()
                    .map(|f| (f.clone(), Delta::FieldRemove { field: f.clone() }));
                self.write_parts(workspace, request, sets, removes.collect(), Count::All)
            }
        }
    }

    /// The refusal of a request whose precondition does not hold, of what the writes before it in the group have left.
    fn unmet_precondition<S: RowSource>(
        &self,
        workspace: &mut Workspace<'_, S>,
        request: &WriteRequest,
    ) -> Result<Option<WriteRefusal>, ApplyError<S::Error>> {
        if request.precondition == Precondition::None {
            return Ok(None);
        }
        let id = request
            .row()
            .expect("the surface refuses preconditions on several parts");
        let row = if mutation::is_on(Mutation::StalePrecondition) {
            workspace.source.row(&id)
        } else {
            workspace.row(&id)
        };
        let current = row
            .map_err(ApplyError::Source)?
            .and_then(|row| row.entity_tag(self.now));
        let holds = request.precondition.holds(current.as_deref());
        Ok((!holds).then_some(WriteRefusal::PreconditionFailed { current }))
    }

    fn write_register<S: RowSource>(
        &mut self,
        workspace: &mut Workspace<'_, S>,
        request: &WriteRequest,
        record: RecordId,
    ) -> Result<Result<WriteAnswer, WriteRefusal>, ApplyError<S::Error>> {
        let row = match workspace.row(&record.clone().row()).map_err(ApplyError::Source)? {
            Some(Row::Register(row)) => row,
            _ => RegisterRow::default(),
        };
        let (content, mut context) = match &request.operation {
            Operation::PutRegister { content, context } => (Some(content.clone()), context.clone()),
            _ => (None, None),
        };
        let is_here = |dot: &Dot| row.versions().iter().any(|version| version.dot == *dot);
        if let Some(dots) = &mut context {
            // What is not here is replaced already, or was not seen and so stays: naming it would change nothing, and
            // clients can name as much as they like.
            dots.retain(is_here);
        }
        // `>=`: this write would be one more. Under `lww` too: what it does not name may have been written under another
        // policy, and then stays.
        if context.is_some() && row.versions().len() >= limits::SIBLINGS_MAX {
            let replaces_some = context.as_ref().is_some_and(|dots| !dots.is_empty());
            if !replaces_some {
                return Ok(Err(WriteRefusal::TooManySiblings {
                    count: row.versions().len(),
                }));
            }
        }
        let replaces = context.map_or(Replaces::Seen, Replaces::Exactly);
        let version = self.push(
            workspace,
            record,
            Delta::Register {
                policy: request.policy,
                replaces,
                content,
            },
        )?;
        Ok(Ok(WriteAnswer {
            version: Some(version),
            tag: None,
            effect: WriteEffect::Register,
        }))
    }

    fn write_counter<S: RowSource>(
        &mut self,
        workspace: &mut Workspace<'_, S>,
        operation: &Operation,
        record: RecordId,
    ) -> Result<Result<WriteAnswer, WriteRefusal>, ApplyError<S::Error>> {
        let id = record.clone().row();
        let row = match workspace.row(&id).map_err(ApplyError::Source)? {
            Some(Row::Counter(row)) => row,
            _ => CounterRow::default(),
        };
        let delta = match operation {
            Operation::AddCounter { amount } => match row.totals_after(self.commit.origin, *amount) {
                Ok((increments, decrements)) => Delta::CounterTotals {
                    increments,
                    decrements,
                },
                Err(overflow) => return Ok(Err(overflow.into())),
            },
            _ => Delta::CounterFloors {
                floors: row.floors_for_reset(),
            },
        };
        let version = self.push(workspace, record, delta)?;
        let (value, tag) = match workspace.row(&id).map_err(ApplyError::Source)? {
            Some(Row::Counter(row)) => (row.value(), Some(row.entity_tag())),
            _ => (0, None),
        };
        Ok(Ok(WriteAnswer {
            version: Some(version),
            tag,
            effect: WriteEffect::Counter { value },
        }))
    }

    fn write_parts<S: RowSource>(
        &mut self,
        workspace: &mut Workspace<'_, S>,
        request: &WriteRequest,
        additions: Vec<(SubKey, Delta)>,
        removals: Vec<(SubKey, Delta)>,
        count: Count,
    ) -> Result<Result<WriteAnswer, WriteRefusal>, ApplyError<S::Error>> {
        let record = request.record();
        let (mut added, mut removed, mut version) = (0, 0, None);
        // Removes first: a part that is both removed and added is there afterwards, as documented.
        for (part, delta) in removals {
            let id = record.clone().sub_row(part);
            if workspace.row(&id).map_err(ApplyError::Source)?.is_none() {
                continue; // Nothing was seen, so there is nothing to remove.
            }
            version = Some(self.push(workspace, record.clone(), delta)?);
            removed += 1;
        }
        for (part, delta) in additions {
            let id = record.clone().sub_row(part);
            let is_new = workspace.row(&id).map_err(ApplyError::Source)?.is_none();
            version = Some(self.push(workspace, record.clone(), delta)?);
            added += usize::from(is_new || matches!(count, Count::All));
        }
        let tag = match request.row() {
            Some(only) => workspace.row(&only).map_err(ApplyError::Source)?,
            None => None,
        };
        Ok(Ok(WriteAnswer {
            version,
            tag: tag.and_then(|row| row.entity_tag(self.now)),
            effect: WriteEffect::Parts { added, removed },
        }))
    }

    fn push<S: RowSource>(
        &mut self,
        workspace: &mut Workspace<'_, S>,
        record: RecordId,
        delta: Delta,
    ) -> Result<Version, ApplyError<S::Error>> {
        self.commit.changes.push(Change { record, delta });
        let position = self.commit.changes.len() - 1;
        let stamped = self.commit.stamped(position);
        workspace.apply_change(&self.commit.changes[position], &stamped)?;
        Ok(stamped.version())
    }
}

/// What counts as added.
#[derive(Debug, Clone, Copy)]
enum Count {
    /// Members that were not there.
    OnlyNew,
    /// Every field that was set.
    All,
}
