//! Groups: what is taken together, sealed and sent to the disk.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::actors::partition::core::{AnsweredWrite, Built, InFlight, PartitionCore, PendingWrite, Trouble};
use crate::actors::region::RegionError;
use crate::model::change::Commit;
use crate::model::digest::Digest;
use crate::model::entry::{AgedOutcome, Entry};
use crate::model::hlc::WallTime;
use crate::model::idempotency::{Decision, Verdict};
use crate::model::ids::RegionId;
use crate::model::limits;
use crate::model::mutation::{self, Mutation};
use crate::model::replication::inbox::Taken;
use crate::model::replication::retention::Cut;
use crate::model::request::Submission;
use crate::model::workspace::ApplyError;
use crate::ports::store::StoreError;
use crate::storage::partition::{GroupBuilder, GroupError, ReadError, SealedGroup, StoredRows};
use crate::wire::messages::RewindReason;

/// What a group does for nobody who waits: forgetting. Comes first, since a busy partition would never get to it.
enum Tidying {
    /// Goes alone: small as it is, the store lets it through even when the disk is full.
    Log(Cut),
    /// Expired outcomes, one portion.
    Outcomes(Vec<AgedOutcome>),
}

/// What a group does, for others to do it too.
fn entry_of(remote: &[Commit], sealed: &SealedGroup, tidying: Option<&Tidying>, at: WallTime) -> Entry {
    let (cut, aged) = match tidying {
        Some(Tidying::Log(cut)) => (Some(cut.clone()), Vec::new()),
        Some(Tidying::Outcomes(aged)) => (None, aged.clone()),
        None => (None, Vec::new()),
    };
    Entry {
        at,
        commits: remote.iter().chain(&sealed.made).cloned().collect(),
        decided: sealed.decided.clone(),
        cut,
        aged,
    }
}

/// What the client is told.
fn answer_of(verdict: Verdict) -> Result<Decision, RegionError> {
    match verdict {
        Verdict::Decided(decision) => Ok(decision),
        Verdict::KeyReused { key } => Err(RegionError::Conflict(format!(
            "the idempotency key {:?} was used for another request within the last 24 hours: use a new key for every \
             request that is not a repeat, and repeat a request exactly as it was",
            key.as_str()
        ))),
        Verdict::RemembersTooMuch(tally) => Err(RegionError::Unavailable {
            reason: format!(
                "this partition remembers {} outcomes of {} bytes for their idempotency keys, the most that it may: \
                 nothing was done; send it without Idempotency-Key, or again when some have expired",
                tally.records, tally.bytes
            ),
            outcome_unknown: false,
        }),
    }
}

impl PartitionCore {
    /// Builds the next group, if none is in flight and there is something to do.
    pub(super) fn build(&mut self, now: WallTime) -> Built {
        if self.in_flight.is_some() {
            return Built::Nothing;
        }
        if let Some(Trouble::Stopped(why) | Trouble::Store(why)) = &self.trouble {
            let error = RegionError::Unavailable {
                reason: why.clone(),
                outcome_unknown: false,
            };
            self.begun += self.pending.len() as u64;
            for write in self.pending.drain(..) {
                let _ = write.reply.send(Err(error.clone()));
            }
            self.tell_drained();
            return Built::Nothing;
        }
        if let Some(member) = &self.member {
            if !member.is_serving() {
                return self.refuse_where_not_leading();
            }
            if !member.may_propose() {
                return Built::Nothing;
            }
        }
        if matches!(self.trouble, Some(Trouble::Installing)) {
            return Built::Nothing;
        }
        let tidying = self.take_tidying();
        let ((remote, sources), writes) = match tidying {
            Some(_) => Default::default(),
            None => (self.take_remote(), self.take_writes()),
        };
        if remote.is_empty() && writes.is_empty() && tidying.is_none() {
            self.show_held();
            // Of writes that were taken and not begun.
            self.tell_drained();
            return Built::Nothing;
        }
        match self.seal(&remote, &writes, tidying.as_ref(), now) {
            Ok((sealed, answers)) => {
                let entry = self.member.is_some();
                let entry = entry.then(|| entry_of(&remote, &sealed, tidying.as_ref(), now));
                self.launch(sealed, entry, writes, answers, sources)
            }
            Err(error) => {
                self.refuse_group(&error, writes, &sources);
                Built::Answered
            }
        }
    }

