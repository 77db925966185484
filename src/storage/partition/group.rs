//! A group: remote commits and one local commit that are appended, applied and made durable together.

use crate::model::change::Commit;
use crate::model::digest::{Digest, RowExchange, RowHasher};
use crate::model::entry::{AgedOutcome, DecidedOutcome, Entry};
use crate::model::hlc::{Hlc, WallTime};
use crate::model::idempotency::{Decision, Outcome, Remembered, Verdict};
use crate::model::ids::{LogIndex, ReplicaId};
use crate::model::mutation::{self, Mutation};
use crate::model::partition::{CommitRefusal, PartitionState};
use crate::model::record::RecordId;
use crate::model::replication::retention::Cut;
use crate::model::request::{BatchRefusal, Submission};
use crate::model::workspace::{ApplyError, Preparation, Workspace};
use crate::ports::store::{Family, WriteSet};
use crate::storage::partition::outcomes::Outcomes;
use crate::storage::partition::rows::{ReadError, StoredRows};
use crate::wire::keys::digest::{DigestKey, encode_sum};
use crate::wire::keys::ledger::LedgerKey;
use crate::wire::keys::log::{LogKey, LogSeqKey, encode_log_index};
use crate::wire::keys::meta;
use crate::wire::keys::names::NameKey;
use crate::wire::keys::row::RowKey;
use crate::wire::values::{self, LedgerEntry};

/// Why a group could not be built. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// Stored rows could not be read, or a change did not fit them.
    #[error("applying a commit failed")]
    Apply(#[from] ApplyError<ReadError>),
    /// A commit may not follow what was applied.
    #[error(transparent)]
    Refused(#[from] CommitRefusal),
}

/// A group on its way to the disk.
#[derive(Debug)]
pub struct SealedGroup {
    /// Everything it writes; empty if nothing changed.
    pub set: WriteSet,
    /// The partition's state once it is durable.
    pub state: PartitionState,
    /// Records of the store's own namespace that it changes.
    pub system_records: Vec<RecordId>,
    /// Changes in it.
    pub changes: u64,
    /// Entries it adds to the ledger.
    pub losers: u64,
    /// Commits of this region in it.
    pub made: Vec<Commit>,
    /// What became of writes with idempotency keys.
    pub decided: Vec<DecidedOutcome>,
}

/// Builds a group over the applied state. Dropping it leaves everything as it was.
pub struct GroupBuilder<'a> {
    state: PartitionState,
    rows: &'a StoredRows<'a>,
    workspace: Workspace<'a, StoredRows<'a>>,
    outcomes: Outcomes<'a>,
    set: WriteSet,
    changes: u64,
    made: Vec<Commit>,
}

impl From<ReadError> for GroupError {
    fn from(error: ReadError) -> Self {
        Self::Apply(ApplyError::Source(error))
    }
}

impl<'a> GroupBuilder<'a> {
    /// Starts after `state`.
    #[must_use]
    pub fn new(state: PartitionState, rows: &'a StoredRows<'a>) -> Self {
        Self {
            state,
            rows,
            workspace: Workspace::new(rows),
            outcomes: Outcomes::new(rows),
            set: WriteSet::new(),
            changes: 0,
            made: Vec::new(),
        }
    }

    /// The state as it will be.
    #[must_use]
    pub fn state(&self) -> &PartitionState {
        &self.state
    }

    /// Appends and applies a commit that was prepared elsewhere.
    ///
    /// # Errors
    /// [`GroupError`]; the builder must be dropped then.
    pub fn add_commit(&mut self, commit: &Commit) -> Result<(), GroupError> {
        self.append(commit)?;
        self.workspace.apply(commit)?;
        Ok(())
    }

    /// Applies an entry that is already in the log.
    ///
    /// # Errors
    /// [`GroupError`]; the builder must be dropped then.
    pub fn replay(&mut self, commit: &Commit, size_bytes: u64) -> Result<(), GroupError> {
        self.state.advance(commit, size_bytes)?;
        self.changes += commit.changes.len() as u64;
        self.workspace.apply(commit)?;
        Ok(())
    }