    fn seal(
        &mut self,
        remote: &[Commit],
        writes: &[PendingWrite],
        tidying: Option<&Tidying>,
        now: WallTime,
    ) -> Result<(SealedGroup, Vec<Verdict>), GroupError> {
        let store = Arc::clone(&self.context.store);
        let rows = StoredRows {
            store: store.as_ref(),
            partition: self.partition,
        };
        let mut group = GroupBuilder::new(self.state.clone(), &rows);
        for commit in remote {
            // Checked against the drift when it was offered; time may have been set back since.
            self.context.hybrid_clock.restore(commit.last_hlc());
            group.add_commit(commit)?;
        }
        let mut answers = Vec::new();
        if !writes.is_empty() {
            self.context.partitions.begin_preparing(self.partition);
            let changes_max: usize = writes.iter().map(|write| write.submission.changes_max()).sum();
            let hlc = self.context.hybrid_clock.stamp(now, changes_max.max(1) as u64);
            let submissions: Vec<&Submission> = writes.iter().map(|write| &write.submission).collect();
            answers = group.add_local(self.context.identity.replica, hlc, now, &submissions)?;
        }
        match tidying {
            Some(Tidying::Log(cut)) => group.cut_log(cut),
            Some(Tidying::Outcomes(expired)) => group.forget_outcomes(expired, now)?,
            None => {}
        }
        let digest = cfg!(feature = "simulation").then(|| self.digest.clone());
        let sealed = group.seal(&mut self.digest, &self.hasher, now);
        if let Some(digest) = digest {
            let entry = entry_of(remote, &sealed, tidying, now);
            self.assert_repeatable(&entry, &sealed, digest)?;
        }
        Ok((sealed, answers))
    }

    /// Invariant 18: whoever applies an entry to the same rows writes what the one has that prepared it. Each group is
    /// done twice in simulation.
    fn assert_repeatable(
        &self,
        entry: &Entry,
        sealed: &SealedGroup,
        mut digest: Digest,
    ) -> Result<(), GroupError> {
        let rows = StoredRows {
            store: self.context.store.as_ref(),
            partition: self.partition,
        };
        let mut group = GroupBuilder::new(self.state.clone(), &rows);
        group.apply(entry)?;
        let repeated = group.seal(&mut digest, &self.hasher, entry.at);
        assert!(
            repeated.set == sealed.set && repeated.state == sealed.state && digest == self.digest,
            "invariant 18: {entry:?}\nprepared: {sealed:?}\napplied: {repeated:?}"
        );
        Ok(())
    }

    fn launch(
        &mut self,
        sealed: SealedGroup,
        entry: Option<Entry>,
        writes: Vec<PendingWrite>,
        answers: Vec<Verdict>,
        sources: BTreeSet<RegionId>,
    ) -> Built {
        let answered = writes.into_iter().zip(answers);
        let mut writes: Vec<AnsweredWrite> = answered
            .map(|(write, answer)| AnsweredWrite {
                answer: answer_of(answer),
                reply: write.reply,
                _admission: write.admission,
            })
            .collect();
        if mutation::is_on(Mutation::AnswerBeforeSync) {
            for write in writes.drain(..) {
                let _ = write.reply.send(write.answer);
            }
        }
        let in_flight = InFlight {
            writes,
            sources,
            ..InFlight::of_nobody(sealed.state, sealed.system_records)
        };
        // Also what changes nothing: whoever was deposed without knowing must not answer from what it has.
        if let Some(entry) = entry {
            return self.propose(&entry, sealed.set, in_flight);
        }
        if sealed.set.is_empty() {
            self.complete(in_flight);
            self.tell_drained();
            return Built::Answered;
        }
        self.in_flight = Some(in_flight);
        Built::Write(sealed.set)
    }