    /// Turns submissions into one commit of `origin` with stamps from `hlc` on, appends and applies it. What was decided
    /// before under the same idempotency key is answered again.
    ///
    /// # Errors
    /// [`GroupError`]; the builder must be dropped then.
    pub fn add_local(
        &mut self,
        origin: ReplicaId,
        hlc: Hlc,
        now: WallTime,
        submissions: &[&Submission],
    ) -> Result<Vec<Verdict>, GroupError> {
        assert!(
            hlc > self.state.last_hlc,
            "invariant 4: stamps of a partition grow"
        );
        let mut preparation = Preparation::begin(origin, &self.state.vector, hlc, now);
        let mut verdicts = Vec::with_capacity(submissions.len());
        for submission in submissions {
            verdicts.push(self.decide(&mut preparation, submission, now)?);
        }
        if let Some(commit) = preparation.finish() {
            self.append(&commit)?;
            self.made.push(commit);
        }
        Ok(verdicts)
    }

    /// Does what a leader of this region has prepared over the same rows.
    ///
    /// # Errors
    /// [`GroupError`]; the builder must be dropped then.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), GroupError> {
        for commit in &entry.commits {
            self.add_commit(commit)?;
        }
        for decided in &entry.decided {
            self.outcomes.repeat(decided, entry.at)?;
        }
        if let Some(cut) = &entry.cut {
            self.cut_log(cut);
        }
        self.forget_outcomes(&entry.aged, entry.at)
    }

    fn decide(
        &mut self,
        preparation: &mut Preparation,
        submission: &Submission,
        now: WallTime,
    ) -> Result<Verdict, GroupError> {
        let (Some(scope), Some(idempotency)) = (submission.scope(), &submission.idempotency) else {
            let outcome = self.execute(preparation, submission, now)?;
            let is_repeat = false;
            return Ok(Verdict::Decided(Decision { outcome, is_repeat }));
        };
        if let Some(first) = self.outcomes.recall(&scope, now)? {
            if first.fingerprint != idempotency.fingerprint {
                return Ok(Verdict::KeyReused { key: scope.key });
            }
            let (outcome, is_repeat) = (first.outcome, true);
            return Ok(Verdict::Decided(Decision { outcome, is_repeat }));
        }
        let tally = self.outcomes.tally()?;
        if tally.is_full() {
            return Ok(Verdict::RemembersTooMuch(tally));
        }
        let outcome = self.execute(preparation, submission, now)?;
        let remembered = Remembered {
            fingerprint: idempotency.fingerprint,
            at: now,
            outcome: outcome.clone(),
        };
        self.outcomes.remember(scope, remembered)?;
        let is_repeat = false;
        Ok(Verdict::Decided(Decision { outcome, is_repeat }))
    }

    fn execute(
        &mut self,
        preparation: &mut Preparation,
        submission: &Submission,
        now: WallTime,
    ) -> Result<Outcome, GroupError> {
        if !mutation::is_on(Mutation::SplitBatch) {
            return Ok(preparation.execute_all(&mut self.workspace, &submission.writes)?);
        }
        let mut answers = Vec::new();
        for (position, write) in submission.writes.iter().enumerate() {
            match preparation.execute(&mut self.workspace, write)? {
                Ok(answer) => answers.push(answer),
                Err(refusal) => return Ok(Err(BatchRefusal { position, refusal })),
            }
            let next = preparation.restart(&self.state.vector, now);
            if let Some(commit) = std::mem::replace(preparation, next).finish() {
                self.append(&commit)?;
                self.made.push(commit);
                *preparation = preparation.restart(&self.state.vector, now);
            }
        }
        Ok(Ok(answers))
    }

    /// Forgets outcomes that have expired; what is named and has not stays.
    ///
    /// # Errors
    /// [`GroupError`]; the builder must be dropped then.
    pub fn forget_outcomes(&mut self, aged: &[AgedOutcome], now: WallTime) -> Result<(), GroupError> {
        Ok(self.outcomes.forget(aged, now)?)
    }

    fn append(&mut self, commit: &Commit) -> Result<LogIndex, CommitRefusal> {
        let bytes = values::encode_commit(commit);
        let index = self.state.advance(commit, bytes.len() as u64)?;
        self.changes += commit.changes.len() as u64;
        let partition = self.state.partition;
        self.set
            .put(Family::Log, &LogKey { partition, index }.encode(), &bytes);
        let seq_key = LogSeqKey {
            partition,
            origin: commit.origin,
            first_seq: commit.first_seq,
        };
        self.set
            .put(Family::LogSeqs, &seq_key.encode(), &encode_log_index(index));
        Ok(index)
    }

    /// Forgets the oldest log entries.
    pub fn cut_log(&mut self, cut: &Cut) {
        let partition = self.state.partition;
        // `<=`: a cut that was planned before another one took place is void.
        if cut.first_index <= self.state.first_index {
            return;
        }
        let range = LogKey::range(partition, self.state.first_index, cut.first_index);
        self.set.delete_range(Family::Log, &range.from, &range.to);
        for last in cut.forgotten.iter() {
            let range = LogSeqKey::range(partition, last.replica, 0, last.seq + 1);
            self.set.delete_range(Family::LogSeqs, &range.from, &range.to);
        }
        self.state.first_index = cut.first_index;
        self.state.log_bytes = self.state.log_bytes.saturating_sub(cut.size_bytes);
    }

    /// Encodes everything. `digest` is brought to where it will be: when the write fails, it must be read anew.
    #[must_use]
    pub fn seal(mut self, digest: &mut Digest, hasher: &RowHasher, now: WallTime) -> SealedGroup {
        let partition = self.rows.partition;
        let overlay = self.workspace.into_overlay();
        let mut leaves = std::collections::BTreeMap::new();
        for (id, exchange) in overlay
            .rows
            .iter()
            .filter(|(_, exchange)| exchange.before != exchange.after)
        {
            let key = RowKey::encode(partition, id);
            let before = exchange.before.as_ref().map(values::encode_row);
            let after = exchange.after.as_ref().map(values::encode_row);
            let row = RowExchange {
                key: &key,
                before: before.as_deref(),
                after: after.as_deref(),
            };
            let (leaf, sum) = digest.exchange(hasher, &row);
            leaves.insert(leaf.0, (leaf, sum));
            match &after {
                Some(bytes) => self.set.put(Family::Rows, &key, bytes),
                None => self.set.delete(Family::Rows, &key),
            }
        }
        for (leaf, sum) in leaves.into_values() {
            self.set.put(
                Family::Meta,
                &DigestKey { partition, leaf }.encode(),
                &encode_sum(sum),
            );
        }
        let mut system_records = Vec::new();
        for (record, exchange) in overlay
            .summaries
            .iter()
            .filter(|(_, exchange)| exchange.before != exchange.after)
        {
            match &exchange.after {
                Some(summary) => {
                    self.set.put(
                        Family::Names,
                        &NameKey::encode(record),
                        &values::encode_summary(summary),
                    );
                }
                None => self.set.delete(Family::Names, &NameKey::encode(record)),
            }
            if record.namespace.is_system() {
                system_records.push(record.clone());
            }
        }
        let losers = overlay.losers.len() as u64;
        for loser in overlay.losers {
            if mutation::is_on(Mutation::ForgetLosers) {
                break;
            }
            let key = LedgerKey {
                lost_at: now,
                partition,
                number: self.state.losers_written,
            };
            self.state.losers_written += 1;
            let entry = LedgerEntry::from(loser);
            self.set.put(
                Family::Losers,
                &key.encode(),
                &values::encode_ledger_entry(&entry),
            );
        }
        let decided = self.outcomes.write_into(&mut self.set);
        if (!self.set.is_empty() || self.changes > 0) && !mutation::is_on(Mutation::ForgetVector) {
            let state = values::encode_partition_state(&self.state);
            self.set
                .put(Family::Meta, &meta::partition_state(partition), &state);
        }
        SealedGroup {
            set: self.set,
            state: self.state,
            system_records,
            changes: self.changes,
            losers,
            made: self.made,
            decided,
        }
    }
}

impl std::fmt::Debug for GroupBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupBuilder")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "entry_test.rs"]
mod tests;