    /// Writes wait while this node is about to lead; else they are for another one.
    fn refuse_where_not_leading(&mut self) -> Built {
        let is_about_to = self.member.as_ref().is_some_and(|member| member.is_leading());
        if !is_about_to {
            let error = self.not_leader();
            self.begun += self.pending.len() as u64;
            for write in self.pending.drain(..) {
                let _ = write.reply.send(Err(error.clone()));
            }
            self.tell_drained();
        }
        Built::Nothing
    }

    /// Rows could not be read, or a commit does not fit them: nothing was written. What the store may recover from is
    /// waited for (a file that could not be opened, say); the rest stops the partition.
    fn refuse_group(&mut self, error: &GroupError, writes: Vec<PendingWrite>, sources: &BTreeSet<RegionId>) {
        let text = crate::actors::error_chain(error);
        for write in writes {
            let _ = write.reply.send(Err(RegionError::Internal(text.clone())));
        }
        match error {
            GroupError::Apply(ApplyError::Source(ReadError::Store(cause)))
                if !matches!(cause, StoreError::Corrupted { .. }) =>
            {
                tracing::error!(region = %self.context.identity.region, partition = %self.partition, error = %text, "rows could not be read");
                self.wait_for_store(text.clone());
                self.put_off_sources(sources, RewindReason::Storage, &text);
            }
            _ => {
                self.stop(text.clone());
                self.put_off_sources(sources, RewindReason::Poison, &text);
            }
        }
    }

    fn take_tidying(&mut self) -> Option<Tidying> {
        if let Some(cut) = self.cut.take() {
            return Some(Tidying::Log(cut));
        }
        let expired = std::mem::take(&mut self.expired);
        (!expired.is_empty()).then_some(Tidying::Outcomes(expired))
    }

    fn take_remote(&mut self) -> (Vec<Commit>, BTreeSet<RegionId>) {
        let (mut commits, mut sources) = (Vec::new(), BTreeSet::new());
        let mut vector = self.state.vector.clone();
        let (mut changes, mut bytes) = (0, 0);
        while changes < limits::COMMIT_CHANGES_MAX && bytes < limits::COMMIT_BYTES_MAX {
            match self.inbox.take_next(&vector) {
                None => break,
                Some(Taken::Refused(refusal, source)) => {
                    let sources = BTreeSet::from([source]);
                    self.put_off_sources(&sources, RewindReason::Poison, &refusal.to_string());
                }
                Some(Taken::Next(commit, source)) => {
                    vector.advance(commit.origin, commit.last_seq().max(vector.get(&commit.origin)));
                    changes += commit.changes.len();
                    bytes += commit.size_bytes();
                    sources.insert(source);
                    commits.push(commit);
                }
            }
        }
        (commits, sources)
    }

    fn take_writes(&mut self) -> Vec<PendingWrite> {
        let mut writes: Vec<PendingWrite> = Vec::new();
        let (mut changes, mut bytes) = (0, 0);
        while let Some(next) = self.pending.front() {
            changes += next.submission.changes_max();
            bytes += next.submission.size_bytes();
            // The first one always fits: the API has bounded it.
            let is_over = changes > limits::COMMIT_CHANGES_MAX || bytes > limits::COMMIT_BYTES_MAX;
            if is_over && !writes.is_empty() {
                break;
            }
            let next = self.pending.pop_front().expect("it was looked at right above");
            self.begun += 1;
            if next.reply.is_closed() {
                continue; // The client is gone before its write was begun: nothing was promised.
            }
            if next.only_in.is_some_and(|epoch| !self.leads_in(epoch)) {
                let _ = next.reply.send(Err(self.not_leader()));
                continue;
            }
            writes.push(next);
        }
        writes
    }
}
